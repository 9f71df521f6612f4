"""A bundle follows a line that changed, by unlabelled frames of it: a new camera, lamp, lens or exposure.

The statistics of the backbone's features on the new frames are mapped onto those of the training images, in closed
form, by a convolution behind each tap, so that score and classes are read from features like those that they were
fitted on; then everything that was learned of frames as a whole is learned again: the gate's limits, what is familiar,
the threshold. Frames are scored by maps that were not made from them, as in training. Nothing says which of the frames
are good, so what follows is robust against some bad ones, and refuses where there are too many, or where the frames do
not show the part.

Measured on the rendered sample parts that tell classes (lite0, 50 good, 5 defects a class; 20 good test images of the
other camera, either half of 40, to adapt, known to be good; the other half and all test defects judged). A camera far
off (colour matrix, gamma 1.35, gain 0.8, blur of 1.3 px): good ones not OK caps 40 of 40 before, 4 after, weave 40, 1;
AUROC caps 0.93 and 0.90 before, 1.00 and 0.98 after, weave 0.88 and 0.89, 1.00; likeliest class right caps 35 of 60
before, 44 after, by the old camera 50, weave 16 of 36, 26 and 27, 28. A nearer one (gamma 1.3, gain 0.85, blur of 0.7
px): good ones not OK caps 40, 4, weave 40, 0; class right caps 49 before, 47 and 46 after, weave 26, 29.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.calibrate.crossfit import grouped_folds
from lineside.calibrate.escape import no_escapes
from lineside.calibrate.moved import Move, score_move
from lineside.calibrate.threshold import overkill_threshold
from lineside.contract_thresholds import Threshold
from lineside.errors import UsageError
from lineside.export.known_images import known_images
from lineside.train.line_band import kept_review, not_held
from lineside.train.line_gate import GateChange, changed_gate
from lineside.train.line_head import Head
from lineside.train.line_parent import LineImage, Parent, Taken, observe
from lineside.train.line_result import Changed
from lineside.train.line_taps import Affines, behind_older, mapped
from lineside.train.progress import Journal
from lineside.transfer.align import TapStatistics, alignment, mean_statistics, resized_weights, tap_statistics
from lineside.transfer.familiar import fit_familiarity
from lineside.transfer.head import REGION

Doubles = npt.NDArray[np.float64]
PerFrame = Sequence[Sequence[TapStatistics]]

RULE = "calibration scores of the parent model, moved"
LEAST_FRAMES = 8
FOLDS = 5
How = Literal["none", "moments", "covariance"]
MAPS: tuple[How, ...] = ("none", "moments", "covariance")
"""In the order of what they may change."""
LEAST_GAIN = 0.03
"""A map that may change more is taken where it lowers the median score of held-out frames by this share at least."""
LARGEST_RATIO = 1.7
"""Of the median score of mapped frames to that of the training's good parts, beyond which they show another part.
Measured by 11 to 20 frames, ball-screw drives and rendered caps (50 good each): good ones of the same camera 0.94 to
1.05, by another camera 1.11 to 1.18 and 1.57; defective drives alone 1.47 to 1.54, defective caps 1.93 to 3.1. Other
parts, or the part mirrored or turned, with an earlier head: 2.03 to 3.68."""
LARGEST_NOVELTY = 2.0
"""Median novelty of the frames to the old model, over the gate's limit, beyond which they show another part. Measured
on the same: another camera 3.7 and 4.6, other parts 18 to 35, at a limit of 7."""
MOST_ANOMALOUS = 0.3
"""Share of mapped frames beyond the parent's threshold above which nothing can be learned of them, unless somebody
knows that they are good. The threshold is not moved to their median first: a median of defects would move it beyond
them. Measured by 20 frames of ball-screw drives, same camera, another, another exposure: good ones 0 to 0.05, half and
all of them defective 0.45 to 0.9. Of rendered caps by another camera good ones are beyond it too, all of them, with
scores like those of the drives' defects: there nothing in the frames tells a changed line from defects."""


@dataclass(frozen=True)
class _Trial:
    """A map and the honest scores that it gives."""

    how: How
    scores: Doubles

    @property
    def middle(self) -> float:
        return float(np.median(self.scores))


@dataclass(frozen=True)
class _Seen:
    """Frames that are learned from: the physical part of each, its taps and region, its statistics by tap."""

    parts: tuple[str, ...]
    taken: tuple[Taken, ...]
    statistics: PerFrame


