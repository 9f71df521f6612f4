"""From a camera's samples to the uint8 that the graph takes: the one rule, which capture and runtime both apply."""

from typing import cast

import numpy as np
import numpy.typing as npt

from lineside.errors import FrameError

BIT_DEPTHS = (8, 10, 12, 14, 16)


def depth_rule(bit_depth: int) -> str:
    """Return the rule of `to_uint8` in words, for the contract."""
    if bit_depth == 8:
        return "uint8 samples are taken as they are"
    top = 2**bit_depth - 1
    return f"uint8 = (min(sample, {top}) * 255 + {top // 2}) // {top}, in integers"


def to_uint8(samples: npt.NDArray[np.generic], bit_depth: int) -> npt.NDArray[np.uint8]:
    """Reduce camera samples to uint8 by the contract's rule.

    Parameters
    ----------
    samples : ndarray of uint8 or uint16, any shape
        Camera samples. uint8 is returned unchanged (the same array) when `bit_depth` is 8.
    bit_depth : int
        Declared bits per sample, one of 8, 10, 12, 14, 16. It is never guessed from the samples.

    Returns
    -------
    ndarray of uint8, same shape
        ``(min(v, top) * 255 + top // 2) // top`` with ``top = 2**bit_depth - 1``: the nearest of 256 equal steps.

    Raises
    ------
    FrameError
        When the sample type does not fit the bit depth.
    """
    check_samples(samples, bit_depth)
    if bit_depth == 8:
        return cast("npt.NDArray[np.uint8]", samples)
    top = 2**bit_depth - 1
    wide = np.minimum(samples, np.uint16(top)).astype(np.uint32)
    reduced: npt.NDArray[np.uint8] = ((wide * 255 + top // 2) // top).astype(np.uint8)
    return reduced


def check_samples(samples: npt.NDArray[np.generic], bit_depth: int, which: str = "") -> None:
    """Check that samples have the type of a bit depth; `which` names them in the error.

    Raises
    ------
    FrameError
        When they have not.
    """
    needed = np.uint8 if bit_depth == 8 else np.uint16
    if samples.dtype != needed:
        raise FrameError(
            f"{which}Samples are {samples.dtype}, but a bit depth of {bit_depth} needs {needed.__name__}: "
            "set capture.bit_depth in the recipe to what the camera delivers, or convert the frame."
        )
