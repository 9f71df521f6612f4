"""The numbers of an evaluation, from parts, rows and maps; nothing here reads a file."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lineside.batch.classes import ToldClasses, told_classes
from lineside.batch.labels import LabelSummary, Rate, rate, summarise_labels
from lineside.batch.parts import CALLS
from lineside.batch.row import UNREADABLE, Row
from lineside.batch.summary import COUNTED, Percentiles, Summary, percentiles
from lineside.bench.evaluation.images import LabelledImage
from lineside.bench.evaluation.parts import Part
from lineside.bench.evaluation.plant import Costs, Plant, in_the_plant
from lineside.bench.evaluation.promise import Promise, promise_of, wished_costs
from lineside.calibrate.auroc_interval import Area, auroc_area
from lineside.calibrate.localisation import Localisation
from lineside.calibrate.metrics import average_precision
from lineside.calibrate.probability import Calibration, class_calibration
from lineside.contract import Contract, Verdict


@dataclass(frozen=True)
class Timing:
    """Time in the graph; reading the files is left out."""

    image_ms: Percentiles
    part_ms: Percentiles
    """All frames of a part together."""
    workers: int
    """Images judged at the same time; above 1 they slow one another down."""
    takt_ms: float | None
    """Time per part on the line; None where it was not given."""
    images: int
    """Images that were timed. Of fewer than `ENOUGH_FOR_P99` (batch.summary) a p99 is little but the slowest."""

    @property
    def takt_share(self) -> float | None:
        """Share of the takt that the 99th percentile of the parts takes."""
        return self.part_ms.p99 / self.takt_ms if self.takt_ms else None


@dataclass(frozen=True)
class Numbers:
    """What a model is worth on these images. Rates and areas count parts, none that got no call."""

    images: int
    parts: int
    frames_per_part: int
    """The most that one part has."""
    counts: Mapping[str, int]
    """Parts by verdict, and ``unreadable``."""
    labels: LabelSummary
    auroc: Area | None
    average_precision: float | None
    defect_share: float | None
    """Of the parts with a call: what an average precision of pure chance would be."""
    class_areas: Mapping[str, Area]
    """Each defect class against the good parts."""
    localisation: Localisation
    masks: int
    """Images with a call whose defect is marked by a mask."""
    boxed: int
    """Images with a call whose defect is marked by boxes alone."""
    no_call: Rate
    """Parts without a call, of all that could be read."""
    good_passed: Rate
    """First-pass yield of the good parts: those called OK, of all that could be read."""
    in_review: Rate
    """Good parts called REVIEW, of the good parts that got a call."""
    promise: Promise
    plant: Plant | None
    classes: ToldClasses | None
    """What parts were called: the class of the worst frame."""
    calibration: Calibration | None
    """Of the classes' probabilities, each part by its worst frame; None where no part of a known class was named."""
    timing: Timing | None


@dataclass(frozen=True)
class Conditions:
    """What the user says of his plant, and how the run was made."""

    defect_rate_ppm: float | None = None
    costs: Costs | None = None
    takt_ms: float | None = None
    workers: int = 1


