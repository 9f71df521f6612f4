"""The weave: a 2/2 twill of two yarn colours that fills the frame.

The cloth is worked out yarn by yarn in its own frame, on a canvas a little larger than the frame, then turned by the
pose and lit. A picture of a fabric as a texture would have been shorter, but could have neither a pulled yarn nor a
hole with the yarns' ends in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.synth.noise import brushed, fractal, smooth, step
from lineside.synth.scene import F32, SUPERSAMPLE, Light, Pose, stream
from lineside.synth.shading import diffuse, highlight, occlusion, shoulder, surface

CANVAS = 1.2
"""Side of the cloth over the frame's side: room for a rotation of 6 degrees and a shift of 3 %."""

PITCH_PX = 10.5
"""Distance of neighbouring yarns in frame pixels, at every frame size."""

_WARP = np.array([0.585, 0.575, 0.545], np.float32)
_WEFT = np.array([0.43, 0.455, 0.475], np.float32)
_UNDER = np.array([0.045, 0.045, 0.05], np.float32)


@dataclass(frozen=True)
class Damage:
    """What a defect does to the yarns before they are woven; float32 maps of shape (side, side).

    Parameters
    ----------
    push_x, push_y
        How far the yarns are pushed aside, in pixels.
    warp, weft
        Factor on the width of each family of yarns; 0 takes them away.
    """

    push_x: F32
    push_y: F32
    warp: F32
    weft: F32


@dataclass(frozen=True)
class WeaveMaps:
    """A piece of cloth in its own frame; float32 maps of shape (side, side), ``albedo`` of shape (side, side, 3).

    Parameters
    ----------
    height
        Height in pixels.
    albedo
        Share of the light that the yarns scatter, RGB.
    gloss
        Factor on the sheen of the yarns.
    """

    height: F32
    albedo: F32
    gloss: F32


@dataclass(frozen=True)
class _Family:
    """One family of yarns: where each pixel lies relative to its yarn, and how high that yarn runs there."""

    index: npt.NDArray[np.intp]
    height: F32
    present: npt.NDArray[np.bool_]


def canvas_px(size: int) -> int:
    """Return the side of the cloth in supersampled pixels."""
    return round(CANVAS * size) * SUPERSAMPLE


def _twill(count: int) -> F32:
    """Return 1 where the warp yarn (row) lies over the weft yarn (column), else -1; shape (count, count)."""
    i, j = np.mgrid[:count, :count]
    return np.where((i - j) % 4 < 2, 1.0, -1.0).astype(np.float32)


def _family(across: F32, along: F32, over: F32, width: F32, rng: np.random.Generator) -> _Family:
    """Return one family of yarns.

    Parameters
    ----------
    across, along
        Place of each pixel across and along the yarns, in pitches.
    over
        1 or -1 for each crossing: [this yarn, other yarn].
    width
        Factor on the yarns' width.
    """
    count = over.shape[0]
    index = np.clip(np.floor(across), 0, count - 1).astype(np.intp)
    offset, girth = (
        rng.normal(0, 0.018, (count,)).astype(np.float32),
        rng.normal(0.510, 0.012, (count,)).astype(np.float32),
    )
    slub = smooth(rng, count, 1.0)
    before = np.clip(np.floor(along - 0.5), 0, count - 2).astype(np.intp)
    t = step(0.12, 0.88, np.asarray(along - 0.5 - before, np.float32))
    level = over[index, before] + t * (over[index, before + 1] - over[index, before])
    swell = slub[index, before] + t * (slub[index, before + 1] - slub[index, before])
    half = girth[index] * (1 + 0.025 * swell) * width
    place = across - index - 0.5 - offset[index]
    round_ = 1 - (place / np.maximum(half, 1e-3)) ** 2
    present = (round_ > 0) & (half > 0.08)
    height = 0.15 * level + 0.36 * np.minimum(width, 1) * np.sqrt(np.clip(round_, 0, 1))
    return _Family(index, np.asarray(height, np.float32), present)


def undamaged(size: int) -> Damage:
    """Return the damage that is none."""
    side = canvas_px(size)
    zero, one = np.zeros((side, side), np.float32), np.ones((side, side), np.float32)
    return Damage(zero, zero, one, one)


