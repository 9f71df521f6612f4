"""The patch head: its graph against the plain reference, what its score does, and what the region takes out of it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from lineside.errors import BundleError, UsageError
from lineside.export.head_reference import reference_score
from lineside.graph.run import Graph
from lineside.train.line_head import head_values
from lineside.transfer.distance import Way
from lineside.transfer.head import (
    HeadShape,
    HeadValues,
    PatchHead,
    between,
    export_head,
    head_shape,
    patch_distances,
    tap_name,
)
from lineside.transfer.head_fit import Choice, fit_best, fit_head
from lineside.transfer.head_scores import scores
from lineside.transfer.rows import Rows, embed_patches
from lineside.transfer.sharp import Sharp

CHANNELS, GRIDS = (6, 10, 14), ((12, 16), (6, 8), (3, 4))


def features(n: int, seed: int, shift: float = 0.0) -> dict[int, np.ndarray]:
    """Return tap features of frames of 128×96 px."""
    rng = np.random.default_rng(seed)
    made = {}
    for tap, (channels, grid) in enumerate(zip(CHANNELS, GRIDS, strict=True)):
        made[tap] = rng.standard_normal((n, channels, *grid)).astype(np.float32)
        made[tap][:, :, :1, :1] += shift
    return made


def shape(projection: int | None = 12, memory: int = 64) -> HeadShape:
    """Return a small head's shape."""
    return head_shape(CHANNELS, GRIDS, (128, 96), projection, memory)


def part(n: int, seed: int, noise: float = 0.2) -> dict[int, np.ndarray]:
    """Return tap features of aligned frames: every place has its own, and little noise on it."""
    same = features(1, 99)
    return {s: same[s] + noise * a for s, a in features(n, seed).items()}


