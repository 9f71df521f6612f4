"""Putting a class head behind a fitted anomaly head: examples in, one more part of the graph out.

It is fitted once, behind the deployed head: front and anomaly head were fitted on good images alone, so no defective
image has a say in what its own embedding is made of, and cross-validation over the defects is honest without fitting
them again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.capture.decode import read_image
from lineside.dataset import Sample
from lineside.export.decision import CLASS_CALLED, CLASS_PROBABILITY
from lineside.export.parity import ClassAnswer
from lineside.graph.join import fix_input, join, rename_output, select_outputs
from lineside.graph.run import Graph, parallel
from lineside.recipe_classes import Classes
from lineside.train.images import FrameReader
from lineside.train.method import FittedClasses, FittedHead
from lineside.train.progress import Journal
from lineside.transfer.class_weight import export_class_weight, mask_cells, weight_reference
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import ClassFit, fit_classes
from lineside.transfer.classes.head import UNKNOWN, ClassValues, classify_reference, export_class_head
from lineside.transfer.classes.pooling import CLASS_EMBEDDING, CLASS_WEIGHT, PoolShape, export_pool, pool_reference
from lineside.transfer.head import PATCH_DISTANCE, REGION

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

MOST_GOODS = 200
"""Good frames that embeddings are normalised by; more of them move mean and deviation by less than a tenth."""
EDGE_REL = 1e-3
"""A strangeness this near to one of the calibration's is on an edge: rounding decides the p-value."""
LEAST_COVER = 0.05
"""Share of a patch that a mask must cover for the patch to count."""


@dataclass(frozen=True)
class ClassSettings:
    """What the recipe and the images say of classes."""

    names: tuple[str, ...]
    """Columns, in the contract's order."""
    recipe: Classes
    seed: int


@dataclass(frozen=True)
class _Eye:
    """Sees frames as the class head will.

    Attributes
    ----------
    graph : Graph
        Frame -> taps, region, patch distance, weights, embedding, and what the gate says.
    pool : Graph
        Taps and weights -> embedding.
    shape : PoolShape
    parts : tuple of (name, onnx.ModelProto)
        Weights and pooling, to stand behind the head.
    """

    graph: Graph
    pool: Graph
    shape: PoolShape
    parts: "tuple[tuple[str, onnx.ModelProto], ...]"


def with_classes(
    head: FittedHead,
    settings: ClassSettings,
    examples: Sequence[Sample],
    goods: Sequence[Sample],
    reader: FrameReader,
    journal: Journal,
) -> FittedHead:
    """Fit a class head on examples of every class, and put it behind an anomaly head.

    Parameters
    ----------
    head : FittedHead
        The deployed one, of lineside's own method.
    settings : ClassSettings
    examples : sequence of Sample
        Defective training images.
    goods : sequence of Sample
        Good training images: what embeddings are normalised by.
    reader : FrameReader
    journal : Journal
    """
    goods = [goods[i] for i in np.unique(np.linspace(0, len(goods) - 1, MOST_GOODS).round().astype(int))]
    journal.stage("class head", len(goods) + len(examples))
    eye = _eye(head)
    seen = list(parallel(lambda sample: _seen(eye, head, sample, reader, journal), [*goods, *examples]))
    of_goods, of_examples = np.stack([s.embedding for s in seen[: len(goods)]]), seen[len(goods) :]
    fit = fit_classes(
        _examples(examples, of_examples, settings.names),
        of_goods,
        settings.recipe.method,
        settings.recipe.unknown,
        settings.seed,
    )
    for words in fit.words:
        journal.note(words)
    answer = _answer(eye, fit.values)
    classes = FittedClasses(settings.names, "both", fit, answer)
    parts = (*head.parts, *eye.parts, ("classes", class_part(fit)))
    return replace(head, parts=parts, constants={**head.constants, **fit.values.feed()}, classes=classes)


def class_part(fit: ClassFit) -> "onnx.ModelProto":
    """Export a fitted class head under the names that the decision takes."""
    model = export_class_head(fit.values)
    return rename_output(rename_output(model, "class_prob", CLASS_PROBABILITY), "class_index", CLASS_CALLED)


