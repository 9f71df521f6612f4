"""What a pose search looks for and with how much effort: it decides the graph, and no image has a say in it."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lineside.normalise.geometry import F32

PoseModel = Literal["shift", "rigid", "similarity", "perspective"]
RequestedModel = Literal["auto", "none", "shift", "rigid", "similarity", "perspective"]

ROTATION_STEP_DEG = 5.0
SCALE_STEP = 0.05
MIN_ROTATIONS = 12
"""From this many rotations on, candidates are the best rotations; below, the best places."""


@dataclass(frozen=True)
class PoseSettings:
    """What is looked for, and with how much effort; decides the graph's structure and the shape of every value.

    Attributes
    ----------
    model : str
        shift, rigid (and rotation), similarity (and scale) or perspective; auto and none are for `choose_pose` alone.
    small_wh : tuple of int
        Size of the small grey image, px.
    angle_deg : float
        Largest rotation looked for, both ways; 180 is the full circle.
    shift : float
        Largest shift looked for, both ways, as a share of the longer side.
    scale : float
        Largest change of size looked for, both ways; 0.1 is 0.9 to 1.1.
    fiducials : tuple of four points, or None
        Marks that a perspective is read from, x and y as shares of the anchor frame.
    rank, candidates, points_coarse, points_fine : int
        Convolutions, refined candidates, and golden pixels at half and at full small size.
    steps_coarse, steps_fine : int
        Iterations at either size.
    """

    model: RequestedModel
    small_wh: tuple[int, int]
    angle_deg: float = 180.0
    shift: float = 0.15
    scale: float = 0.1
    fiducials: tuple[tuple[float, float], ...] | None = None
    rank: int = 96
    candidates: int = 12
    points_coarse: int = 512
    points_fine: int = 2048
    steps_coarse: int = 4
    steps_fine: int = 4

    @property
    def canvas(self) -> int:
        """Side of the square canvas around the small image, px, a multiple of 8."""
        return 8 * math.ceil(max(self.small_wh) / 8)

    @property
    def corner(self) -> tuple[int, int]:
        """Canvas pixel of the small image's first pixel, (x, y)."""
        return (self.canvas - self.small_wh[0]) // 2, (self.canvas - self.small_wh[1]) // 2

    @property
    def full_circle(self) -> bool:
        """Whether every rotation is looked for."""
        return self.model != "shift" and self.angle_deg > 180.0 - ROTATION_STEP_DEG

    @property
    def rotations_deg(self) -> tuple[float, ...]:
        """Rotations of the templates."""
        if self.full_circle:
            return tuple(float(v) for v in np.arange(0.0, 360.0, ROTATION_STEP_DEG))
        count = 0 if self.model == "shift" else round(self.angle_deg / ROTATION_STEP_DEG)
        return tuple(ROTATION_STEP_DEG * n for n in range(-count, count + 1))

    @property
    def scales(self) -> tuple[float, ...]:
        """Scales of the templates."""
        scaled = self.model in ("similarity", "perspective")
        count = math.ceil(self.scale / SCALE_STEP - 0.2) if scaled else 0
        return tuple(1.0 + SCALE_STEP * n for n in range(-count, count + 1))

    @property
    def reach(self) -> int:
        """Largest shift of the templates, in pixels of the coarsest canvas."""
        return max(1, math.ceil(self.shift * self.canvas / 4))

    @property
    def by_rotation(self) -> bool:
        """Whether candidates are told apart by rotation rather than by place."""
        return len(self.rotations_deg) >= MIN_ROTATIONS

    @property
    def templates(self) -> int:
        """Number of rotations times scales."""
        return len(self.rotations_deg) * len(self.scales)

    @property
    def freedoms(self) -> int:
        """Parameters of the refinement before any perspective."""
        return {"shift": 2, "rigid": 3}.get(self.model, 4)

    def to_canvas(self) -> F32:
        """Return the 3×3 matrix from pixels of the small image to the canvas's own measure."""
        half, (x, y) = self.canvas / 2, self.corner
        shift_x, shift_y = (x + 0.5) / half - 1, (y + 0.5) / half - 1
        return np.array([[1 / half, 0, shift_x], [0, 1 / half, shift_y], [0, 0, 1]], np.float32)

    def value_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each fitted value, in the order in which `PoseSearch.forward` takes them."""
        side, n = self.canvas // 4, self.freedoms
        shapes: dict[str, tuple[int, ...]] = {
            "pose_basis": (min(self.rank, self.templates), 1, side, side),
            "pose_mixing": (self.templates, min(self.rank, self.templates)),
            "pose_open": (len(self.rotations_deg),),
            "pose_starts": (self.templates, 9),
            "pose_generators": (n, 9),
            "pose_points_coarse": (self.points_coarse, 3),
            "pose_read_coarse": (self.points_coarse, n + 4),
            "pose_weigh_coarse": (self.points_coarse, 2),
            "pose_points_fine": (self.points_fine, 3),
            "pose_read_fine": (self.points_fine, n + 2),
            "pose_weigh_fine": (self.points_fine, 1),
            "pose_gauge": (3, 3),
            "pose_typical": (8,),
        }
        if self.model == "perspective":
            shapes["pose_generators_full"] = (8, 9)
            shapes["pose_read_full"] = (self.points_fine, 10)
        return shapes
