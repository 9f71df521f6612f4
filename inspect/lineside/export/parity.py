"""Proof that the deployed graph is the evaluated graph, frame by frame, before it is written.

The assembled graph runs on every frame that was calibrated on, on disturbed copies of them with synthetic defects, and
on every other image of the recipe. Its score must equal that of a slow, independent reference of the head on the same
ONNX Runtime features, and its verdict that of the reference; where the deployed head itself gave the calibration's
scores (hold-out), those as well. One verdict that differs refuses the export: a graph that is nearly right is not.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.contract import INPUT_FRAME, NO_DEFECT_CLASS, UNKNOWN_DEFECT_CLASS, Verdict
from lineside.contract_thresholds import Threshold
from lineside.errors import ParityError
from lineside.graph.run import Graph, parallel
from lineside.transfer.distance import Way
from lineside.transfer.head import Features, HeadShape, HeadValues
from lineside.transfer.leading import Leading
from lineside.transfer.place import Place
from lineside.transfer.pooling import plain_pooling, pool_sizes

Pixels = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Kind = Literal["calibration", "disturbed", "train", "test"]
TOLERANCE_REL = 1e-3
CLASS_OUTPUTS = ("defect_class", "class_prob")
CLASS_TOLERANCE = 2e-3
"""Of a class's probability. Where the reference itself is this near to another answer, that one passes too."""


@dataclass(frozen=True)
class ParityCase:
    """One frame to prove; `load` gives its pixels [H, W, C] when they are needed."""

    name: str
    kind: Kind
    label: str
    load: Callable[[], Pixels]
    recorded: float | None = None
    """Score that calibration recorded for the deployed head; None where another head gave it, or none."""


@dataclass(frozen=True, eq=False)
class ClassAnswer:
    """What a slow reference says of a frame's class."""

    prob: Doubles
    """[k]"""
    called: frozenset[int]
    """The class, or -2; several where the answer lies on an edge."""


@dataclass(frozen=True)
class ClassProof:
    """How the graph's classes are checked.

    Attributes
    ----------
    answer : callable
        Frame [H, W, C] -> class by another way than the graph's.
    defects : int
        Columns that a part which is not OK can be called: the first so many.
    names_ok : bool
        Whether parts that are OK are called a class too.
    """

    answer: Callable[[Pixels], ClassAnswer]
    defects: int
    names_ok: bool


@dataclass(frozen=True)
class Tolerance:
    """How far classes are tolerated: the score of a part that is called so is divided by its factor.

    Attributes
    ----------
    factors : tuple of float
        By column of the classes.
    found : callable
        Quality numbers [q] of a frame -> whether a finding makes it NG, which no class lowers.
    """

    factors: tuple[float, ...]
    found: Callable[[npt.NDArray[np.float32]], bool]

    def of(self, answer: ClassAnswer, quality: npt.NDArray[np.float32]) -> frozenset[float]:
        """Return the factors that a frame may be divided by; several where its class lies on an edge."""
        if self.found(quality):
            return frozenset({1.0})
        called = decide_class(answer, Verdict.NG, len(self.factors), names_ok=False)
        return frozenset(self.factors[number] if number >= 0 else 1.0 for number in called)


@dataclass(frozen=True)
class ParityRecord:
    """What the assembled graph said of one frame, and the reference beside it."""

    name: str
    kind: Kind
    label: str
    score: float
    verdict: str
    gate: int
    reference_score: float
    difference_rel: float
    defect_class: int = NO_DEFECT_CLASS