def make_maps(seed: int, size: int, damage: Damage) -> WeaveMaps:
    """Return the cloth of this seed, woven with the given damage."""
    side, pitch = canvas_px(size), PITCH_PX * SUPERSAMPLE
    rng = stream(seed, "weave", "part")
    y, x = np.mgrid[:side, :side].astype(np.float32)
    drift_x, drift_y = (
        pitch * (0.07 * smooth(rng, side, side / 3) + 0.016 * smooth(rng, side, 2.2 * pitch)) for _ in "xy"
    )
    u = (x + drift_x - damage.push_x) / pitch + 3
    v = (y + drift_y - damage.push_y) / pitch + 3
    over = _twill(int(side / pitch) + 8)
    warp = _family(u, v, over, damage.warp, rng)
    weft = _family(v, u, np.ascontiguousarray(-over.T), damage.weft, rng)
    warp_height = np.where(warp.present, warp.height, -0.40)
    weft_height = np.where(weft.present, weft.height, -0.40)
    on_top = warp_height >= weft_height
    any_yarn = warp.present | weft.present
    fibre = np.where(on_top, brushed(rng, side, 3.5, 62.0, 0.55), brushed(rng, side, 3.5, -28.0, 0.55))
    tone_warp, tone_weft = (rng.normal(1, 0.016, (over.shape[0],)).astype(np.float32) for _ in "xy")
    tone = np.where(on_top, tone_warp[warp.index], tone_weft[weft.index])
    cloud = 1 + 0.012 * fractal(rng, side, side / 4)
    colour = np.where(on_top[..., None], _WARP, _WEFT) * (tone * cloud * (1 + 0.10 * fibre))[..., None]
    height = np.maximum(warp_height, weft_height) * pitch + np.where(any_yarn, 0.40 * fibre, 0.0)
    return WeaveMaps(
        height=np.asarray(height, np.float32),
        albedo=np.asarray(np.where(any_yarn[..., None], colour, _UNDER), np.float32),
        gloss=np.asarray(any_yarn, np.float32),
    )


def place(maps: WeaveMaps, pose: Pose, size: int) -> WeaveMaps:
    """Return the cloth turned and shifted into the frame.

    Raises
    ------
    UsageError
        When the frame would show more than the cloth: about beyond 6 degrees, or beyond 3 % of shift.
    """
    matrix, side, canvas = pose.matrix(size, SUPERSAMPLE, round(CANVAS * size)), SUPERSAMPLE * size, canvas_px(size)
    corners = np.array([[0, 0, 1], [side - 1, 0, 1], [0, side - 1, 1], [side - 1, side - 1, 1]], np.float64)
    inverse = cv2.invertAffineTransform(matrix)
    seen = corners @ inverse.T
    if seen.min() < 0 or seen.max() > canvas - 1:
        raise UsageError(
            f"the weave's pose {pose} shows more than the cloth; keep the rotation within 6 degrees, "
            f"the shift within 3 % of the frame ({0.03 * size:.0f} px) and the scale within 0.98 to 1.02"
        )

    def warp(values: F32) -> F32:
        return np.asarray(cv2.warpAffine(values, matrix, (side, side), borderMode=cv2.BORDER_REFLECT), np.float32)

    return WeaveMaps(warp(maps.height) * np.float32(pose.scale), warp(maps.albedo), warp(maps.gloss))


def shade(maps: WeaveMaps, light: Light) -> F32:
    """Return the lit cloth as RGB in 0 to 1, shape (SUPERSAMPLE * size, SUPERSAMPLE * size, 3).

    Parameters
    ----------
    maps
        As :func:`place` returned them.
    """
    soft = np.asarray(cv2.GaussianBlur(maps.height, (0, 0), 0.9), np.float32)
    shape = surface(soft, max_slope=2.5)
    lit = 0.30 + 0.95 * diffuse(shape, light, wrap=0.25)
    open_sky = occlusion(soft, 2.0 * SUPERSAMPLE, 1.5) * occlusion(soft, 5.0 * SUPERSAMPLE, 1.2)
    sheen = highlight(shape, light.azimuth_deg, light.elevation_deg, 0.45, 0.45) * maps.gloss
    scene = (maps.albedo * lit[..., None] + 0.085 * sheen[..., None]) * open_sky[..., None]
    return shoulder(np.asarray(1.12 * scene, np.float32))
