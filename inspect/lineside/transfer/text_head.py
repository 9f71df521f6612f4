"""The text-prompt head: how much more a frame and its windows look like what is said of defects than of good parts.

After WinCLIP (Jeong et al., CVPR 2023): the probability of "defect" against "good" from cosines to the two text
directions (equation 1), windows of several sizes, spread over the cells that they cover by harmonic means, and the
scales joined by harmonic means (section 4.2), so that a cell stands out where all windows over it do. A window is
here the mean of its patch tokens; why not the tower anew for every window: see `text_tower`. The frame's score is the
mean of the whole frame's probability and the map's largest, as the paper joins text and references for the frame.

No image has a say in any of it: the good images decide the threshold, and the front.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.transfer.head import HEAD_OUTPUTS, LEAST_SHARE, REGION

if TYPE_CHECKING:
    import onnx

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

TEXTS = "texts"
"""Name of the graph's input with the two text directions."""
TEMPERATURE = 0.07
"""Of the probability: WinCLIP's, CLIP's at the start of its training (Radford et al., 2021). CLIP ends at 0.01, where
probabilities of almost all frames are 0 or 1 to the last digit and no threshold can lie between them."""
SCALES = (1, 2, 3)
"""Windows, patches a side (WinCLIP: 2 and 3, and its patches)."""


class TextHead(nn.Module):
    """The head as a torch module; it holds no numbers of its own."""

    def __init__(self, grid_hw: tuple[int, int], map_wh: tuple[int, int]) -> None:
        super().__init__()
        self.grid_hw, self.map_wh = grid_hw, map_wh

    def forward(self, patches: Tensor, image: Tensor, region: Tensor, texts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge frames.

        Parameters
        ----------
        patches : Tensor of float32 [N, d, gh, gw]
            Unit vectors.
        image : Tensor of float32 [N, d]
            Unit vectors.
        region : Tensor of float32 [N, 1, gh, gw]
            0 to 1; below a half a patch does not count.
        texts : Tensor of float32 [2, d]
            Unit vectors: good, defect.

        Returns
        -------
        score : Tensor of float32 [N]
            0 to 1.
        anomaly_map : Tensor of float32 [N, h, w]
            0 to 1; 0 outside the region.
        embedding : Tensor of float32 [N, d]
            Mean of the patches in the region.
        """
        counts = (region >= 0.5).to(patches.dtype)  # [N, 1, gh, gw]
        direction = ((texts[1] - texts[0]) / TEMPERATURE)[:, None]  # [d, 1]
        whole = torch.sigmoid(image @ direction)[:, 0]  # [N]
        seen = patches * counts
        scales = [scale for scale in SCALES if scale <= min(self.grid_hw)]
        inverse = torch.stack([self._inverse(seen, direction, scale) for scale in scales]).mean(dim=0)
        grid = counts / inverse  # [N, 1, gh, gw]
        total = counts.sum(dim=(2, 3)).clamp(min=1.0)  # [N, 1]
        score = 0.5 * (whole + grid.amax(dim=(1, 2, 3)))
        return score, self._map(grid, counts), seen.sum(dim=(2, 3)) / total

    def _inverse(self, seen: Tensor, direction: Tensor, scale: int) -> Tensor:
        """Mean of 1 / probability [N, 1, gh, gw] over all windows of this many patches a side that cover a cell."""
        windows = F.normalize(F.avg_pool2d(seen, scale, stride=1), dim=1)  # [N, d, gh - k + 1, gw - k + 1]
        logit = F.conv2d(windows, direction.t()[:, :, None, None])  # [N, 1, gh - k + 1, gw - k + 1]
        inverse = 1.0 + torch.exp(-logit)
        edge = (scale - 1,) * 4
        ones = torch.ones((1, 1, *inverse.shape[2:]), dtype=inverse.dtype)
        covering = F.avg_pool2d(F.pad(ones, edge), scale, stride=1)  # [1, 1, gh, gw]
        return F.avg_pool2d(F.pad(inverse, edge), scale, stride=1) / covering

    def _map(self, grid: Tensor, counts: Tensor) -> Tensor:
        """Enlarge; patches that do not count neither shine out nor dim their neighbours."""
        size = self.map_wh[::-1]
        full = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
        share = F.interpolate(counts, size=size, mode="bilinear", align_corners=False)
        inside = F.interpolate(counts, size=size, mode="nearest")
        return (full * inside / share.clamp(min=LEAST_SHARE))[:, 0]  # [N, h, w]


def export_text_head(grid_hw: tuple[int, int], map_wh: tuple[int, int], dimensions: int) -> "onnx.ModelProto":
    """Export the head for any number of frames; the texts are an input."""
    inputs = {
        "patches": torch.zeros(2, dimensions, *grid_hw),
        "image": torch.zeros(2, dimensions),
        REGION: torch.zeros(2, 1, *grid_hw),
        TEXTS: torch.zeros(2, dimensions),
    }
    dynamic = {name: {0: "N"} for name in ("patches", "image", REGION)}
    return export_module(TextHead(grid_hw, map_wh), inputs, HEAD_OUTPUTS, dynamic, key=repr((grid_hw, map_wh)))


def reference_text_score(patches: Floats, image: Floats, region: Floats, texts: Floats) -> float:
    """Return the score of one frame by loops over windows and cells, in float64: the head's slow twin.

    Parameters
    ----------
    patches, image, region, texts : ndarray of float32 [1, d, gh, gw], [1, d], [1, 1, gh, gw], [2, d]
    """
    good, defect = texts.astype(np.float64)
    counts = region[0, 0] >= 0.5
    tokens = patches[0].astype(np.float64) * counts  # [d, gh, gw]
    height, width = counts.shape
    largest = 0.0
    probabilities = {
        (scale, row, column): _probability(tokens[:, row : row + scale, column : column + scale], good, defect)
        for scale in SCALES
        if scale <= min(height, width)
        for row in range(height - scale + 1)
        for column in range(width - scale + 1)
    }
    for row, column in zip(*np.nonzero(counts), strict=True):
        means = []
        for scale in sorted({scale for scale, _, _ in probabilities}):
            rows, columns = range(row - scale + 1, row + 1), range(column - scale + 1, column + 1)
            over = [probabilities[scale, r, c] for r in rows for c in columns if (scale, r, c) in probabilities]
            means.append(len(over) / sum(1.0 / p for p in over))
        largest = max(largest, len(means) / sum(1.0 / p for p in means))
    return 0.5 * (_probability(image[0].astype(np.float64)[:, None, None], good, defect) + largest)


def _probability(window: Doubles, good: Doubles, defect: Doubles) -> float:
    """Softmax of the two cosines of the mean of tokens [d, k, k], WinCLIP's equation 1."""
    mean = window.mean(axis=(1, 2))
    length = float(np.linalg.norm(mean))
    cosines = np.array([good @ mean, defect @ mean]) / max(length, 1e-12)
    weights = np.exp((cosines - cosines.max()) / TEMPERATURE)
    return float(weights[1] / weights.sum())