def prove_parity(
    graph: Graph,
    reference: Callable[[Pixels], float],
    threshold_ng: Threshold,
    threshold_review: Threshold,
    cases: Iterable[ParityCase],
    done: Callable[[], None],
    gate_of: Callable[[npt.NDArray[np.float32]], int] | None = None,
    classes: ClassProof | None = None,
    tolerance: Tolerance | None = None,
) -> tuple[ParityRecord, ...]:
    """Compare the assembled graph with the reference on every case.

    Parameters
    ----------
    graph : Graph
        The assembled graph, as it will be written.
    reference : callable
        Frame [H, W, C] -> score by another way than the graph's.
    threshold_ng, threshold_review : Threshold
        As recorded; the graph carries its own copies.
    cases : iterable of ParityCase
    done : callable
        Called after each case, for the progress bar.
    gate_of : callable, optional
        Quality numbers [q] of a frame -> the gate's bits, by another way than the graph's.
    classes : ClassProof, optional
        Where the graph tells classes.
    tolerance : Tolerance, optional
        Where some of them are tolerated; `reference` and recorded scores know nothing of it.

    Raises
    ------
    ParityError
        At the first score off by more than 1e-3 of itself (of the threshold, where that is larger), the first
        probability off by more than 0.002, or the first verdict, gate or class that differs.
    """

    def one(case: ParityCase) -> ParityRecord:
        frame = case.load()
        out = graph({INPUT_FRAME: frame[None]}, ("score", "verdict", "gate", "quality", *CLASS_OUTPUTS))
        score, gate = float(out["score"][0]), int(out["gate"][0])
        if gate_of is not None:
            _compare_gate(case, gate, gate_of(out["quality"][0].astype(np.float32)))
        verdict = Verdict(int(out["verdict"][0]))
        answer = classes.answer(frame) if classes else None
        factors = _factors(tolerance, answer, out["class_prob"][0], out["quality"][0])
        expected = _nearest(reference(frame), factors, score)
        recorded = None if case.recorded is None else _nearest(case.recorded, factors, score)
        for source, wanted in (("the reference", expected), ("calibration", recorded)):
            if wanted is not None:
                _compare(case, source, (score, verdict), wanted, gate, threshold_ng.value, threshold_review.value)
        told = int(out["defect_class"][0])
        if classes is not None and answer is not None:
            _compare_classes(case, out["class_prob"][0], told, verdict, answer, classes)
        done()
        difference = abs(score - expected) / _unit(expected, threshold_ng.value)
        return ParityRecord(case.name, case.kind, case.label, score, verdict.name, gate, expected, difference, told)

    return tuple(parallel(one, cases))


def _factors(
    tolerance: Tolerance | None,
    answer: ClassAnswer | None,
    prob: npt.NDArray[np.generic],
    quality: npt.NDArray[np.generic],
) -> frozenset[float]:
    """Return what a frame's score may be divided by; where classes have no slow twin, by the graph's own."""
    if tolerance is None:
        return frozenset({1.0})
    own = ClassAnswer(prob.astype(np.float64), frozenset({int(prob.argmax()), UNKNOWN_DEFECT_CLASS}))
    return tolerance.of(answer or own, quality.astype(np.float32))


def _nearest(score: float, factors: frozenset[float], found: float) -> float:
    """Divide a score by the factor that brings it nearest to what was found."""
    return min((score / factor for factor in factors), key=lambda wanted: abs(wanted - found))


def _compare_gate(case: ParityCase, gate: int, wanted: int) -> None:
    if gate != wanted:
        raise ParityError(
            f"{case.name} ({case.kind}): the assembled graph's gate is {gate}, by its own quality numbers and the "
            f"contract's limits it must be {wanted}. Nothing was exported. This is a fault of lineside or of the "
            "installed ONNX Runtime: please report it with their versions."
        )


def _compare_classes(
    case: ParityCase,
    prob: npt.NDArray[np.generic],
    told: int,
    verdict: Verdict,
    answer: ClassAnswer,
    proof: ClassProof,
) -> None:
    wanted = decide_class(answer, verdict, proof.defects, names_ok=proof.names_ok)
    worst = float(np.abs(prob.astype(np.float64) - answer.prob).max())
    if told in wanted and worst <= CLASS_TOLERANCE:
        return
    raise ParityError(
        f"{case.name} ({case.kind}): the assembled graph says class {told} under {verdict.name}, the reference "
        f"{' or '.join(map(str, sorted(wanted)))}; their probabilities differ by {worst:.2g}. Nothing was exported. "
        "This is a fault of lineside or of the installed ONNX Runtime: please report it with their versions."
    )


def decide_class(answer: ClassAnswer, verdict: Verdict, defects: int, *, names_ok: bool) -> frozenset[int]:
    """Return what `defect_class` may be: the contract's rule, in NumPy."""
    named = verdict in (Verdict.NG, Verdict.REVIEW) or (names_ok and verdict is Verdict.OK)
    if not named:
        return frozenset({NO_DEFECT_CLASS})
    prob = answer.prob[:defects]
    likeliest = {int(i) for i in np.flatnonzero(prob >= prob.max() - CLASS_TOLERANCE)}
    unknown = answer.called & {UNKNOWN_DEFECT_CLASS}
    return frozenset((likeliest if answer.called - unknown else set()) | unknown)


def _unit(score: float, threshold: float) -> float:
    """What a difference of scores is relative to: the score, or the threshold where the score is nearly nothing."""
    return max(abs(score), abs(threshold), 1e-9)


