"""Where the part is inspected: the recipe's region of interest, and a learned foreground.

A region is drawn in the anchor frame, whose pose is the golden part's, so it lies in golden coordinates and moves with
the part. It is kept as a mask of the working image, from which the head's patches are told in or out. OpenCV's
`fillPoly` was rejected: it fills every pixel that the outline touches, half a pixel too much on each side.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]
Polygon = Sequence[tuple[float, float]]

ROI = "normalise.roi"
"""Key of the recipe that names the region that is inspected."""
ASPECT_TOLERANCE = 0.01
"""Relative difference of aspect at which a mask image is taken for one of another picture: a resize of 200 px or more,
rounded to whole pixels, stays below."""
FINER = 4
"""Points along a side of a working pixel at which a polygon is tested."""
MARGIN = 0.04
"""Share of the working image's longer side by which a learned foreground is widened, so that a defect of the part's
edge, or one that sticks out of it, is still looked at: 10 px of 256, more than one patch of stride 8."""


def region_mask(
    region: Box | Polygon | U8 | None, frame_wh: tuple[int, int], working_wh: tuple[int, int], key: str = ROI
) -> F32:
    """Return how much of each working pixel lies in the recipe's region.

    Parameters
    ----------
    region : box (x0, y0, x1, y1), polygon [(x, y), ...], ndarray of uint8 [H, W] or [H, W, C], or None
        Box and polygon in shares, 0 to 1, of the anchor frame's width and height. A mask image counts where it is
        brighter than 127; it may be smaller than the frame, with the same aspect. None: everything.
    frame_wh : tuple of int
        Size of the anchor frame, px.
    working_wh : tuple of int
        Size of the working image, px.
    key : str
        Of the recipe, for the errors.

    Returns
    -------
    ndarray of float32 [h, w]
        0 to 1.

    Raises
    ------
    UsageError
        When the region is empty or reaches outside 0 to 1, or the mask image is of another aspect than the frame.
    """
    width, height = working_wh
    if region is None:
        return np.ones((height, width), np.float32)
    if isinstance(region, np.ndarray):
        mask = _from_image(region, frame_wh, working_wh, key)
    else:
        mask = _from_polygon(_corners(region, key), working_wh)
    if float(mask.max()) < 0.5:
        raise UsageError(
            f"{key}: expected a region of at least a pixel of the {width}×{height} px working image, found "
            "none. Draw it larger, or make normalise.size larger; null inspects everything."
        )
    return mask


def combine(region: F32, foreground: F32 | None, margin: float = MARGIN) -> F32:
    """Return the region without what does not belong to the part.

    Parameters
    ----------
    region : ndarray of float32 [h, w]
        As `region_mask` gives it.
    foreground : ndarray of float32 [h, w] or None
        Learned mask of the part, 0 to 1; it counts from a half. None: no such mask.
    margin : float
        Share of the longer side by which the foreground is widened on all sides.

    Raises
    ------
    UsageError
        When the sizes differ, or nothing is left.
    """
    if foreground is None:
        return region.copy()
    if foreground.shape != region.shape:
        raise UsageError(f"The foreground mask is {foreground.shape}, expected the region's {region.shape}.")
    left = np.where(widen(foreground, margin) >= 0.5, region, np.float32(0.0))
    if float(left.max()) < 0.5:
        raise UsageError(
            "normalise.roi and the part that was learned from the good images have no pixel in common. "
            "Draw normalise.roi on the part, or set normalise.foreground to off."
        )
    return left


def widen(mask: F32, margin: float) -> F32:
    """Return a mask [h, w] (1 from a half, else 0), widened by a share of its longer side in every direction."""
    inside = (mask >= 0.5).astype(np.uint8)
    radius = round(margin * max(mask.shape))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(inside, kernel), np.float32)


def region_cells(mask: F32, grid_hw: tuple[int, int], key: str = ROI) -> F32:
    """Return which cells of the head's grid lie in a region.

    Parameters
    ----------
    mask : ndarray of float32 [h, w]
    grid_hw : tuple of int
        Cells down and across; they share the mask evenly among them.
    key : str
        Of the recipe, for the error.

    Returns
    -------
    ndarray of float32 [gh, gw]
        1 where at least half of a cell is inside, else 0.

    Raises
    ------
    UsageError
        When no cell is.
    """
    share = cv2.resize(mask, grid_hw[::-1], interpolation=cv2.INTER_AREA)
    cells: F32 = (share >= 0.5 - 1e-4).astype(np.float32)  # OpenCV's average of ones and zeros is exact to about 1e-6
    if not cells.any():
        raise UsageError(
            f"{key}: expected at least one of the {grid_hw[1]}×{grid_hw[0]} patches of the picture to lie half "
            "inside it, found none. Draw it larger, or make normalise.size larger."
        )
    return cells


def _corners(region: Box | Polygon, key: str) -> list[tuple[float, float]]:
    """Return the corners of a box or polygon after checking them."""
    if len(region) == 4 and all(isinstance(value, int | float) for value in region):
        x0, y0, x1, y1 = (float(value) for value in region)  # type: ignore[arg-type]
        if x0 >= x1 or y0 >= y1:
            raise UsageError(f"{key}: expected a box [x0, y0, x1, y1] with x0 < x1 and y0 < y1, found {list(region)}.")
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    else:
        corners = [(float(x), float(y)) for x, y in region]  # type: ignore[misc]
    if len(corners) < 3:
        raise UsageError(f"{key}: expected a polygon of at least 3 points, found {len(corners)}.")
    outside = [value for corner in corners for value in corner if not 0.0 <= value <= 1.0]
    if outside:
        raise UsageError(
            f"{key}: expected shares of the picture's width and height, 0 to 1, found {outside[0]:g}. "
            "Divide pixels by the picture's size."
        )
    return corners


def _from_polygon(corners: Sequence[tuple[float, float]], working_wh: tuple[int, int]) -> F32:
    """Share of each working pixel inside a polygon; share 0 of the picture is the outer edge of its first pixel."""
    width, height = working_wh[0] * FINER, working_wh[1] * FINER
    points = np.array(corners, np.float64) * (width, height)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5  # where it is tested
    inside = np.zeros((height, width), np.bool_)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        crossed = (y0 <= y) != (y1 <= y)  # rows that this edge crosses: left of it and right of it differ
        where = x0 + (y[crossed] - y0) * (x1 - x0) / (y1 - y0) if crossed.any() else y[crossed]
        inside[crossed] ^= x > where[:, None]
    return np.asarray(cv2.resize(inside.astype(np.float32), working_wh, interpolation=cv2.INTER_AREA), np.float32)


def _from_image(image: U8, frame_wh: tuple[int, int], working_wh: tuple[int, int], key: str) -> F32:
    height, width = image.shape[:2]
    ratio = (width / height) / (frame_wh[0] / frame_wh[1])
    if abs(ratio - 1.0) > ASPECT_TOLERANCE:
        raise UsageError(
            f"{key}: expected a mask image of the anchor picture's {frame_wh[0]}×{frame_wh[1]} px, or of its "
            f"aspect, found {width}×{height} px. Draw the mask on the anchor picture as it is."
        )
    plane = image if image.ndim == 2 else image.max(axis=2)
    inside = (plane > 127).astype(np.float32)
    return np.asarray(cv2.resize(inside, working_wh, interpolation=cv2.INTER_AREA), np.float32)
