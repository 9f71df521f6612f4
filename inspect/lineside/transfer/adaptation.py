"""Adaptation of a frozen trunk to one part: a linear map on each tap, learnt from good images and synthetic defects.

The trunk's features were learnt on photographs; which of their directions tell a defect from the part's own variation
is another matter for each part. So each tap is followed by a 1×1 convolution, the identity at first plus a map of low
rank (an adapter: Houlsby et al., ICML 2019; low rank: Hu et al., ICLR 2022), and the maps are learnt by what the head
will do with them: a patch of a synthetic defect shall be farther from its nearest good patch of other frames than the
farthest good patches are (a ranking loss on logarithms of distances, so that scaling gains nothing). Synthetic defects
as teachers: REB (Lyu et al., 2023).

A linear map commutes with the head's 3×3 average and its enlargement, so everything is learnt on patches that were
averaged once: seconds on a CPU, whatever the backbone's architecture, and nothing of the trunk itself is trained.
Rejected: training the trunk's last stages, since torch needs 170 ms for one image of 256×256 px, forward and back, on
one core (lite0, stages to stride 16 trained, measured in batches of 8). A rectifier between the two thin matrices, one
drawing: drives 0.925 with and 0.927 without it, tiles 0.861 and 0.842; it would not commute.

Measured (lite0, strides 8/16, head with a memory of 1,024, without front, copies, mirror images and whitening; seeds 0,
1, 2), image AUROC frozen and adapted. Tiles of bare boards (128 px of 640, enlarged to 256; 100 of templates of other
places as good, 40 of them learnt from; 73 tiles without and 28 with a defect): 0.810 and 0.826, 0.778 and 0.811, 0.823
and 0.835; the gate kept it three times. Drives (50 good, 20 of them learnt from; 50 and 37): 0.939 and 0.923, 0.943 and
0.945, 0.943 and 0.921; the gate refused it three times. Learning takes 5 to 6 s of one core.
In whole trainings (tiles, 50 templates of other places, 20 of them learnt from, hold-out; 145 tiles without and 55 with
a defect; 3 drawings): frozen 0.794, 0.798, 0.842, adapted 0.839, 0.873, 0.896. From 200 templates: 0.914 and 0.916.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

RANK = 64
"""Of what is added to the identity, at most."""
STEPS, RATE, DECAY = 200, 1e-3, 1e-2
"""Of AdamW (Loshchilov and Hutter, 2019)."""
MEMORY, GOOD, SPOILED = 512, 768, 256
"""Patches drawn in every step: to compare with, good ones and ones of defects."""
HARD = 0.05
"""Share of the good patches, those farthest from the others, that defects must outdo: they decide about overkill."""
SOFTNESS = 0.2
"""Of the ranking loss, in units of the logarithm of a distance."""


@dataclass(frozen=True)
class Patches:
    """Patches as the head compares them, before its projection.

    Attributes
    ----------
    taps : tuple of ndarray of float32 [m, C]
        The same patches in each tap, averaged over 3×3 and brought to the finest grid.
    frames : ndarray of int64 [m]
        Which frame each patch is of, a frame's copies included.
    """

    taps: tuple[Floats, ...]
    frames: Ints


def averaged(taps: Sequence[Floats], grid_hw: tuple[int, int]) -> tuple[Floats, ...]:
    """Average feature maps [n, C, h, w] as the head does: 3×3, brought to the finest grid; [n, P, C] each."""
    made = []
    with torch.inference_mode():
        for tap in taps:
            x = F.avg_pool2d(torch.from_numpy(tap), kernel_size=3, stride=1, padding=1)
            if tuple(x.shape[2:]) != grid_hw:
                x = F.interpolate(x, size=grid_hw, mode="bilinear", align_corners=False)
            made.append(x.flatten(2).transpose(1, 2).contiguous().numpy())
    return tuple(made)


def learn_maps(good: Patches, spoiled: Patches, seed: int, steps: int = STEPS) -> tuple[Floats, ...]:
    """Learn one map a tap.

    Parameters
    ----------
    good : Patches
        Of good frames and their augmented copies.
    spoiled : Patches
        Of synthetic defects on the same frames.
    seed : int
        Of the first maps and of every draw.
    steps : int

    Returns
    -------
    tuple of ndarray of float32 [C, C]
    """
    scales = _scales(good.taps)
    learner = _Learner([tap.shape[1] for tap in good.taps], seed)
    goods, defects = _scaled(good.taps, scales), _scaled(spoiled.taps, scales)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(steps):
        drawn = _draw(good.frames, spoiled.frames, rng)
        memory, queries, strange = (
            learner([tap[rows] for tap in source]) for source, rows in zip((goods, goods, defects), drawn, strict=True)
        )  # [m, D] each
        loss = ranking_loss(_nearest(queries, memory), _nearest(strange, memory))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    return learner.matrices()


def ranking_loss(good: Tensor, strange: Tensor) -> Tensor:
    """Loss of distances: pairs of a far good patch and one of a defect, logistic in the logarithm of their ratio."""
    far = good.topk(max(1, int(HARD * len(good)))).values
    ratio = (far.log()[:, None] - strange.log()) / SOFTNESS
    return SOFTNESS * F.softplus(ratio).mean()


class _Learner(nn.Module):
    """The maps while they are learnt, as identity and a product of two thin matrices."""

    def __init__(self, channels: Sequence[int], seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._channels = tuple(channels)
        ranks = [min(size, RANK) for size in channels]
        self.down = nn.ParameterList(
            torch.randn(size, rank, generator=generator) / size**0.5 for size, rank in zip(channels, ranks, strict=True)
        )
        self.up = nn.ParameterList(torch.zeros(rank, size) for size, rank in zip(channels, ranks, strict=True))

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Adapted patches [m, D], the taps side by side, each counting alike."""
        parts = [tap + tap @ down @ up for tap, down, up in zip(taps, self.down, self.up, strict=True)]
        return torch.cat([part / part.shape[1] ** 0.5 for part in parts], dim=1)

    def matrices(self) -> tuple[Floats, ...]:
        """Return the maps, each for features as columns."""
        with torch.no_grad():
            pairs = zip(self._channels, self.down, self.up, strict=True)
            return tuple((torch.eye(size) + down @ up).T.contiguous().numpy() for size, down, up in pairs)


