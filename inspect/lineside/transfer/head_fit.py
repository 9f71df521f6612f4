"""Fitting the patch head on features of good frames, and choosing between ways by what each tells apart.

Three choices. Where a pose was found: each averaged patch with its own place, or with the memory
(`lineside.transfer.place`). Whether the part lies still, so that patches as they are, not averaged over their
neighbours, are compared with their own place too, or else with a memory of their own (`lineside.transfer.sharp`).

Where it does not lie still: whether the embedding is whitened, so that directions in which good patches differ much
count little. That helps some parts much and harms others: image AUROC without and with (lite0, strides 8/16, 1,024
entries, means over 2 or 3 draws of 8 and 50 good frames): caps at any angle 0.783, 0.960 and 0.901, 0.992; weave 0.986,
0.994 and 0.989, 1.000; ball-screw drives, which lie still, 0.913, 0.929 and 0.887, 0.900; tiles of bare boards (200
frames) 0.733 and 0.715. So it is decided by part: held-out good frames against the same frames with synthetic defects.
(Measured before patches were compared as they are.) Augmented copies count as good frames there: without them the
contest was won by what finds a resampled edge strange. The share of pairs rose by 0.10 to 0.17 and 0.06 to 0.12 (caps,
8 and 40 good frames, 2 draws), -0.14 and -0.06 (weave), 0.03 to 0.14 (boards, 30 to 200 frames); from 0.05 on it is
whitened. Boards are where this errs: whitening is chosen there and costs 0.03 (0.886, 0.914 without; 200 templates of
other places, memory of 4,000, pooled as now). Every other number here is of the head as it was then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.transfer.distance import Way
from lineside.transfer.distance_fit import fit_density, fit_ranks, fit_subspace
from lineside.transfer.head import HeadShape, HeadValues
from lineside.transfer.head_scores import distances, scores
from lineside.transfer.leading import fit_leading
from lineside.transfer.memory import k_centre
from lineside.transfer.place import LEAST_SEPARATION, fit_place, separation
from lineside.transfer.pooling import fit_pooling, pool_sizes
from lineside.transfer.projection import random_projections, whitened_projections
from lineside.transfer.rows import Rows, no_offsets, patches_of, turned_by
from lineside.transfer.sharp import Sharp
from lineside.transfer.sharp_fit import FIXED, SharpCounts, fit_sharp_place, fixedness, sharp_basis

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

WHITEN_GAIN = 0.05
"""By how much the share of told pairs must rise for the embedding to be whitened; see the header."""
FOLDS = 3
CHOSEN_ON = 16
"""Parts at most that the choice looks at."""
CHOSEN_WITH = 512
"""Entries of the memories that the choice is made with: it compares two of them, and need not be the deployed one."""
HELD_OUT = 12
"""Parts that suffice for the pooling to be learned from in one go; of fewer, all take turns."""
MOST_HELD_OUT = 48
"""Parts that it is learned from at most."""
POOLED_WITH = 1024
"""Entries at most of the memories that it is learned with."""
SHARPENED: tuple[Way, ...] = ("nearest", "place")
"""Ways that patches as they are are compared beside: those whose distances have a unit."""


@dataclass(frozen=True)
class HeadFit:
    """A fitted head and how it was decided."""

    shape: HeadShape
    """Decides the graph: export one head for each."""
    values: HeadValues
    whitened: bool = False
    words: tuple[str, ...] = ()
    """What was decided and why; nothing where there was no choice."""
    sharp_counts: SharpCounts | None = None
    """What places of patches as they are were learned from."""

    @property
    def unit(self) -> tuple[str, str, str]:
        """Return what was chosen of each choice: scores of heads that chose alike can be compared."""
        return self.shape.way, "whitened" if self.whitened else "plain", self.shape.sharp


@dataclass(frozen=True)
class Choice:
    """What may be chosen.

    Attributes
    ----------
    position : bool
        Whether a pose was found and patches may be compared with their place.
    whiten : "auto", "on" or "off"
    way : Way
        How patches are compared where not with their place.
    fixed : bool
        Whether patches as they are may be compared with their place, where good frames show a fixed one.
    """

    position: bool = False
    whiten: Literal["auto", "on", "off"] = "off"
    way: Way = "nearest"
    fixed: bool = True


def fit_best(
    shape: HeadShape,
    known: Rows,
    seed: int,
    choice: Choice,
    mirrored: Rows | None = None,
    spoiled: Callable[[], Rows] | None = None,
) -> HeadFit:
    """Fit the head in the way that tells good frames from spoiled ones best, among those allowed.

    Parameters
    ----------
    shape : HeadShape
    known : Rows
        Of good frames and of their augmented copies.
    seed : int
        Of the projection, the memory's first entry and the folds.
    choice : Choice
    mirrored : Rows or None
        Mirror images of the frames; what the memory learns from too.
    spoiled : callable or None
        Makes the frames with synthetic defects that the choice of whitening needs; None: nothing is whitened by `auto`.

    Raises
    ------
    UsageError
        When no patch lies inside the region.
    """
    fit = _chosen(shape, known, seed, choice, mirrored, spoiled)
    return _pooled(fit, known, seed)


def _chosen(
    shape: HeadShape,
    known: Rows,
    seed: int,
    choice: Choice,
    mirrored: Rows | None,
    spoiled: Callable[[], Rows] | None,
) -> HeadFit:
    """Fit the head in the best way of comparing patches; parameters as for `fit_best`."""
    words: tuple[str, ...] = ()
    if choice.position:
        placed, told = _placed(replace(shape, way="place"), known, seed)
        how = "its own place on the part" if placed else "the whole memory"
        pairs = f"in {told:.0%} of the pairs its own place tells a held-out good frame from the same frame spoiled"
        words = (f"Each patch is compared with {how}: {pairs} (from {LEAST_SEPARATION:.0%} on it is used).",)
        if placed:
            share, more = _stillness(placed.shape, known, seed, choice)
            placed = replace(placed, words=(*words, *more))
            return _with_places(placed, known, seed) if share >= FIXED else placed
    flat = replace(shape, way=choice.way)
    share, more = _stillness(flat, known, seed, choice)
    words, whiten = (*words, *more), choice.whiten == "on"
    if choice.whiten == "auto" and spoiled is not None and share < FIXED:
        whiten, more = _whitening_helps(flat, known, spoiled(), seed)
        words = (*words, *more)
    shown = known.with_(mirrored)
    fit = replace(_fit(flat, shown, seed, whiten), words=words)
    if flat.way not in SHARPENED:
        return fit
    return _with_places(fit, known, seed) if share >= FIXED else _with_memory(fit, shown, seed, _searched(whiten))


def fit_head(shape: HeadShape, known: Rows, seed: int, *, whiten: bool = False) -> HeadValues:
    """Fit the head as `shape` says, nothing chosen and nothing held out; see `fit_best`."""
    return _as_told(shape, known, seed, whiten).values


def _as_told(shape: HeadShape, known: Rows, seed: int, whiten: bool) -> HeadFit:
    plain = replace(shape, sharp="off")
    if shape.way == "place":
        projections = random_projections(plain, known.features, seed)
        fit = _by_place(plain, projections, *patches_of(plain, known, projections), known.frames)
    else:
        fit = _fit(plain, known, seed, whiten)
    if shape.sharp in ("memory", "leading"):
        return _with_memory(fit, known, seed, shape.sharp)
    return _with_places(fit, known, seed) if shape.sharp == "place" else fit


def _pooled(fit: HeadFit, known: Rows, seed: int) -> HeadFit:
    """Learn from held-out good frames how patch distances become a score; nothing is learned from a single part."""
    order = np.random.default_rng(seed).permutation(np.unique(known.of_part))
    if len(order) < 2:
        return fit
    folds, away, counts = max(min(FOLDS, len(order)), -(-len(order) // MOST_HELD_OUT)), list[Floats](), list[Bools]()
    small = replace(fit.shape, memory=min(fit.shape.memory, POOLED_WITH))
    for fold in range(1 if len(order) >= folds * HELD_OUT else folds):
        held, rest = order[fold::folds], np.delete(order, np.s_[fold::folds])
        inner, unseen = _as_told(small, known.of_parts(rest), seed, fit.whitened), known.of_parts(held).firsts()
        away.append(distances(inner.shape, inner.values, unseen))
        counts.append(unseen.inside(fit.shape.grid_hw))
    pooling = fit_pooling(
        np.concatenate(away), np.concatenate(counts), fit.shape.grid_hw, fit.shape.least_patches, fit.shape.regions
    )
    means = f"its {', '.join(str(size) for size in pool_sizes(len(pooling.weight)))} largest patch distances"
    if fit.shape.regions:
        each = ", ".join(f"{one.name} with {len(one.patches)}" for one in fit.shape.regions)
        means = f"the largest 0.1 to 10 % of a region's patch distances ({each} patches)"
    words = (
        f"A frame's score is the mean of {means}, whichever stands out most from held-out "
        f"good frames by its level and spread there; patches at the border count {pooling.weight.min():.0%} or more."
    )
    return replace(fit, values=replace(fit.values, pooling=pooling), words=(*fit.words, words))


def _stillness(shape: HeadShape, known: Rows, seed: int, choice: Choice) -> tuple[float, tuple[str, ...]]:
    """Share of how good patches differ that their places explain, 0 where that may not be asked; and the sentence."""
    if not choice.fixed or shape.way not in SHARPENED:
        return 0.0, ()
    firsts = known.firsts()
    plain = random_projections(shape, firsts.features, seed)
    share = fixedness(*patches_of(shape, firsts, plain, averaged=False), firsts.of_part, seed)
    how = "its own place" if share >= FIXED else "nothing" if shape.placed else "the memory"
    words = (
        f"Each patch by itself, its neighbours left out, is compared with {how}: places explain {share:.0%} of how "
        f"good patches differ (from {FIXED:.0%} on it is its place)."
    )
    return share, (words,)


def _with_places(fit: HeadFit, known: Rows, seed: int) -> HeadFit:
    values = fit.values
    basis = sharp_basis(fit.shape.dimensions, seed)
    turned, counts = patches_of(fit.shape, known, *turned_by(basis, values.projections, values.offsets), averaged=False)
    place, learned = fit_sharp_place(basis, turned, counts, known.frames, known.of_part)
    values = replace(values, sharp_place=place)
    return replace(fit, shape=replace(fit.shape, sharp="place"), values=values, sharp_counts=learned)


def _searched(whiten: bool) -> Sharp:
    """How a memory of patches as they are is searched: in a whitened embedding no direction leads."""
    return "memory" if whiten else "leading"


def _with_memory(fit: HeadFit, known: Rows, seed: int, sharp: Sharp) -> HeadFit:
    patches, counts = patches_of(fit.shape, known, fit.values.projections, averaged=False)
    points = patches[counts]
    values = replace(fit.values, sharp_memory=_memory_of(points, fit.shape, seed))
    if sharp == "leading":
        values = replace(values, sharp_leading=fit_leading(points))
    return replace(fit, shape=replace(fit.shape, sharp=sharp), values=values)


def _memory_of(points: Floats, shape: HeadShape, seed: int) -> Floats:
    """Return the points that cover all points."""
    return np.ascontiguousarray(points[k_centre(points, shape.memory, seed)])


def _placed(shape: HeadShape, known: Rows, seed: int) -> tuple[HeadFit | None, float]:
    """Fit with places; None where they tell too little, and how much they tell."""
    projections = random_projections(shape, known.features, seed)
    patches, counts = patches_of(shape, known, projections)
    told = separation(patches, counts, known.frames, shape.grid_hw, seed)
    if told < LEAST_SEPARATION:
        return None, told
    return _by_place(shape, projections, patches, counts, known.frames), told


def _by_place(
    shape: HeadShape, projections: tuple[Floats, ...], patches: Floats, counts: Bools, frames: Sequence[int]
) -> HeadFit:
    place = fit_place(patches, counts, frames)
    return HeadFit(shape, HeadValues(projections, no_offsets(shape), place=place))


def _fit(shape: HeadShape, known: Rows, seed: int, whiten: bool) -> HeadFit:
    """Fit projection and what patches are compared with, places left out."""
    if whiten:
        shape, projections = whitened_projections(shape, known, seed)
    else:
        projections = random_projections(shape, known.features, seed)
    patches, counts = patches_of(shape, known, projections)
    points = patches[counts]
    values = HeadValues(projections, no_offsets(shape))
    if shape.way != "subspace":
        values = replace(values, memory=_memory_of(points, shape, seed))
    if shape.way == "density" and values.memory is not None:
        values = replace(values, density=fit_density(points, values.memory, seed))
    if shape.way in ("subspace", "combined"):
        values = replace(values, subspace=fit_subspace(points))
    if shape.way == "combined":
        values = replace(values, ranks=fit_ranks(shape, patches, counts, known.frames, seed))
    return HeadFit(shape, values, whiten)


def _whitening_helps(shape: HeadShape, goods: Rows, spoiled: Rows, seed: int) -> tuple[bool, tuple[str, ...]]:
    """Whether whitening tells held-out good frames from spoiled ones better, and the sentence about it."""
    parts = sorted(set(goods.of_part) & set(spoiled.of_part))
    if len(parts) < 2 * FOLDS:
        return False, ()
    order = np.random.default_rng(seed).permutation(parts)[:CHOSEN_ON]
    kinds = [_searched(whiten) if shape.way in SHARPENED else "off" for whiten in (False, True)]
    small = [replace(shape, memory=min(shape.memory, CHOSEN_WITH), sharp=sharp) for sharp in kinds]
    told = [_told(one, goods, spoiled, order, seed, whiten) for one, whiten in zip(small, (False, True), strict=True)]
    helps = told[1] - told[0] >= WHITEN_GAIN
    words = (
        f"The embedding is {'' if helps else 'not '}whitened: with it {told[1]:.0%} of the pairs of a held-out good "
        f"frame and one with a synthetic defect are told apart, without it {told[0]:.0%}; {WHITEN_GAIN:.0%} more were "
        "wanted."
    )
    return helps, (words,)


def _told(
    shape: HeadShape,
    goods: Rows,
    spoiled: Rows,
    order: npt.NDArray[np.int64],
    seed: int,
    whiten: bool,
) -> float:
    """Share of the pairs of a held-out good and a spoiled frame in which the spoiled one scores higher, by one head."""
    from sklearn.metrics import roc_auc_score

    shares: list[float] = []
    for fold in range(FOLDS):
        held, rest = order[fold::FOLDS], np.delete(order, np.s_[fold::FOLDS])
        fit = _as_told(shape, goods.of_parts(rest), seed, whiten)
        good, bad = (scores(fit.shape, fit.values, rows.of_parts(held)) for rows in (goods, spoiled))
        shares.append(float(roc_auc_score([0] * len(good) + [1] * len(bad), good + bad)))
    return float(np.mean(shares))
