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

Pixels = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Kind = Literal["calibration", "disturbed", "train", "test"]
TOLERANCE_REL = 1e-3
CLASS_OUTPUTS = ("defect_class", "class_prob", "class_p_value")
CLASS_TOLERANCE = 2e-3
"""Of a class's probability. Where the reference itself is this near to another answer, that one passes too."""
P_VALUE_TOLERANCE = 1e-5
"""Of a class's p-value, a fraction of two counts: rounding alone."""


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
    p_value: tuple[float, float] = (0.0, 1.0)
    """Least and largest p-value, which differ where it lies on an edge; any, where nothing is known of it."""


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
            _compare_p_value(case, float(out["class_p_value"][0]), answer)
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


def _compare_p_value(case: ParityCase, found: float, answer: ClassAnswer) -> None:
    least, most = answer.p_value
    if not least - P_VALUE_TOLERANCE <= found <= most + P_VALUE_TOLERANCE:
        raise ParityError(
            f"{case.name} ({case.kind}): the assembled graph's class p-value is {found:.4g}, the reference's "
            f"{least:.4g} to {most:.4g}. Nothing was exported. This is a fault of lineside or of the installed ONNX "
            "Runtime: please report it with their versions."
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
