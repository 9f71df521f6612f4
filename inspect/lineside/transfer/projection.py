"""Projections of the taps: random ones, of which only a scale a tap is fitted, or whitening ones."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lineside.transfer.head import Features, HeadShape
from lineside.transfer.rows import Rows, patches_of

Floats = npt.NDArray[np.float32]

WHITENED_DIMENSIONS = 256
"""Directions kept at most, the leading ones: more make the search slow."""
RIDGE = 0.01
"""Share of the mean variance added to every direction. Measured on caps with 8 and 50 good frames, AUROC with 0.01 and
0.1: 0.901, 0.992 and 0.876, 0.989."""


def random_projections(shape: HeadShape, features: Features, seed: int) -> tuple[Floats, ...]:
    """Make one projection a tap: random orthonormal rows or a plain placing, over the tap's typical deviation.

    The scale makes the taps count alike: without it the tap with the largest activations decides alone.
    """
    total = sum(shape.channels)
    if shape.projected:
        gaussian = np.random.default_rng(seed).standard_normal((total, shape.dimensions))
        basis = np.linalg.qr(gaussian)[0] * math.sqrt(total / shape.dimensions)  # [total, d]
    else:
        basis = np.eye(total)
    return _split(shape, features, basis)


def _split(shape: HeadShape, features: Features, basis: npt.NDArray[np.float64]) -> tuple[Floats, ...]:
    """Cut a basis [total, d] into a projection a tap, each over the tap's typical deviation."""
    projections, start = [], 0
    for number, channels in enumerate(shape.channels):
        deviation = float(features[number].std(axis=(0, 2, 3), dtype=np.float64).mean())
        scale = 1.0 / (max(deviation, 1e-6) * math.sqrt(channels))
        block = basis[start : start + channels].T * scale  # [d, channels]
        projections.append(np.ascontiguousarray(block, dtype=np.float32)[:, :, None, None])
        start += channels
    return tuple(projections)


def whitened_projections(shape: HeadShape, known: Rows, seed: int) -> tuple[HeadShape, tuple[Floats, ...]]:
    """Shape and projections under which good patches vary alike in all directions."""
    total = sum(shape.channels)
    plain = replace(shape, dimensions=total, projected=False)
    patches, counts = patches_of(plain, known, random_projections(plain, known.features, seed))
    away = patches[counts] - patches[counts].mean(axis=0)
    variances, directions = np.linalg.eigh(away.T.astype(np.float64) @ away / len(away))  # ascending
    mean = max(float(variances.mean()), 1e-12)
    weights = math.sqrt(mean) / np.sqrt(np.maximum(variances, 0.0) + RIDGE * mean)
    kept = min(WHITENED_DIMENSIONS, total)
    basis = (directions * weights)[:, -kept:]  # [total, kept]
    return replace(shape, dimensions=kept, projected=True), _split(shape, known.features, basis)
