"""Synthetic defects on real images, with their masks: what adaptation learns from and is judged by.

Each kind is a shape (where) and a filling (what). The kinds are after CutPaste (Li et al., CVPR 2021: a piece of a
good image somewhere else, as a patch and as a thin scar) and DRAEM (Zavrtanik et al., ICCV 2021: a foreign texture
under a mask of smooth noise), and plain drawings of what lines know: scratch, stain, rubbed or roughened surface.
Strengths are drawn on a logarithmic scale from hardly visible to plain, since defects that every trunk sees teach and
tell nothing. albumentations was rejected here: it has no transform that gives back a mask of what it changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Rng = np.random.Generator
Kind = Callable[[Floats, Floats, tuple[int, int], Rng], Floats]
"""(image [H, W, C], another good image, centre (x, y), generator) -> changed image, both in grey levels."""

FAINT, PLAIN = 6.0, 80.0
"""Grey levels between which the contrast of a drawn defect lies, by logarithm."""
SEEN = 2.0
"""Grey levels from which on a changed pixel belongs to the defect."""
TRIES = 8


@dataclass(frozen=True)
class Spoiled:
    """An image with a synthetic defect."""

    image: Pixels
    """[H, W, C]."""
    mask: Bools
    """[H, W]: what was changed; nowhere where no try changed anything that can be seen."""


def spoil(image: Pixels, other: Pixels, region: Bools, kind: str, rng: Rng) -> Spoiled:
    """Put one synthetic defect into a good image.

    Parameters
    ----------
    image : ndarray of uint8 [H, W, C]
        Never changed itself.
    other : ndarray of uint8 [H, W, C]
        Another good image of the part, which foreign pieces are taken from; may be `image`.
    region : ndarray of bool [H, W]
        Where a defect may be; everything outside stays as it was. Nowhere: as if everywhere.
    kind : str
        A key of `KINDS` or `SUBTLE`.
    rng : numpy.random.Generator
        Decides everything that is drawn.

    Returns
    -------
    Spoiled
    """
    draw = KINDS[kind] if kind in KINDS else SUBTLE[kind]
    inside = region if region.any() else np.ones(image.shape[:2], np.bool_)
    rows, columns = np.nonzero(inside)
    base, foreign = image.astype(np.float32), other.astype(np.float32)
    for _ in range(TRIES):
        at = int(rng.integers(len(rows)))
        changed = draw(base, foreign, (int(columns[at]), int(rows[at])), rng)
        made = np.where(inside[:, :, None], np.clip(np.rint(changed), 0, 255), base).astype(np.uint8)
        mask: Bools = np.abs(made.astype(np.float32) - base).max(axis=2) > SEEN
        if mask.any():
            return Spoiled(made, mask)
    return Spoiled(image.copy(), np.zeros(image.shape[:2], np.bool_))


def _patch(image: Floats, other: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    """A piece of another place, pasted as it is or a little brighter or darker."""
    sides = np.exp(rng.uniform(np.log(0.04), np.log(0.2), 2)) * min(image.shape[:2])
    return _mixed(image, _moved(other, rng), _rectangle(image, centre, sides, 0.0), rng.uniform(0.4, 1.0))


def _scar(image: Floats, other: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    """The same, long and thin, at any angle."""
    side = min(image.shape[:2])
    sides = np.array([rng.uniform(0.08, 0.35), rng.uniform(0.008, 0.03)]) * side
    shape = _rectangle(image, centre, sides, rng.uniform(0.0, 180.0))
    return _mixed(image, _moved(other, rng), shape, rng.uniform(0.5, 1.0))


def _texture(image: Floats, other: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    """A foreign texture under a mask of smooth noise."""
    side = min(image.shape[:2])
    radius = np.exp(rng.uniform(np.log(0.04), np.log(0.15))) * side
    near = _ellipse(image, centre, np.array([radius, radius]), 0.0, soft=0.3)
    cells = int(np.clip(side / radius, 4, 24))
    shape = near * (_noise(image.shape[:2], cells, rng) > 0.5)
    foreign = (
        np.asarray(other.mean(axis=(0, 1)), np.float32)
        + 60.0 * (_noise(image.shape[:2], 4 * cells, rng) - 0.5)[:, :, None]
    )
    filling = _moved(other, rng) if rng.random() < 0.5 else foreign.astype(np.float32)
    return _mixed(image, filling, cv2.GaussianBlur(shape, (0, 0), 0.8), rng.uniform(0.3, 1.0))


def _scratch(image: Floats, other: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    """A bright or dark line of one to three pixels with a bend."""
    shape = _line(image, centre, rng)
    return np.asarray(image + np.float32(_contrast(rng)) * shape[:, :, None], np.float32)


def _line(image: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    side = min(image.shape[:2])
    angle, step = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.04, 0.12) * side
    points = [np.array(centre, np.float64)]
    for _ in range(3):
        points.append(points[-1] + step * np.array([np.cos(angle), np.sin(angle)]))
        angle += rng.normal(0.0, 0.3)
    shape = np.zeros(image.shape[:2], np.float32)
    line = np.rint(points).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(shape, [line], False, 1.0, int(rng.integers(1, 4)), cv2.LINE_AA)
    return shape


def _stain(image: Floats, other: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    """A bright or dark spot with a soft edge."""
    shape = _spot(image, centre, rng)
    tinted = image.shape[2] == 3 and rng.random() < 0.5
    tint = np.asarray(rng.uniform(0.6, 1.0, image.shape[2]) if tinted else np.ones(1), np.float32)
    return np.asarray(image + np.float32(0.7 * _contrast(rng)) * shape[:, :, None] * tint, np.float32)


def _spot(image: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    radii = np.exp(rng.uniform(np.log(0.015), np.log(0.12), 2)) * min(image.shape[:2])
    return _ellipse(image, centre, radii, rng.uniform(0.0, 180.0), soft=rng.uniform(0.1, 0.6))


def _faint(image: Floats, other: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    """A line or a spot near the limit of what can be seen."""
    shape = (_line if rng.random() < 0.5 else _spot)(image, centre, rng)
    return np.asarray(image + np.float32(_contrast(rng, 2.0 * FAINT)) * shape[:, :, None], np.float32)


def _shade(image: Floats, other: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    """A wide bright or dark cloud without an edge, as from damp, wear or uneven heat."""
    radii = np.exp(rng.uniform(np.log(0.12), np.log(0.35), 2)) * min(image.shape[:2])
    shape = _ellipse(image, centre, radii, rng.uniform(0.0, 180.0), soft=0.6)
    return np.asarray(image + np.float32(_contrast(rng, 6.0 * FAINT)) * shape[:, :, None], np.float32)


def _rubbed(image: Floats, other: Floats, centre: tuple[int, int], rng: Rng) -> Floats:
    """The surface is rubbed smooth, or roughened."""
    radii = np.exp(rng.uniform(np.log(0.03), np.log(0.15), 2)) * min(image.shape[:2])
    shape = _ellipse(image, centre, radii, rng.uniform(0.0, 180.0), soft=0.2)
    if rng.random() < 0.5:
        return _mixed(image, cv2.GaussianBlur(image, (0, 0), rng.uniform(1.5, 5.0)).reshape(image.shape), shape, 1.0)
    grain = cv2.GaussianBlur(rng.standard_normal(image.shape[:2]).astype(np.float32), (0, 0), rng.uniform(0.5, 1.5))
    grain /= max(float(grain.std()), 1e-6)
    return np.asarray(image + np.float32(0.5 * abs(_contrast(rng))) * (grain * shape)[:, :, None], np.float32)


KINDS: Mapping[str, Kind] = {
    "patch": _patch, "scar": _scar, "texture": _texture, "scratch": _scratch, "stain": _stain, "rubbed": _rubbed,
}  # fmt: skip
"""By name."""
SUBTLE: Mapping[str, Kind] = {"faint": _faint, "shade": _shade}
"""Harder ones that only the adaptation is judged by, so that what heads choose by stays as it was measured."""


def _contrast(rng: Rng, most: float = PLAIN) -> float:
    """Grey levels, brighter or darker."""
    return float(np.exp(rng.uniform(np.log(FAINT), np.log(most))) * rng.choice([-1.0, 1.0]))


def _moved(other: Floats, rng: Rng) -> Floats:
    """Another good image shifted around by anything, mirrored half the time, a little brighter or darker."""
    height, width = other.shape[:2]
    shifted = np.roll(other, (int(rng.integers(height)), int(rng.integers(width))), axis=(0, 1))
    turned = shifted[:, ::-1] if rng.random() < 0.5 else shifted
    return np.asarray(turned * rng.uniform(0.8, 1.2), np.float32)


def _mixed(image: Floats, filling: Floats, shape: Floats, opacity: float) -> Floats:
    weight = np.float32(opacity) * shape[:, :, None]
    return image + weight * (filling - image)


def _rectangle(image: Floats, centre: tuple[int, int], sides: npt.NDArray[np.float64], angle_deg: float) -> Floats:
    mask = np.zeros(image.shape[:2], np.float32)
    long, short = (max(2.0, float(side)) for side in sides)
    corners = cv2.boxPoints((centre, (long, short), angle_deg))
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1.0, cv2.LINE_AA)
    return mask


def _ellipse(
    image: Floats, centre: tuple[int, int], radii: npt.NDArray[np.float64], angle_deg: float, *, soft: float
) -> Floats:
    mask = np.zeros(image.shape[:2], np.float32)
    axes = (max(1, round(float(radii[0]))), max(1, round(float(radii[1]))))
    cv2.ellipse(mask, centre, axes, angle_deg, 0, 360, 1.0, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.5, soft * min(axes))), np.float32)


def _noise(size_hw: tuple[int, int], cells: int, rng: Rng) -> Floats:
    """Smooth noise of two octaves, its middle at a half."""
    total = np.zeros(size_hw, np.float32)
    for octave in (1, 2):
        grid = rng.standard_normal((octave * cells, octave * cells)).astype(np.float32)
        total += cv2.resize(grid, size_hw[::-1], interpolation=cv2.INTER_CUBIC) / octave
    return np.asarray(0.5 + 0.5 * total / max(float(np.abs(total).max()), 1e-6), np.float32)
