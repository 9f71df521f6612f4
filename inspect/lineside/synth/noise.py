"""Random fields: cloudy, brushed and blotchy.

Everything is made of white noise that cv2 enlarges or blurs; a gradient-noise lattice (Perlin) would look the same at
these sizes and cost ten times as much.
"""

from __future__ import annotations

import cv2
import numpy as np

from lineside.synth.scene import F32


def _unit(field: F32) -> F32:
    """Return the field with mean 0 and standard deviation 1."""
    return np.asarray((field - field.mean()) / (field.std() + 1e-9), dtype=np.float32)


def white(rng: np.random.Generator, side: int) -> F32:
    """Return independent normal noise, shape (side, side), mean 0, standard deviation 1."""
    return rng.standard_normal((side, side), dtype=np.float32)


def smooth(rng: np.random.Generator, side: int, cell_px: float) -> F32:
    """Return smooth noise whose features are about ``cell_px`` wide; shape (side, side), mean 0, deviation 1."""
    cells = max(int(np.ceil(side / cell_px)), 1) + 3
    margin = (cells * cell_px - side) / 2
    matrix = np.array([[cell_px, 0, -margin], [0, cell_px, -margin]])
    grid = rng.standard_normal((cells, cells), dtype=np.float32)
    field = cv2.warpAffine(grid, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return _unit(np.asarray(field, dtype=np.float32))


def fractal(rng: np.random.Generator, side: int, cell_px: float, octaves: int = 4, gain: float = 0.5) -> F32:
    """Return a sum of smooth noises, each half as wide and ``gain`` times as strong; mean 0, deviation 1."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        total += gain**octave * smooth(rng, side, max(cell_px / 2**octave, 1.0))
    return _unit(total)


def brushed(
    rng: np.random.Generator, side: int, length_px: float, angle_deg: float = 0.0, width_px: float = 0.7
) -> F32:
    """Return streaks ``length_px`` long along ``angle_deg`` (counter-clockwise from the right); mean 0, deviation 1."""
    big = int(np.ceil(side * 1.42)) if angle_deg % 90 else side
    noise = white(rng, big)
    long = cv2.GaussianBlur(noise, (0, 0), sigmaX=length_px, sigmaY=width_px, borderType=cv2.BORDER_REFLECT)
    short = cv2.GaussianBlur(noise[::-1], (0, 0), sigmaX=length_px / 5, sigmaY=width_px, borderType=cv2.BORDER_REFLECT)
    field = _unit(np.asarray(long, np.float32)) + 0.6 * _unit(np.asarray(short, np.float32))
    matrix = cv2.getRotationMatrix2D(((big - 1) / 2, (big - 1) / 2), angle_deg, 1.0)
    matrix[:, 2] -= (big - side) / 2
    turned = cv2.warpAffine(field.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
    return _unit(np.asarray(turned, np.float32))


def step(low: float, high: float, value: F32) -> F32:
    """Return a smooth step: 0 below ``low``, 1 above ``high``."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def blob(
    rng: np.random.Generator,
    side: int,
    centre_xy: tuple[float, float],
    radius_px: float,
    ragged: float,
    octaves: int = 4,
) -> F32:
    """Return how far inside an irregular spot each pixel is: 1 at its centre, 0 on its outline, negative outside.

    Parameters
    ----------
    ragged
        Wobble of the outline as a fraction of the radius.
    octaves
        Fineness of the wobble; 2 keeps the spot in one piece.
    """
    y, x = np.mgrid[:side, :side].astype(np.float32)
    a = rng.uniform(0, np.pi)
    stretch = rng.uniform(1.0, 1.5)
    u = (x - centre_xy[0]) * np.cos(a) + (y - centre_xy[1]) * np.sin(a)
    v = -(x - centre_xy[0]) * np.sin(a) + (y - centre_xy[1]) * np.cos(a)
    distance = np.hypot(u / np.sqrt(stretch), v * np.sqrt(stretch)) / radius_px
    return np.asarray(1 - distance + ragged * fractal(rng, side, max(radius_px * 0.9, 4.0), octaves), dtype=np.float32)
