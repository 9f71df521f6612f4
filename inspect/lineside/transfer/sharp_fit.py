"""Learning what each place shows of patches as they are, and whether there are fixed places at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.transfer.sharp import DIRECTIONS, SharpPlace
from lineside.transfer.triangles import Triangles

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

RIDGE = 0.03
"""Share of the mean variance of all places added to every direction. Measured on ball-screw drives, AUPRO with 0.01,
0.03 and 0.1: 0.807, 0.810, 0.814 from 8 good frames and 0.856, 0.853, 0.847 from 50; image AUROC 0.912, 0.913, 0.913
and 0.931, 0.929, 0.925."""
LEAST_RIDGE = 1e-4
"""Of a patch's mean square, so that frames that are all alike leave numbers that single precision can hold."""
FIXED = 0.65
"""Fixedness from which on places count. Measured on 8 to 50 good frames: drives 0.79 to 0.82, caps aligned by their
pose 0.84 to 0.86; weave 0.3 to 0.4, caps at any angle 0.5."""
LEAST_PARTS = 3
"""Good parts that places are learned from at least."""
FOLDS = 3
LEFT_OUT = 16
"""Parts at most that are left out in turn to find the unit: each gives a number for every place."""


@dataclass(frozen=True)
class SharpCounts:
    """What must be kept so that places can learn from more good frames; the rest stands in `SharpPlace`.

    Attributes
    ----------
    rows : ndarray of float64 [P]
        Good patches of each place, augmented copies included.
    typical : float
        Patches of a usual place. One that was seen less often takes the missing ones from all places together.
    common : ndarray of float64 [r, r]
        Covariance of all places together.
    ridge : float
        Variance added to every direction.
    scale : float
        Factor on every distance.
    """

    rows: Doubles
    typical: float
    common: Doubles
    ridge: float
    scale: float

    @property
    def borrowed(self) -> Doubles:
        """Patches that each place takes from all together [P]."""
        return np.maximum(self.typical - self.rows, 0.0)

    @property
    def freedom(self) -> Doubles:
        """Degrees of freedom of each place's covariance [P]."""
        return np.maximum(self.rows - 1.0, 0.0) + self.borrowed


@dataclass(frozen=True)
class _Seen:
    """Sums over good patches."""

    mean: Doubles
    """[P, r]"""
    scatter: Doubles
    """[P, r, r]"""


def fixedness(patches: Floats, counts: Bools, parts: Sequence[int], seed: int) -> float:
    """Share of how good patches differ that is explained by where they lie: 0 for a texture, near 1 for a fixed part.

    Parameters
    ----------
    patches : ndarray of float32 [n, P, d]
        As they are, one row a frame: augmented copies differ by more than the part does.
    counts : ndarray of bool [n, P]
        Which of them lie inside the region.
    parts : sequence of int [n]
        Which physical part each row shows.
    seed : int
        Of the folds.

    Returns
    -------
    float
        1 - (squared deviation from the place's mean) / (from the mean of all), both of parts that the means have not
        seen, freed of what few frames leave the means uncertain; 0 where there are fewer than 3 parts.
    """
    names, of_row = np.unique(np.asarray(parts)), np.asarray(parts)
    if len(names) < LEAST_PARTS:
        return 0.0
    order, left, whole = np.random.default_rng(seed).permutation(names), 0.0, 0.0
    for fold in range(FOLDS):
        held = np.isin(of_row, order[fold::FOLDS])
        mean, rows = _mean(patches[~held], counts[~held])
        overall = (mean * rows[:, None]).sum(axis=0) / max(float(rows.sum()), 1.0)
        known = counts[held] & (rows > 0)
        off = np.square(patches[held] - mean.astype(np.float32)).sum(axis=2, dtype=np.float64)  # [n, P]
        left += float((off * (rows / (rows + 1.0)))[known].sum())  # the mean itself is off by 1/rows of a variance
        whole += float(np.square((patches[held] - overall.astype(np.float32))[known]).sum(dtype=np.float64))
    return max(0.0, 1.0 - left / whole) if whole > 0 else 0.0


