"""Good frames as the same line could have shown them on another day: light, blur and noise within its own spread.

How much is not a guess: two measures, brightness and sharpness, differ between the good frames of a line, and a frame
is moved by at most `WIDE` of their standard deviations. Limits keep the parts' own differences, such as how much
copper a tile shows, from being taken for the line's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

WIDE = 2.0
"""Standard deviations that a frame is moved by at most, in each measure."""
MOST_LIGHT = 0.1
"""Of the logarithm of the gain: what the augmented copies of the training cover too."""
MOST_SHARP = 0.3
"""Of the logarithm of sharpness."""
BLURS_PX = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
NOISES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""What is tried: standard deviations of a Gaussian blur, and of noise in grey levels."""


@dataclass(frozen=True)
class Spread:
    """How much good frames of a line differ, as standard deviations of logarithms."""

    light: float
    sharp: float


def spread_of(frames: Sequence[Pixels]) -> Spread:
    """Measure the spread of good frames [H, W, C]."""
    light = np.log([max(float(frame.mean()), 1.0) for frame in frames])
    sharp = np.log([_sharpness(frame) for frame in frames])
    return Spread(float(light.std()), float(sharp.std()))


def drifted(frame: Pixels, spread: Spread, rng: np.random.Generator) -> Pixels:
    """Return a copy with light of another strength and slope, and blur or noise.

    Parameters
    ----------
    frame : ndarray of uint8 [H, W, C]
        Never changed itself.
    spread : Spread
    rng : numpy.random.Generator
        Decides everything that is drawn.
    """
    height, width = frame.shape[:2]
    light, sharp = min(WIDE * spread.light, MOST_LIGHT), min(WIDE * spread.sharp, MOST_SHARP)
    gain, across, down = rng.uniform(-light, light, 3) * (1.0, 0.5, 0.5)
    slope = across * np.linspace(-1.0, 1.0, width) + down * np.linspace(-1.0, 1.0, height)[:, None]
    lit = _levels(frame * np.exp(gain + slope)[:, :, None])
    wanted = float(rng.uniform(-sharp, sharp))
    grain = rng.standard_normal(frame.shape).astype(np.float32)
    tried = [_blurred(lit, px) for px in BLURS_PX] if wanted < 0 else [_levels(lit + n * grain) for n in NOISES]
    before = np.log(_sharpness(lit))
    within = [image for image in tried if abs(np.log(_sharpness(image)) - before) <= abs(wanted)]
    return within[-1] if within else lit


def _sharpness(frame: Pixels) -> float:
    """Standard deviation of the Laplacian; blur lowers it and noise raises it."""
    return max(float(cv2.Laplacian(frame, cv2.CV_32F).std()), 0.1)


def _blurred(frame: Pixels, px: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), px), np.uint8).reshape(frame.shape)


def _levels(values: npt.NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
