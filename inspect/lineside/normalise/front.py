"""The front of the graph: raw frame in, working tensor out, with the numbers behind the gate.

One antialiased reduction of the camera's frame (`lineside.graph.reduction`) holds nothing fitted, so training runs it
once an image. `Front` takes it from there: flat field, pose, light, gate, in this order, every fitted number an
argument, so that cross-fitting refits all of them without exporting again; they become constants when the graph is
assembled. One graph for both was rejected: every fold would then decode and reduce every full frame again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lineside.normalise import geometry
from lineside.normalise.flat_field import FlatField
from lineside.normalise.gate import Gate, GateSettings
from lineside.normalise.light import Light, LightSettings
from lineside.normalise.pose_search import POSE_NUMBERS, PoseSearch
from lineside.normalise.pose_settings import PoseSettings
from lineside.normalise.resize import resize_u8

FRONT_OUTPUTS = ("working", "pose", "transform", "front_gate", "front_quality", "region", "small", "matrix")
FLAT_VALUES = ("gain_map", "dark_map")
PART, REGION, GATE_LIMITS, FENCE = "part_mask", "region_mask", "gate_limits", "fence_mask"
SMALL_SIDE = 128
"""Longer side of the small grey image that pose and gate look at, px."""
MIDDLE_FACTOR = 1.5
"""Largest size of the image that the pose samples from, over the working size: the one antialiased reduction is then at
most this much finer than what bilinear sampling can follow (design, section 6)."""


@dataclass(frozen=True)
class FrontSettings:
    """What decides the graph's structure, and what no image has a say in.

    Attributes
    ----------
    channels : int
        Of the frame: 1 or 3.
    working_wh, middle_wh, small_wh : tuple of int
        Sizes in pixels of the working image, of the reduction that it is sampled from (the same without a pose), and
        of the small grey image.
    grid_wh : tuple of int
        Cells of `region`.
    flat_field : "none", "gain" or "gain and dark"
        Which maps are applied.
    light : LightSettings
    pose : PoseSettings or None
    gate : GateSettings
    blank_outside : bool
        Whether the working tensor is 0 outside the region, for heads that do not know `region`.
    fenced : bool
        Whether the recipe draws a region of interest: then nothing outside it has a say in light or features, for
        light is estimated inside it and the working tensor is 0 beyond it. Taking the patches beyond it out of the
        score is not enough. Measured on four rendered caps: a blot 16 px outside raised the highest patch inside by 27
        to 44 % through the network's wide fields, and the shading number from at most 2 to 29 and more.
    mean, std : tuple of float
        What the backbone was trained with, of samples scaled to 0 to 1, red, green, blue.
    """

    channels: int
    working_wh: tuple[int, int]
    middle_wh: tuple[int, int]
    small_wh: tuple[int, int]
    grid_wh: tuple[int, int]
    flat_field: Literal["none", "gain", "gain and dark"]
    light: LightSettings
    pose: PoseSettings | None
    gate: GateSettings
    blank_outside: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fenced: bool = False

    @property
    def lit(self) -> bool:
        """Whether the light is looked at: to be corrected, or for the gate."""
        return bool(self.gate.light_names)


def middle_size(working_wh: tuple[int, int], frame_wh: tuple[int, int]) -> tuple[int, int]:
    """Return the size that a pose samples from: at most 1.5 × the working size, and no larger than the frame."""
    width, height = (min(round(MIDDLE_FACTOR * w), f) for w, f in zip(working_wh, frame_wh, strict=True))
    return width, height


def small_size(frame_wh: tuple[int, int]) -> tuple[int, int]:
    """Return the size of the small image: the frame's aspect, the longer side 128 px."""
    longer = max(frame_wh)
    width, height = (max(8, round(SMALL_SIDE * side / longer)) for side in frame_wh)
    return width, height


