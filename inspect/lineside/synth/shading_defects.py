"""Shading defects on real images: a spot, half of the part or all of it a little darker or brighter. Seeded.

They are what a lighting correction is most likely to take for light. Each is a mask and a depth, so that the same
defect can be measured before and after a correction; `disturb` makes finished frames with other light in them instead.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from lineside.synth.scene import F32

Kind = Literal["spot", "half", "whole"]
KINDS: tuple[Kind, ...] = ("spot", "half", "whole")


def draw_shading(rng: np.random.Generator, kind: Kind, part: F32) -> tuple[F32, float]:
    """Draw a defect.

    Parameters
    ----------
    rng : numpy.random.Generator
    kind : "spot", "half" or "whole"
        A soft disc on the part, 3 to 6 % of the shorter side in radius; the part on one side of a line through its
        centre; all of the part.
    part : ndarray of float32 [h, w]
        1 on the part, 0 on its background; all 1 where the part fills the frame.

    Returns
    -------
    mask : ndarray of float32 [h, w]
        0 to 1.
    depth : float
        Relative change of brightness under the mask, 0.15 to 0.25, of either sign.
    """
    depth = float(rng.uniform(0.15, 0.25) * rng.choice([-1.0, 1.0]))
    if kind == "whole":
        return part.astype(np.float32), depth
    return (_half(rng, part) if kind == "half" else _spot(rng, part)), depth


def shaded(image: F32, mask: F32, depth: float) -> F32:
    """Return a copy of an image [C, h, w], 0 to 255, brighter by `depth` where the mask [h, w] is 1, clipped to 255."""
    changed: F32 = np.minimum(image * (1.0 + np.float32(depth) * mask), 255.0).astype(np.float32)
    return changed


def _half(rng: np.random.Generator, part: F32) -> F32:
    rows, columns = np.mgrid[: part.shape[0], : part.shape[1]].astype(np.float32)
    total = max(float(part.sum()), 1e-6)
    row, column = float((rows * part).sum()) / total, float((columns * part).sum()) / total
    angle = rng.uniform(0.0, 2.0 * np.pi)
    side = (columns - column) * np.cos(angle) + (rows - row) * np.sin(angle) > 0
    half: F32 = (part * side).astype(np.float32)
    return half


def _spot(rng: np.random.Generator, part: F32) -> F32:
    radius = max(2.0, float(rng.uniform(0.03, 0.06)) * min(part.shape))
    rows, columns = np.nonzero(part > 0.5)
    chosen = int(rng.integers(len(rows)))
    mask = np.zeros(part.shape, np.float32)
    cv2.circle(mask, (int(columns[chosen]), int(rows[chosen])), round(radius), 1.0, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.2 * radius), np.float32)
