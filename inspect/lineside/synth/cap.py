"""The caps: a pressed closure of brushed aluminium with a print and a stamped orientation mark, seen from above.

The part is described by maps in its own frame (height, inks, outline, grain). Defects change the maps; the maps are
then turned into the frame and lit there, so that shadows and highlights stay with the lamp when the part turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from lineside.synth.glyphs import ring_text
from lineside.synth.noise import brushed, fractal, smooth, step, white
from lineside.synth.scene import F32, SUPERSAMPLE, Light, Pose, stream
from lineside.synth.shading import cast_shadow, diffuse, highlight, occlusion, shoulder, surface

RADIUS = 0.405
"""Radius of a cap as a fraction of the frame's side."""

_FLUTES = 21
"""As many as a crown cap has (DIN 6099)."""

_NAVY = np.array([0.045, 0.085, 0.17], np.float32)
_RED = np.array([0.50, 0.065, 0.05], np.float32)
_METAL = np.array([0.89, 0.88, 0.86], np.float32)
_BARE = np.array([0.97, 0.96, 0.95], np.float32)


@dataclass(frozen=True)
class CapMaps:
    """One cap in its own frame; every map is float32 of shape (side, side) unless told otherwise.

    Parameters
    ----------
    height
        Height in pixels.
    cover
        1 on the cap, 0 beside it.
    navy, red
        Density of each ink, 0 to 1.
    grain
        Brushing along the x axis, mean 0, deviation 1.
    tint
        Colour of what lies on the surface as a factor, shape (side, side, 3).
    gloss
        Factor on the highlights.
    bare
        1 where fresh metal shows.
    """

    height: F32
    cover: F32
    navy: F32
    red: F32
    grain: F32
    tint: F32
    gloss: F32
    bare: F32


def polar(side: int) -> tuple[F32, F32]:
    """Return radius in units of the cap's radius and angle in radians (counter-clockwise from the right)."""
    t = np.arange(side, dtype=np.float32) - (side - 1) / 2
    x, y = np.meshgrid(t, -t)
    return np.asarray(np.hypot(x, y) / (RADIUS * side), np.float32), np.asarray(np.arctan2(y, x), np.float32)


def outline(side: int) -> F32:
    """Return how far inside the fluted outline each pixel lies, in pixels (negative outside)."""
    rho, theta = polar(side)
    wave = np.cos(_FLUTES * theta)
    edge = 0.972 + 0.022 * wave + 0.006 * wave**2
    return np.asarray((edge - rho) * RADIUS * side, np.float32)


def _pressed(side: int) -> F32:
    """Return the height of the pressed blank in pixels: domed panel, bead, shoulder and fluted skirt."""
    rho, theta = polar(side)
    dome = -0.016 * np.clip(rho, 0, 0.72) ** 2
    bead = 0.011 * np.exp(-(((rho - 0.655) / 0.016) ** 2)) - 0.004 * np.exp(-(((rho - 0.618) / 0.014) ** 2))
    skirt = -0.135 * step(0.72, 1.03, rho) - 0.014 * step(0.955, 1.0, rho)
    flutes = 0.024 * step(0.76, 0.95, rho) * np.cos(_FLUTES * theta)
    return np.asarray((dome + bead + skirt + flutes) * RADIUS * side, np.float32)


def _stamp(side: int) -> F32:
    """Return the orientation mark, 0 to 1: an arrow head that points outward at the top, with a bar under it."""
    unit, middle, fine = RADIUS * side, (side - 1) / 2, 4
    canvas = np.zeros((side, side), np.uint8)
    arrow = [(-0.088, 0.425), (0.0, 0.565), (0.088, 0.425), (0.0, 0.462)]
    bar = [(-0.075, 0.375), (0.075, 0.375), (0.075, 0.402), (-0.075, 0.402)]
    for shape in (arrow, bar):
        path = np.array([(middle + x * unit, middle - y * unit) for x, y in shape])
        cv2.fillPoly(canvas, [np.rint(path * 2**fine).astype(np.int32)], 255, cv2.LINE_AA, fine)
    return np.asarray(canvas, np.float32) / np.float32(255)


