"""The coarse picture that the light is read from: means of 16×16 cells over samples that can be trusted.

Light changes slowly, so a hundredth of the picture tells it as well as all of it: every n-th sample of every n-th row,
about 128 per side whatever the working size. Pooling is two MatMuls, since average pooling wants sides that 16 divides.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lineside.normalise.evenness import BLACK, SATURATED

CELLS = 16
"""Per side. Eight would blur an edge of the part into its background; 32 would hold noise and print."""
SAMPLED_SIDE = 128
"""Samples per side, about: 64 to a cell."""


class Cells(NamedTuple):
    """Coarse cells of N images, P = 256 cells row by row.

    Attributes
    ----------
    mean, deviation : Tensor of float32 [N, C, P]
        Mean and standard deviation of the trusted samples, grey levels; 0 where a cell has none.
    share : Tensor of float32 [N, C, P]
        Trusted samples among all: inside the frame, neither saturated nor black.
    level : Tensor of float32 [N, C]
        Mean of everything inside the frame, trusted or not.
    clipped, black : Tensor of float32 [N]
        Share of the samples inside the frame with a channel saturated; with every channel black.
    """

    mean: Tensor
    deviation: Tensor
    share: Tensor
    level: Tensor
    clipped: Tensor
    black: Tensor


class CellSampler(nn.Module):
    """From images to their coarse cells; nothing in it is fitted.

    Parameters
    ----------
    working_wh : tuple of int
        Size of the images, px.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, working_wh: tuple[int, int]) -> None:
        super().__init__()
        width, height = working_wh
        self._steps = (step_of(height), step_of(width))
        self.register_buffer("rows", _pooling(height, self._steps[0]))  # [16, hs]
        self.register_buffer("columns", _pooling(width, self._steps[1]).T.contiguous())  # [ws, 16]

    def forward(self, image: Tensor, valid: Tensor) -> Cells:
        """Pool images [N, C, h, w], 0 to 255; samples come from inside the frame where valid [N, 1, h, w] > 0.5."""
        sampled = image[:, :, :: self._steps[0], :: self._steps[1]]
        inside = (valid[:, :, :: self._steps[0], :: self._steps[1]] > 0.5).to(torch.float32)
        saturated, dark = sampled >= SATURATED, sampled <= BLACK
        trusted = inside * (~(saturated | dark)).to(torch.float32)  # [N, C, hs, ws]
        kept = sampled * trusted
        share = self._pooled(trusted)
        safe = share.clamp(min=1e-6)
        mean = self._pooled(kept) / safe
        square = self._pooled(kept * kept) / safe
        seen = inside.sum(dim=(1, 2, 3)).clamp(min=1.0)  # [N]
        return Cells(
            mean,
            (square - mean * mean).clamp(min=0.0).sqrt(),
            share,
            (sampled * inside).sum(dim=(2, 3)) / seen.unsqueeze(1),
            (saturated.to(torch.float32).amax(dim=1, keepdim=True) * inside).sum(dim=(1, 2, 3)) / seen,
            (dark.to(torch.float32).amin(dim=1, keepdim=True) * inside).sum(dim=(1, 2, 3)) / seen,
        )

    def _pooled(self, plane: Tensor) -> Tensor:
        return torch.matmul(self.rows, torch.matmul(plane, self.columns)).flatten(2)  # [N, C, P]


def step_of(side: int) -> int:
    """Return the distance of sampled rows (columns) of an image `side` px high (wide)."""
    return max(1, side // SAMPLED_SIDE)


def _pooling(side: int, step: int) -> Tensor:
    """Matrix [16, samples] that averages the samples of each cell."""
    cell = torch.arange(0, side, step) * CELLS // side
    member = (cell[None, :] == torch.arange(CELLS)[:, None]).to(torch.float32)
    return member / member.sum(dim=1, keepdim=True)


def cell_places() -> Tensor:
    """Centres of the cells as (u, v), right and down, [2, P]: -1 and 1 are the image's borders."""
    centres = (2.0 * torch.arange(CELLS) + 1.0) / CELLS - 1.0
    return torch.stack((centres.repeat(CELLS), centres.repeat_interleave(CELLS)))