def sharp_basis(size: int, seed: int) -> Floats:
    """Return the random orthonormal directions [size, r] that places are known in."""
    gaussian = np.random.default_rng(seed).standard_normal((size, min(DIRECTIONS, size)))
    return np.asarray(np.linalg.qr(gaussian)[0], np.float32)


def fit_sharp_place(
    basis: Floats, turned: Floats, counts: Bools, frames: Sequence[int], parts: Sequence[int]
) -> tuple[SharpPlace, SharpCounts]:
    """Learn each place from good patches.

    Distances are brought to a unit in which good parts that were not learned from have a mean square of 1: few frames
    leave a covariance too small, and without that the heads of the cross-fitting, which have fewer, would score higher
    than the deployed one.

    Parameters
    ----------
    basis : ndarray of float32 [d, r]
        Of `sharp_basis`.
    turned : ndarray of float32 [n, P, r]
        Patches as they are times the basis, of frames and their augmented copies.
    counts : ndarray of bool [n, P]
        Which of them lie inside the region.
    frames, parts : sequence of int [n]
        Which frame, and which physical part, each row shows; a frame itself first, its copies behind it.
    """
    mean, rows = _mean(turned, counts)
    seen = _Seen(mean, _scatter(turned, counts, mean))
    common = seen.scatter.sum(axis=0) / max(float(np.maximum(rows - 1.0, 0.0).sum()), 1.0)
    level = float(np.square(turned[counts], dtype=np.float64).mean()) if counts.any() else 1.0
    ridge = max(RIDGE * float(np.trace(common)) / len(common), LEAST_RIDGE * level, 1e-12)
    typical = float(np.median(rows[rows > 0])) if rows.any() else 0.0
    return _finished(basis, seen, SharpCounts(rows, typical, common, ridge, 1.0), turned, counts, frames, parts)


def extended_sharp_place(
    place: SharpPlace, old: SharpCounts, patches: Floats, counts: Bools
) -> tuple[SharpPlace, SharpCounts]:
    """Let places learn from further good patches [n, P, d], a frame and a part each.

    The old ones' scatter is read out of the whitening. The unit is taken anew, from the new frames: a covariance of
    more frames makes distances smaller, and the old scores, each by a head that had not seen its part, are in it.
    """
    reduced = patches @ place.basis
    added = counts.sum(axis=0).astype(np.float64)
    rows = old.rows + added
    total = place.mean * old.rows[:, None] + np.einsum("npr,np->pr", reduced, counts.astype(np.float64))
    mean = total / np.maximum(rows, 1.0)[:, None]
    moved = place.mean - mean
    scatter = _scatter_of(place.whitening, old) + _scatter(reduced, counts, mean)
    scatter += old.rows[:, None, None] * moved[:, :, None] * moved[:, None, :]
    each = range(len(patches))
    return _finished(place.basis, _Seen(mean, scatter), replace(old, rows=rows), reduced, counts, each, each)


def _finished(
    basis: Floats,
    seen: _Seen,
    known: SharpCounts,
    reduced: Floats,
    counts: Bools,
    frames: Sequence[int],
    parts: Sequence[int],
) -> tuple[SharpPlace, SharpCounts]:
    """Find the unit by leaving out the parts of these rows, and write the places down."""
    squared = _left_out(reduced, counts, frames, parts, seen, known)
    known = replace(known, scale=1.0 / math.sqrt(squared))
    return SharpPlace(basis, seen.mean.astype(np.float32), _whitening(seen.scatter, known)), known


def _mean(patches: Floats, counts: Bools) -> tuple[Doubles, Doubles]:
    """Mean of each place [P, r], and how many patches it is of [P]."""
    rows = counts.sum(axis=0).astype(np.float64)
    total = np.zeros(patches.shape[1:])
    for row, valid in zip(patches, counts, strict=True):
        total += row * valid[:, None]
    return total / np.maximum(rows, 1.0)[:, None], rows


def _scatter(patches: Floats, counts: Bools, mean: Doubles) -> Doubles:
    """Sum of each place's outer products of deviations [P, r, r]."""
    away = ((patches - mean) * counts[:, :, None]).transpose(1, 2, 0)  # [P, r, n]
    return np.asarray(away @ away.transpose(0, 2, 1), np.float64)