def _print(side: int) -> tuple[F32, F32]:
    """Return the artwork as densities of the navy and of the red ink, 0 to 1."""
    rho, theta = polar(side)
    unit = RADIUS * side
    soft = 1.2 / unit

    def ring(inner: float, outer: float) -> F32:
        return step(inner - soft, inner + soft, rho) * (1 - step(outer - soft, outer + soft, rho))

    navy = ring_text(side, "LINESIDE", 0.420 * unit, 0.115 * unit, 0.019 * unit, 270)
    for centre in (0.0, np.pi):
        away = np.asarray(np.hypot(rho * np.cos(theta) - 0.475 * np.cos(centre), rho * np.sin(theta)), np.float32)
        navy = np.maximum(navy, 1 - step(0.042 - soft, 0.042 + soft, away))
    navy = np.maximum(navy, ring(0.335, 0.350))
    disc = 1 - step(0.285 - soft, 0.285 + soft, rho)
    x, y = rho * np.cos(theta), rho * np.sin(theta)
    belt = step(0.033 - soft, 0.033 + soft, np.abs(y + 0.075))
    part = step(0.095 - soft, 0.095 + soft, np.asarray(np.hypot(x, y - 0.055), np.float32))
    core = 1 - step(0.052 - soft, 0.052 + soft, np.asarray(np.hypot(x, y - 0.055), np.float32))
    navy = np.maximum(navy, disc * belt * part)
    red = np.asarray(np.maximum(core, ring(0.580, 0.595) * (np.abs(theta - np.pi / 2) > 0.24)), np.float32)
    return np.asarray(navy, np.float32), red


def make_maps(seed: int, size: int) -> CapMaps:
    """Return the maps of the good cap of this seed, with side SUPERSAMPLE * size."""
    side = SUPERSAMPLE * size
    rng = stream(seed, "caps", "part")
    navy, red = _print(side)
    slip = rng.normal(0, 0.25, 2)
    # The print sits within a fraction of a pixel of the stamp and its density is never quite even.
    shift = np.array([[1, 0, slip[0] * SUPERSAMPLE], [0, 1, slip[1] * SUPERSAMPLE]])
    density = np.clip(0.955 + 0.015 * fractal(rng, side, side / 6) + 0.02 * white(rng, side), 0, 1)
    navy, red = (cv2.warpAffine(ink, shift, (side, side)) * density for ink in (navy, red))
    mark = cv2.GaussianBlur(_stamp(side), (0, 0), 1.1 * SUPERSAMPLE * size / 320)
    waviness = cv2.GaussianBlur(smooth(rng, side, side / 7), (0, 0), side / 40) * 0.06
    height = _pressed(side) + 0.0125 * RADIUS * side * mark + waviness
    return CapMaps(
        height=np.asarray(height, np.float32),
        cover=np.asarray(np.clip(outline(side) + 0.5, 0, 1), np.float32),
        navy=np.asarray(navy, np.float32),
        red=np.asarray(red, np.float32),
        grain=brushed(rng, side, 14.0 * SUPERSAMPLE),
        tint=np.ones((side, side, 3), np.float32),
        gloss=np.ones((side, side), np.float32),
        bare=np.zeros((side, side), np.float32),
    )


def place(maps: CapMaps, pose: Pose, size: int) -> CapMaps:
    """Return the maps turned and shifted into the frame."""
    matrix = pose.matrix(size, SUPERSAMPLE)
    side = SUPERSAMPLE * size

    def warp(field: F32, border: float) -> F32:
        out = cv2.warpAffine(field, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=(border,) * 3)
        return np.asarray(out, np.float32)

    floor = float(maps.height.min())
    height = warp(maps.height, floor) * pose.scale
    filled = {"tint": 1.0, "gloss": 1.0}
    others = {
        n: warp(getattr(maps, n), filled.get(n, 0.0))
        for n in ("cover", "navy", "red", "grain", "tint", "gloss", "bare")
    }
    return replace(maps, height=height, **others)


