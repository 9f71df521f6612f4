"""The deployed head and its threshold, from scores of good frames that the scoring head has not seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lineside.calibrate.crossfit import Fold, class_folds, class_holdout, grouped_folds, holdout
from lineside.calibrate.threshold import no_threshold, overkill_threshold
from lineside.contract import Threshold
from lineside.errors import LinesideError, UsageError
from lineside.recipe import LoadedRecipe
from lineside.train.class_statement import Told
from lineside.train.images import References
from lineside.train.method import FittedHead, Judged, Method, Reference
from lineside.train.progress import Journal
from lineside.train.tail import finding_floor


@dataclass(frozen=True)
class Calibration:
    """The deployed head, and what its threshold was taken from.

    Attributes
    ----------
    head : FittedHead
    scores : mapping of position to float
        Honest scores of good frames that got a call.
    own : mapping of position to float
        Those of them that the deployed head itself gave, findings left out; none where folds gave them.
    threshold : Threshold
    map_peaks : tuple of float
        Highest map values of the frames of `scores`, in their order.
    told : tuple of Told
        Where the score comes from classes: what models called the images that they had not seen.
    honest : mapping of position to float
        What the threshold was taken from: `scores`, infinite where a finding makes the frame NG.
    """

    head: FittedHead
    scores: Mapping[int, float]
    own: Mapping[int, float]
    threshold: Threshold
    map_peaks: tuple[float, ...] = ()
    told: tuple[Told, ...] = ()
    honest: Mapping[int, float] = field(default_factory=dict)


def calibrated(loaded: LoadedRecipe, method: Method, references: References, journal: Journal) -> Calibration:
    """Fit the deployed head, and find its threshold from honest scores."""
    calibrate, seed = loaded.recipe.calibrate, loaded.recipe.seed
    groups = [sample.group for sample in references.samples]
    if len(set(groups)) == 1:
        return _uncalibrated(method, len(groups), calibrate.overkill, journal)
    held_out = calibrate.crossfit == "holdout" or (calibrate.crossfit == "auto" and method.prefers_holdout)
    labels = [sample.label for sample in references.samples]

    def split(positions: Sequence[int]) -> Sequence[Fold]:
        parts, named = [groups[i] for i in positions], [labels[i] for i in positions]
        if references.sorts:
            return (class_holdout(parts, named, seed),) if held_out else class_folds(parts, named, calibrate.folds)
        return (holdout(parts, seed),) if held_out else grouped_folds(parts, calibrate.folds)

    folds = _folds(len(groups), method.seen, split)
    words = "held-out parts" if held_out else f"cross-fitted in {len(folds)} folds by part"
    if method.seen:
        words += f"; the {len(method.seen)} good frames that the backbone was adapted on have no say"
    head, judged, decided = _agreed(method, folds, len(groups), held_out, journal)
    _note_front(head, decided, journal)
    told = _told(judged, references, head)
    called = _called({i: judged[i] for i in references.good_positions if i in judged}, references, journal)
    positions = sorted(called)
    honest = {i: np.inf if called[i].found else called[i].patch_score for i in positions}
    threshold = overkill_threshold(
        np.array(list(honest.values()), np.float32),
        [groups[i] for i in positions],
        calibrate.overkill,
        crossfit=words,
        held_out=held_out,
    )
    floor = finding_floor(threshold)
    scores = {i: Reference(called[i].patch_score, called[i].found).score(floor) for i in positions}
    journal.note(f"Threshold {threshold.value:.4g}: {threshold.rule}. {threshold.statement}")
    own = {i: score for i, score in scores.items() if held_out and not judged[i].found}
    peaks = tuple(called[i].map_peak for i in positions)
    return Calibration(head, scores, own, threshold, map_peaks=peaks, told=told, honest=honest)


def _told(judged: Mapping[int, Judged], references: References, head: FittedHead) -> tuple[Told, ...]:
    names, samples = head.classes.names if head.classes else (), references.samples
    return tuple(Told(samples[i].label, names[one.called]) for i, one in judged.items() if one.called is not None)


def _uncalibrated(method: Method, count: int, overkill: float, journal: Journal) -> Calibration:
    """Fit on the only part there is: its scores rank frames, and no threshold can be taken from them."""
    journal.stage("head on the only good part")
    head = method.fit(range(count))
    own = max(one.patch_score for one in head.judge(range(count)))
    threshold = no_threshold(own, overkill)
    journal.note(threshold.statement)
    return Calibration(head, {}, {}, threshold)


def _folds(count: int, seen: frozenset[int], split: Callable[[Sequence[int]], Sequence[Fold]]) -> tuple[Fold, ...]:
    """Split the frames that have a say in the threshold; the others are fitted on in every fold."""
    unseen = [position for position in range(count) if position not in seen]
    return tuple(
        Fold(fit=tuple(sorted((*seen, *(unseen[i] for i in fold.fit)))), score=tuple(unseen[i] for i in fold.score))
        for fold in split(unseen)
    )


def _agreed(
    method: Method, folds: Sequence[Fold], count: int, held_out: bool, journal: Journal
) -> tuple[FittedHead, dict[int, Judged], list[tuple[str, ...]]]:
    """Return the deployed head, judgements and fold decisions; choices in which heads differ are taken from all."""
    while True:
        head, judged, decided, units = _fitted(method, folds, count, held_out, journal)
        if head is not None:
            return head, judged, decided
        differing = {number for number, chosen in enumerate(zip(*units, strict=True)) if len(set(chosen)) > 1}
        if differing <= method.withheld:
            raise LinesideError(f"{type(method).__name__}: heads that may not choose differ in how they score.")
        chosen = "; ".join(" or ".join(sorted({unit[number] for unit in units})) for number in sorted(differing))
        journal.note(f"Folds and deployed head disagree ({chosen}): that choice is taken from all of them.")
        method.withheld |= differing


def _fitted(
    method: Method, folds: Sequence[Fold], count: int, held_out: bool, journal: Journal
) -> tuple[FittedHead | None, dict[int, Judged], list[tuple[str, ...]], set[tuple[str, ...]]]:
    """Return deployed head (None where two heads have different units), judgements, fold decisions, and the units."""
    judged, decided, heads = dict[int, Judged](), list[tuple[str, ...]](), set[tuple[str, ...]]()
    for number, fold in enumerate(folds, 1):
        journal.stage("hold-out" if held_out else f"cross-fitting, fold {number} of {len(folds)}")
        head = method.fit(fold.fit)
        judged.update(zip(fold.score, head.judge(fold.score), strict=True))
        decided.append(head.front.decision.choices)
        heads.add(head.unit)
        if len(heads) > 1:
            return None, judged, decided, heads
    if not held_out:
        journal.stage("head on all good frames")
        head = method.fit(range(count))
        heads.add(head.unit)
    return head if len(heads) == 1 else None, judged, decided, heads


def _note_front(head: FittedHead, decided: Sequence[tuple[str, ...]], journal: Journal) -> None:
    """Keep what was decided of light and pose, and how many folds decided otherwise."""
    for words in (*head.front.decision.words, *head.words):
        journal.note(words)
    other = sum(choices != head.front.decision.choices for choices in decided)
    if other:
        journal.note(f"{other} of {len(decided)} folds of the cross-fitting decided otherwise about light or pose.")


def _called(judged: Mapping[int, Judged], references: References, journal: Journal) -> dict[int, Judged]:
    """Return what got a call, by position, and say how many good frames got none."""
    called = {position: one for position, one in judged.items() if not one.refused}
    if not called:
        raise UsageError(
            "The gate refuses every good frame that was held out for calibration: they differ more from each other "
            "than any margin allows. Look at them with `lineside preview`, or set normalise.gate.mode to off."
        )
    for position, one in called.items():
        if not np.isfinite(one.patch_score):
            name = references.samples[position].name
            raise UsageError(
                f"{name}: the method scores this good image {one.patch_score}; no threshold can be taken from it."
            )
    if len(judged) > len(called):
        journal.note(
            f"{len(judged) - len(called)} of {len(judged)} good frames are outside the gate's limits: they get no call "
            "and have no say in the threshold. Look at them with `lineside preview`."
        )
    if all(one.found for one in called.values()):
        raise UsageError(
            "Every good image that was held out for calibration is NG by a finding, so that none is left to take a "
            "threshold from. Look at them with `lineside preview`."
        )
    return called
