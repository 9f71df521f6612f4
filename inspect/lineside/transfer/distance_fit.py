"""Fitting what the further ways of comparing need: density, subspace, and the curves that bring two together."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lineside.transfer.distance import KNOTS, Ranks, Subspace, Way
from lineside.transfer.head import HeadShape, HeadValues, patch_distances
from lineside.transfer.memory import k_centre

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

FOLDS = 3
EXPLAINED = 0.99
"""Share of the variance that the subspace takes up."""
NEIGHBOURS = 5
"""Good patches around an entry whose mean distance is its density."""
DENSITY_LIMITS = (0.5, 2.0)
"""A lonely entry makes its neighbourhood at most this much less or more sensitive."""
SAMPLED = 20_000
"""Patches that densities are measured on."""
QUANTILES = np.concatenate(([0.0, 0.25], 1.0 - np.logspace(math.log10(0.5), -3.5, KNOTS - 2)))
"""Of held-out good distances, where the curve of rarity bends."""


def fit_density(points: Floats, memory: Floats, seed: int) -> Floats:
    """Factor on the distances to each entry [M]: less than 1 where good patches lie far apart."""
    sample = points[np.random.default_rng(seed).permutation(len(points))[:SAMPLED]]
    around = np.empty(len(memory), np.float64)
    squares, count = np.einsum("nd,nd->n", sample, sample), min(NEIGHBOURS + 1, len(sample))
    for start in range(0, len(memory), 256):
        entries = memory[start : start + 256]
        squared = squares - 2.0 * entries @ sample.T + np.einsum("md,md->m", entries, entries)[:, None]
        nearest = np.sort(np.partition(squared, count - 1, axis=1)[:, :count], axis=1)[:, 1:]  # the entry itself first
        around[start : start + 256] = np.sqrt(np.maximum(nearest, 0.0)).mean(axis=1) if count > 1 else 1.0
    typical = max(float(np.median(around)), 1e-9)
    return np.clip(typical / np.maximum(around, 1e-9), *DENSITY_LIMITS).astype(np.float32)


def fit_subspace(points: Floats) -> Subspace:
    """Learn the leading directions of good patches [n, d]."""
    mean = points.mean(axis=0)
    away = points - mean
    variances, directions = np.linalg.eigh(away.T.astype(np.float64) @ away / len(away))
    shares = np.cumsum(variances[::-1]) / max(float(variances.sum()), 1e-12)
    leading = directions[:, ::-1][:, : int((shares < EXPLAINED).sum()) + 1]
    residual = np.eye(len(mean)) - leading @ leading.T
    return Subspace(mean.astype(np.float32), residual.astype(np.float32))


def fit_ranks(shape: HeadShape, patches: Floats, counts: Bools, frames: Sequence[int], seed: int) -> Ranks:
    """Curves of rarity, from distances of frames that memory and subspace were fitted without."""
    names, of_row = np.unique(np.asarray(frames)), np.asarray(frames)
    found: list[list[Floats]] = [[], []]
    folds = min(FOLDS, len(names))
    shuffled = np.random.default_rng(seed).permutation(names)
    for fold in range(folds):
        held = np.isin(of_row, shuffled[fold::folds])
        rest = ~held if folds > 1 else held
        points = patches[rest][counts[rest]]
        memory = points[k_centre(points, shape.memory, seed)]
        ways: tuple[tuple[Way, HeadValues], ...] = (
            ("nearest", HeadValues((), (), memory=memory)),
            ("subspace", HeadValues((), (), subspace=fit_subspace(points))),
        )
        for number, (way, values) in enumerate(ways):
            distances = patch_distances(replace(shape, way=way), values, patches[held])
            found[number].append(distances[counts[held]])
    curves = [_curve(np.concatenate(one)) for one in found]
    return Ranks(*(np.stack([curve[i] for curve in curves]) for i in (0, 1)))


def _curve(distances: Floats) -> tuple[Floats, Floats]:
    """Knots and changes of slope [K] of -log10 of the share of distances beyond."""
    knots = np.quantile(distances.astype(np.float64), QUANTILES)
    least = 1e-4 * max(float(knots[-1] - knots[0]), 1e-6)
    knots = knots[0] + np.maximum.accumulate(knots - knots[0] + least * np.arange(KNOTS))
    heights = -np.log10(1.0 - QUANTILES)
    slopes = np.diff(heights) / np.diff(knots)
    changes = np.diff(np.concatenate(([0.0], slopes, slopes[-1:])))
    return knots.astype(np.float32), changes.astype(np.float32)
