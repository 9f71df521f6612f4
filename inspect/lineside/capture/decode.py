"""Image files to uint8 pixels, or the reason why not: never a guess, never half a picture.

OpenCV decodes (it is in the base install and applies EXIF orientation); what it would let pass is refused before
(`header`) or after. The file is read as bytes first, because `cv2.imread` cannot open non-ASCII paths on Windows.
16-bit samples are reduced by the contract's rule with the declared bit depth: a scale guessed from the largest sample
would make every image another exposure.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from lineside.bit_depth import to_uint8
from lineside.capture.container import Header, HeaderError
from lineside.capture.header import read_header
from lineside.contract import MAX_FRAME_PIXELS
from lineside.errors import ImageError
from lineside.image_files import max_image_bytes, read_content

_quiet_lock = threading.Lock()
_quiet = {"users": 0, "level": 0}


def read_image(
    path: Path,
    *,
    channels: Literal[1, 3] | None = None,
    bit_depth: int = 8,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> npt.NDArray[np.uint8]:
    """Read an image file: JPEG, PNG, BMP or TIFF, 8 or 16 bit, grey or colour, EXIF orientation applied.

    Parameters
    ----------
    path : Path
        The file.
    channels : {1, 3}, optional
        What the frame must have: 3 repeats a grey file's channel; 1 takes a colour file only where red, green and blue
        are equal in every pixel. None keeps what the file has.
    bit_depth : int
        Bits per sample that the camera delivers: 8, or above for 16-bit files.
    max_pixels : int
        A picture of more is refused before it is decoded, a file that is larger than such a picture before it is read.

    Returns
    -------
    ndarray of uint8 [H, W, C]
        C-contiguous, red, green, blue.

    Raises
    ------
    ImageError
        When there is no such file, it is cut off or damaged, too large, is of a kind that cannot be judged, or does not
        fit `channels` or `bit_depth`.
    """
    content = read_content(path, max_image_bytes(max_pixels))
    return decode_image(content, path, channels=channels, bit_depth=bit_depth, max_pixels=max_pixels)


def decode_image(
    content: bytes,
    path: Path,
    *,
    channels: Literal[1, 3] | None = None,
    bit_depth: int = 8,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> npt.NDArray[np.uint8]:
    """Decode an image file's bytes; see `read_image`. `path` is for the errors."""
    try:
        header = read_header(content, max_pixels)
        _refuse_depth(header, bit_depth)
        samples = _decoded(content, header)
        if bit_depth not in (8, 16):
            _refuse_beyond(samples, bit_depth)
    except HeaderError as error:
        raise ImageError(f"{error}.", path=path) from None
    return _with_channels(to_uint8(samples, bit_depth), channels, path)


def decode_samples(content: bytes, path: Path) -> npt.NDArray[np.uint8 | np.uint16]:
    """Decode an image file's bytes and leave the samples as they are: what is stored again must not be scaled.

    Returns
    -------
    ndarray of uint8 or uint16 [H, W, C]
        C is 1 or 3 (red, green, blue), as the file has it.

    Raises
    ------
    ImageError
        As `read_image`, depth and channels aside; `path` is for the error.
    """
    try:
        return np.ascontiguousarray(_decoded(content, read_header(content)))
    except HeaderError as error:
        raise ImageError(f"{error}.", path=path) from None


def largest_sample(path: Path) -> int:
    """Return the largest sample of an image file, before any scaling.

    Raises
    ------
    ImageError
        When it cannot be read.
    """
    return int(decode_samples(read_content(path), path).max())


def _decoded(content: bytes, header: Header) -> npt.NDArray[np.uint8 | np.uint16]:
    """Decode to [H, W, C], red first, without alpha."""
    import cv2

    data = np.frombuffer(content, np.uint8)
    if header.has_alpha:
        _refuse_see_through(_imdecode(data, cv2.IMREAD_UNCHANGED))
    image = _imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    stored = np.uint16 if header.bits == 16 else np.uint8
    if image.dtype != stored or sorted(image.shape[:2]) != sorted(header.size_wh):
        raise HeaderError("damaged: the picture is not what its header says; copy it again")
    if image.ndim == 2:
        return image[:, :, None]
    return (
        image[:, :, :1]
        if header.channels == 1
        else cast("npt.NDArray[np.uint8]", cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    )


def _imdecode(data: npt.NDArray[np.uint8], flags: int) -> npt.NDArray[np.uint8 | np.uint16]:
    import cv2

    with silent_opencv():
        try:
            image = cv2.imdecode(data, flags)
        except cv2.error:
            image = None
    if image is None:
        raise HeaderError("damaged: the picture cannot be decoded; copy it again")
    return cast("npt.NDArray[np.uint8 | np.uint16]", image)


@contextmanager
def silent_opencv() -> Iterator[None]:
    """Keep OpenCV's log off the console while any thread decodes; its level is the process's, not a call's."""
    from cv2.utils import logging

    with _quiet_lock:
        if _quiet["users"] == 0:
            _quiet["level"] = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        _quiet["users"] += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet["users"] -= 1
            if _quiet["users"] == 0:
                logging.setLogLevel(_quiet["level"])


def _refuse_depth(header: Header, bit_depth: int) -> None:
    if header.bits == 16 and bit_depth == 8:
        raise HeaderError(
            "a 16-bit file, but the bit depth is 8; set capture.bit_depth in the recipe to what the camera delivers "
            "(10, 12, 14 or 16)"
        )
    if header.bits == 8 and bit_depth > 8:
        raise HeaderError(
            f"an 8-bit file, but the bit depth is {bit_depth}; set capture.bit_depth: 8 in the recipe, or save the "
            "camera's frames as 16-bit PNG or TIFF"
        )


def _refuse_beyond(samples: npt.NDArray[np.generic], bit_depth: int) -> None:
    """Refuse samples that the declared bit depth cannot hold: the declaration is wrong, and clipping would hide it."""
    top = 2**bit_depth - 1
    highest = int(samples.max())
    if highest > top:
        raise HeaderError(
            f"it holds the sample {highest}, but {bit_depth} bits end at {top}; set capture.bit_depth in the recipe to "
            "what the files hold (16 where the camera shifts its samples to the top)"
        )


def _refuse_see_through(image: npt.NDArray[np.uint8 | np.uint16]) -> None:
    if image.ndim != 3 or image.shape[2] != 4 or int(image[:, :, 3].min()) < np.iinfo(image.dtype).max:
        raise HeaderError("see-through pixels (alpha), which have no colour of their own; save it without alpha")


def _with_channels(image: npt.NDArray[np.uint8], channels: int | None, path: Path) -> npt.NDArray[np.uint8]:
    if channels == 3 and image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    elif channels == 1 and image.shape[2] == 3:
        if (image[:, :, :1] != image).any():
            raise ImageError(
                "a colour image, but one channel is needed; set capture.color: rgb in the recipe, or save grey images.",
                path=path,
            )
        image = image[:, :, :1]
    return np.ascontiguousarray(image)
