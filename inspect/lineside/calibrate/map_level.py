"""From which value on a cell of the anomaly map belongs to a defect.

The threshold on the score says whether a part is bad; this level says where. It decides no verdict: boxes and masks are
drawn only where the verdict is not OK. Two ways: where training images come with marked defects, the level that fits
the marks best; else from honest maps of good frames, of which a stated share has any cell above it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

GOOD_SHARE, MARGIN = 0.05, 2.0
"""At most this share of good frames may have a cell above the level, where no defect is marked; it lies `MARGIN` times
the distance from their typical peak higher still. Good frames of another day differ more than those that were trained
on, and too low a level boxes the texture around every defect. Measured on BSData (40 good ball screws to train on, 36
with pitting from other spindle positions to test, 40 marked places): without a margin the cells agree with the marks by
F1 0.07 and 28 of 192 boxes lie on a defect; at a margin of 1 by 0.21 and 25 of 87, at 2 by 0.48 and 24 of 47; the best
level there is gives 0.58 and 21 of 31. On rendered caps (16 good ones, 36 defects of 3 kinds) 0.58 at 2, best 0.64."""
NO_LEVEL = float(np.finfo(np.float32).max)
"""Of a model without a map: no cell is above it."""
MOST_LEVELS = 2048
"""Levels that are tried, quantiles of the cells' values: between two of them lies less than a 2,000th of the cells."""


@dataclass(frozen=True)
class MapLevel:
    """A level and how it was found."""

    value: float
    """A float32 value in the score's unit."""
    rule: str


@dataclass(frozen=True)
class MarkedMap:
    """The map of a training image and which of its cells the marks cover.

    Attributes
    ----------
    anomaly_map : ndarray of float32 [h, w]
        Exactly 0 outside part and region.
    defect : ndarray of bool [h, w]
        Cells at least half of which are marked, or the cell that is marked most.
    """

    anomaly_map: Floats
    defect: Bools


def level_of_goods(peaks: Sequence[float], share: float = GOOD_SHARE) -> MapLevel:
    """Find a level that hardly any good frame exceeds anywhere.

    Parameters
    ----------
    peaks : sequence of float
        Highest value in the map of each good frame, by a model that has not seen the frame's part; all 0, or none,
        where the model gives no map.
    share : float
        Above 0 and below 1. With n frames the k-th smallest peak, k = ceil((n + 1)(1 - share)), is exceeded by that
        share (the conformal quantile, as for the score's threshold); where there is no such peak the largest is taken.
        The level lies `MARGIN` times its distance from the median peak above it.
    """
    if not any(peaks):
        return MapLevel(NO_LEVEL, "no honest map of a good frame is known, so that no defect is located")
    ordered = np.sort(np.asarray(peaks, np.float32))
    k = min(len(ordered), math.ceil((len(ordered) + 1) * (1.0 - share) - 1e-9))
    highest = float(ordered[k - 1])
    level = float(np.float32(highest + MARGIN * (highest - float(np.median(ordered)))))
    over = int((ordered > level).sum())
    return MapLevel(
        level,
        f"{1 + MARGIN:g} times as far above the median of the good frames' highest map values as number {k} of "
        f"{len(ordered)} in ascending order, each by a model that has not seen its part; {over} of them have a cell "
        "above it",
    )


def level_of_marks(marked: Sequence[MarkedMap]) -> MapLevel | None:
    """Find the level whose cells agree best with the marks: largest F1 over all cells of all images together.

    Returns None where no cell is marked inside the region that is inspected.
    """
    if not marked:
        return None
    values = np.concatenate([one.anomaly_map.ravel() for one in marked])
    defect = np.concatenate([one.defect.ravel() for one in marked])
    inside = values != 0.0
    values, defect = values[inside], defect[inside]
    if not defect.any():
        return None
    levels = np.unique(np.quantile(values, np.linspace(0.0, 1.0, MOST_LEVELS), method="lower"))
    above = len(values) - np.searchsorted(np.sort(values), levels, side="right")
    hit = int(defect.sum()) - np.searchsorted(np.sort(values[defect]), levels, side="right")
    f1 = 2.0 * hit / (above + int(defect.sum()))
    best = int(f1.argmax())
    return MapLevel(
        float(levels[best]),
        f"fits the marked defects of {len(marked)} training images best: F1 of cells {f1[best]:.2f}, on these images",
    )


def marked_cells(mask: Bools, map_hw: tuple[int, int]) -> Bools:
    """Return the cells [h, w] of a map that a mask [H, W] over the same frame marks.

    A cell is marked where at least half of it is; where no cell is, the one that is marked most, so that a defect
    smaller than a cell is not lost.
    """
    import cv2

    share = cv2.resize(mask.astype(np.float32), (map_hw[1], map_hw[0]), interpolation=cv2.INTER_AREA)
    cells: Bools = share >= 0.5
    if mask.any() and not cells.any():
        cells.flat[int(share.argmax())] = True
    return cells
