"""How far a patch is from what is known of good ones: five ways, every fitted number an argument.

`place`: to the mean of its own place on the part (`lineside.transfer.place`). `nearest`: to the nearest entry of a
memory (PatchCore: Roth et al., CVPR 2022). `density`: the same, over how far good patches lie apart around that entry
(after the local outlier factor: Breunig et al., SIGMOD 2000). `subspace`: what the leading directions of good patches
leave over (Rippel et al., ICPR 2020; PaDiM and the older PCA residual alike). `combined`: the mean of nearest and
subspace, each first turned into how rare such a distance is among held-out good patches.

`nearest` is the default. Measured on lite0, strides 8/16, 3 draws, image AUROC of nearest, subspace with 99 % of the
variance, and their sum over their means: ball-screw drives from 8, 50 and 100 good frames 0.913, 0.929, 0.924; 0.878,
0.889, 0.891; 0.899, 0.903, 0.900. Caps at any angle from 8 and 50: 0.783, 0.960; 0.877, 0.929; 0.874, 0.969. What helps
the caps is the whitening in it, and that is to be had with the memory too (`lineside.transfer.head_fit`): 0.901, 0.992.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]
Way = Literal["place", "nearest", "density", "subspace", "combined"]
WAY_INPUTS: dict[Way, tuple[str, ...]] = {
    "place": ("place_mean", "place_whitening", "place_weight"),
    "nearest": ("memory",),
    "density": ("memory", "memory_weight"),
    "subspace": ("subspace_mean", "subspace_residual"),
    "combined": ("memory", "subspace_mean", "subspace_residual", "rank_knots", "rank_slopes"),
}
"""Names of the graph's inputs that hold what was fitted."""
KNOTS = 16
"""Of the curve from a distance to its rarity."""


@dataclass(frozen=True)
class Subspace:
    """The leading directions of good patches, by what they leave over."""

    mean: Floats
    """[d]."""
    residual: Floats
    """[d, d], symmetric: takes the leading directions out of a deviation."""


@dataclass(frozen=True)
class Ranks:
    """Curves from a distance to its rarity among held-out good patches, one a row, nearest first, then subspace."""

    knots: Floats
    """[2, K]: distances at which a curve bends, ascending."""
    slopes: Floats
    """[2, K]: by how much it becomes steeper there, in decades (-log10 of the share of good patches beyond)."""


def distance(way: Way, patches: Tensor, fitted: tuple[Tensor, ...]) -> Tensor:
    """Measure patches.

    Parameters
    ----------
    way : Way
    patches : Tensor of float32 [N, P, d]
    fitted : tuple of Tensor
        In the order of `WAY_INPUTS`.

    Returns
    -------
    Tensor of float32 [N, P]
    """
    if way == "place":
        return _to_place(patches, *fitted)
    if way == "nearest":
        return to_memory(patches, fitted[0])[0]
    if way == "density":
        nearest, index = to_memory(patches, fitted[0])
        return nearest * fitted[1].index_select(0, index.flatten()).reshape(nearest.shape)
    if way == "subspace":
        return _to_subspace(patches, *fitted)
    memory, mean, residual, knots, slopes = fitted
    near, left = to_memory(patches, memory)[0], _to_subspace(patches, mean, residual)
    return 0.5 * (_rarity(near, knots[0], slopes[0]) + _rarity(left, knots[1], slopes[1]))


def example_inputs(way: Way, places: int, size: int) -> dict[str, Tensor]:
    """Return inputs of the right shapes for an export; a memory's number of entries is to be dynamic."""
    shapes: dict[str, tuple[int, ...]] = {
        "place_mean": (places, size), "place_whitening": (size, size), "place_weight": (places,), "memory": (16, size),
        "memory_weight": (16,), "subspace_mean": (size,), "subspace_residual": (size, size),
        "rank_knots": (2, KNOTS), "rank_slopes": (2, KNOTS),
    }  # fmt: skip
    return {name: torch.ones(shapes[name]) for name in WAY_INPUTS[way]}


def to_memory(patches: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Distance [N, P] of patches [N, P, d] to the nearest entry of the memory [M, d], and which that is."""
    half = 0.5 * (memory * memory).sum(dim=1)  # [M]
    flat = patches.reshape(-1, memory.shape[1])  # [N P, d]
    closeness = torch.addmm(-half, flat, memory.t())  # [N P, M], largest where the distance is smallest; one Gemm
    index = closeness.argmax(dim=1).reshape(patches.shape[:2])  # [N, P]
    nearest = memory.index_select(0, index.flatten()).reshape(patches.shape)  # [N, P, d]
    return (patches - nearest).square().sum(dim=2).sqrt(), index  # from |p|² - 2pm + |m|² it would be rounding


def _to_place(patches: Tensor, mean: Tensor, whitening: Tensor, weight: Tensor) -> Tensor:
    """Distance [N, P] of patches [N, P, d] to the mean [P, d] of their place."""
    return torch.matmul(patches - mean, whitening).square().sum(dim=2).sqrt() * weight


def _to_subspace(patches: Tensor, mean: Tensor, residual: Tensor) -> Tensor:
    return torch.matmul(patches - mean, residual).square().sum(dim=2).sqrt()


def _rarity(distances: Tensor, knots: Tensor, slopes: Tensor) -> Tensor:
    """Piecewise linear, 0 up to the first knot, as steep beyond the last as before it: [N, P]."""
    return (torch.relu(distances[:, :, None] - knots) * slopes).sum(dim=2)