def adapted(parent: Parent, images: Sequence[LineImage], journal: Journal, *, known_good: bool = False) -> Changed:
    """Refit a bundle on unlabelled frames of the changed line.

    Parameters
    ----------
    parent : Parent
    images : sequence of LineImage
    journal : Journal
    known_good : bool
        Whether somebody knows that nearly all of them show good parts: then it is not read off their scores.

    Raises
    ------
    UsageError
        When there are too few frames, they show another part, or too many of them are anomalous.
    """
    _refuse_few(images)
    journal.stage("the old model on the new frames", len(images))
    before = observe(parent, images, journal.step)
    gate = changed_gate(parent, before.quality[:, :-1], trusted=False)
    rows: list[int] = np.flatnonzero(gate.passed).tolist()
    _refuse_refused(gate, len(rows), len(images))
    journal.stage("statistics of the new frames")
    known = known_images(parent.folder)
    seen = _Seen(
        tuple(known.part(images[i].path, str(images[i].path)) for i in rows),
        tuple(before.taken[i] for i in rows),
        tuple(_statistics(parent, before.taken[i]) for i in rows),
    )
    head = Head(parent)
    trials = [_tried(parent, head, how, seen) for how in MAPS]
    best = chosen(trials)
    old = parent.state.scores[np.isfinite(parent.state.scores)]
    ratio = best.middle / max(float(np.median(old)), 1e-9)
    novelty = float(np.median(before.novelty))
    _refuse_other_part(parent, ratio, novelty)
    move = score_move(old, best.scores)
    share = float((best.scores > parent.contract.threshold_ng.value).mean())
    if not known_good:
        _refuse_anomalous(share)
    journal.note(_map_words(trials, best, len(rows)))
    return _changed(parent, head, gate, seen, best, move, {
        "frames": float(len(images)),
        "frames_used": float(len(rows)),
        "refused_before": float((before.gate != 0).mean()),
        "median_novelty_before": novelty,
        **{f"median_score_{trial.how}": trial.middle for trial in trials},
        "median_score_training": float(np.median(old)),
        "stretch": move.stretch,
        "anomalous_share": share,
        "known_good": float(known_good),
    }, journal)  # fmt: skip


def chosen(trials: Sequence[_Trial]) -> _Trial:
    """Return the trial whose map is worth what it may change."""
    best = trials[0]
    for trial in trials[1:]:
        if trial.middle <= (1.0 - LEAST_GAIN) * best.middle:
            best = trial
    return best


def _changed(
    parent: Parent,
    head: Head,
    gate: GateChange,
    seen: _Seen,
    best: _Trial,
    move: Move,
    facts: Mapping[str, float],
    journal: Journal,
) -> Changed:
    state = parent.state
    maps, count = _maps(parent, best.how, seen.statistics), len(seen.parts)
    embeddings = np.concatenate((state.embeddings, head(mapped(seen.taken, maps), {})[1]))
    scores = move(state.scores).astype(np.float32)
    threshold = _threshold(parent, scores, move, count)
    review = kept_review(parent, threshold, scores, state.groups, how=RULE)
    journal.note(f"Threshold {threshold.value:.4g}: {threshold.rule}. {threshold.statement}")
    kept = replace(state, embeddings=embeddings, quality=gate.quality, scores=scores)  # mapped taps are the old ones
    return Changed(
        how="adapted",
        numbers={**gate.numbers, **fit_familiarity(embeddings, state.seed)},
        maps=behind_older(parent, maps),
        threshold=threshold,
        review=review,
        escapes=no_escapes(),
        map_threshold=float(move(np.array([parent.contract.map_threshold]))[0]),
        quality_limits=gate.limits,
        findings=gate.findings,
        state=kept,
        frames=count,
        counted={"line/unlabelled": count},
        statement=(
            f"Adapted to a changed line by {count} unlabelled frames: {_HOW[best.how]}. Gate, familiarity and "
            f"threshold were learned again from these frames{_TAKEN[bool(facts['known_good'])]}. No guarantee of the "
            f"parent holds for this model.{_of_classes(parent)}"
        ),
        facts=facts,
    )


_TAKEN = {
    True: ", which somebody said to be good in the main",
    False: ", taken for good in the main, since most of them are OK by the old threshold",
}
_HOW: dict[How, str] = {
    "none": "features were left as they were, since no map of them brought the frames nearer to the good parts",
    "moments": "mean and deviation of every feature channel were mapped onto those of the training images",
    "covariance": "mean and covariance of the feature channels were mapped onto those of the training images",
}


