"""`transfer.adapt: try`: adapt the trunk on some of the good parts, and keep that only where others say it is better.

The good parts are divided before anything is looked at. The adaptation's share, a block of neighbours as in the folds
of the cross-fitting, fits a front and teaches the maps; its parts give no score that a threshold is taken from. The
others, through that same front, are what the frozen and the adapted trunk are compared on.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.calibrate.crossfit import Fold, grouped_folds
from lineside.contract import Component, Fitted
from lineside.graph.run import Graph, parallel
from lineside.graph.trunk import export_front
from lineside.normalise.front_fit import FrontRequest
from lineside.train.adapting_images import Lesson, Teacher
from lineside.train.front_fit import FittedFront, FrontFitter
from lineside.train.images import References
from lineside.train.progress import Journal
from lineside.transfer.adaptation import learn_maps
from lineside.transfer.adaptation_gate import Outcome, Scored, Trial, contest
from lineside.transfer.backbone import Backbone
from lineside.transfer.head import Features

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Score = Callable[[Features, Floats], float]
"""Features and region of one frame -> its score."""
FitHead = Callable[[Features, Floats, Sequence[int], bool], Score]
"""Features and regions of good rows, which frame each shows, whether a pose was found -> a fitted head."""

SHARE, MOST = 0.4, 40
"""Of the good parts, those that the trunk is adapted on; no more than 40, since more of them cost time."""
LEAST, LEAST_TO_LEARN = 10, 4
"""Good parts without which nothing is tried: in all, and of those that the gate lets through, on either side."""
LEARNT = ("patch", "scar", "texture")
JUDGED = ("scratch", "stain", "rubbed", "faint", "shade")
"""Kinds of synthetic defect, see `lineside.synth.spoil`: what is judged was never learnt from."""
FOLDS = 2
"""Of the held-out parts: each half is scored by a head fitted on the other."""


ADAPTED = Fitted(
    "adaptation of the backbone",
    "learnt on parts that give no score to the threshold; that it is used was decided on others, which do",
)


@dataclass(frozen=True)
class Adaptation:
    """What came of trying.

    Attributes
    ----------
    maps : tuple of ndarray of float32 [C, C]
        One a tap; empty where the frozen trunk stays.
    seen : frozenset of int
        Positions of the good frames that had a say in the maps; empty where the frozen trunk stays.
    outcome : Outcome or None
        Of the contest; None where there were too few good parts to try.
    """

    maps: tuple[Floats, ...]
    seen: frozenset[int]
    outcome: Outcome | None


def try_adaptation(
    request: FrontRequest,
    references: References,
    anchor: Pixels,
    backbone: Graph,
    taps: Sequence[str],
    fit_head: FitHead,
    grid_hw: tuple[int, int],
    journal: Journal,
) -> Adaptation:
    """Adapt, compare, decide.

    Parameters
    ----------
    request : FrontRequest
    references : References
        All good training frames.
    anchor : ndarray of uint8 [H, W, C]
        As for `FrontFitter`.
    backbone : Graph
        The frozen trunk: ``working`` -> `taps`.
    taps : sequence of str
    fit_head : callable
        The head that both trunks are judged by.
    grid_hw : tuple of int
        Of the head's patches.
    journal : Journal
        Told the decision.
    """
    groups = [sample.group for sample in references.samples]
    learn, judge = divided(groups, request.seed)
    if not learn:
        return _untried(len(set(groups)), journal)
    positions = (*learn, *judge)
    chosen = replace(references, samples=tuple(references.samples[i] for i in positions))
    front = FrontFitter(request, chosen, anchor, export_front, ("working",), journal).fit(range(len(learn)))
    teacher = Teacher(front, chosen, backbone, taps, grid_hw, request.mean, request.std)
    teachers, judges = teacher.passed(range(len(learn))), teacher.passed(range(len(learn), len(positions)))
    parts = [len({groups[positions[i]] for i in some}) for some in (teachers, judges)]
    if min(parts) < LEAST_TO_LEARN:
        return _untried(sum(parts), journal)
    journal.stage(f"adaptation of the backbone on {len(teachers)} frames")
    maps = learn_maps(*teacher.patches(teachers, LEARNT), request.seed)
    journal.stage(f"adapted and frozen backbone on {len(judges)} frames")
    lesson = teacher.lesson(judges, JUDGED)
    outcome = _compared(lesson, maps, [groups[positions[i]] for i in lesson.frames], front, fit_head, request.seed)
    journal.note(in_words(outcome, len(teachers), len(judges)))
    return Adaptation(maps, frozenset(learn), outcome) if outcome.kept else Adaptation((), frozenset(), outcome)


def divided(groups: Sequence[str], seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Divide positions of good frames, by part, into those to learn from and up to 40 other parts to judge by.

    Neighbours stay together (see `lineside.calibrate.crossfit`); where the block begins is drawn. All are to judge by
    where there are too few parts.
    """
    names = sorted(set(groups))
    if len(names) < LEAST:
        return (), tuple(range(len(groups)))
    start, count = int(np.random.default_rng(seed).integers(len(names))), min(round(SHARE * len(names)), MOST)
    turned = names[start:] + names[:start]
    rest = turned[count:]
    kept = [rest[i] for i in np.linspace(0, len(rest) - 1, min(len(rest), MOST)).round().astype(int)]
    learn, judge = ({*turned[:count]}, {*kept})
    return (
        tuple(i for i, group in enumerate(groups) if group in learn),
        tuple(i for i, group in enumerate(groups) if group in judge),
    )


