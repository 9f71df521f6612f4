"""The deployed head and its threshold, from scores of good frames that the scoring head has not seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lineside.calibrate.crossfit import Fold, grouped_folds, holdout
from lineside.calibrate.threshold import overkill_threshold
from lineside.contract import Threshold
from lineside.errors import UsageError
from lineside.recipe import LoadedRecipe
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
    """

    head: FittedHead
    scores: Mapping[int, float]
    own: Mapping[int, float]
    threshold: Threshold


def calibrated(loaded: LoadedRecipe, method: Method, references: References, journal: Journal) -> Calibration:
    """Fit the deployed head, and find its threshold from honest scores."""
    calibrate, seed = loaded.recipe.calibrate, loaded.recipe.seed
    groups = [sample.group for sample in references.samples]
    held_out = calibrate.crossfit == "holdout" or (calibrate.crossfit == "auto" and method.prefers_holdout)

    def split(parts: Sequence[str]) -> Sequence[Fold]:
        return (holdout(parts, seed),) if held_out else grouped_folds(parts, calibrate.folds)

    folds = _folds(groups, method.seen, split)
    words = "held-out parts" if held_out else f"cross-fitted in {len(folds)} folds by part"
    if method.seen:
        words += f"; the {len(method.seen)} good frames that the backbone was adapted on have no say"
    head, judged, decided = _fitted(method, folds, len(groups), held_out, journal)
    if head is None:
        journal.note(
            "Folds and deployed head disagree on whether a patch is compared with its place: it is not, in any of them."
        )
        method.may_use_places = False
        head, judged, decided = _fitted(method, folds, len(groups), held_out, journal)
    assert head is not None  # all heads have one unit now
    _note_front(head, decided, journal)
    called = _called(judged, references, journal)
    positions = sorted(called)
    threshold = overkill_threshold(
        np.array([np.inf if called[i].found else called[i].patch_score for i in positions], np.float32),
        [groups[i] for i in positions],
        calibrate.overkill,
        crossfit=words,
        held_out=held_out,
    )
    floor = finding_floor(threshold)
    scores = {i: Reference(called[i].patch_score, called[i].found).score(floor) for i in positions}
    journal.note(f"Threshold {threshold.value:.4g}: {threshold.rule}. {threshold.statement}")
    own = {i: score for i, score in scores.items() if held_out and not judged[i].found}
    return Calibration(head, scores, own, threshold)


def _folds(
    groups: Sequence[str], seen: frozenset[int], split: Callable[[Sequence[str]], Sequence[Fold]]
) -> tuple[Fold, ...]:
    """Split the good frames that have a say in the threshold; the others are fitted on in every fold."""
    unseen = [position for position in range(len(groups)) if position not in seen]
    return tuple(
        Fold(fit=tuple(sorted((*seen, *(unseen[i] for i in fold.fit)))), score=tuple(unseen[i] for i in fold.score))
        for fold in split([groups[position] for position in unseen])
    )


def _fitted(
    method: Method, folds: Sequence[Fold], count: int, held_out: bool, journal: Journal
) -> tuple[FittedHead | None, dict[int, Judged], list[tuple[str, ...]]]:
    """Return the deployed head (None where the scores of two heads cannot be compared), judgements, fold decisions."""
    judged, decided, heads = dict[int, Judged](), list[tuple[str, ...]](), set[str]()
    for number, fold in enumerate(folds, 1):
        journal.stage("hold-out" if held_out else f"cross-fitting, fold {number} of {len(folds)}")
        head = method.fit(fold.fit)
        judged.update(zip(fold.score, head.judge(fold.score), strict=True))
        decided.append(head.front.decision.choices)
        heads.add(head.unit)
        if len(heads) > 1:
            return None, judged, decided
    if not held_out:
        journal.stage("head on all good frames")
        head = method.fit(range(count))
        heads.add(head.unit)
    return head if len(heads) == 1 else None, judged, decided


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
