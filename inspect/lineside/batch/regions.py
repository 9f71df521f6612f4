"""From an anomaly map to the places of defects: connected cells above the map's threshold, with box and mask.

The map's cells are taken as they are: a cell above `Contract.map_threshold` belongs to a defect, its neighbours too
where they are above it, and the cell's pixels in the frame are the defect's pixels. Smoothing the map up to the frame's
size first was rejected: a cell just above the threshold would vanish, and nobody could say what the threshold promises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.contract import Verdict
from lineside.runtime import Result

DEFECT = "defect"
"""What a region is called where the model names no class."""


@dataclass(frozen=True)
class Region:
    """One defect on one frame."""

    box_xywh: tuple[int, int, int, int]
    """Left, top, width, height in px of the frame: the smallest box around the region's pixels."""
    area_px: int
    """Pixels of the frame that belong to it."""
    score: float
    """The highest value of the map inside it, in the score's unit."""
    category: str
    """Name of the defect class, ``unknown``, or `DEFECT`."""
    cells: tuple[int, ...]
    """The region in the map: lengths of runs of 0, 1, 0, …, column after column (COCO's order), from a run of 0."""

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "bbox": list(self.box_xywh),
            "area": self.area_px,
            "score": self.score,
            "category": self.category,
            "cells": list(self.cells),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Region":
        """Read what `to_dict` wrote."""
        x, y, width, height = (int(value) for value in document["bbox"])
        cells = tuple(int(run) for run in document["cells"])
        return cls(
            (x, y, width, height), int(document["area"]), float(document["score"]), str(document["category"]), cells
        )


def regions_of(result: Result, level: float) -> tuple[Region, ...]:
    """Return the defects that a result shows, the worst first; none on a frame that is OK or got no call.

    An NG frame may show none: the score sums up what no single cell says, and a finding has no place. Its highest place
    is then no substitute. Measured on BSData: of 15 such frames it lay on the defect in 3.

    Parameters
    ----------
    result : Result
    level : float
        The contract's `map_threshold`.
    """
    if result.verdict in (Verdict.OK, Verdict.NO_CALL):
        return ()
    return find_regions(result.anomaly_map, level, result.frame_wh, result.defect_class or DEFECT)


def find_regions(
    anomaly_map: npt.NDArray[np.float32], level: float, frame_wh: tuple[int, int], category: str = DEFECT
) -> tuple[Region, ...]:
    """Return the connected regions of a map above a level, the worst first.

    Parameters
    ----------
    anomaly_map : ndarray of float32 [h, w]
        Over the whole frame; exactly 0 outside part and region, where no defect is looked for.
    level : float
        In the map's unit; cells above it belong to a defect. Cells that touch by a corner are connected.
    frame_wh : tuple of int
        Width and height of the frame in px.
    category : str
        What the regions are called.
    """
    import cv2

    above = (anomaly_map > level) & (anomaly_map != 0.0)
    count, labels = cv2.connectedComponents(above.astype(np.uint8), connectivity=8)
    found = (_region(anomaly_map, labels == label, frame_wh, category) for label in range(1, count))
    return tuple(sorted(found, key=lambda region: (-region.score, region.box_xywh)))


def _region(
    anomaly_map: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_], frame_wh: tuple[int, int], category: str
) -> Region:
    pixels = cells_to_frame(inside, frame_wh)
    columns, rows = np.flatnonzero(pixels.any(axis=0)), np.flatnonzero(pixels.any(axis=1))
    box = (0, 0, 0, 0)
    if len(columns):  # a frame smaller than the map has cells without a pixel
        box = (int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1)
    score = float(anomaly_map[inside].max())
    return Region(box, int(pixels.sum()), score, category, run_lengths(inside))


def cells_to_frame(cells: npt.NDArray[np.bool_], frame_wh: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the frame's pixels [H, W] whose centres lie in cells [h, w] that are set."""
    width, height = frame_wh
    rows = ((np.arange(height) + 0.5) * cells.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * cells.shape[1] / width).astype(np.intp)
    return cells[rows[:, None], columns]


def run_lengths(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Return a mask's runs of 0, 1, 0, … column after column, the first of 0s (maybe none): COCO's uncompressed RLE."""
    flat = np.concatenate(([False], mask.ravel(order="F"), [not mask[-1, -1]]))
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return tuple(np.diff(changes, prepend=0).tolist())


def from_run_lengths(runs: Sequence[int], size_wh: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the mask [height, width] of some run lengths."""
    width, height = size_wh
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def mask_of(regions: Sequence[Region], map_wh: tuple[int, int], frame_wh: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the pixels of all regions, uint8 [H, W]: 255 in a defect, 0 elsewhere, as ground-truth masks are drawn."""
    cells = np.zeros((map_wh[1], map_wh[0]), np.bool_)
    for region in regions:
        cells |= from_run_lengths(region.cells, map_wh)
    return cells_to_frame(cells, frame_wh).astype(np.uint8) * np.uint8(255)