def _compare(
    case: ParityCase,
    source: str,
    found: tuple[float, Verdict],
    wanted_score: float,
    gate: int,
    threshold_ng: float,
    threshold_review: float,
) -> None:
    score, verdict = found
    wanted = decide(wanted_score, gate, threshold_ng, threshold_review)
    finite = bool(np.isfinite(score) and np.isfinite(wanted_score))
    if finite and verdict == wanted and abs(score - wanted_score) <= TOLERANCE_REL * _unit(wanted_score, threshold_ng):
        return
    raise ParityError(
        f"{case.name} ({case.kind}): the assembled graph says {verdict.name} with score {score:.6g}, {source} "
        f"{wanted.name} with {wanted_score:.6g} at a threshold of {threshold_ng:.6g}. Nothing was exported. Where all "
        "good images are one picture, give real ones; else this is a fault of lineside, of the method or of the "
        "installed ONNX Runtime: please report it with their versions."
    )


def decide(score: float, gate: int, threshold_ng: float, threshold_review: float) -> Verdict:
    """Return the verdict that the contract demands."""
    if gate:
        return Verdict.NO_CALL
    if score > threshold_ng:
        return Verdict.NG
    return Verdict.REVIEW if score > threshold_review else Verdict.OK


def reference_score(
    shape: HeadShape, values: HeadValues, features: Features, region: npt.NDArray[np.float32] | None = None
) -> float:
    """Score one frame in plain NumPy and double precision, step by step as the head is defined.

    Parameters
    ----------
    shape : HeadShape
    values : HeadValues
    features : mapping of tap number to ndarray [1, channels, h, w]
    region : ndarray of float32 [1, 1, gh, gw] or None
        Patches below a half do not count; None: all count.
    """
    averaged = _embedded(shape, values, features, averaged=True)
    distances = _distances(shape.way, values, _thinned(averaged, shape))
    if shape.step > 1:
        distances = _filled(distances, shape)
    if shape.sharp != "off":
        distances = np.sqrt(distances * _sharp_distances(values, _embedded(shape, values, features, averaged=False)))
    pooling = values.pooling or plain_pooling(len(distances), shape.regions)
    distances = distances * pooling.weight
    if region is not None:
        distances = np.where(region.ravel() < 0.5, 0.0, distances)
    distances = _opened(distances.reshape(shape.grid_hw), shape.least_patches).ravel()
    parts = [distances[list(one.patches)] for one in shape.regions] or [distances]
    means = np.concatenate([_largest_means(part) for part in parts])
    return float(np.max(means**pooling.power * pooling.factor))


def _thinned(patches: Doubles, shape: HeadShape) -> Doubles:
    """Return every second patch [P, d], down and across, where no more are compared."""
    grid = patches.reshape(*shape.grid_hw, -1)
    return grid[:: shape.step, :: shape.step].reshape(-1, patches.shape[1])


def _filled(distances: Doubles, shape: HeadShape) -> Doubles:
    """Interpolate the distances of all patches [P] from those of every second one, first down, then across."""
    height, width = (np.arange(0, side, shape.step) for side in shape.grid_hw)
    given = distances.reshape(len(height), len(width))
    down = np.stack([np.interp(np.arange(shape.grid_hw[0]), height, column) for column in given.T], axis=1)
    return np.concatenate([np.interp(np.arange(shape.grid_hw[1]), width, row) for row in down])


def _largest_means(distances: Doubles) -> Doubles:
    """Means [K] of the largest of some patches' distances."""
    largest = np.sort(distances)[::-1]
    return np.array([largest[:size].mean() for size in pool_sizes(len(distances))], np.float64)


def _opened(distances: Doubles, least: int) -> Doubles:
    """Lower each patch [h, w] to the highest level that `least` patches of a window around it reach."""
    if least < 2:
        return distances
    (height, width), lowered = distances.shape, np.zeros_like(distances)
    for top in range(1 - least, height):
        for left in range(1 - least, width):
            window = np.s_[max(0, top) : top + least, max(0, left) : left + least]
            inside = np.sort(distances[window], axis=None)[::-1]
            level = inside[least - 1] if len(inside) >= least else 0.0
            lowered[window] = np.maximum(lowered[window], np.minimum(distances[window], level))
    return lowered


