"""An anomalib model as a head of our graph: working tensor in; score, map and embedding out."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.transfer.bridge import BridgedModel
from lineside.transfer.head import HEAD_OUTPUTS

if TYPE_CHECKING:
    import onnx

THUMBNAIL = 4
"""Cells a side of the working image that the embedding holds: enough to see that another scene is being shown."""


class BridgedHead(nn.Module):
    """An anomalib model as a head of our graph: working tensor in; score, map and embedding out."""

    def __init__(self, model: BridgedModel, map_wh: tuple[int, int]) -> None:
        super().__init__()
        self.model = model
        self.map_wh = map_wh

    def forward(self, working: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return score [N], anomaly_map [N, h, w], embedding [N, 48]."""
        score, anomaly_map = self.model(working)
        width, height = self.map_wh
        grid = anomaly_map[:, None]
        factors = (grid.shape[2] // height, grid.shape[3] // width)
        if (factors[0] * height, factors[1] * width) == tuple(grid.shape[2:]):
            full = F.avg_pool2d(grid, factors)
        else:
            full = F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=False)
        return score, full[:, 0], F.adaptive_avg_pool2d(working, THUMBNAIL).flatten(1)


def export_bridged_head(
    model: BridgedModel, map_wh: tuple[int, int], working: npt.NDArray[np.float32]
) -> "onnx.ModelProto":
    """Export the head for any number of frames.

    Parameters
    ----------
    model : BridgedModel
    map_wh : tuple of int
        Size of the map that it gives.
    working : ndarray of float32 [2, 3, h, w]
        An example of what it takes.
    """
    example = {"working": torch.from_numpy(working)}
    # No key: anomalib's models hold fitted numbers beside their weights, and each is exported once a fit.
    return export_module(BridgedHead(model, map_wh), example, HEAD_OUTPUTS, {"working": {0: "N"}})
