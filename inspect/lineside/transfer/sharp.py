"""The sharp half of a patch's distance: the patch by itself, without the average over its neighbours.

The 3×3 average makes scores steady and the map blurred: a scratch reaches a patch further than it is. So every patch is
measured twice, as it is averaged and as it is, and its distance is the geometric mean of both: high where both are.

`memory`: the patch as it is against a memory of such patches, as the averaged one is. `place`: against what its own
place shows on good frames, mean and covariance of a few random directions, after PaDiM (Defard et al., ICPR 2020). It
is used where good frames show a fixed place, aligned by a pose or held there by the line: `fixedness` says so. Places
need augmented copies: without them the covariance of few frames is blind to how they may yet differ.

Measured (lite0, strides 8/16; image AUROC and AUPRO (0.3) of the averaged patch alone, with the memory, with the
place; means over 2 draws of 8 and 50 good frames, caps at most 40). Ball-screw drives: 0.910, 0.724 and 0.924, 0.704;
0.912, 0.768 and 0.923, 0.744; 0.912, 0.807 and 0.931, 0.856. Weave: 1.000, 0.973 and 1.000, 0.972; 1.000, 0.980 and
1.000, 0.978; places harm it (0.979, 0.962 at 8). Caps at any angle: 0.926, 0.934 and 0.953, 0.908; 0.944, 0.952 and
0.972, 0.938; places harm them much (0.707, 0.864 at 8). Caps aligned, beside the distance from their place: 0.994,
0.969 and 0.999, 0.973; places 0.997, 0.976 and 1.000, 0.982.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Sharp = Literal["off", "memory", "place"]
SHARP_INPUTS: dict[Sharp, tuple[str, ...]] = {
    "off": (),
    "memory": ("sharp_memory",),
    "place": ("sharp_basis", "sharp_mean", "sharp_whitening"),
}
"""Names of the graph's inputs that hold what was fitted."""
DIRECTIONS = 32
"""Random directions in which a place is known; the bundle grows with their square. Measured on ball-screw drives, AUPRO
with 16, 32 and 48: 0.807, 0.807, 0.816 from 8 good frames and 0.848, 0.856, 0.847 from 50 (± 0.01 over projections)."""
RIDGE = 0.03
"""Share of the mean variance of all places added to every direction. Measured there, AUPRO with 0.01, 0.03 and 0.1:
0.807, 0.810, 0.814 from 8 and 0.856, 0.853, 0.847 from 50; image AUROC 0.912, 0.913, 0.913 and 0.931, 0.929, 0.925."""
FIXED = 0.65
"""Fixedness from which on places count. Measured on 8 to 50 good frames: drives 0.77 to 0.79, caps aligned by their
pose 0.84 to 0.86; weave 0.25 to 0.34, caps at any angle 0.44 to 0.50."""
LEAST_FRAMES = 3
"""Good frames that places are learned from at least."""
FOLDS = 3


@dataclass(frozen=True)
class SharpPlace:
    """What good frames show at each place, in a few directions."""

    basis: Floats
    """[d, r]: the directions."""
    mean: Floats
    """[P, r]."""
    whitening: Floats
    """[P, r, r]: deviations from the mean times it, of good frames that were not learned from, have a mean squared
    length of about 1."""

    @property
    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """In the order of `SHARP_INPUTS`."""
        return self.basis, self.mean, self.whitening


@dataclass(frozen=True)
class SharpCounts:
    """What must be kept so that places can learn from more good frames; the rest stands in `SharpPlace`.

    Attributes
    ----------
    rows : ndarray of float64 [P]
        Good patches of each place, augmented copies included.
    ridge : float
        Variance added to every direction.
    scale : float
        Factor on every distance.
    """

    rows: Doubles
    ridge: float
    scale: float


def sharp_distance(sharp: Sharp, patches: Tensor, fitted: Sequence[Tensor]) -> Tensor:
    """Distance of each patch as it is.

    Parameters
    ----------
    sharp : "memory" or "place"
    patches : Tensor of float32 [N, P, d]
    fitted : sequence of Tensor
        In the order of `SHARP_INPUTS`.

    Returns
    -------
    Tensor of float32 [N, P]
    """
    if sharp == "memory":
        return to_memory(patches, fitted[0])[0]
    basis, mean, whitening = fitted
    away = torch.matmul(patches, basis) - mean  # [N, P, r]
    white = torch.matmul(away.transpose(0, 1), whitening)  # [P, N, r]
    return white.square().sum(dim=2).sqrt().t()