class Front(nn.Module):
    """Reductions to working tensors; its values are arguments, in the order of `value_names`."""

    slope: Tensor
    offset: Tensor

    def __init__(self, settings: FrontSettings) -> None:
        super().__init__()
        self.settings = settings
        std = torch.tensor(settings.std)
        self.register_buffer("slope", (1.0 / (255.0 * std)).reshape(1, 3, 1, 1))
        self.register_buffer("offset", (torch.tensor(settings.mean) / std).reshape(1, 3, 1, 1))
        even, dark = settings.flat_field != "none", settings.flat_field == "gain and dark"
        self.flat_field = FlatField(settings.middle_wh, dark) if even else None
        self.flat_field_small = FlatField(settings.small_wh, dark) if even else None
        self.pose_search = PoseSearch(settings.pose) if settings.pose else None
        self.light = Light(settings.light, settings.channels, settings.working_wh) if settings.lit else None
        self.gate = Gate(settings.gate)
        self._blocks = (
            FLAT_VALUES if even else (),
            self.pose_search.value_names if self.pose_search else (),
            self.light.value_names if self.light else (),
            (PART, REGION, GATE_LIMITS, *((FENCE,) if settings.fenced else ())),
        )

    @property
    def value_names(self) -> tuple[str, ...]:
        """Names of the fitted values."""
        return tuple(name for block in self._blocks for name in block)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Normalise frames.

        Parameters
        ----------
        *inputs : Tensor
            middle uint8 [N, h, w, C] and frame_wh float32 [2], out of the reduction; then the values.

        Returns
        -------
        working [N, 3, h, w], pose [N, 5], transform [N, 3, 3], gate int64 [N], quality [N, q], region [N, 1, gh, gw],
        small [N, 1, hs, ws], matrix [N, 3, 3] (golden small px -> frame small px)
        """
        middle, frame_wh = inputs[:2]
        flat, pose_values, light_values, (part, region_mask, limits, *fence) = self._split(inputs[2:])
        small = self.small(middle, flat)  # [N, 1, hs, ws]
        matrix, pose_numbers = self._found(small, pose_values)
        image, valid = self.aligned(middle, flat, matrix)
        image, light_numbers = self._lit(image, valid * fence[0] if fence else valid, light_values)
        pose, transform = self._placed(matrix, pose_numbers, frame_wh)
        gate, quality = self.gate(image, valid, part, light_numbers, pose_numbers, pose, frame_wh, limits)
        region = self._region(region_mask, matrix)
        working = image * self.slope - self.offset  # [N, 3, h, w]: grey is spread here
        if fence:
            working = working * fence[0]
        if self.settings.blank_outside:
            working = working * self._over_working(region)
        return working, pose, transform, gate, quality, region, small, matrix

    def _lit(self, image: Tensor, valid: Tensor, values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the image evened out in light, and the light's numbers; as it is and none where nobody asks."""
        if self.light is None:
            return image, image.new_zeros((image.shape[0], 0))
        corrected, numbers = self.light(image, valid, *values)
        return corrected, numbers

    def _split(self, values: Sequence[Tensor]) -> list[tuple[Tensor, ...]]:
        parts, start = [], 0
        for block in self._blocks:
            parts.append(tuple(values[start : start + len(block)]))
            start += len(block)
        return parts

    def small(self, middle: Tensor, flat: Sequence[Tensor]) -> Tensor:
        """Small grey image [N, 1, hs, ws] of reductions, lamp and lens evened out by the flat field's values."""
        width, height = self.settings.small_wh
        levels: Tensor = resize_u8(middle, height, width).to(torch.float32)  # [N, hs, ws, C]
        if self.flat_field_small is not None:
            levels = self.flat_field_small(levels, *flat)
        return levels.mean(dim=3).unsqueeze(1)

    def _found(self, small: Tensor, values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        if self.pose_search is None:
            count = small.shape[0]
            return torch.eye(3).expand(count, 3, 3), small.new_zeros((count, 0))
        matrix, numbers = self.pose_search(small, *values)
        return matrix, numbers

    def aligned(self, middle: Tensor, flat: Sequence[Tensor], matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Working image [N, C, h, w], light as it was, and where it lies inside the frame [N, 1, h, w]."""
        image = middle.to(torch.float32)  # [N, hm, wm, C]
        if self.flat_field is not None:
            image = self.flat_field(image, *flat)
        planes = image.permute(0, 3, 1, 2)
        settings = self.settings
        if settings.pose is None:
            return planes, planes.new_ones((planes.shape[0], 1, *planes.shape[2:]))
        to_middle = self._conjugated(matrix, settings.working_wh, settings.middle_wh)
        perspective = settings.pose.model == "perspective"
        sampled = geometry.sample(planes, to_middle, settings.working_wh, perspective=perspective)
        valid = geometry.inside(to_middle, settings.working_wh, settings.middle_wh, perspective=perspective)
        return sampled, valid

    def _conjugated(self, matrix: Tensor, golden_wh: tuple[int, int], frame_wh: tuple[int, int]) -> Tensor:
        """Golden px -> frame px at other sizes of both pictures, [N, 3, 3]."""
        small_wh = self.settings.small_wh
        before = torch.from_numpy(geometry.resize_matrix(golden_wh, small_wh))
        after = torch.from_numpy(geometry.resize_matrix(small_wh, frame_wh))
        return after @ matrix @ before

    def _placed(self, matrix: Tensor, numbers: Tensor, frame_wh: Tensor) -> tuple[Tensor, Tensor]:
        """Public pose [N, 5] and transform [N, 3, 3]."""
        small_wh, working_wh = self.settings.small_wh, self.settings.working_wh
        small = torch.tensor([float(side) for side in small_wh])
        frame_to_small = geometry.resize_matrix_of(frame_wh, small)  # [3, 3]
        small_to_working = torch.from_numpy(geometry.resize_matrix(small_wh, working_wh))
        transform = small_to_working @ geometry.inverse_3x3(matrix) @ frame_to_small
        if self.pose_search is None:
            row = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]])
            return row.expand(matrix.shape[0], 5), transform
        frame_pose = geometry.resize_matrix_of(small, frame_wh) @ matrix @ frame_to_small
        column = POSE_NUMBERS.index("confidence")
        confidence = numbers[:, column : column + 1]
        return torch.cat((geometry.matrix_to_pose(frame_pose, frame_wh), confidence), dim=1), transform

    def _region(self, mask: Tensor, matrix: Tensor) -> Tensor:
        """Golden cells that count, [N, 1, gh, gw]: of the mask, and at least a cell inside the frame.

        Beside what the frame does not show, a patch is half made of pixels that were repeated from its border.
        """
        settings = self.settings
        if settings.pose is None:
            return mask.expand(matrix.shape[0], -1, -1, -1)
        cells = self._conjugated(matrix, settings.grid_wh, settings.middle_wh)
        perspective = settings.pose.model == "perspective"
        seen = geometry.inside(cells, settings.grid_wh, settings.middle_wh, perspective=perspective)
        beside = functional.max_pool2d(1.0 - seen, kernel_size=3, stride=1, padding=1)
        return mask * (1.0 - beside)

    def _over_working(self, region: Tensor) -> Tensor:
        width, height = self.settings.working_wh
        return functional.interpolate(region, size=(height, width), mode="nearest")
