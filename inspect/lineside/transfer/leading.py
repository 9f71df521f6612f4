"""A memory searched in the directions in which good patches differ most, the others left to their mean.

A search multiplies every patch with every entry in all directions, and took nearly as long as half the network. But in
most directions good patches differ little, and there a patch is about as far from the nearest entry as from the mean of
all. So patches are compared with entries in the leading half of the directions, 32 at most, and what a patch has in the
others counts as its distance from the mean. That is one smooth function of the patch and no approximation of another:
where two entries are equally near nothing jumps, and reference and graph agree.

With z the patch and e an entry in those directions, both from the centre c, the squared distance is
|x - c|² - max(2 z·e - |e|²): the search is one product and a maximum.

Measured on heads alone (lite0, strides 8/16, light and pose off, 50 good frames), image AUROC and AUPRO (0.3). Weave,
one projection, in all 128 directions, in 64 and in 32: 1.000, 0.979; 1.000, 0.980; 1.000, 0.980; in 32 without the
distance in the others (averaged patches too) 0.990, 0.960. Weave, 4 projections, in all directions, and in 32 with
every second averaged patch: 0.999, 0.977 both, and of 144 defective frames 1 below the level that 5 % of the good
exceed, both. Where the embedding is whitened no direction leads, and this harms: caps at any angle, 5 projections,
0.983, 0.961 in all 152 directions and 0.980, 0.964 in 64; averaged patches alone in 64 of them 0.971, 0.958 against
0.978, 0.956 (one projection). There all directions are searched. Rejected: directions in which the nearest entry
explains most of a patch (caps, 4 projections, every second averaged patch: 0.974, 0.964 against 0.984, 0.962 of all in
all directions); half the entries (one projection: weave 0.998, 0.976; caps 0.972, 0.955).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]

MOST_DIRECTIONS = 32
"""See the header."""


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


def fit_leading(points: Floats) -> Leading:
    """Learn the directions in which good patches [n, d] differ most."""
    centre = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    away = points - centre
    _, directions = np.linalg.eigh(away.T.astype(np.float64) @ away)  # ascending
    kept = directions[:, ::-1][:, : directions_of(points.shape[1])]
    return Leading(centre, np.ascontiguousarray(kept, np.float32))


def from_memory(patches: Tensor, memory: Tensor, centre: Tensor, basis: Tensor) -> Tensor:
    """Distance [N, P] of patches [N, P, d]: from the entries [M, d] in leading directions, from the centre in others.

    In a deployed graph all that concerns the entries alone is computed when it is opened.
    """
    entries = torch.matmul(memory - centre, basis)  # [M, r]
    table = torch.cat((entries.t(), -0.5 * entries.square().sum(dim=1)[None]))  # [r + 1, M]
    away = patches - centre  # [N, P, d]
    wide = torch.nn.functional.pad(basis, (0, 1))  # [d, r + 1]
    one = torch.tensor([0.0] * basis.shape[1] + [1.0])
    turned = torch.addmm(one, away.reshape(-1, basis.shape[0]), wide)  # [N P, r + 1], the last column 1
    closeness = torch.matmul(turned, table).amax(dim=1).reshape(patches.shape[:2])  # [N, P]
    length: Tensor = torch.linalg.vector_norm(away, dim=2)
    return (length.square() - 2.0 * closeness).clamp(min=0.0).sqrt()