def summed_up(
    parts: Sequence[Part],
    rows: Sequence[Row],
    images: Mapping[str, LabelledImage],
    contract: Contract,
    summary: Summary,
    where: Localisation,
    conditions: Conditions,
) -> Numbers:
    """Sum up an evaluation.

    Parameters
    ----------
    parts : sequence of Part
    rows : sequence of Row
        Of the same images, one by one.
    images : mapping of str to LabelledImage
        By path.
    contract : Contract
        Of the model.
    summary : Summary
        Of the same rows, one by one.
    where : Localisation
        Of the images with a call that are good or marked.
    conditions : Conditions
    """
    counts, scores = _by_label(parts)
    labels = summarise_labels(counts, scores, contract.is_good)
    good = _together(scores, (name for name in scores if contract.is_good(name)))
    defective = _together(scores, (name for name in scores if not contract.is_good(name)))
    by_kind = {kind: _verdicts(counts, contract, good=kind) for kind in (True, False)}
    readable = sum(part.verdict != UNREADABLE for part in parts)
    readable_good = sum(by_kind[True].values()) - by_kind[True][UNREADABLE]
    called = len(good) + len(defective)
    in_review = rate(by_kind[True][Verdict.REVIEW.name], labels.overkill.n)
    wished = wished_costs(contract.threshold_ng.wish)
    at_wish = in_the_plant(by_kind[True], by_kind[False], *wished) if wished else None
    return Numbers(
        images=len(rows),
        parts=len(parts),
        frames_per_part=max(part.frames for part in parts),
        counts={name: by_kind[True][name] + by_kind[False][name] for name in COUNTED},
        labels=labels,
        auroc=auroc_area(good, defective),
        average_precision=average_precision(good, defective),
        defect_share=len(defective) / called if called else None,
        class_areas=_class_areas(labels, good, scores),
        localisation=where,
        masks=sum(row.verdict in CALLS and images[row.path].mask is not None for row in rows),
        boxed=sum(row.verdict in CALLS and bool(images[row.path].boxes) for row in rows),
        no_call=rate(by_kind[True][Verdict.NO_CALL.name] + by_kind[False][Verdict.NO_CALL.name], readable),
        good_passed=rate(by_kind[True][Verdict.OK.name], readable_good),
        in_review=in_review,
        promise=promise_of(contract, labels, in_review, at_wish),
        plant=in_the_plant(by_kind[True], by_kind[False], conditions.defect_rate_ppm, conditions.costs)
        if conditions.defect_rate_ppm is not None
        else None,
        classes=_told(parts, contract),
        calibration=_calibration(parts, contract),
        timing=_timing(parts, summary, conditions),
    )


def _by_label(parts: Iterable[Part]) -> tuple[Mapping[str, Counter[str]], Mapping[str, Sequence[float]]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    scores: dict[str, array[float]] = defaultdict(lambda: array("d"))
    for part in parts:
        counts[part.label][part.verdict] += 1
        if part.called and part.score is not None:
            scores[part.label].append(part.score)
    return counts, scores


def _told(parts: Iterable[Part], contract: Contract) -> ToldClasses | None:
    """Count what parts were called: the class of the worst frame."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for part in parts:
        if part.called:
            told[part.label][part.worst.defect_class or part.verdict] += 1
    return told_classes(told, contract.class_names, labels=True, unit="part")


def _together(scores: Mapping[str, Sequence[float]], names: Iterable[str]) -> list[float]:
    return [score for name in names for score in scores[name]]


def _verdicts(counts: Mapping[str, Counter[str]], contract: Contract, *, good: bool) -> Counter[str]:
    total: Counter[str] = Counter()
    for label, counted in counts.items():
        if contract.is_good(label) == good:
            total.update(counted)
    return total


def _class_areas(labels: LabelSummary, good: Sequence[float], scores: Mapping[str, Sequence[float]]) -> dict[str, Area]:
    areas = {one.name: auroc_area(good, scores.get(one.name, ())) for one in labels.classes if not one.is_good}
    return {name: area for name, area in areas.items() if area is not None}


def _calibration(parts: Iterable[Part], contract: Contract) -> Calibration | None:
    """Of the parts of known classes that were named, ``unknown`` included: the probabilities of the worst frame."""
    names = contract.class_names
    probabilities, truth = [], []
    for part in parts:
        told = part.worst.opc.get("resultContent", {}).get("class_prob", {})
        if part.label in names and part.called and part.worst.defect_class is not None and told:
            probabilities.append([float(told[name]) for name in names])
            truth.append(names.index(part.label))
    return class_calibration(np.array(probabilities, np.float64).reshape(-1, len(names)), truth) if names else None


def _timing(parts: Sequence[Part], summary: Summary, conditions: Conditions) -> Timing | None:
    of_parts = [part.duration_ms for part in parts if part.duration_ms is not None]
    if not of_parts or summary.duration_ms is None:
        return None
    timed = summary.total - summary.counts[UNREADABLE]
    return Timing(summary.duration_ms, percentiles(of_parts), conditions.workers, conditions.takt_ms, timed)