def _of_classes(parent: Parent) -> str:
    if parent.contract.classes is None:
        return ""
    return " Classes are told by the head of before; how often they are named rightly on the changed line is not known."


def _map_words(trials: Sequence[_Trial], best: _Trial, count: int) -> str:
    told = ", ".join(f"{trial.how} {trial.middle:.4g}" for trial in trials)
    return f"Features: {_HOW[best.how]} ({count} frames; median score of held-out frames by map: {told})."


def _statistics(parent: Parent, taken: Taken) -> Sequence[TapStatistics]:
    """Measure each tap of one frame by itself; folds are put together from these."""
    taps = [taken[name] for name in parent.taps]
    return [tap_statistics(tap, resized_weights(taken[REGION], (tap.shape[2], tap.shape[3]))) for tap in taps]


def _maps(parent: Parent, how: How, frames: PerFrame) -> Affines:
    """Return the map behind each tap; none where features are left as they are."""
    if how == "none":
        return {}
    old = zip(parent.taps, parent.state.head.taps, strict=True)
    return {tap: alignment(known, mean_statistics([f[i] for f in frames]), how) for i, (tap, known) in enumerate(old)}


def _tried(parent: Parent, head: Head, how: How, seen: _Seen) -> _Trial:
    """Score every frame by a map that its part had no say in."""
    scores = np.empty(len(seen.parts))
    for fold in grouped_folds(seen.parts, FOLDS):
        maps = _maps(parent, how, [seen.statistics[i] for i in fold.fit])
        scores[list(fold.score)] = head(mapped([seen.taken[i] for i in fold.score], maps), {})[0]
    return _Trial(how, scores)


def _threshold(parent: Parent, scores: npt.NDArray[np.float32], move: Move, count: int) -> Threshold:
    old, groups = parent.contract.threshold_ng, parent.state.groups
    sure = old.wish.confidence
    new = overkill_threshold(scores, groups, old.wish_overkill, crossfit=RULE, held_out=False, confidence=sure)
    statement = (
        f"Empirical, no guarantee: the parent's scores of {new.n_groups} good parts were moved by median and spread "
        f"(factor {move.stretch:.2f}) of {count} unlabelled frames of the changed line. Of labelled good parts of this "
        "line nothing is known; calibrate the model by some. Whatever the parent guaranteed is void."
    )
    statement += not_held(old)
    return replace(new, kind="empirical", statement=statement)


def _refuse_few(images: Sequence[LineImage]) -> None:
    if len(images) < LEAST_FRAMES:
        raise UsageError(
            f"Adapting needs at least {LEAST_FRAMES} frames of the changed line, better 20 and more; found "
            f"{len(images)}. They need no labels."
        )


def _refuse_refused(gate: GateChange, left: int, count: int) -> None:
    if left < max(LEAST_FRAMES, count // 2):
        raise UsageError(
            f"Only {left} of {count} frames are alike enough in picture quality to learn from, most others "
            f"because {gate.commonest}. Give at least {LEAST_FRAMES} frames of one camera set-up, the part in view."
        )


def _refuse_other_part(parent: Parent, ratio: float, novelty: float) -> None:
    limit = parent.contract.quality_limits[-1][1]
    most = float("inf") if limit is None else LARGEST_NOVELTY * limit
    if ratio > LARGEST_RATIO or novelty > most:
        raise UsageError(
            "The frames do not show the part that the model knows, or the line changed more than feature statistics "
            f"can follow: after mapping, their median score is {ratio:.2f} times that of the training's good parts "
            f"(at most {LARGEST_RATIO:g} is taken), before it their median novelty {novelty:.1f} (at most {most:g}). "
            "Check the folder; else train with good images of the new line."
        )


def _refuse_anomalous(share: float) -> None:
    if share > MOST_ANOMALOUS:
        raise UsageError(
            f"{share:.0%} of the frames are NG to the model, also after mapping; at most {MOST_ANOMALOUS:.0%} may be, "
            "since the rest must say what is normal. Either they show defects, or the line changed more than feature "
            "statistics can follow, and scores do not tell which. Leave known defects out. If you know that nearly all "
            "of the parts are good, say so: `lineside adapt --known-good` (known_good=True)."
        )
