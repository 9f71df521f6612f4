"""Defects of the caps: each takes the maps of a good cap and returns changed ones with the exact place of the change.

Severity runs from 0 (hardly visible) to 1 (nobody would miss it) and moves size and contrast together, as it does on a
line. The place is drawn from the stream, so that one seed gives one defect at every severity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from lineside.synth.cap import RADIUS, CapMaps, outline, polar
from lineside.synth.noise import blob, fractal, smooth, step
from lineside.synth.scene import F32, SUPERSAMPLE


@dataclass(frozen=True)
class CapDefect:
    """A damaged cap in its own frame.

    Parameters
    ----------
    maps
        The changed maps.
    place
        1 where the defect is, else 0; float32, shape (side, side).
    """

    maps: CapMaps
    place: F32


def _spot(rng: np.random.Generator, side: int, low: float, high: float) -> tuple[float, float]:
    """Return a place (x, y) in pixels between two radii, in units of the cap's radius, evenly over the area."""
    rho = np.sqrt(rng.uniform(low**2, high**2)) * RADIUS * side
    theta = rng.uniform(0, 2 * np.pi)
    middle = (side - 1) / 2
    return float(middle + rho * np.cos(theta)), float(middle - rho * np.sin(theta))


def _mix(low: float, high: float, severity: float) -> float:
    """Return a value between two limits, on a logarithmic scale."""
    return float(low * (high / low) ** severity**0.7)