def _left_out(
    patches: Floats,
    counts: Bools,
    frames: Sequence[int],
    parts: Sequence[int],
    seen: _Seen,
    known: SharpCounts,
) -> float:
    """Mean squared distance of frames from places that were learned without their part.

    In closed form (Woodbury's identity). With A the scatter and its ridge, a part's deviations x_1 … x_m from the mean
    of all and s their sum, the others' scatter is A - U'U, where the rows of U are the x and s/√rest, and the deviation
    of x_i from the others' mean is U'c with c = (0 …, 1, 0 …, 1/√rest). So its squared distance is c' H (1 - H)^-1 c,
    H = U A^-1 U', times the others' degrees of freedom. Places that borrow from the others are left out.
    """
    of_part, first = np.asarray(parts), np.zeros(len(patches), np.bool_)
    first[np.unique(np.asarray(frames), return_index=True)[1]] = True
    names = np.unique(of_part)
    chosen = names[np.unique(np.linspace(0, len(names) - 1, min(LEFT_OUT, len(names))).round().astype(int))]
    inverses, total, number = dict[bytes, Doubles](), 0.0, 0
    for part in chosen:
        mine = np.flatnonzero(of_part == part)
        rest = known.rows - counts[mine].sum(axis=0)
        usable = np.flatnonzero((known.borrowed == 0) & (rest > 1) & counts[mine].all(axis=0))
        if not len(usable):
            continue
        key = rest.tobytes() + usable.tobytes()
        if key not in inverses:
            inner = seen.scatter[usable] + _diagonal(known.ridge * (rest[usable] - 1.0), seen)
            inverses = {key: np.asarray(np.linalg.inv(inner), np.float64)}
        away = (patches[mine][:, usable] - seen.mean[usable]).transpose(1, 0, 2)  # [p, m, r]
        root = np.sqrt(rest[usable])
        taken = np.concatenate((away, away.sum(axis=1, keepdims=True) / root[:, None, None]), axis=1)  # [p, m + 1, r]
        hat = taken @ inverses[key] @ taken.transpose(0, 2, 1)
        solved = hat @ np.linalg.inv(np.eye(hat.shape[1]) * (1.0 + 1e-9) - hat)
        for row in np.flatnonzero(first[mine]):
            weights = np.zeros((len(usable), hat.shape[1]))
            weights[:, row], weights[:, -1] = 1.0, 1.0 / root
            squared = np.einsum("pi,pij,pj->p", weights, solved, weights) * (rest[usable] - 1.0)
            total, number = total + float(squared.sum()), number + len(usable)
    return max(total / number, 1.0) if number else float(seen.mean.shape[1])  # less is but rounding of equal frames


def _diagonal(values: Doubles, seen: _Seen) -> Doubles:
    return values[:, None, None] * np.eye(seen.mean.shape[1])


def _whitening(scatter: Doubles, known: SharpCounts) -> Triangles:
    """Factor of each place's inverse covariance [P, r, r], scaled; 0 where nothing was ever seen."""
    size = scatter.shape[1]
    pooled = scatter + known.borrowed[:, None, None] * known.common
    covariance = pooled / np.maximum(known.freedom, 1.0)[:, None, None] + known.ridge * np.eye(size)
    factors = known.scale * np.linalg.cholesky(np.linalg.inv(covariance))
    return Triangles.rounded(factors * (known.rows > 0)[:, None, None])


def _scatter_of(whitening: Floats, known: SharpCounts) -> Doubles:
    """Undo `_whitening`."""
    size, shown = whitening.shape[1], known.rows > 0
    factors = whitening[shown].astype(np.float64) / known.scale
    covariance = np.linalg.inv(factors @ factors.transpose(0, 2, 1)) - known.ridge * np.eye(size)
    scatter = np.zeros(whitening.shape)
    freedom, borrowed = (values[shown][:, None, None] for values in (np.maximum(known.freedom, 1.0), known.borrowed))
    scatter[shown] = covariance * freedom - borrowed * known.common
    return scatter
