"""From a height map to a lit surface.

Surfaces are lit in slope space: a facet mirrors the lamp into the lens when its slope is the half vector's slope, and
a rough surface does so with a Gaussian spread around it (Ward 1992, "Measuring and modeling anisotropic reflection",
in its slope form). It costs a few exponentials per pixel and gives the stretched highlight of brushed metal, which a
Phong lobe cannot.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lineside.synth.scene import F32, Light

_PERSPECTIVE = 0.16
"""Half a frame over the camera's height: how much the view leans outward at the edge of the frame."""


@dataclass(frozen=True)
class Surface:
    """Slopes of a surface, each of shape (H, W): height gained per pixel to the right and per pixel down."""

    slope_x: F32
    slope_y: F32


def surface(height: F32, max_slope: float = 6.0) -> Surface:
    """Return the slopes of a height map given in pixels; steeper ones are limited to ``max_slope``."""
    gx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REFLECT)
    gy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REFLECT)
    return Surface(np.clip(gx, -max_slope, max_slope), np.clip(gy, -max_slope, max_slope))


def lamp_vector(azimuth_deg: float, elevation_deg: float) -> tuple[float, float, float]:
    """Return the unit vector to a lamp in picture axes: right, down, towards the camera."""
    a, e = np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)
    return float(np.cos(e) * np.cos(a)), float(-np.cos(e) * np.sin(a)), float(np.sin(e))


def diffuse(shape: Surface, light: Light, wrap: float = 0.2) -> F32:
    """Return the light a matt surface receives, 1 for a surface that faces the lamp.

    Parameters
    ----------
    wrap
        Softness of the lamp: 0 is a point, 1 lights half of the back as well.
    """
    lx, ly, lz = lamp_vector(light.azimuth_deg, light.elevation_deg)
    norm = np.sqrt(1 + shape.slope_x**2 + shape.slope_y**2)
    cosine = (lz - shape.slope_x * lx - shape.slope_y * ly) / norm
    return np.asarray(np.clip((cosine + wrap) / (1 + wrap), 0, None), dtype=np.float32)


def highlight(
    shape: Surface,
    azimuth_deg: float,
    elevation_deg: float,
    along: float,
    across: float,
    brush_deg: float = 0.0,
    grain: F32 | None = None,
) -> F32:
    """Return the mirrored light of one soft lamp, 1 at the middle of its highlight.

    Parameters
    ----------
    azimuth_deg, elevation_deg
        Direction of the lamp, as in :class:`~lineside.synth.scene.Light`.
    along, across
        Roughness (spread in slope) along and across the brushing.
    brush_deg
        Direction of the brushing in the picture, counter-clockwise from the right.
    grain
        Slope of the brushing marks across their direction, shape (H, W).
    """
    rows, cols = shape.slope_x.shape
    lx, ly, lz = lamp_vector(azimuth_deg, elevation_deg)
    view_x = -_PERSPECTIVE * np.linspace(-1, 1, cols, dtype=np.float32)[None, :]
    view_y = -_PERSPECTIVE * np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    view_norm = np.sqrt(1 + view_x**2 + view_y**2)
    half_z = lz + 1 / view_norm
    dx = shape.slope_x + (lx + view_x / view_norm) / half_z
    dy = shape.slope_y + (ly + view_y / view_norm) / half_z
    a = np.deg2rad(brush_deg)
    with_brush = dx * np.cos(a) - dy * np.sin(a)
    cross_brush = dx * np.sin(a) + dy * np.cos(a)
    if grain is not None:
        cross_brush = cross_brush + grain
    return np.asarray(np.exp(-((with_brush / along) ** 2) - (cross_brush / across) ** 2), dtype=np.float32)


def occlusion(height: F32, reach_px: float, strength: float) -> F32:
    """Return how open each point is to the sky, 1 on a plain and less in a hollow about ``reach_px`` wide."""
    around = cv2.GaussianBlur(height, (0, 0), reach_px, borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.exp(-strength * np.clip(around - height, 0, None) / reach_px), dtype=np.float32)


def cast_shadow(cover: F32, light: Light, lift_px: float, soft_px: float) -> F32:
    """Return how much of the lamp a body hides from the ground, 0 to 1.

    Parameters
    ----------
    cover
        The body's outline, 0 to 1, shape (H, W).
    lift_px, soft_px
        Height of the body above the ground and width of the shadow's soft edge, in pixels.
    """
    lx, ly, lz = lamp_vector(light.azimuth_deg, light.elevation_deg)
    matrix = np.array([[1, 0, -lx / lz * lift_px], [0, 1, -ly / lz * lift_px]])
    moved = cv2.warpAffine(cover, matrix, cover.shape[::-1])
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), soft_px), dtype=np.float32)


def shoulder(radiance: F32) -> F32:
    """Return the radiance with its highlights rolled off below 1, as a sensor's response does; about linear to 0.5."""
    knee = 0.55
    over = np.clip(radiance - knee, 0, None)
    return np.asarray(np.minimum(radiance, knee) + 0.37 * (1 - np.exp(-over / 0.37)), dtype=np.float32)
