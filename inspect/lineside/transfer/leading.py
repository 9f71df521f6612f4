"""A memory searched in the directions in which its entries tell something, the others left to a mean.

A full search multiplies every patch with every entry in all directions, and two such searches took longer than the
network. But an entry tells little of its neighbours in most directions: there a patch is as far from the nearest entry
as from the mean of all. So patches are compared with entries in the leading half of the directions, 64 at most, and
what a patch has in the others counts as its distance from the mean. That is one smooth function of the patch, no
approximation of another: where two entries are equally near, nothing jumps, and reference and graph agree.

With z the patch and e an entry in those directions, both from the centre c, the squared distance is
|x - c|² - max(2 z·e - |e|²): the search is one product and a maximum.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]

MOST_DIRECTIONS = 64
"""MEASURED"""
SAMPLED = 8192
"""Good patches that the directions are learned from."""


@dataclass(frozen=True)
class Leading:
    """In which directions a memory is searched."""

    centre: Floats
    """Mean of good patches, [d]."""
    basis: Floats
    """Orthonormal columns, [d, r]."""

    @property
    def arrays(self) -> tuple[Floats, Floats]:
        """Centre and basis."""
        return self.centre, self.basis


def directions_of(size: int) -> int:
    """Return in how many directions a memory of patches of this many dimensions is searched."""
    return min(MOST_DIRECTIONS, (size + 1) // 2)


def fit_leading(points: Floats, memory: Floats, seed: int) -> Leading:
    """Learn the directions: those in which the nearest entry explains most of how good patches lie about their mean.

    Parameters
    ----------
    points : ndarray of float32 [n, d]
        Good patches.
    memory : ndarray of float32 [M, d]
        Chosen among them.
    seed : int
        Draws the patches that are looked at.
    """
    centre = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    sample = points[np.random.default_rng(seed).permutation(len(points))[:SAMPLED]]
    half = 0.5 * np.einsum("md,md->m", memory, memory)
    nearest = memory[np.argmax(sample @ memory.T - half, axis=1)]
    away, left = ((sample - origin).astype(np.float64) for origin in (centre, nearest))
    _, directions = np.linalg.eigh(away.T @ away - left.T @ left)  # ascending
    kept = directions[:, ::-1][:, : directions_of(points.shape[1])]
    return Leading(centre, np.ascontiguousarray(kept, np.float32))


def from_memory(patches: Tensor, memory: Tensor, centre: Tensor, basis: Tensor) -> Tensor:
    """Distance [N, P] of patches [N, P, d] from the entries [M, d] in the leading directions, from the centre in others.

    In a deployed graph all that concerns the entries alone is computed when it is opened.
    """
    entries = torch.matmul(memory - centre, basis)  # [M, r]
    table = torch.cat((entries.t(), -0.5 * entries.square().sum(dim=1)[None]))  # [r + 1, M]
    away = patches - centre  # [N, P, d]
    wide = torch.nn.functional.pad(basis, (0, 1))  # [d, r + 1]
    one = torch.tensor([0.0] * basis.shape[1] + [1.0])
    turned = torch.addmm(one, away.reshape(-1, basis.shape[0]), wide)  # [N P, r + 1], the last column 1
    closeness = torch.matmul(turned, table).amax(dim=1).reshape(patches.shape[:2])  # [N, P]
    return (torch.linalg.vector_norm(away, dim=2).square() - 2.0 * closeness).clamp(min=0.0).sqrt()