def _scales(taps: Sequence[Floats]) -> list[float]:
    """Typical deviation of each tap's channels, as the head scales them."""
    return [max(float(tap.std(axis=0, dtype=np.float64).mean()), 1e-6) for tap in taps]


def _scaled(taps: Sequence[Floats], scales: Sequence[float]) -> list[Tensor]:
    return [torch.from_numpy(tap / np.float32(scale)) for tap, scale in zip(taps, scales, strict=True)]


def _draw(good: Ints, spoiled: Ints, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw rows of the memory from half of the frames, rows of good and of spoiled patches from the other half."""
    names = rng.permutation(np.unique(good))
    other = names[: len(names) // 2]
    sides = ~np.isin(good, other), np.isin(good, other), np.isin(spoiled, other)
    memory, queries, strange = (np.flatnonzero(side) if side.any() else np.arange(len(side)) for side in sides)
    picks = zip((memory, queries, strange), (MEMORY, GOOD, SPOILED), strict=True)
    first, second, third = (torch.from_numpy(rng.choice(rows, count)) for rows, count in picks)
    return first, second, third


def _nearest(patches: Tensor, memory: Tensor) -> Tensor:
    """Distance [m] of patches [m, D] to the nearest entry of a memory [M, D]."""
    closeness = patches @ memory.T - 0.5 * memory.square().sum(dim=1)  # [m, M]
    squared = patches.square().sum(dim=1) - 2.0 * closeness.max(dim=1).values
    return squared.clamp(min=1e-9).sqrt()