def class_answer(values: ClassValues, embedding: npt.NDArray[np.generic]) -> ClassAnswer:
    """Classify one embedding [1, D] in plain NumPy, and say where the answer lies on an edge."""
    said = classify_reference(values, embedding)
    called, near = int(said.prob[0].argmax()), said.strangeness[0] * np.array([1.0 - EDGE_REL, 1.0 + EDGE_REL])
    beyond = (values.calibration >= near[:, None]).sum(axis=1)
    unknown = beyond + 1.0 < values.least
    return ClassAnswer(said.prob[0], frozenset(UNKNOWN if strange else called for strange in unknown.tolist()))


def _eye(head: FittedHead) -> _Eye:
    taps = head.front.trunk.taps
    model = head.front.trunk.joined({})
    for name, part in head.parts:
        model = join(model, part, f"{name}/")
    taken = {item.name for item in model.graph.input}
    for name, value in head.constants.items():
        if name in taken:
            fix_input(model, name, value)
    known = head.front.outputs
    grid_hw = (known[REGION].shape[2], known[REGION].shape[3])
    grids = tuple((known[tap].shape[2], known[tap].shape[3]) for tap in taps)
    shape = PoolShape(tuple(known[tap].shape[1] for tap in taps), grids, grid_hw)
    parts = (("class_weight", export_class_weight(grid_hw)), ("class_pool", export_pool(shape)))
    for name, part in parts:
        model = join(model, part, f"{name}/")
    wanted = (*taps, REGION, PATCH_DISTANCE, CLASS_WEIGHT, CLASS_EMBEDDING, "transform")
    return _Eye(Graph(select_outputs(model, wanted)), Graph(parts[1][1]), shape, parts)


@dataclass(frozen=True, eq=False)
class _Seen:
    """One training image: embedding [D] under the map's weights, and [D] under the map within its mask."""

    embedding: Floats
    masked: Floats | None


def _seen(eye: _Eye, head: FittedHead, sample: Sample, reader: FrameReader, journal: Journal) -> _Seen:
    out = eye.graph({"frame": reader.read(sample)[None]})
    embedding = out[CLASS_EMBEDDING][0].astype(np.float32, copy=False)
    masked = None
    if sample.mask is not None:
        mask = read_image(sample.mask, channels=1, bit_depth=8)[:, :, 0]
        working_wh = head.front.decision.settings.working_wh
        cells = mask_cells(mask, out["transform"][0].astype(np.float32), working_wh, eye.shape.grid_hw)
        weight = _within(out[CLASS_WEIGHT][0, 0].astype(np.float32), cells, out[REGION][0, 0].astype(np.float32))
        if weight is not None:
            fed = {name: out[name] for name in head.front.trunk.taps}
            masked = eye.pool({**fed, CLASS_WEIGHT: weight[None, None]})[CLASS_EMBEDDING][0].astype(np.float32)
    journal.step()
    return _Seen(embedding, masked)


def _within(weight: Floats, cells: Floats, region: Floats) -> Floats | None:
    """Return the map's weights within a mask; the mask itself where the map points elsewhere, None outside the region.

    The map's own weights come first because they are what the deployed graph will have.
    """
    inside = np.where((cells >= LEAST_COVER) & (region >= 0.5), 1.0, 0.0).astype(np.float32)
    if not inside.any():
        return None
    both = weight * inside
    return np.asarray(both if both.any() else inside, np.float32)


def _examples(samples: Sequence[Sample], seen: Sequence[_Seen], names: tuple[str, ...]) -> Examples:
    """Gather rows: each image as the deployed graph sees it, and as a copy what its mask says."""
    groups = {group: number for number, group in enumerate(sorted({s.group for s in samples}))}
    rows: list[tuple[Floats, int, int, bool]] = []
    for sample, one in zip(samples, seen, strict=True):
        label, group = names.index(sample.label), groups[sample.group]
        rows.append((one.embedding, label, group, True))
        if one.masked is not None:
            rows.append((one.masked, label, group, False))
    embeddings, labels, numbers, original = zip(*rows, strict=True)
    return Examples(
        np.stack(embeddings), np.array(labels, np.int64), np.array(numbers, np.int64), np.array(original, np.bool_)
    )


def _answer(eye: _Eye, values: ClassValues) -> Callable[[Pixels], ClassAnswer]:
    def answer(frame: Pixels) -> ClassAnswer:
        out = eye.graph({"frame": frame[None]})
        weight = weight_reference(out[PATCH_DISTANCE][0], out[REGION][0, 0])
        taps: Mapping[int, npt.NDArray[np.generic]] = {i: out[f"tap{i}"] for i in range(len(eye.shape.channels))}
        return class_answer(values, pool_reference(eye.shape, taps, weight[None, None]))

    return answer
