"""The patch head: its graph against the plain reference, and what its score does."""

from collections.abc import Mapping

import numpy as np
import pytest

from lineside.export.parity import reference_score
from lineside.graph.run import Graph
from lineside.transfer.head import HeadShape, embed_patches, export_head, fit_head, head_shape, tap_name

STRIDES, CHANNELS = (8, 16, 32), (6, 10, 14)


def features(n: int, seed: int, shift: float = 0.0) -> dict[int, np.ndarray]:
    """Return tap features of frames of 128×96 px."""
    rng = np.random.default_rng(seed)
    made = {}
    for stride, channels in zip(STRIDES, CHANNELS, strict=True):
        made[stride] = rng.standard_normal((n, channels, 96 // stride, 128 // stride)).astype(np.float32)
        made[stride][:, :, :1, :1] += shift
    return made


def shape(projection: int | None = 12, memory: int = 64) -> HeadShape:
    """Return a small head's shape."""
    return head_shape(STRIDES, CHANNELS, (128, 96), projection, memory)


def run(graph: Graph, head: HeadShape, values: object, taps: Mapping[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Run the head's graph."""
    return graph({**{tap_name(s): taps[s] for s in STRIDES}, **values.feed(head)})  # type: ignore[attr-defined]


@pytest.mark.parametrize("projection", [12, None, 500])
def test_the_graph_equals_the_reference(projection: int | None) -> None:
    """Projected or not, ONNX Runtime's scores are those of the plain NumPy head within 1e-4 of themselves."""
    head = shape(projection)
    values = fit_head(head, features(5, 0), seed=0)
    taps = features(7, 1)
    out = run(Graph(export_head(head)), head, values, taps)
    wanted = [reference_score(head, values, {s: a[i : i + 1] for s, a in taps.items()}) for i in range(7)]
    assert out["score"].tolist() == pytest.approx(wanted, rel=1e-4)


def test_the_batch_does_not_matter() -> None:
    """Frames score alone as they score together, in batches of 1, 2 and 7."""
    head = shape()
    values, graph, taps = fit_head(head, features(4, 0), 0), Graph(export_head(head)), features(7, 2)
    together = run(graph, head, values, taps)["score"]
    for size in (1, 2):
        some = run(graph, head, values, {s: a[:size] for s, a in taps.items()})["score"]
        assert some.tolist() == pytest.approx(together[:size].tolist(), rel=1e-5)


def test_a_remembered_frame_scores_nothing_and_a_strange_one_much() -> None:
    """With room for every patch, a good frame of the memory is at distance 0; a strange corner raises score and map."""
    head = shape(memory=10_000)
    goods = features(3, 0)
    values, graph = fit_head(head, goods, 0), Graph(export_head(head))
    known = run(graph, head, values, {s: a[:1] for s, a in goods.items()})
    strange = run(graph, head, values, features(1, 5, shift=8.0))
    assert known["score"][0] < 0.02
    assert strange["score"][0] > 1.0
    top, left = np.unravel_index(strange["anomaly_map"][0].argmax(), strange["anomaly_map"][0].shape)
    assert top < 8
    assert left < 8


def test_the_map_is_in_the_unit_of_the_score() -> None:
    """The score is the mean of the largest patch distances, so the map, which is smoothed a little, peaks near it."""
    head = shape()
    out = run(Graph(export_head(head)), head, fit_head(head, features(4, 0), 0), features(3, 3))
    peaks = out["anomaly_map"].reshape(3, -1).max(axis=1)
    assert peaks.tolist() == pytest.approx(out["score"].tolist(), rel=0.15)


def test_taps_count_alike_whatever_their_unit() -> None:
    """A tap whose activations are a hundred times larger gives the same embedding."""
    head, one = shape(), features(4, 0)
    louder = {s: a * (100.0 if s == 16 else 1.0) for s, a in one.items()}
    first = embed_patches(head, one, fit_head(head, one, 0).projections)
    second = embed_patches(head, louder, fit_head(head, louder, 0).projections)
    assert np.abs(first - second).max() < 1e-3


def test_the_random_projection_keeps_distances() -> None:
    """On average over pairs, squared distances are those of the unprojected embedding (Johnson-Lindenstrauss)."""
    taps = features(6, 0)
    full, small = shape(None), shape(16)
    x = embed_patches(full, taps, fit_head(full, taps, 0).projections)
    y = embed_patches(small, taps, fit_head(small, taps, 0).projections)
    pairs = np.random.default_rng(0).integers(0, len(x), (2, 2000))
    ratio = ((y[pairs[0]] - y[pairs[1]]) ** 2).sum(1).mean() / ((x[pairs[0]] - x[pairs[1]]) ** 2).sum(1).mean()
    assert 0.85 < ratio < 1.15
