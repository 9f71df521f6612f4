"""Where a class head looks: at the patches that make a frame anomalous, each the more the farther it is from good ones.

The weights are relative to the frame's own largest distance, so they say where the defect is and not how bad, and they
need no threshold: a class can be told of a part that stays below it. A power or a softmax of the distances was
rejected: both leave a floor of weight on all good patches, which outnumber the defect's a hundred to one.
"""

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.transfer.classes.pooling import CLASS_WEIGHT
from lineside.transfer.head import PATCH_DISTANCE, REGION

if TYPE_CHECKING:
    import onnx

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

FOCUS = 0.5
"""Patches below this share of the frame's largest distance have no weight. A choice: other shares were not measured."""
NOTHING = 1e-6
"""A largest distance below this points nowhere: then the whole region counts alike."""


class ClassWeight(nn.Module):
    """Patch distances to weights; nothing in it is fitted."""

    def forward(self, patch_distance: Tensor, region: Tensor) -> Tensor:
        """Weigh patches.

        Parameters
        ----------
        patch_distance : Tensor [N, gh, gw]
            0 outside the region.
        region : Tensor [N, 1, gh, gw]
            Patches below a half do not count.

        Returns
        -------
        Tensor of float32 [N, 1, gh, gw], 0 to 1
        """
        distance = patch_distance[:, None]
        peak = distance.amax(dim=(2, 3), keepdim=True)
        focus = (distance / peak.clamp(min=NOTHING) - FOCUS).clamp(min=0.0) / (1.0 - FOCUS)
        return torch.where(peak > NOTHING, focus, (region >= 0.5).to(distance.dtype))


class RegionWeight(nn.Module):
    """The region as weights, for parts that are sorted without looking for anomalies."""

    def forward(self, region: Tensor) -> Tensor:
        """Return weights [N, 1, gh, gw], 0 or 1, of a region [N, 1, gh, gw]."""
        return (region >= 0.5).to(torch.float32)


def export_class_weight(grid_hw: tuple[int, int]) -> "onnx.ModelProto":
    """Export the weights: ``patch_distance`` and ``region`` -> ``class_weight``."""
    inputs = {PATCH_DISTANCE: torch.zeros(2, *grid_hw), REGION: torch.ones(2, 1, *grid_hw)}
    dynamic = {name: {0: "N"} for name in inputs}
    return export_module(ClassWeight(), inputs, (CLASS_WEIGHT,), dynamic, key="class weight")


def export_region_weight(grid_hw: tuple[int, int]) -> "onnx.ModelProto":
    """Export the weights of a part that is sorted: ``region`` -> ``class_weight``."""
    inputs = {REGION: torch.ones(2, 1, *grid_hw)}
    return export_module(RegionWeight(), inputs, (CLASS_WEIGHT,), {REGION: {0: "N"}}, key="region weight")


def weight_reference(patch_distance: npt.NDArray[np.generic] | None, region: npt.NDArray[np.generic]) -> F32:
    """Weigh one frame's patches in plain NumPy: [gh, gw] of distances [gh, gw] (None: parts are sorted) and region."""
    counts = np.asarray(region.astype(np.float32) >= 0.5, np.float32)
    if patch_distance is None or float(patch_distance.max()) <= NOTHING:
        return counts
    share = patch_distance.astype(np.float64) / float(patch_distance.max())
    return np.asarray(np.where(share > FOCUS, (share - FOCUS) / (1.0 - FOCUS), 0.0), np.float32)


def mask_cells(mask: Pixels, transform: F32, working_wh: tuple[int, int], grid_hw: tuple[int, int]) -> F32:
    """Bring a mask in the frame's pixels onto the patches.

    Parameters
    ----------
    mask : ndarray of uint8 [H, W]
        Not 0 where the defect is.
    transform : ndarray of float32 [3, 3]
        Frame px -> golden px at the working size.
    working_wh : tuple of int
        Size of the golden part, px.
    grid_hw : tuple of int
        Patches down and across.

    Returns
    -------
    ndarray of float32 [gh, gw], 0 to 1
        Share of each patch that the mask covers.
    """
    height, width = mask.shape
    defect = np.asarray(mask > 0, np.float32)
    small = cv2.resize(defect, working_wh, interpolation=cv2.INTER_AREA)
    back = np.array([  # working px -> frame px, pixel centres at whole numbers
        [width / working_wh[0], 0.0, 0.5 * width / working_wh[0] - 0.5],
        [0.0, height / working_wh[1], 0.5 * height / working_wh[1] - 0.5],
        [0.0, 0.0, 1.0],
    ])  # fmt: skip
    golden = cv2.warpPerspective(small, transform.astype(np.float64) @ back, working_wh, flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(golden, grid_hw[::-1], interpolation=cv2.INTER_AREA), np.float32)
