"""Focus, detail, contrast and noise of the working image: what says that a picture is bad whatever it shows.

Three bands of detail, each an octave below the other, are averaged over cells, and a measure is a mean over the middle
of the cells' values, so that a defect, which sits in a few cells, cannot move it. A band is a second difference in one
direction, smoothed in the other; the finest counts each direction by itself, since motion blurs only one. Amplitude per
cell is the mean absolute value, not the mean square: one bright edge then counts once. The variance of the Laplacian,
the usual measure of focus, was rejected: it follows contrast and content; the ratio of two bands does not.

Cells have 16 px at 256 px; they follow the working size, 16 to 31 of them along its shorter side. The outer ring is
left out: the border of a picture is often not the part. The finest band is read at every second pixel of every second
row: an average over a cell needs no more, and the convolution that reads it also gives the next smaller image.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 0.05
"""Grey levels added to a band's amplitude before ratios are taken: rounding of 8 bits, averaged over a cell."""
NOISE_NORM = math.sqrt(math.pi / 2.0) / 0.375
"""From the mean absolute high-pass of white noise to its standard deviation; 0.375 is the norm of the kernel."""
TEXTURED, MIDDLE = (0.5, 0.9), (0.25, 0.75)
"""Shares of the sorted cells: those that have texture, and the middle of what they say."""
FLAT, LEVELS, BODY = (0.1, 0.3), (0.25, 0.75), (0.05, 0.9)
"""Shares of the sorted cells: flat ones, the middle of the levels, and all but the extremes."""
FAR = 1e30


def cell_side(working_wh: tuple[int, int]) -> int:
    """Return the side of a cell in px, a power of two from 4: at least 16 cells to the shorter side."""
    return int(max(4, 2 ** int(math.log2(min(working_wh) // 16))))


class Measures(nn.Module):
    """Measures of working images; nothing in it is fitted.

    Parameters
    ----------
    working_wh : tuple of int
        Size of the images, px, multiples of 32.
    channels : int
        Of the images: 1 or 3.
    """

    first: Tensor
    further: Tensor

    def __init__(self, working_wh: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.cell = cell_side(working_wh)
        smooth, second = torch.tensor([0.25, 0.5, 0.25]), torch.tensor([-0.25, 0.5, -0.25])
        pairs = ((smooth, second), (second, smooth), (smooth, smooth))  # down, across
        kernels = torch.stack([torch.outer(down, across) for down, across in pairs])[:, None]  # [3, 1, 3, 3]
        self.register_buffer("first", kernels.repeat(1, channels, 1, 1) / channels)
        self.register_buffer("further", kernels)

    def forward(self, working: Tensor, valid: Tensor | None) -> Tensor:
        """Measure images.

        Parameters
        ----------
        working : Tensor of float32 [N, C, h, w]
            Grey levels, 0 to 255, aligned and evened out in light.
        valid : Tensor of float32 [N, 1, h, w] or None
            1 where a sample comes from inside the frame; None: everywhere.

        Returns
        -------
        Tensor of float32 [N, 5]
            `gate_rules.MEASURED`: fine over coarse band across and down, and middle over coarse band, all in the middle
            of the textured cells; mean deviation from the level, relative to it; noise of the flat cells, grey levels.
        """
        fine, half = self._bands(working, self.first, 2, self.cell // 2)  # [N, 2, K], [N, 1, h / 2, w / 2]
        middle, quarter = self._bands(half, self.further, 2, self.cell // 4)
        coarse = self._bands(quarter, self.further, 1, self.cell // 4)[0].mean(dim=1, keepdim=True)  # [N, 1, K]
        inner = _without_ring(half, self.cell // 2)
        levels = F.avg_pool2d(inner, self.cell // 2).flatten(2)  # [N, 1, K]
        counted = torch.ones_like(levels) if valid is None else self._inside(valid)
        flat = fine.mean(dim=1, keepdim=True)
        first = ranked_means(torch.cat((levels, coarse, flat), dim=1), counted, (LEVELS, TEXTURED, FLAT))  # [N, 3]
        level, least, noise = first[:, :1], first[:, 1:2], first[:, 2:]
        ratios = (torch.cat((fine, middle.mean(dim=1, keepdim=True)), dim=1) / coarse).log()  # [N, 3, K]
        textured = counted * (coarse >= least.unsqueeze(2)).to(torch.float32)
        deviations = F.avg_pool2d((inner - level.unsqueeze(2).unsqueeze(3)).abs(), self.cell // 2).flatten(2)
        measures = (
            ranked_means(ratios, textured, (MIDDLE, MIDDLE, MIDDLE)).exp(),
            ranked_means(deviations, counted, (BODY,)) / level.clamp(min=1.0),
            NOISE_NORM * noise,
        )
        return torch.cat(measures, dim=1)

    def _bands(self, plane: Tensor, kernels: Tensor, stride: int, cell: int) -> tuple[Tensor, Tensor]:
        """Mean absolute second difference of each cell across and down, [N, 2, K], and the smoothed image."""
        seen = F.conv2d(plane, kernels, stride=stride, padding=1)
        differences = _without_ring(seen[:, :2], cell).abs()
        return F.avg_pool2d(differences, cell).flatten(2) + EPSILON, seen[:, 2:]

    def _inside(self, valid: Tensor) -> Tensor:
        """1 for cells that lie wholly inside the frame, [N, 1, K]."""
        inner = _without_ring(valid[:, :, ::2, ::2], self.cell // 2)
        return (F.avg_pool2d(inner, self.cell // 2).flatten(2) > 0.999).to(torch.float32)


def _without_ring(plane: Tensor, cell: int) -> Tensor:
    inner: Tensor = plane[:, :, cell:-cell, cell:-cell]
    return inner


def ranked_means(values: Tensor, counted: Tensor, shares: tuple[tuple[float, float], ...]) -> Tensor:
    """Return the mean of the counted values of each row whose rank lies between two shares, [N, R].

    Parameters
    ----------
    values : Tensor of float32 [N, R, K]
    counted : Tensor of float32 [N, 1, K]
        Only values with 1 take part; where there are none the mean is 0.
    shares : R tuples of float
        Lower and upper end, 0 to 1; at least one value is taken.
    """
    low, high = torch.tensor(shares).t()[:, None, :, None]  # [1, R, 1] each
    number = counted.sum(dim=2, keepdim=True)  # [N, 1, 1]
    pushed = values * counted + FAR * (1.0 - counted)
    ordered = pushed.topk(values.shape[2], dim=2, largest=False).values
    rank = torch.arange(values.shape[2], dtype=torch.float32)
    first = (number * low).floor()  # [N, R, 1]
    last = torch.minimum(torch.maximum((number * high).ceil(), first + 1.0), number)
    taken = ((rank >= first) & (rank < last)).to(torch.float32)  # [N, R, K]
    mean: Tensor = (ordered * taken).sum(dim=2) / taken.sum(dim=2).clamp(min=1.0)
    return mean
