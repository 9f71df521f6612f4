"""Patches compared with their own place on the part, where a pose brings each place to the same patch in every frame.

A place is described by the mean of the good patches there; deviations from it are whitened by the scatter of all good
deviations, of all places together, because few frames make many deviations: 10 frames of 1,024 patches suffice where a
covariance for each place (PaDiM: Defard et al., 2020) needs hundreds of frames. Directions in which lamp, focus and
residual pose move a good patch then count little. Last, each place's distance is divided by what its good patches show,
shrunk towards that of all places.

Measured on caps aligned by their true pose ± 0.3° and ± 0.5 px (lite0, strides 8/16, 128 dimensions, one augmented copy
in light alone), image AUROC and pixel AUPRO (limit 0.3), over 5 drawings of 10 good frames and 3 projections with 50:
the memory 0.955 ± 0.009, 0.920 ± 0.010 and 0.978, 0.909; this 0.988 ± 0.005, 0.963 ± 0.002 and 0.995, 0.972; without
the division 0.985, 0.958 and 0.996, 0.966. Rejected: place as two further dimensions of the memory's distance (with
weights from 0.5 to 4 on caps aligned exactly no better than without, AUROC 0.965 to 0.979); a memory of whitened
patches (152 dimensions: 0.975, 0.949 and 0.994, 0.948).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.sixteen_bits import in_16_bits

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FLOOR = 0.05
"""Share of the mean variance that every direction is given at least. Measured: from 0.001 to 0.1 AUROC and AUPRO of
caps differ by at most 0.003."""
PRIOR_FRAMES = 16
"""Frames that the spread of all places counts for, against the frames that show one place. Measured on caps, AUROC
with 0 and 16: 0.984 and 0.988 from 10 good frames, 0.993 and 0.996 from 50."""
FOLDS = 3
MIXED = 0.3
"""Share of a strange patch that is mixed into a held-out good frame."""
BLOB = 2
"""Side of what is mixed in, in patches."""
TOP_SHARE = 0.005
"""Share of a frame's patches whose mean distance is a score here."""
DRAWS = 10
"""Places at which each held-out frame is spoiled, one at a time."""
LEAST_SEPARATION = 0.6
"""Below this the place of a patch says too little, whatever pose was found. Measured over several drawings of the good
frames: caps 0.73 to 0.93 with 10 frames, 0.68 to 0.82 with 8, 0.87 to 0.90 with 40 and more; without a pose, drives
0.55 to 0.68 and weave 0.60 to 0.71. So it does not tell a part from a texture by itself: `normalise.pose_auto` does,
and gives neither of the two a pose. A limit of 0.7 was rejected: folds of 8 frames fell on either side of it, and all
heads of a training must be of one kind."""