def run(
    graph: Graph,
    head: HeadShape,
    values: HeadValues,
    taps: Mapping[int, np.ndarray],
    region: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Run the head's graph, without a region on all patches."""
    if region is None:
        region = np.ones((len(taps[0]), 1, *head.grid_hw), np.float32)
    return graph({**{tap_name(s): taps[s] for s in range(len(CHANNELS))}, "region": region, **values.feed(head)})


def weights(head: HeadShape, taps: Mapping[int, np.ndarray]) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Return projections and offsets fitted on these features."""
    values = fit_head(head, rows(taps), 0)
    return values.projections, values.offsets


def rows(taps: Mapping[int, np.ndarray], regions: np.ndarray | None = None, copies: int = 1) -> Rows:
    """Return features as rows, every `copies` of them one frame."""
    return Rows(taps, regions, (np.arange(len(taps[0])) // copies).tolist())


def left_half(n: int) -> np.ndarray:
    """Return a region of the left 8 of 16 columns, for n frames."""
    region = np.zeros((n, 1, 12, 16), np.float32)
    region[..., :8] = 1.0
    return region


@pytest.mark.parametrize(
    ("projection", "way", "sharp"),
    [
        (12, "nearest", "off"), (None, "nearest", "memory"), (12, "nearest", "leading"),
        (500, "nearest", "place"), (12, "place", "off"),
        (None, "place", "place"), (12, "density", "off"), (12, "subspace", "off"), (12, "combined", "off"),
    ],
)  # fmt: skip
def test_the_graph_equals_the_reference(projection: int | None, way: Way, sharp: Sharp) -> None:
    """However patches are compared, in and out of a region, ONNX Runtime's scores are the plain NumPy head's."""
    head = replace(shape(projection), way=way, sharp=sharp)
    taps, regions = features(7, 1), np.random.default_rng(3).random((7, 1, 12, 16)).astype(np.float32)
    values = fit_head(head, rows(features(5, 0), regions[:5]), 0)
    out = run(Graph(export_head(head)), head, values, taps, regions)
    wanted = [
        reference_score(head, values, {s: a[i : i + 1] for s, a in taps.items()}, regions[i : i + 1]) for i in range(7)
    ]
    assert out["score"].tolist() == pytest.approx(wanted, rel=1e-4)


FEW = [(None, "nearest", "memory"), (None, "place", "place"), (12, "subspace", "off")]
"""Heads of the test above again, which are exported already: of places, of a memory, and of neither."""


@pytest.mark.parametrize(("projection", "way", "sharp"), FEW)
def test_what_lies_outside_the_region_changes_nothing(projection: int | None, way: Way, sharp: Sharp) -> None:
    """A strange patch beyond the region raises neither score nor map; there the map is 0."""
    head = replace(shape(projection), way=way, sharp=sharp)
    values = fit_head(head, rows(features(4, 0), left_half(4)), 0)
    graph, taps = Graph(export_head(head)), features(1, 5)
    before = run(graph, head, values, taps, left_half(1))
    spoiled = {s: a.copy() for s, a in taps.items()}
    spoiled[0][:, :, 5, 14] += 20.0
    after = run(graph, head, values, spoiled, left_half(1))
    assert after["score"][0] == before["score"][0] > 0.0
    assert np.array_equal(after["anomaly_map"], before["anomaly_map"])
    assert after["anomaly_map"][0, :, :16].min() > 0.0
    assert not after["anomaly_map"][0, :, 16:].any()


@pytest.mark.parametrize(("projection", "way", "sharp"), FEW)
def test_an_empty_region_scores_nothing(projection: int | None, way: Way, sharp: Sharp) -> None:
    """A frame of which nothing lies inside the region has score 0 and finite outputs."""
    head = replace(shape(projection), way=way, sharp=sharp)
    out = run(
        Graph(export_head(head)), head, fit_head(head, rows(features(4, 0)), 0), features(1, 1), 0.0 * left_half(1)
    )
    assert out["score"].tolist() == [0.0]
    assert not out["anomaly_map"].any()
    assert np.isfinite(out["embedding"]).all()


def test_between_the_averaged_patches_that_are_compared_distances_are_interpolated() -> None:
    """Every second one down and across is; behind the last of a side of even length its distance is repeated."""
    assert between(5, 2).tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    assert between(4, 2).tolist() == [[1, 0], [0.5, 0.5], [0, 1], [0, 1]]


def test_compared_patches_are_every_second_of_all() -> None:
    """With averages taken there alone a patch is what it is where all are taken."""
    head, taps = shape(), [torch.from_numpy(tap) for tap in features(2, 0).values()]
    module, (projections, offsets) = PatchHead(head), weights(head, features(3, 1))
    projected = module.project(taps, *([torch.from_numpy(a) for a in some] for some in (projections, offsets)))
    every = module.gather(projected, averaged=True).reshape(2, *head.grid_hw, -1)
    some = module.gather(projected, averaged=True, step=2).reshape(2, 6, 8, -1)
    assert torch.allclose(some, every[:, ::2, ::2], atol=1e-6)


def test_nothing_is_fitted_outside_the_region() -> None:
    """The memory holds patches of inside alone; without any, the message says what to do."""
    head, goods = shape(memory=10_000), features(2, 0, shift=50.0)
    values = fit_head(head, rows(goods, 1.0 - left_half(2)), 0)  # the strange corner is on the left
    assert values.memory is not None
    assert len(values.memory) == 2 * 12 * 8
    with pytest.raises(UsageError, match=r"normalise\.roi larger"):
        fit_head(head, rows(goods, 0.0 * left_half(2)), 0)


def test_a_patch_of_another_place_is_seen_only_where_places_count() -> None:
    """A frame that is shifted by four patches is nothing to a full memory but for its seams, and much to its places."""
    goods, normal = part(8, 0, noise=0.05)[0], part(1, 1, noise=0.05)[0]
    shifted = np.roll(normal, 4, axis=3)
    ratios = {}
    ways: tuple[Way, Way] = ("nearest", "place")
    for way in ways:
        head = replace(head_shape((6,), (GRIDS[0],), (128, 96), None, 10_000), way=way)
        feed, graph = fit_head(head, rows({0: goods}), 0).feed(head), Graph(export_head(head))
        ones = np.ones((1, 1, 12, 16), np.float32)
        typical = [np.median(graph({tap_name(0): x, "region": ones, **feed})["anomaly_map"]) for x in (normal, shifted)]
        ratios[way] = typical[1] / typical[0]
    assert ratios["place"] > 5.0
    assert ratios["nearest"] < 1.5


def test_position_is_used_where_it_is_allowed_and_tells() -> None:
    """Aligned parts are compared place by place; a texture is not, nor anything where no pose was found."""
    aligned = fit_best(shape(), rows(part(12, 0), copies=2), 0, Choice(position=True))
    texture = fit_best(shape(), rows(features(12, 0), copies=2), 0, Choice(position=True))
    unposed = fit_best(shape(), rows(part(12, 0), copies=2), 0, Choice())
    assert [f.shape.placed for f in (aligned, texture, unposed)] == [True, False, False]
    assert "its own place on the part" in aligned.words[0]
    assert "the whole memory" in texture.words[0]
    assert all("place on the part" not in words for words in unposed.words)
    assert np.array_equal(texture.values.feed(shape())["memory"], fit_head(shape(), rows(features(12, 0)), 0).memory)


def test_the_batch_does_not_matter() -> None:
    """Frames score alone as they score together, in batches of 1, 2 and 7."""
    head = shape()
    values, graph, taps = fit_head(head, rows(features(4, 0)), 0), Graph(export_head(head)), features(7, 2)
    together = run(graph, head, values, taps)["score"]
    for size in (1, 2):
        some = run(graph, head, values, {s: a[:size] for s, a in taps.items()})["score"]
        assert some.tolist() == pytest.approx(together[:size].tolist(), rel=1e-5)


def test_a_remembered_frame_scores_nothing_and_a_strange_one_much() -> None:
    """With room for every patch, a good frame of the memory is at distance 0; a strange corner raises score and map."""
    head = shape(memory=10_000)
    goods = features(3, 0)
    values, graph = fit_head(head, rows(goods), 0), Graph(export_head(head))
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
    out = run(Graph(export_head(head)), head, fit_head(head, rows(features(4, 0)), 0), features(3, 3))
    peaks = out["anomaly_map"].reshape(3, -1).max(axis=1)
    assert peaks.tolist() == pytest.approx(out["score"].tolist(), rel=0.15)


@pytest.mark.parametrize("averaged", [True, False])
def test_a_fit_embeds_patches_as_the_head_does(averaged: bool) -> None:
    """Patch after patch or channel after channel: one and the same linear map, offsets and borders included."""
    head, taps = shape(), features(3, 5)
    projections = weights(head, taps)[0]
    offsets = tuple(
        np.random.default_rng(i).standard_normal(head.dimensions).astype(np.float32) for i in range(len(taps))
    )
    module = PatchHead(head)
    tensors = [[torch.from_numpy(a) for a in some] for some in (taps.values(), projections, offsets)]
    wanted = module.gather(module.project(*tensors), averaged=averaged)
    found = embed_patches(head, taps, projections, offsets, averaged=averaged)
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_taps_count_alike_whatever_their_unit() -> None:
    """A tap whose activations are a hundred times larger gives the same embedding."""
    head, one = shape(), features(4, 0)
    louder = {s: a * (100.0 if s == 1 else 1.0) for s, a in one.items()}
    first = embed_patches(head, one, *weights(head, one))
    second = embed_patches(head, louder, *weights(head, louder))
    assert np.abs(first - second).max() < 1e-3


def test_the_random_projection_keeps_distances() -> None:
    """On average over pairs, squared distances are those of the unprojected embedding (Johnson-Lindenstrauss)."""
    taps = features(6, 0)
    full, small = shape(None), shape(16)
    x = embed_patches(full, taps, *weights(full, taps))
    y = embed_patches(small, taps, *weights(small, taps))
    pairs = np.random.default_rng(0).integers(0, len(x), (2, 2000))
    ratio = ((y[pairs[0]] - y[pairs[1]]) ** 2).sum(1).mean() / ((x[pairs[0]] - x[pairs[1]]) ** 2).sum(1).mean()
    assert 0.85 < ratio < 1.15


def lively(n: int, seed: int, defect: float = 0.0) -> dict[int, np.ndarray]:
    """Return features that differ much in channel 0 of each tap, little in the others; a defect shows in channel 1."""
    made = {i: 0.05 * a for i, a in features(n, seed).items()}
    for tap in made.values():
        tap[:, 0] *= 100.0
        tap[:, 1, 2:4, 2:4] += defect
    return made


def test_whitening_is_chosen_where_it_tells_defects_apart() -> None:
    """A faint defect beside a lively direction is seen once that counts little; where nothing is gained it stays."""
    choice = Choice(whiten="auto")
    lost = fit_best(shape(None), rows(lively(12, 0)), 0, choice, spoiled=lambda: rows(lively(12, 1, 0.5)))
    plain = fit_best(shape(None), rows(features(12, 0)), 0, choice, spoiled=lambda: rows(features(12, 1, shift=8.0)))
    assert (lost.whitened, plain.whitened) == (True, False)
    assert lost.unit != plain.unit
    assert any(words.startswith("The embedding is whitened") for words in lost.words)


def test_whitening_evens_out_what_varies_much() -> None:
    """Whitening brings the lively directions down to the others, as far as the ridge lets it."""
    fit = fit_best(shape(None), rows(lively(12, 0)), 0, Choice(whiten="on"))
    patches = embed_patches(fit.shape, lively(12, 0), fit.values.projections, fit.values.offsets)
    variances = np.linalg.eigvalsh(np.cov(patches.T))
    plain = fit_best(shape(None), rows(lively(12, 0)), 0, Choice())
    before = np.linalg.eigvalsh(
        np.cov(embed_patches(shape(None), lively(12, 0), *weights(shape(None), lively(12, 0))).T)
    )
    assert not plain.whitened
    assert variances[-1] / np.median(variances) < 0.03 * before[-1] / np.median(before)


def test_a_graph_of_another_version_is_refused() -> None:
    """What its head lacks is named; nothing is made up in its place."""
    kept = fit_best(shape(), rows(features(6, 1)), 0, Choice())
    numbers = kept.values.feed(kept.shape)
    assert np.array_equal(head_values(numbers, kept.shape).memory, kept.values.memory)
    del numbers["memory"]
    with pytest.raises(BundleError, match="no numbers named 'memory': another version of lineside made it"):
        head_values(numbers, kept.shape)


def test_mirror_images_are_remembered() -> None:
    """A frame given as a mirror image is nothing new to the memory, and strange to one that was not given it."""
    goods, mirrored = part(6, 0, noise=0.02), features(6, 7)
    head, one = shape(memory=10_000), rows({i: a[:1] for i, a in mirrored.items()})
    fits = [fit_best(head, rows(goods), 0, Choice(), mirrored=m) for m in (None, rows(mirrored))]
    told = [scores(fit.shape, fit.values, one)[0] for fit in fits]
    assert told[0] > 0.5
    assert told[1] < 1e-3


def test_rarity_counts_decades_of_good_distances() -> None:
    """Combined, a typical held-out good patch is at about 0.3 decades, and one beyond all of them at 3.5."""
    goods = features(40, 0)
    head = replace(shape(), way="combined")
    fit = fit_best(head, rows(goods), 0, Choice(way="combined"))
    fresh = embed_patches(head, features(8, 1), fit.values.projections, fit.values.offsets).reshape(8, -1, 12)
    distances = patch_distances(head, fit.values, fresh)
    assert 0.2 < np.median(distances) < 0.5
    strange = patch_distances(head, fit.values, 3.0 * fresh)
    assert strange.max() > 3.5