def _embedded(shape: HeadShape, values: HeadValues, features: Features, *, averaged: bool) -> Doubles:
    """Embeddings [P, d] of a frame's patches, averaged over their neighbours or as they are."""
    total: Doubles = np.zeros((shape.dimensions, *shape.grid_hw))
    for number, (projection, offset) in enumerate(zip(values.projections, values.offsets, strict=True)):
        tap = features[number][0].astype(np.float64)
        projected = np.einsum("dc,chw->dhw", projection[:, :, 0, 0], tap) + offset[:, None, None]
        total += _enlarge(_mean_3x3(projected) if averaged else projected, shape.grid_hw)
    return np.asarray(total.reshape(shape.dimensions, -1).T, np.float64)


def _sharp_distances(values: HeadValues, patches: Doubles) -> Doubles:
    """Distance [P] of patches as they are [P, d]."""
    if values.sharp_place is None:
        assert values.sharp_memory is not None
        if values.sharp_leading is None:
            return _from_memory(patches, values.sharp_memory)[0]
        return _from_leading(patches, values.sharp_memory, values.sharp_leading)
    place = values.sharp_place
    away = patches @ place.basis.astype(np.float64) - place.mean  # [P, r]
    factors = place.whitening.astype(np.float64)
    metrics = factors @ factors.transpose(0, 2, 1)  # [P, r, r]
    return np.asarray(np.sqrt(np.einsum("pi,pij,pj->p", away, metrics, away).clip(min=0.0)), np.float64)


def _distances(way: Way, values: HeadValues, patches: Doubles) -> Doubles:
    """Distance [P] of patches [P, d], by the definition of each way."""
    if values.place is not None:
        return _from_place(patches, values.place)
    near = left = np.zeros(len(patches))
    if values.memory is not None:
        near, index = _from_memory(patches, values.memory)
        if values.density is not None:
            near = near * values.density[index]
    if values.subspace is not None:
        away = patches - values.subspace.mean
        left = np.sqrt(np.square(away @ values.subspace.residual.astype(np.float64)).sum(axis=1))
    if values.ranks is None:
        return left if way == "subspace" else near
    bends = zip((near, left), values.ranks.knots, values.ranks.slopes, strict=True)
    rarities = [
        [float((np.clip(d - knots, 0.0, None) * slopes).sum()) for d in distances] for distances, knots, slopes in bends
    ]
    return np.asarray(np.mean(rarities, axis=0), np.float64)


def _from_memory(patches: Doubles, memory: npt.NDArray[np.float32]) -> tuple[Doubles, npt.NDArray[np.int64]]:
    """Distance [P] of patches [P, d] to the nearest entry of the memory [M, d], and which that is."""
    entries = memory.astype(np.float64)
    squared = (patches**2).sum(axis=1)[:, None] + (entries**2).sum(axis=1) - 2.0 * patches @ entries.T  # [P, M]
    return np.asarray(np.sqrt(squared.min(axis=1).clip(min=0.0)), np.float64), squared.argmin(axis=1)


def _from_leading(patches: Doubles, memory: npt.NDArray[np.float32], leading: Leading) -> Doubles:
    """Distance [P] of patches [P, d]: to the nearest entry [M, d] in some directions, to the centre in the others."""
    basis = leading.basis.astype(np.float64)  # [d, r]
    away, entries = patches - leading.centre, (memory - leading.centre.astype(np.float64)) @ basis
    inside = away @ basis
    outside = np.square(away - inside @ basis.T).sum(axis=1)
    squared = [float(np.square(entries - one).sum(axis=1).min()) for one in inside]
    return np.asarray(np.sqrt(np.array(squared) + outside), np.float64)


def _from_place(patches: Doubles, place: Place) -> Doubles:
    """Distance [P] of patches [P, d] to their places, as a quadratic form."""
    whitening = place.whitening.astype(np.float64)
    metric = whitening @ whitening.T  # [d, d]
    away = patches - place.mean
    return np.asarray(place.weight * np.sqrt(np.einsum("pi,ij,pj->p", away, metric, away).clip(min=0.0)), np.float64)


def _mean_3x3(planes: Doubles) -> Doubles:
    """Average over 3×3 neighbours, with zeros beyond the border."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
    height, width = planes.shape[1:]
    total = sum(padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3))
    return np.asarray(total / 9.0, np.float64)


def _enlarge(planes: Doubles, grid_hw: tuple[int, int]) -> Doubles:
    """Bilinear, pixel centres at half pixels, the border repeated: the Resize of the head, written out."""
    for axis, size in ((1, grid_hw[0]), (2, grid_hw[1])):
        old = planes.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, old - 1)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(3)])
        planes = np.take(planes, low, axis) * (1 - share) + np.take(planes, high, axis) * share
    return planes