def _ground(seed: int, side: int, light: Light) -> F32:
    """Return the conveyor belt under the cap as RGB, shape (side, side, 3): dark, matt, finely ribbed rubber."""
    rng = stream(seed, "caps", "ground")
    y, x = np.mgrid[:side, :side].astype(np.float32)
    pitch = 3.3 * SUPERSAMPLE
    ribs = np.sin(2 * np.pi * x / pitch) * np.sin(2 * np.pi * y / pitch)
    height = 0.22 * ribs + 0.22 * cv2.GaussianBlur(white(rng, side), (0, 0), 1.4) * 2.5
    level = 0.135 * (1 + 0.035 * fractal(rng, side, side / 4))
    lit = level * (0.35 + 0.9 * diffuse(surface(np.asarray(height, np.float32)), light, wrap=0.1))
    dust = np.asarray(smooth(rng, side, 1.6 * SUPERSAMPLE) > 3.6, np.float32)
    lit = lit + 0.05 * cv2.GaussianBlur(dust, (0, 0), 0.9)
    return np.asarray(lit[..., None] * np.array([0.98, 1.0, 1.04], np.float32), np.float32)


def shade(maps: CapMaps, seed: int, pose: Pose, light: Light, size: int) -> F32:
    """Return the lit scene as RGB in 0 to 1, shape (SUPERSAMPLE * size, SUPERSAMPLE * size, 3).

    Parameters
    ----------
    maps
        As :func:`place` returned them.
    """
    side = SUPERSAMPLE * size
    shape = surface(maps.height)
    steep = np.hypot(shape.slope_x, shape.slope_y)
    ink = np.clip(maps.navy + maps.red, 0, 1)
    grain = np.asarray(0.025 * maps.grain * (1 - 0.6 * ink), np.float32)
    brush = pose.angle_deg
    key = highlight(shape, light.azimuth_deg, light.elevation_deg, 0.27, 0.36, brush, grain)
    fill = highlight(shape, light.azimuth_deg - 165, 34.0, 0.26, 0.36, brush, grain)
    dome = highlight(shape, 90.0, 80.0, 0.50, 0.58, brush, grain)
    glint = highlight(shape, light.azimuth_deg, light.elevation_deg, 0.15, 0.20, brush, grain)
    horizon = 0.07 + 0.08 / (1 + 0.8 * steep**2)
    ring = np.exp(-(((steep - 0.62) / 0.34) ** 2)) * (0.75 + 0.5 * diffuse(shape, light, wrap=0.6))
    mirrored = (horizon + 0.22 * ring + 0.34 * dome + 0.85 * key + 0.42 * fill + 0.40 * glint) * maps.gloss
    open_sky = occlusion(maps.height, 3.0 * SUPERSAMPLE, 1.5) * occlusion(maps.height, 9.0 * SUPERSAMPLE, 1.2)
    metal = mirrored[..., None] * (_METAL + maps.bare[..., None] * (_BARE - _METAL))
    # A print is a thin coloured film: it scatters its own colour and adds the weak mirror of its lacquer.
    matt = 0.22 + 0.85 * diffuse(shape, light, wrap=0.3)
    coat = (0.055 * key + 0.10 * glint + 0.02 * dome) * maps.gloss
    base = maps.navy[..., None] * _NAVY + maps.red[..., None] * _RED
    film = base / np.maximum(ink, 1e-3)[..., None] * matt[..., None] + coat[..., None]
    top = (metal + ink[..., None] * (film - metal)) * maps.tint * open_sky[..., None]
    shadow = np.maximum(
        0.75 * cast_shadow(maps.cover, light, 0.030 * side, 0.012 * side),
        0.85 * np.asarray(cv2.GaussianBlur(maps.cover, (0, 0), 0.007 * side), np.float32),
    )
    bounce = 0.02 * np.asarray(cv2.GaussianBlur(maps.cover, (0, 0), 0.035 * side), np.float32)
    ground = _ground(seed, side, light) * (1 - 0.85 * shadow)[..., None] + bounce[..., None] * 0.4
    scene = ground + maps.cover[..., None] * (top - ground)
    return shoulder(np.asarray(scene, np.float32))
