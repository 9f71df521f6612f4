"""The sharp half of a patch's distance: the patch by itself, without the average over its neighbours.

The 3×3 average makes scores steady and the map blurred: a scratch reaches a patch further than it is. So every patch is
measured twice, as it is averaged and as it is, and its distance is the geometric mean of both: high where both are.

`memory`: the patch as it is against a memory of such patches, as the averaged one is. `leading`: the same memory,
searched in its leading directions alone (`lineside.transfer.leading`), where the embedding is not whitened. `place`:
against what its own place shows on good frames, mean and covariance of a few random directions, after PaDiM (Defard et
al., ICPR 2020). It is used where good frames show a fixed place, aligned by a pose or held there by the line
(`lineside.transfer.sharp_fit`). Places are better with augmented copies: without them the covariance of few frames is
blind to how they may yet differ (drives without copies: 0.911, 0.787 and 0.916, 0.825).

Measured (lite0, strides 8/16; image AUROC and AUPRO (0.3) of the averaged patch alone, with the memory, with the
place; means over 2 draws of 8 and 50 good frames, caps at most 40). Ball-screw drives: 0.910, 0.724 and 0.924, 0.704;
0.912, 0.768 and 0.923, 0.744; 0.912, 0.807 and 0.931, 0.856. Weave: 1.000, 0.973 and 1.000, 0.972; 1.000, 0.980 and
1.000, 0.978; places harm it (0.979, 0.962 at 8). Caps at any angle: 0.926, 0.934 and 0.953, 0.908; 0.944, 0.952 and
0.972, 0.938; places harm them much (0.707, 0.864 at 8). Caps aligned, beside the distance from their place: 0.994,
0.969 and 0.999, 0.973; places 0.997, 0.976 and 1.000, 0.982.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lineside.transfer.leading import directions_of
from lineside.transfer.triangles import Triangles

Floats = npt.NDArray[np.float32]

Sharp = Literal["off", "memory", "leading", "place"]
SHARP_INPUTS: dict[Sharp, tuple[str, ...]] = {
    "off": (),
    "memory": ("sharp_memory",),
    "leading": ("sharp_memory", "sharp_memory_centre", "sharp_memory_basis"),
    "place": ("sharp_basis", "sharp_mean", "sharp_diagonal", "sharp_steps", "sharp_of_place", "sharp_of_entry"),
}
"""Names of the graph's inputs that hold what was fitted."""
DIRECTIONS = 32
"""Random directions in which a place is known; the bundle grows with their square. Measured on ball-screw drives, AUPRO
with 16, 32 and 48: 0.807, 0.807, 0.816 from 8 good frames and 0.848, 0.856, 0.847 from 50 (± 0.01 over projections)."""


@dataclass(frozen=True)
class SharpPlace:
    """What good frames show at each place, in a few directions."""

    basis: Floats
    """[d, r]: the directions."""
    mean: Floats
    """[P, r]."""
    triangles: Triangles
    """[P, r, r]: deviations from the mean times it, of good frames that were not learned from, have a mean squared
    length of about 1."""

    @property
    def whitening(self) -> Floats:
        """The triangles filled in: [P, r, r]."""
        return self.triangles.whole()

    @property
    def arrays(self) -> tuple[npt.NDArray[np.generic], ...]:
        """In the order of `SHARP_INPUTS`, as a bundle keeps them."""
        return self.basis, self.mean, *self.triangles.arrays


def from_place(seen: Tensor, mean: Tensor, *triangles: Tensor) -> Tensor:
    """Distance [N, P] of patches [N, P, r], already turned into the directions that places are known in.

    `mean` and `triangles` are those of `SharpPlace.arrays`.
    """
    whitening, away = _filled(*triangles), seen - mean
    white = torch.matmul(away.transpose(0, 1), whitening)  # [P, N, r]
    return white.square().sum(dim=2).sqrt().t()


def _filled(diagonal: Tensor, steps: Tensor, of_place: Tensor, of_entry: Tensor) -> Tensor:
    """Return `Triangles.whole` of tensors; in a deployed graph that is done when it is opened."""
    size = diagonal.shape[1]
    places = np.diag(np.arange(size))
    places[np.tril_indices(size, -1)] = np.arange(steps.shape[1]) + size
    kept = torch.from_numpy(np.tri(size, dtype=np.float32))
    numbers = torch.cat([diagonal.float(), steps.float() * of_entry * of_place[:, None]], dim=1)
    full = numbers.index_select(1, torch.from_numpy(places.ravel()))  # [P, r * r]
    return full.reshape(-1, size, size) * kept


def sharp_example(sharp: Sharp, places: int, size: int) -> dict[str, Tensor]:
    """Return inputs of the right shapes for an export; a memory's number of entries is to be dynamic."""
    directions = min(DIRECTIONS, size)
    shapes: dict[str, tuple[int, ...]] = {
        "sharp_memory": (16, size),
        "sharp_memory_centre": (size,),
        "sharp_memory_basis": (size, directions_of(size)),
        "sharp_basis": (size, directions),
        "sharp_mean": (places, directions),
        "sharp_diagonal": (places, directions),
        "sharp_steps": (places, directions * (directions - 1) // 2),
        "sharp_of_place": (places,),
        "sharp_of_entry": (directions * (directions - 1) // 2,),
    }
    kinds = {"sharp_diagonal": torch.float16, "sharp_steps": torch.int8}
    return {name: torch.ones(shapes[name], dtype=kinds.get(name)) for name in SHARP_INPUTS[sharp]}
