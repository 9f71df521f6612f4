"""One call from a seed to a picture with its mask and its true pose."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.synth import cap, cap_defects, weave, weave_defects
from lineside.synth.camera import expose
from lineside.synth.scene import F32, SUPERSAMPLE, U8, Light, Pose, RenderedPart, draw_light, draw_pose, stream

PARTS = ("caps", "weave")
"""The parts that can be rendered."""

DEFECTS = {
    "caps": ("scratch", "dent", "stain", "missing_print", "chipped_edge"),
    "weave": ("hole", "loose_thread", "stain"),
}
"""The defect classes of each part."""

_CAP_DEFECTS = {
    "scratch": cap_defects.scratch,
    "dent": cap_defects.dent,
    "stain": cap_defects.stain,
    "missing_print": cap_defects.missing_print,
    "chipped_edge": cap_defects.chipped_edge,
}

_CLOTH_DEFECTS = {"loose_thread": weave_defects.loose_thread, "stain": weave_defects.stain}


class _Scene(NamedTuple):
    """A lit scene, (side, side, 3), and the place of the defect in the part's frame, (canvas, canvas)."""

    radiance: F32
    place: F32 | None
    canvas: int


def _check(part: str, seed: int, defect: str | None, severity: float, size: int) -> None:
    """Raise UsageError for what cannot be rendered."""
    if part not in PARTS:
        raise UsageError(f"there is no synthetic part {part!r}; there are {', '.join(PARTS)}")
    if defect is not None and defect not in DEFECTS[part]:
        raise UsageError(f"the part {part!r} has no defect {defect!r}; it has {', '.join(DEFECTS[part])}")
    if not 0 <= severity <= 1:
        raise UsageError(f"the severity must lie from 0 to 1, not {severity}")
    if seed < 0:
        raise UsageError(f"the seed must be an integer from 0, not {seed}")
    if not 64 <= size <= 2048:
        raise UsageError(f"the size must lie from 64 to 2048 px, not {size}")


def _caps(seed: int, defect: str | None, severity: float, size: int, pose: Pose, light: Light) -> _Scene:
    """Return the scene of a cap."""
    maps, place = cap.make_maps(seed, size), None
    if defect is not None:
        damaged = _CAP_DEFECTS[defect](maps, stream(seed, "caps", "defect", defect), severity)
        maps, place = damaged.maps, damaged.place
    return _Scene(cap.shade(cap.place(maps, pose, size), seed, pose, light, size), place, size)


def _weave(seed: int, defect: str | None, severity: float, size: int, pose: Pose, light: Light) -> _Scene:
    """Return the scene of a piece of cloth."""
    rng = stream(seed, "weave", "defect", defect or "none")
    damage, place = weave.undamaged(size), None
    if defect == "hole":
        torn = weave_defects.hole(rng, size, severity)
        damage, place = torn.damage, torn.place
    maps = weave.make_maps(seed, size, damage)
    if defect in _CLOTH_DEFECTS:
        changed = _CLOTH_DEFECTS[defect](maps, rng, severity)
        maps, place = changed.maps, changed.place
    return _Scene(weave.shade(weave.place(maps, pose, size), light), place, round(weave.CANVAS * size))


def _mask(place: F32, matrix: npt.NDArray[np.float64], size: int) -> U8:
    """Return the mask in the frame: pixels of which the defect covers at least a quarter."""
    side = SUPERSAMPLE * size
    seen = cv2.warpAffine(place, matrix, (side, side), flags=cv2.INTER_LINEAR)
    share = cv2.resize(seen, (size, size), interpolation=cv2.INTER_AREA)
    return np.where(np.asarray(share) >= 0.25, np.uint8(255), np.uint8(0))


def render(
    part: str,
    seed: int,
    defect: str | None = None,
    severity: float = 0.5,
    size: int = 320,
    *,
    pose: Pose | None = None,
    light: Light | None = None,
) -> RenderedPart:
    """Render one picture of a part.

    The same arguments give the same picture. With the same seed, a part with a defect has the pose, light, surface and
    sensor noise of the good one.

    Parameters
    ----------
    part
        One of :data:`PARTS`.
    seed
        Any integer from 0.
    defect
        One of ``DEFECTS[part]``, or None for a good part.
    severity
        How visible the defect is, from 0 (hardly) to 1; ignored for a good part.
    size
        Side of the square picture in pixels, 64 to 2048.
    pose, light
        Exact pose and light; drawn from the seed where omitted.

    Raises
    ------
    UsageError
        When part, defect, severity or size is none that can be rendered, or the pose shows more than the cloth.
    """
    _check(part, seed, defect, severity, size)
    if pose is None:
        rng = stream(seed, part, "pose")
        pose = draw_pose(rng, size, 180, 0.04, 0.015) if part == "caps" else draw_pose(rng, size, 3.5, 0.025, 0.012)
    light = light or draw_light(stream(seed, part, "light"))
    scene = (_caps if part == "caps" else _weave)(seed, defect, severity, size, pose, light)
    mask = np.zeros((size, size), np.uint8)
    if scene.place is not None:
        mask = _mask(scene.place, pose.matrix(size, SUPERSAMPLE, scene.canvas), size)
    return RenderedPart(
        image=expose(scene.radiance, light, stream(seed, part, "sensor")),
        mask=mask,
        part=part,
        defect=defect,
        severity=severity if defect else 0.0,
        seed=seed,
        angle_deg=pose.angle_deg,
        dx_px=pose.dx_px,
        dy_px=pose.dy_px,
        scale=pose.scale,
        light=light,
    )