def curve(rng: np.random.Generator, side: int, centre_xy: tuple[float, float], length_px: float, bend: float) -> F32:
    """Return the distance in pixels of each pixel to a gently bent line, and beyond its ends to them."""
    t = np.linspace(-0.5, 0.5, 60)
    a = rng.uniform(0, np.pi)
    sag = bend * length_px * (rng.uniform(-1, 1) * (t**2 - 0.08) + 0.5 * rng.uniform(-1, 1) * np.sin(7 * t) * 0.2)
    x = centre_xy[0] + t * length_px * np.cos(a) - sag * np.sin(a)
    y = centre_xy[1] - t * length_px * np.sin(a) - sag * np.cos(a)
    canvas = np.full((side, side), 255, np.uint8)
    path = np.rint(np.column_stack([x, y]) * 16).astype(np.int32)
    cv2.polylines(canvas, [path], False, 0, 1, cv2.LINE_8, 4)
    return np.asarray(cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def scratch(maps: CapMaps, rng: np.random.Generator, severity: float) -> CapDefect:
    """Return the cap with a scratch: a groove with a burr, through the print and down to fresh metal."""
    side = maps.height.shape[0]
    unit = RADIUS * side
    centre = _spot(rng, side, 0.0, 0.52)
    distance = curve(rng, side, centre, unit * _mix(0.38, 0.95, severity), 0.5)
    wander = 1 + 0.25 * smooth(rng, side, side / 30)
    half = SUPERSAMPLE * side / 640 * _mix(0.95, 1.7, severity) * wander
    cut = np.clip(1.5 - distance / half, 0, 1) * outside_rim(side)
    depth = _mix(0.48, 1.0, severity)
    burr = np.exp(-(((distance - 1.7 * half) / (0.6 * half)) ** 2)) * outside_rim(side)
    keep = 1 - 0.9 * depth * cut
    changed = replace(
        maps,
        height=np.asarray(maps.height - depth * (1.1 * cut - 0.35 * burr) * half, np.float32),
        navy=np.asarray(maps.navy * keep, np.float32),
        red=np.asarray(maps.red * keep, np.float32),
        bare=np.asarray(np.maximum(maps.bare, cut * depth), np.float32),
        gloss=np.asarray(maps.gloss * (1 + 0.30 * depth * cut), np.float32),
    )
    return CapDefect(changed, np.asarray(cut > 0.02, np.float32))


def outside_rim(side: int) -> F32:
    """Return 1 on the cap's face, falling to 0 at its outline."""
    return np.asarray(np.clip(outline(side) / 6, 0, 1), np.float32)


def dent(maps: CapMaps, rng: np.random.Generator, severity: float) -> CapDefect:
    """Return the cap with a dent: a shallow hollow that only the light on it shows."""
    side = maps.height.shape[0]
    unit = RADIUS * side
    centre = _spot(rng, side, 0.0, 0.80)
    radius = unit * _mix(0.12, 0.24, severity) * rng.uniform(0.85, 1.15)
    inside = np.clip(blob(rng, side, centre, radius, 0.06), 0, 1)
    bowl = inside**2 * (3 - 2 * inside)
    depth = radius * _mix(0.080, 0.36, severity)
    changed = replace(maps, height=np.asarray(maps.height - depth * bowl, np.float32))
    return CapDefect(changed, np.asarray(bowl > 0.04, np.float32))


def stain(maps: CapMaps, rng: np.random.Generator, severity: float) -> CapDefect:
    """Return the cap with a dried drop of oil or coolant: a brownish film, darker along its edge, less glossy."""
    side = maps.height.shape[0]
    unit = RADIUS * side
    centre = _spot(rng, side, 0.0, 0.70)
    inside = blob(rng, side, centre, unit * _mix(0.14, 0.26, severity) * rng.uniform(0.85, 1.15), 0.16, 3)
    film = step(0.0, 0.22, inside)
    edge = film * np.exp(-((inside / 0.22) ** 2))
    strength = _mix(0.23, 0.80, severity)
    dark = strength * np.clip(0.75 * film * (1 + 0.15 * fractal(rng, side, side / 25)) + 0.35 * edge, 0, 1)
    colour = (
        np.array([0.65, 0.85, 1.15], np.float32) if rng.random() < 0.65 else np.array([0.95, 0.95, 0.85], np.float32)
    )
    changed = replace(
        maps,
        tint=np.asarray(maps.tint * (1 - dark[..., None] * colour), np.float32),
        gloss=np.asarray(maps.gloss * (1 - 0.25 * dark), np.float32),
    )
    return CapDefect(changed, np.asarray(film > 0.10, np.float32))


def missing_print(maps: CapMaps, rng: np.random.Generator, severity: float) -> CapDefect:
    """Return the cap with a patch where the print did not take: thin at low severity, bare at high."""
    side = maps.height.shape[0]
    unit = RADIUS * side
    rho = polar(side)[0]
    ink = np.maximum(maps.navy, maps.red)
    # The patch is laid over ink, else nothing would be missing.
    rows, cols = np.nonzero((ink > 0.5) & (rho < 0.6))
    pick = int(rng.integers(len(rows)))
    inside = blob(rng, side, (float(cols[pick]), float(rows[pick])), unit * _mix(0.095, 0.24, severity), 0.25)
    gone = step(-0.02, 0.12, inside) * _mix(0.42, 1.0, severity)
    speckle = np.clip(1 + 0.15 * fractal(rng, side, side / 60), 0.5, 1.3)
    keep = np.clip(1 - gone * speckle, 0, 1)
    changed = replace(maps, navy=np.asarray(maps.navy * keep, np.float32), red=np.asarray(maps.red * keep, np.float32))
    return CapDefect(changed, np.asarray(((1 - keep) > 0.05) & (ink > 0.1), np.float32))


def chipped_edge(maps: CapMaps, rng: np.random.Generator, severity: float) -> CapDefect:
    """Return the cap with a piece broken out of its rim, the metal around it bent and bare."""
    side = maps.height.shape[0]
    unit = RADIUS * side
    theta = rng.uniform(0, 2 * np.pi)
    radius = unit * _mix(0.074, 0.17, severity)
    middle, rho = (side - 1) / 2, 0.985 * unit
    centre = (float(middle + rho * np.cos(theta)), float(middle - rho * np.sin(theta)))
    inside = radius * blob(rng, side, centre, radius, 0.18, 2)
    gone = np.clip(inside + 0.5, 0, 1)
    near = np.exp(-((np.clip(-inside, 0, None) / (1.3 * SUPERSAMPLE * side / 640)) ** 2))
    lip = near * (1 - gone)
    bend = np.exp(-((np.clip(-inside, 0, None) / (0.35 * radius)) ** 2))
    changed = replace(
        maps,
        cover=np.asarray(maps.cover * (1 - gone), np.float32),
        height=np.asarray(maps.height - 0.10 * radius * bend * severity, np.float32),
        bare=np.asarray(np.maximum(maps.bare, lip), np.float32),
        gloss=np.asarray(maps.gloss * (1 + 0.25 * lip), np.float32),
    )
    touched = np.clip(gone + (bend > 0.25), 0, 1) * maps.cover
    return CapDefect(changed, np.asarray(touched > 0.3, np.float32))