def to_memory(patches: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [N, P] of patches [N, P, d] to the nearest entry of the memory [M, d], and which that is."""
    half = 0.5 * (memory * memory).sum(dim=1)  # [M]
    closeness = torch.matmul(patches, memory.t()) - half  # [N, P, M], largest where the distance is smallest
    index = closeness.topk(1, dim=2).indices[:, :, 0]  # [N, P]
    nearest = memory.index_select(0, index.flatten()).reshape(patches.shape)  # [N, P, d]
    return (patches - nearest).square().sum(dim=2).sqrt(), index  # from |p|² - 2pm + |m|² it would be rounding


def sharp_example(sharp: Sharp, places: int, size: int) -> dict[str, Tensor]:
    """Return inputs of the right shapes for an export; a memory's number of entries is to be dynamic."""
    directions = min(DIRECTIONS, size)
    shapes: dict[str, tuple[int, ...]] = {
        "sharp_memory": (16, size),
        "sharp_basis": (size, directions),
        "sharp_mean": (places, directions),
        "sharp_whitening": (places, directions, directions),
    }
    return {name: torch.ones(shapes[name]) for name in SHARP_INPUTS[sharp]}


def fixedness(patches: Floats, counts: Bools, seed: int) -> float:
    """Share of how good patches differ that is explained by where they lie: 0 for a texture, near 1 for a fixed part.

    Parameters
    ----------
    patches : ndarray of float32 [n, P, d]
        As they are, one row a frame: augmented copies differ by more than the part does.
    counts : ndarray of bool [n, P]
        Which of them lie inside the region.
    seed : int
        Of the folds.

    Returns
    -------
    float
        1 - (squared deviation from the place's mean) / (from the mean of all), both of frames that the means have not
        seen, freed of what few frames leave the means uncertain; 0 where there are fewer than 3 frames.
    """
    if len(patches) < LEAST_FRAMES:
        return 0.0
    order, left, whole = np.random.default_rng(seed).permutation(len(patches)), 0.0, 0.0
    for fold in range(FOLDS):
        held = np.isin(np.arange(len(patches)), order[fold::FOLDS])
        mean, rows = _mean(patches[~held], counts[~held])
        overall = (mean * rows[:, None]).sum(axis=0) / max(float(rows.sum()), 1.0)
        known = counts[held] & (rows > 0)
        off = np.square(patches[held] - mean.astype(np.float32)).sum(axis=2, dtype=np.float64)  # [n, P]
        left += float((off * (rows / (rows + 1.0)))[known].sum())  # the mean itself is off by 1/rows of a variance
        whole += float(np.square((patches[held] - overall.astype(np.float32))[known]).sum(dtype=np.float64))
    return max(0.0, 1.0 - left / whole) if whole > 0 else 0.0


def fit_sharp_place(patches: Floats, counts: Bools, frames: Sequence[int], seed: int) -> tuple[SharpPlace, SharpCounts]:
    """Learn each place from good patches.

    Distances are brought to a unit in which good frames that were not learned from have a mean square of 1: few frames
    leave a covariance too small, and without that the heads of the cross-fitting, which have fewer, would score higher
    than the deployed one.

    Parameters
    ----------
    patches : ndarray of float32 [n, P, d]
        As they are, of frames and their augmented copies.
    counts : ndarray of bool [n, P]
        Which of them lie inside the region.
    frames : sequence of int [n]
        Which frame each row shows; the frame itself first, its copies behind it.
    seed : int
        Of the directions.
    """
    size = patches.shape[2]
    gaussian = np.random.default_rng(seed).standard_normal((size, min(DIRECTIONS, size)))
    basis = np.linalg.qr(gaussian)[0].astype(np.float32)
    reduced = patches @ basis  # [n, P, r]
    mean, rows = _mean(reduced, counts)
    scatter = _scatter(reduced, counts, mean)
    ridge = RIDGE * _mean_variance(scatter, rows)
    known = SharpCounts(rows, ridge, 1.0 / math.sqrt(_left_out(reduced, counts, frames, scatter, ridge)))
    return SharpPlace(basis, mean.astype(np.float32), _whitening(scatter, known)), known


def extended_sharp_place(
    place: SharpPlace, old: SharpCounts, patches: Floats, counts: Bools
) -> tuple[SharpPlace, SharpCounts]:
    """Let places learn from further good patches [n, P, d]; the old ones' scatter is read out of the whitening."""
    reduced = patches @ place.basis
    added = counts.sum(axis=0).astype(np.float64)
    rows = old.rows + added
    total = place.mean * old.rows[:, None] + np.einsum("npr,np->pr", reduced, counts.astype(np.float64))
    mean = total / np.maximum(rows, 1.0)[:, None]
    moved = place.mean - mean
    scatter = _scatter_of(place.whitening, old) + _scatter(reduced, counts, mean)
    scatter += old.rows[:, None, None] * moved[:, :, None] * moved[:, None, :]
    known = replace(old, rows=rows)
    return SharpPlace(place.basis, mean.astype(np.float32), _whitening(scatter, known)), known


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


def _mean_variance(scatter: Doubles, rows: Doubles) -> float:
    several = rows > 1
    variances = np.trace(scatter[several], axis1=1, axis2=2) / (rows[several] - 1.0) / scatter.shape[1]
    return max(float(variances.mean()) if several.any() else 1.0, 1e-9)


def _left_out(patches: Floats, counts: Bools, frames: Sequence[int], scatter: Doubles, ridge: float) -> float:
    """Mean squared distance of frames from places that were learned without them and their copies.

    In closed form (Woodbury's identity). With A the scatter and its ridge, a frame's deviations x_1 … x_m from the mean
    of all and s their sum, the others' scatter is A - U'U, where the rows of U are the x and s/√rest, and the frame's
    deviation from the others' mean is U'c with c = (1, 0 …, 1/√rest). So the squared distance is c' H (1 - H)^-1 c,
    H = U A^-1 U', times the others' degrees of freedom.
    """
    mean, rows = _mean(patches, counts)
    inner = scatter + (ridge * np.maximum(rows - 1.0, 1.0))[:, None, None] * np.eye(scatter.shape[1])
    inverse, of_row = np.linalg.inv(inner), np.asarray(frames)
    total, number = 0.0, 0
    for frame in np.unique(of_row):
        mine = np.flatnonzero(of_row == frame)
        away = ((patches[mine] - mean) * counts[mine][:, :, None]).transpose(1, 0, 2)  # [P, m, r]
        rest = rows - counts[mine].sum(axis=0)
        usable = counts[mine[0]] & (rest > 1)
        root = np.sqrt(rest[usable])[:, None]
        taken = np.concatenate((away[usable], (away[usable].sum(axis=1) / root)[:, None]), axis=1)  # [p, m + 1, r]
        weights = np.zeros(taken.shape[:2])
        weights[:, 0], weights[:, -1] = 1.0, 1.0 / root[:, 0]
        hat = taken @ inverse[usable] @ taken.transpose(0, 2, 1)
        solved = np.linalg.solve(np.eye(hat.shape[1]) * (1.0 + 1e-9) - hat, weights[:, :, None])
        total += float(((rest[usable] - 1.0)[:, None] * (weights[:, None] @ hat @ solved)[:, 0]).sum())
        number += int(usable.sum())
    return max(total / number, 1e-12) if number else float(patches.shape[2])


def _whitening(scatter: Doubles, known: SharpCounts) -> Floats:
    """Factor of each place's inverse covariance [P, r, r], scaled."""
    freedom = np.maximum(known.rows - 1.0, 1.0)[:, None, None]
    covariance = scatter / freedom + known.ridge * np.eye(scatter.shape[1])
    return np.asarray(known.scale * np.linalg.cholesky(np.linalg.inv(covariance)), np.float32)


def _scatter_of(whitening: Floats, known: SharpCounts) -> Doubles:
    """Undo `_whitening`."""
    factors = whitening.astype(np.float64) / known.scale
    covariance = np.linalg.inv(factors @ factors.transpose(0, 2, 1)) - known.ridge * np.eye(whitening.shape[1])
    return np.asarray(covariance * np.maximum(known.rows - 1.0, 1.0)[:, None, None], np.float64)