@dataclass(frozen=True)
class Place:
    """What is known of each place of the part.

    Attributes
    ----------
    mean : ndarray of float32 [P, d]
        Of the good patches there, in numbers of 16 bits: off by less than the deviation that every direction is given
        at least.
    whitening : ndarray of float32 [d, d]
        Deviation (row) times this: its good variance is alike in all directions.
    weight : ndarray of float32 [P]
        Factor on a place's distance; a typical good patch then has distance 1. 0 where no good frame shows the place.
    """

    mean: Floats
    whitening: Floats
    weight: Floats

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Mean, whitening, weight."""
        return self.mean, self.whitening, self.weight

    def distance(self, patches: Floats) -> Floats:
        """Distance [n, P] of patches [n, P, d] to their places."""
        away = (patches - self.mean) @ self.whitening
        return np.asarray(np.sqrt(np.einsum("npd,npd->np", away, away)) * self.weight, np.float32)


def fit_place(patches: Floats, counts: Bools, frames: Sequence[int]) -> Place:
    """Learn the places of a part from good frames.

    Parameters
    ----------
    patches : ndarray of float32 [n, P, d]
        Embeddings, of frames and their augmented copies.
    counts : ndarray of bool [n, P]
        Which of them lie inside the region.
    frames : sequence of int [n]
        Which frame each row shows.
    """
    rows = counts.sum(axis=0).astype(np.float64)  # [P]
    mean = _mean(patches, counts, rows)
    whitening = _whitening(patches, counts, mean)
    squares = np.zeros(len(rows))
    for row, valid in zip(patches, counts, strict=True):
        squares += valid * np.square((row - mean) @ whitening).sum(axis=1)
    return Place(mean, whitening, weights_of(rows, rows * (len(set(frames)) / len(patches)), squares))


def weights_of(rows: Doubles, seen: Doubles, squares: Doubles) -> Floats:
    """Return the factor on each place's distance [P]: over its spread, shrunk towards that of all places.

    Parameters
    ----------
    rows, seen : ndarray of float64 [P]
        Good patches of each place, and frames that show it.
    squares : ndarray of float64 [P]
        Sum of the place's squared whitened deviations.
    """
    many = seen > 1.5  # one frame alone deviates from itself by nothing
    spread = np.zeros(len(rows))
    spread[many] = squares[many] / rows[many] * seen[many] / (seen[many] - 1.0)  # unbiased: the mean has seen the frame
    typical = max(float(spread[many].mean()) if many.any() else 1.0, 1e-3)
    shown = np.where(many, seen, 0.0)
    shrunk = (shown * spread + PRIOR_FRAMES * typical) / (shown + PRIOR_FRAMES)
    return np.where(rows > 0, 1.0 / np.sqrt(shrunk), 0.0).astype(np.float32)


def whitening_of(scatter: Doubles, number: float, level: float) -> Doubles:
    """Return the [d, d] matrix that makes the scatter of good deviations alike in all directions.

    Parameters
    ----------
    scatter : ndarray of float64 [d, d]
        Sum of the outer products of `number` good patches' deviations from their places' means.
    number : float
    level : float
        Sum of the patches' squared lengths.
    """
    size, number = len(scatter), max(number, 1.0)
    variances, directions = np.linalg.eigh(scatter / number)
    least = max(FLOOR * float(variances.mean()), 1e-6 * level / (number * size), 1e-12)  # the last two: all are alike
    return np.asarray(directions / np.sqrt(size * (np.maximum(variances, 0.0) + least)), np.float64)


def separation(patches: Floats, counts: Bools, frames: Sequence[int], grid_hw: tuple[int, int], seed: int) -> float:
    """Measure how well places tell good frames from the same frames with a strange patch, held out in 3 folds.

    The score's spread alone cannot be compared between the two ways of measuring distance; here it is set against what
    a strange patch adds. A strange patch is a good one of another place and frame, mixed in by 0.3.

    Parameters
    ----------
    patches, counts, frames
        As for `fit_place`.
    grid_hw : tuple of int
        Patches of a frame, down and across.
    seed : int
        Of folds, places and strangers.

    Returns
    -------
    float
        Share of the pairs of a held-out good and a spoiled frame in which the spoiled one has the larger score, 0.5 to
        1 but for chance; 0 where there are fewer than 3 frames, or the grid is smaller than what is mixed in.
    """
    names = np.array(sorted(set(frames)))
    if len(names) < FOLDS or min(grid_hw) <= BLOB:
        return 0.0
    rng, top_count = np.random.default_rng(seed), max(1, round(TOP_SHARE * math.prod(grid_hw)))
    shuffled, of_row = rng.permutation(names), np.asarray(frames)
    good: list[float] = []
    spoiled: list[float] = []
    for fold in range(FOLDS):
        held = shuffled[fold::FOLDS]
        rest = ~np.isin(of_row, held)
        place = fit_place(patches[rest], counts[rest], of_row[rest].tolist())
        first = [int(np.flatnonzero(of_row == name)[0]) for name in held]  # the frame itself, not its copies
        good += _scores(place, patches[first], counts[first], top_count)
        for _ in range(DRAWS):
            mixed = np.stack([_spoil(patches, counts, row, grid_hw, rng) for row in first])
            spoiled += _scores(place, mixed, counts[first], top_count)
    difference = np.array(spoiled)[:, None] - np.array(good)
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def _mean(patches: Floats, counts: Bools, rows: Doubles) -> Floats:
    total = np.zeros(patches.shape[1:])
    for row, valid in zip(patches, counts, strict=True):
        total += row * valid[:, None]
    return in_16_bits(total / np.maximum(rows, 1.0)[:, None])


def _whitening(patches: Floats, counts: Bools, mean: Floats) -> Floats:
    size = mean.shape[1]
    scatter, level = np.zeros((size, size)), 0.0
    for row, valid in zip(patches, counts, strict=True):
        away = (row - mean)[valid]
        scatter += away.T @ away
        level += float(np.square(row[valid]).sum())
    return whitening_of(scatter, float(counts.sum()), level).astype(np.float32)


def _scores(place: Place, patches: Floats, counts: Bools, top_count: int) -> list[float]:
    distance = place.distance(patches) * counts
    return [float(np.sort(row)[-top_count:].mean()) for row in distance]


def _spoil(patches: Floats, counts: Bools, row: int, grid_hw: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return a frame's patches [P, d] with a block of another place and frame mixed in, inside the region."""
    width = grid_hw[1]
    spoiled: Floats = patches[row].copy()
    target = _block(rng.choice(np.flatnonzero(_fits(counts[row], grid_hw))), width)
    other = int(rng.integers(len(patches)))
    source = _block(rng.choice(np.flatnonzero(_fits(counts[other], grid_hw))), width)
    spoiled[target] += MIXED * (patches[other][source] - spoiled[target])
    return spoiled


def _fits(counts: Bools, grid_hw: tuple[int, int]) -> Bools:
    """Where a block's upper left patch may lie [P]: inside the grid, and in the region where that leaves any place."""
    height, width = grid_hw
    grid = np.zeros(grid_hw, np.bool_)
    grid[: height - BLOB + 1, : width - BLOB + 1] = True
    inside = grid & counts.reshape(grid_hw)
    free: Bools = inside if inside.any() else grid
    return free.ravel()


def _block(corner: int, width: int) -> npt.NDArray[np.int64]:
    """Patch numbers of the block whose upper left patch is given."""
    return np.array([corner + y * width + x for y in range(BLOB) for x in range(BLOB)], np.int64)
