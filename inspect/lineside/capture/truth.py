"""Where a defect really is, as people marked it: a mask's pixels, or those inside boxes."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.capture.decode import read_image
from lineside.dataset import Sample
from lineside.errors import ImageError
from lineside.marked_boxes import MarkedBox


def defect_mask(sample: Sample, frame_wh: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
    """Return the pixels [H, W] of an image that are marked as defective, None where nothing is marked.

    A mask is finer than boxes and is taken where there are both.

    Parameters
    ----------
    sample : Sample
    frame_wh : tuple of int
        Width and height of its image in px.

    Raises
    ------
    ImageError
        When the mask cannot be read or is of another size.
    """
    width, height = frame_wh
    if sample.mask is not None:
        return read_mask(sample.mask, (height, width))
    return box_pixels(sample.boxes, frame_wh) if sample.boxes else None


def read_mask(path: Path, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return where the defects of an image are.

    Parameters
    ----------
    path : Path
        The mask; whatever is not black is a defect.
    size_hw : (int, int)
        Height and width of the image.

    Returns
    -------
    ndarray of bool [H, W]

    Raises
    ------
    ImageError
        When it cannot be read, or is of another size.
    """
    mask: npt.NDArray[np.bool_] = read_image(path).max(axis=2) > 0
    if mask.shape != size_hw:
        found = f"{mask.shape[1]}x{mask.shape[0]}"
        raise ImageError(f"expected a mask of the image's {size_hw[1]}x{size_hw[0]} px, found {found}.", path=path)
    return mask


def box_pixels(boxes: Iterable[MarkedBox], frame_wh: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels [H, W] of a frame that lie in any of some boxes."""
    pixels = np.zeros(frame_wh[::-1], np.bool_)
    for box in boxes:
        left, top, right, bottom = (max(0, math.floor(value + 0.5)) for value in box.box_xyxy)
        pixels[top:bottom, left:right] = True
    return pixels
