"""The deployed head and its threshold, from scores of good frames that the scoring head has not seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lineside.calibrate.crossfit import Fold, class_folds, class_holdout, grouped_folds, holdout
from lineside.calibrate.escape import no_escapes
from lineside.calibrate.honest import Honest
from lineside.calibrate.threshold import no_threshold
from lineside.calibrate.wishes import Thresholds, thresholds
from lineside.contract_thresholds import EscapeStatement, Threshold, Wish
from lineside.errors import LinesideError, UsageError
from lineside.recipe import LoadedRecipe
from lineside.train.class_statement import Told
from lineside.train.images import References
from lineside.train.method import FittedHead, Judged, Method, Reference
from lineside.train.progress import Journal
from lineside.train.tail import finding_floor
from lineside.wish_images import needs_defects

PROVISIONAL = 0.05
"""Overkill of the threshold that stands until defective images have decided."""


@dataclass(frozen=True)
class Calibration:
    """The deployed head, and what its threshold was taken from.

    Attributes
    ----------
    head : FittedHead
    called : mapping of position to Judged
        Good frames that got a call, each as a head judged it that had not seen its part.
    goods : Honest
        What thresholds may be taken from.
    threshold, review : Threshold
        The same where there is no band for REVIEW.
    escapes : EscapeStatement
    map_peaks : tuple of float
        Highest map values of the frames of `called`, in their order.
    told : tuple of Told
        Where the score comes from classes: what models called the images that they had not seen.
    defects : mapping of str to float
        Scores of the defective frames that thresholds or escapes were taken from and that got a call, by name.
    """

    head: FittedHead
    called: Mapping[int, Judged]
    goods: Honest
    threshold: Threshold
    review: Threshold
    escapes: EscapeStatement
    map_peaks: tuple[float, ...] = ()
    told: tuple[Told, ...] = ()
    defects: Mapping[str, float] = field(default_factory=dict)

    @property
    def scores(self) -> dict[int, float]:
        """Honest scores of the good frames that got a call, by position, as the graph would give them."""
        floor = finding_floor(self.threshold)
        return {i: Reference(one.patch_score, one.found).score(floor) for i, one in self.called.items()}

    @property
    def own(self) -> dict[int, float]:
        """Those of them that the deployed head itself gave, findings left out; none where folds gave them."""
        return {i: one.patch_score for i, one in self.called.items() if self.goods.held_out and not one.found}


def calibrated(loaded: LoadedRecipe, method: Method, references: References, journal: Journal) -> Calibration:
    """Fit the deployed head, and find the thresholds from honest scores of the images that it is fitted on.

    Where defective images that it is not fitted on decide or tell of escapes, `lineside.train.thresholds` does the
    rest; until then the threshold is one by the good images.
    """
    calibrate, seed = loaded.recipe.calibrate, loaded.recipe.seed
    groups = [sample.group for sample in references.samples]
    if len(set(groups)) == 1:
        return _uncalibrated(method, len(groups), calibrate.wish, journal)
    held_out = calibrate.crossfit == "holdout" or (calibrate.crossfit == "auto" and method.prefers_holdout)
    labels = [sample.label for sample in references.samples]

    def split(positions: Sequence[int]) -> Sequence[Fold]:
        parts, named = [groups[i] for i in positions], [labels[i] for i in positions]
        count = calibrate.folds_of(len(set(parts)))
        if references.sorts:
            return (class_holdout(parts, named, seed),) if held_out else class_folds(parts, named, count)
        return (holdout(parts, seed),) if held_out else grouped_folds(parts, count)

    folds = _folds(len(groups), method.seen, split)
    words = "held-out parts" if held_out else f"cross-fitted in {len(folds)} folds by part"
    if method.seen:
        many = (
            "s that the backbone was fitted on have" if len(method.seen) > 1 else " that the backbone was fitted on has"
        )
        words += f"; the {len(method.seen)} good frame{many} no say"
    head, judged, decided = _agreed(method, folds, len(groups), held_out, journal)
    _note_front(head, decided, journal)
    told = _told(judged, references, head)
    called = _called({i: judged[i] for i in references.good_positions if i in judged}, references, journal)
    called = {i: called[i] for i in sorted(called)}
    unseen = {groups[i] for i in references.good_positions if i not in method.seen}
    goods = replace(
        _honest(called, references, held_out, words),
        tolerated=bool(calibrate.class_factors),
        kept_from=len(unseen) if held_out else None,
    )
    defects = _sorted_defects(judged, references, held_out, words)
    provisional = needs_defects(calibrate.wish) and defects is None
    wish = Wish("overkill", PROVISIONAL) if provisional else calibrate.wish
    found = thresholds(wish, None if provisional else calibrate.review, goods, defects)
    peaks = tuple(one.map_peak for one in called.values())
    made = Calibration(head, called, goods, found.ng, found.review, found.escapes, peaks, told)
    if not provisional:
        note_thresholds(found, journal)
    if defects is not None:
        journal.note(found.escapes.statement)
    return made


def _sorted_defects(judged: Mapping[int, Judged], references: References, held_out: bool, how: str) -> Honest | None:
    """Return scores of defective frames that the score is fitted on too, as where parts are sorted; else None."""
    goods = set(references.good_positions)
    others = {i: judged[i] for i in sorted(judged) if i not in goods}
    if not others:
        return None
    called = {i: one for i, one in others.items() if not one.refused}
    return replace(_honest(called, references, held_out, how), no_call=len(others) - len(called))


def note_thresholds(found: Thresholds, journal: Journal) -> None:
    """Keep what the thresholds are and what they are worth."""
    journal.note(f"Threshold {found.ng.value:.4g}: {found.ng.rule}. {found.ng.statement}")
    if found.review is not found.ng:
        journal.note(f"REVIEW above {found.review.value:.4g}: {found.review.rule}. {found.review.statement}")


def _honest(judged: Mapping[int, Judged], references: References, held_out: bool, how: str) -> Honest:
    """Return scores for a threshold of frames, by position, that got a call."""
    samples = [references.samples[i] for i in judged]
    return Honest(
        scores=np.array([np.inf if one.found else one.patch_score for one in judged.values()], np.float32),
        groups=tuple(sample.group for sample in samples),
        labels=tuple(sample.label for sample in samples),
        held_out=held_out,
        how=how,
    )


def _told(judged: Mapping[int, Judged], references: References, head: FittedHead) -> tuple[Told, ...]:
    names, samples = head.classes.names if head.classes else (), references.samples
    told = ((samples[i], one.called) for i, one in judged.items() if one.called is not None)
    return tuple(Told(sample.label, names[called], sample.group) for sample, called in told)


def _uncalibrated(method: Method, count: int, wish: Wish, journal: Journal) -> Calibration:
    """Fit on the only part there is: its scores rank frames, and no threshold can be taken from them."""
    journal.stage("head on the only good part")
    head = method.fit(range(count))
    own = max(one.patch_score for one in head.judge(range(count)))
    threshold = no_threshold(own, wish)
    journal.note(threshold.statement)
    nothing = Honest(np.zeros(0, np.float32), (), (), held_out=False, how="none")
    return Calibration(head, {}, nothing, threshold, threshold, no_escapes())


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
    judged, decided, units = dict[int, Judged](), list[tuple[str, ...]](), set[tuple[str, ...]]()
    head: FittedHead | None = None
    whole = [] if held_out else [tuple(range(count))]
    words = "hold-out" if held_out else f"cross-fitting in {len(folds)} folds, and a head on all good frames"
    journal.stage(words)
    for number, head in enumerate(method.fit_each([*(fold.fit for fold in folds), *whole])):
        units.add(head.unit)
        if number < len(folds):
            score = folds[number].score
            judged.update(zip(score, head.judge(score), strict=True))
            decided.append(head.front.decision.choices)
        if len(units) > 1:
            return None, judged, decided, units
    return head, judged, decided, units


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
