"""Defects of the weave: damage to the yarns before they are woven, or something that lies on the cloth afterwards.

Severity runs from 0 (hardly visible) to 1 (nobody would miss it). Places are drawn well inside the part of the cloth
that every pose shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from lineside.synth.noise import blob, fractal, smooth, step
from lineside.synth.scene import F32, SUPERSAMPLE
from lineside.synth.weave import CANVAS, PITCH_PX, Damage, WeaveMaps, canvas_px


@dataclass(frozen=True)
class ClothDefect:
    """A change of the finished cloth.

    Parameters
    ----------
    maps
        The changed maps.
    place
        1 where the defect is, else 0; float32, shape (side, side).
    """

    maps: WeaveMaps
    place: F32


@dataclass(frozen=True)
class YarnDefect:
    """A change of the yarns before weaving, with its place as in :class:`ClothDefect`."""

    damage: Damage
    place: F32


def _spot(rng: np.random.Generator, side: int) -> tuple[float, float]:
    """Return a place (x, y) in pixels in the middle 70 % of the frame."""
    half = 0.35 * side / CANVAS
    x, y = (side - 1) / 2 + rng.uniform(-half, half, 2)
    return float(x), float(y)


def _mix(low: float, high: float, severity: float) -> float:
    """Return a value between two limits, on a logarithmic scale."""
    return float(low * (high / low) ** severity**0.7)


def hole(rng: np.random.Generator, size: int, severity: float) -> YarnDefect:
    """Return yarns that are worn thin, torn at high severity, and pushed aside around the place."""
    side, pitch = canvas_px(size), PITCH_PX * SUPERSAMPLE
    centre = _spot(rng, side)
    radius = pitch * _mix(0.8, 2.0, severity)
    inside = blob(rng, side, centre, radius, 0.10)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    away = np.hypot(x - centre[0], y - centre[1]) + 1e-3
    reach = np.exp(-((away / (1.5 * radius)) ** 2)) * (1 - np.exp(-((away / (0.5 * radius)) ** 2)))
    # The cloth holds: beyond some distance no yarn moves at all.
    push = pitch * np.clip(_mix(0.13, 0.45, severity) * reach - 0.03, 0, None)
    wear = _mix(0.225, 1.3, severity)
    # Torn ends hang at different lengths: each family is worn along its own streaks.
    streak = 0.22 * severity
    fray_x = cv2.GaussianBlur(smooth(rng, side, 0.35 * pitch), (0, 0), sigmaX=0.5, sigmaY=pitch)
    fray_y = cv2.GaussianBlur(smooth(rng, side, 0.35 * pitch), (0, 0), sigmaX=pitch, sigmaY=0.5)
    warp = np.clip(1 - wear * step(-0.15, 0.35, np.asarray(inside + streak * fray_x, np.float32)), 0, 1)
    weft = np.clip(1 - wear * step(-0.15, 0.35, np.asarray(inside + streak * fray_y, np.float32)), 0, 1)
    damage = Damage(
        push_x=np.asarray(push * (x - centre[0]) / away, np.float32),
        push_y=np.asarray(push * (y - centre[1]) / away, np.float32),
        warp=np.asarray(warp, np.float32),
        weft=np.asarray(weft, np.float32),
    )
    touched = (np.minimum(warp, weft) < 0.93) | (push > 0.05 * pitch)
    return YarnDefect(damage, np.asarray(touched, np.float32))


def _thread_path(rng: np.random.Generator, side: int, length_px: float) -> F32:
    """Return the distance in pixels of each pixel to a loosely curled thread."""
    steps = 120
    turn = np.cumsum(rng.normal(0, 0.055, steps)) + rng.normal(0, 0.010) * np.arange(steps) + rng.uniform(0, 2 * np.pi)
    points = np.cumsum(np.column_stack([np.cos(turn), np.sin(turn)]) * length_px / steps, axis=0)
    points += np.array(_spot(rng, side)) - points.mean(axis=0)
    canvas = np.full((side, side), 255, np.uint8)
    cv2.polylines(canvas, [np.rint(points * 16).astype(np.int32)], False, 0, 1, cv2.LINE_8, 4)
    return np.asarray(cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def loose_thread(maps: WeaveMaps, rng: np.random.Generator, severity: float) -> ClothDefect:
    """Return the cloth with a loose end of yarn on it, thinner and more like the cloth at low severity."""
    side, pitch = maps.height.shape[0], PITCH_PX * SUPERSAMPLE
    distance = _thread_path(rng, side, pitch * _mix(2.8, 9.5, severity))
    half = pitch * _mix(0.11, 0.26, severity) * (1 + 0.08 * smooth(rng, side, pitch))
    profile = np.sqrt(np.clip(1 - (distance / half) ** 2, 0, 1))
    cover = np.clip(half - distance + 0.5, 0, 1)
    fibre = fractal(rng, side, 3.0, octaves=2)
    light_thread = (
        np.array([0.74, 0.73, 0.68], np.float32) if rng.random() < 0.6 else np.array([0.26, 0.29, 0.34], np.float32)
    )
    colour = light_thread * (1 + 0.10 * fibre)[..., None]
    base = np.asarray(cv2.GaussianBlur(maps.height, (0, 0), 0.30 * pitch), np.float32)
    lifted = np.maximum(base + 0.10 * pitch, maps.height * 0.5 + base * 0.5) + half * profile
    shadow = _mix(0.10, 0.45, severity) * np.asarray(
        cv2.GaussianBlur(cover, (0, 0), 0.35 * half.mean() + 1), np.float32
    )
    moved = np.roll(shadow, (round(0.5 * half.mean()), round(0.4 * half.mean())), (0, 1))
    ground = maps.albedo * (1 - moved * (1 - cover))[..., None]
    changed = replace(
        maps,
        height=np.asarray(maps.height + cover * (lifted - maps.height), np.float32),
        albedo=np.asarray(ground + cover[..., None] * (colour - ground), np.float32),
        gloss=np.asarray(np.maximum(maps.gloss, cover), np.float32),
    )
    return ClothDefect(changed, np.asarray(cover > 0.3, np.float32))


def stain(maps: WeaveMaps, rng: np.random.Generator, severity: float) -> ClothDefect:
    """Return the cloth with a stain that the yarns have soaked up: darker, warmer, sharper along its edge."""
    side, pitch = maps.height.shape[0], PITCH_PX * SUPERSAMPLE
    inside = blob(rng, side, _spot(rng, side), pitch * _mix(1.45, 3.4, severity) * rng.uniform(0.85, 1.15), 0.20, 3)
    film = step(-0.02, 0.22, inside)
    edge = film * np.exp(-((inside / 0.20) ** 2))
    strength = _mix(0.28, 0.75, severity)
    dark = strength * np.clip(0.8 * film * (1 + 0.12 * fractal(rng, side, pitch)) + 0.3 * edge, 0, 1)
    colour = np.array([0.80, 0.95, 1.15], np.float32) if rng.random() < 0.7 else np.array([1.0, 1.0, 0.95], np.float32)
    changed = replace(
        maps,
        albedo=np.asarray(maps.albedo * (1 - dark[..., None] * colour), np.float32),
        gloss=np.asarray(maps.gloss * (1 - 0.6 * dark), np.float32),
    )
    return ClothDefect(changed, np.asarray(film > 0.10, np.float32))