def _untried(found: int, journal: Journal) -> Adaptation:
    journal.note(
        f"Backbone not adapted: that takes good images of at least {LEAST} parts that the gate lets through, "
        f"found {found}."
    )
    return Adaptation((), frozenset(), None)


def in_words(outcome: Outcome, learnt: int, judged: int) -> str:
    """Say who won, with numbers."""
    mean = {name: np.mean(list(of.values())) for name, of in (("was", outcome.frozen), ("now", outcome.adapted))}
    kinds = ", ".join(f"{kind} {outcome.frozen[kind]:.3f} and {outcome.adapted[kind]:.3f}" for kind in outcome.frozen)
    verdict = "the adapted one is used" if outcome.kept else "the frozen one stays"
    worse = f"; worse by more than its noise: {', '.join(outcome.worse)}" if outcome.worse else ""
    return (
        f"Backbone adapted on {learnt} good frames with synthetic defects: {verdict}. On {judged} other good frames "
        f"and kinds of synthetic defect that it never saw, AUROC frozen and adapted {mean['was']:.3f} and "
        f"{mean['now']:.3f} ({kinds}); the gain of {outcome.gain:+.3f} ± {outcome.noise:.3f} had to exceed "
        f"{outcome.needed:.3f}{worse}."
    )


def adapted_backbone(backbone: Backbone, maps: Sequence[Floats]) -> Backbone:
    """Return the backbone with the maps' origin among its components; its module stays the frozen one."""
    weights = next(part for part in backbone.components if part.role == "weights")
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(matrix, "<f4").tobytes() for matrix in maps)).hexdigest()
    name, source = f"adaptation of {weights.name}", "lineside: learnt on this recipe's good images"
    added = Component("weights", name, source, weights.licence, digest)
    return replace(backbone, components=(*backbone.components, added))


def adapted_features(features: Features, maps: Sequence[Floats]) -> dict[int, Floats]:
    """Return features [n, C, h, w] as the adapted trunk gives them; without maps, as they are."""
    if not maps:
        return dict(features)
    return {i: np.einsum("dc,nchw->ndhw", maps[i], tap, optimize=True) for i, tap in features.items()}


def _compared(
    lesson: Lesson, maps: Sequence[Floats], groups: Sequence[str], front: FittedFront, fit_head: FitHead, seed: int
) -> Outcome:
    """Score the lesson with both trunks; `groups` are the parts of its frames."""
    posed = front.decision.settings.pose is not None
    folds = grouped_folds(groups, FOLDS)
    of_frame = np.zeros(len(groups), np.int64)
    for number, fold in enumerate(folds):
        of_frame[list(fold.score)] = number
    frozen, adapted = (_scored(lesson, trunk, folds, posed, fit_head) for trunk in ((), maps))
    goods = np.concatenate((lesson.frames, lesson.drifted_source))
    of_good = of_frame[np.searchsorted(lesson.frames, goods)]
    return contest(Trial(goods, lesson.source, lesson.kinds, of_good), frozen, adapted, seed)


def _scored(lesson: Lesson, maps: Sequence[Floats], folds: Sequence[Fold], posed: bool, fit_head: FitHead) -> Scored:
    """Score good frames and defects by heads that have not seen the frames."""
    good, drifted, spoiled = (np.zeros(len(of)) for of in (lesson.frames, lesson.drifted_source, lesson.source))
    for fold in folds:
        rows = np.flatnonzero(np.isin(lesson.row_frames, lesson.frames[list(fold.fit)]))
        features = adapted_features({i: tap[rows] for i, tap in lesson.good.items()}, maps)
        head = fit_head(features, lesson.regions[rows], lesson.row_frames[rows].tolist(), posed)
        at = np.array(fold.score)
        good[at] = _run(head, lesson.good, lesson.first[at], lesson.regions[lesson.first[at]], maps)
        for scores, changed, source in (
            (drifted, lesson.drifted, lesson.drifted_source),
            (spoiled, lesson.spoiled, lesson.source),
        ):
            among = np.flatnonzero(np.isin(source, lesson.frames[at]))
            own = lesson.first[np.searchsorted(lesson.frames, source[among])]  # rows of the frames themselves
            scores[among] = _run(head, changed, among, lesson.regions[own], maps)
    return Scored(np.concatenate((good, drifted)), spoiled)


def _run(head: Score, features: Features, rows: Ints, regions: Floats, maps: Sequence[Floats]) -> list[float]:
    def one(number: int) -> float:
        row = rows[number]
        taken = adapted_features({i: tap[row : row + 1] for i, tap in features.items()}, maps)
        return head(taken, regions[number : number + 1])

    return list(parallel(one, range(len(rows))))
