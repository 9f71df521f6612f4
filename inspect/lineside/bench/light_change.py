"""Light that changes without clipping: gain, gradient and colour cast together, drawn at random.

What a lighting correction can undo. A frame that clips has lost what lay above, and belongs to the gate: draws that
blow out more than a share of the pixels are drawn again.
"""

from typing import cast

import numpy as np
import numpy.typing as npt

from lineside.errors import FrameError

Pixels = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
GAIN = (0.6, 1.6)
GRADIENT = 0.4
CAST = 0.15
MOST_CLIPPED = 0.01
_DRAWS = 1000  # a frame at full scale everywhere accepts about one draw in four


def light_change(frame: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a copy of a frame under other light.

    Parameters
    ----------
    frame : ndarray of uint8 [H, W, C]
        C is 1 or 3.
    rng : Generator
        Draws a gain of 0.6 to 1.6 (evenly in its logarithm), a gradient of up to ±40 % towards either end of a random
        direction, and a cast of up to ±15 % on each channel (none on a grey frame); again until at most 1 % of the
        pixels reach full scale in a channel where they did not before.

    Returns
    -------
    ndarray of uint8 [H, W, C]

    Raises
    ------
    FrameError
        When no draw of a thousand leaves so many pixels unclipped, or the frame is no such array.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3):
        raise FrameError(f"A frame must be uint8 [H, W, 1 or 3], found {frame.dtype} of shape {frame.shape}.")
    for _ in range(_DRAWS):
        changed = brightened(frame, _light(frame.shape, rng))
        if newly_clipped(frame, changed) <= MOST_CLIPPED:
            return changed
    raise FrameError(f"None of {_DRAWS} changes of light left this frame unclipped: it is too bright to be tested so.")


def newly_clipped(before: Pixels, after: Pixels) -> float:
    """Return the share of pixels, 0 to 1, that reach full scale in a channel where they did not before."""
    return float(((after == 255) & (before < 255)).any(axis=2).mean())


def brightened(frame: Pixels, field: Field) -> Pixels:
    """Return a frame times a field that broadcasts to [H, W, C], rounded and clipped to uint8."""
    return cast(Pixels, np.clip(np.rint(frame * field), 0, 255).astype(np.uint8))


def gradient_field(size_hw: tuple[int, ...], share: float, direction_rad: float) -> Field:
    """Return a plane around 1, float32 [H, W, 1].

    Parameters
    ----------
    size_hw : (int, int)
        Rows and columns.
    share : float
        At the two corners that lie farthest along the direction it is 1 + share and 1 - share.
    direction_rad : float
        In which it rises, from the columns' axis towards the rows'.
    """
    height, width = size_hw
    x = np.cos(direction_rad) * np.linspace(-1.0, 1.0, width)[None, :]
    y = np.sin(direction_rad) * np.linspace(-1.0, 1.0, height)[:, None]
    reach = abs(np.cos(direction_rad)) + abs(np.sin(direction_rad))
    plane = 1.0 + share / reach * (x + y)
    return cast(Field, plane.astype(np.float32)[:, :, None])


def cast_field(shares: npt.NDArray[np.float64]) -> Field:
    """Return what each channel is multiplied with, float32 [1, 1, C]; `shares` [C] are added to 1."""
    return (1.0 + shares).astype(np.float32)[None, None, :]


def _light(shape: tuple[int, ...], rng: np.random.Generator) -> Field:
    gain = np.exp(rng.uniform(np.log(GAIN[0]), np.log(GAIN[1])))
    gradient = gradient_field(shape[:2], rng.uniform(-GRADIENT, GRADIENT), rng.uniform(0.0, 2.0 * np.pi))
    shares = rng.uniform(-CAST, CAST, shape[2]) if shape[2] > 1 else np.zeros(1)
    return np.float32(gain) * gradient * cast_field(shares)
