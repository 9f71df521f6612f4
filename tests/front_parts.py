"""Fronts for tests: decided on a few frames, exported without a backbone, and asked frame by frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from lineside.graph.run import Graph
from lineside.graph.trunk import Reduction, export_front, export_reduction
from lineside.normalise.flat_field import FlatMaps
from lineside.normalise.front import GATE_LIMITS
from lineside.normalise.front_fit import FrontDecision, FrontRequest, decide_front
from lineside.normalise.region import region_mask
from lineside.recipe_normalise import Normalise
from lineside.synth import Pose
from lineside.train.front_fit import open_limits

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
DARK = {"exposure": "off", "white_balance": "off", "gradient": "off", "contrast": "off"}
"""No correction of the light at all."""


def request(
    frame_wh: tuple[int, int],
    channels: int = 3,
    blank_outside: bool = False,
    flat: FlatMaps | None = None,
    fixed_frame_wh: tuple[int, int] | None = None,
    **normalise: Any,
) -> FrontRequest:
    """Return what a recipe with this `normalise` block would ask for."""
    recipe = Normalise.model_validate(normalise)
    width, height = recipe.working_wh(frame_wh)
    return FrontRequest(
        normalise=recipe,
        channels=channels,
        frame_wh=frame_wh,
        grid_wh=(width // 8, height // 8),
        fixed_frame_wh=fixed_frame_wh,
        flat=flat,
        roi=region_mask(recipe.roi, frame_wh, recipe.working_wh(frame_wh)),
        blank_outside=blank_outside,
        mean=MEAN,
        std=STD,
        seed=0,
    )


@dataclass(frozen=True)
class Built:
    """A front that was decided on good frames and exported with its values written in."""

    decision: FrontDecision
    reduction: Reduction
    request: FrontRequest

    @cached_property
    def graph(self) -> Graph:
        """From frames to the front's outputs, gate limits open."""
        settings = self.decision.settings
        values = {**self.decision.values, GATE_LIMITS: open_limits(settings.gate)}
        return Graph(export_front(settings, values, self.reduction).joined(values))

    def __call__(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Run frames [N, H, W, C], or one frame [H, W, C]."""
        batch = frames if frames.ndim == 4 else frames[None]
        return dict(self.graph({"frame": np.ascontiguousarray(batch)}))

    def grey_levels(self, working: np.ndarray) -> np.ndarray:
        """Undo the backbone's normalisation: [N, h, w, 3], 0 to 255."""
        return (working.transpose(0, 2, 3, 1) * STD + MEAN) * 255


def reduced(frames: Sequence[np.ndarray], wanted: FrontRequest) -> np.ndarray:
    """Return what a fit looks at, [n, h, w, C], made in torch."""
    import torch

    from lineside.normalise.resize import resize_u8

    width, height = wanted.search_middle_wh
    return np.concatenate([resize_u8(torch.from_numpy(f[None]), height, width).numpy() for f in frames])


def decide(frames: Sequence[np.ndarray], wanted: FrontRequest) -> FrontDecision:
    """Decide a front on frames; the first is the anchor."""
    middles = reduced(frames, wanted)
    return decide_front(middles, middles[0], wanted)


def build(frames: Sequence[np.ndarray], wanted: FrontRequest) -> Built:
    """Decide a front on frames and export it."""
    decision = decide(frames, wanted)
    return Built(decision, export_reduction(decision.settings.middle_wh, wanted.channels), wanted)


def view(part: np.ndarray, pose: Pose, frame_wh: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return a square drawing [S, S] as a colour camera sees it, and the matrix drawing px -> frame px [3, 3].

    The part's shift is in frame pixels; at scale 1 it fills the frame's height.
    """
    side, (width, height) = len(part), frame_wh
    angle, zoom = np.deg2rad(pose.angle_deg), pose.scale * height / side
    linear = zoom * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([(width - 1) / 2 + pose.dx_px, (height - 1) / 2 + pose.dy_px])
    matrix = np.vstack([np.column_stack([linear, centre - linear @ np.full(2, (side - 1) / 2)]), [0, 0, 1]])
    smooth = cv2.GaussianBlur(part, (0, 0), 0.6 / zoom)
    seen = cv2.warpAffine(smooth, matrix[:2], frame_wh, borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_LINEAR)
    return np.repeat(seen.clip(0, 255).round().astype(np.uint8)[..., None], 3, axis=2), matrix


def mapped(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return a point as a 3×3 matrix sees it."""
    seen = matrix @ np.array([x, y, 1.0])
    return np.asarray(seen[:2] / seen[2])
