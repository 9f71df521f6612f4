"""Light: exposure, white balance, slow gradient and contrast of every image brought to the golden part's, bounded.

All four come from one estimate on coarse cells (`light_estimate`) and are applied in one multiplication. What is
applied is clamped; the numbers say what was wanted, and beyond the bounds the gate speaks, not the correction.

A lighting correction must not hide a shading defect. Gains and a plane are all that a lamp does; how far the part
stands out of its background, and how far one half of it out of the other, are not the lamp's, whatever correction was
applied: `part_step`, `half_step` and `shading`, the largest of them in robust spreads of the good images, say so.
Where the part fills the frame, its level as a whole cannot be told from the lamp's: there the bounds decide.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lineside.normalise.light_cells import Cells, CellSampler
from lineside.normalise.light_estimate import Estimate, Golden, LightEstimator, pivot

LIGHT_NUMBERS = (
    "mean_level",
    "exposure_gain",
    "cast",
    "gradient",
    "contrast",
    "clipped_share",
    "black_share",
    "part_step",
    "half_step",
    "shading",
)
"""Columns of the numbers; what is wanted, not what was applied.

mean_level: mean inside the frame, grey levels; exposure_gain: factor; cast: largest relative deviation of a channel's
ratio from the mean ratio; gradient: relative change of the light from the middle to the border, along its steepest
direction; contrast: factor; clipped_share, black_share: shares of the samples; part_step: relative step from the
background to the part against the good images' median (0 without a background); half_step: largest relative step
across the part, in four directions; shading: the largest of these steps in robust spreads of the good images."""

WhiteBalance = Literal["off", "grey_world", "golden"]


@dataclass(frozen=True)
class LightSettings:
    """Which corrections are applied, and how far.

    Attributes
    ----------
    exposure, gradient, contrast : bool
    white_balance : "off", "grey_world" or "golden"
        To equal channel means, or to the golden part's channels.
    gain_limits : tuple of float
        Least and largest exposure gain.
    cast_limit : float
        Largest relative deviation of a channel from the mean of the channels.
    gradient_limit : float
        Largest relative change of the light from the middle to the border.
    contrast_limits : tuple of float
        Least and largest contrast factor.
    """

    exposure: bool = True
    white_balance: WhiteBalance = "off"
    gradient: bool = False
    contrast: bool = False
    gain_limits: tuple[float, float] = (0.4, 2.5)
    cast_limit: float = 0.4
    gradient_limit: float = 0.5
    contrast_limits: tuple[float, float] = (0.7, 1.4)

    @property
    def corrects(self) -> bool:
        """Whether any correction is applied."""
        return self.exposure or self.gradient or self.contrast or self.white_balance != "off"


VALUE_NAMES = (
    "light_mean",
    "light_weight",
    "light_spread",
    "light_share",
    "light_detail",
    "light_detail_weight",
    "light_level",
    "light_templates",
    "light_range",
)
"""Fitted tensors in the order in which `Light.forward` takes them (`light_fit.fit_light` makes them)."""


class Light(nn.Module):
    """Images evened out in light, in golden coordinates.

    Parameters
    ----------
    settings : LightSettings
    channels : int
        Of the image: 1 or 3.
    working_wh : tuple of int
        Its size, px.
    """

    value_names: tuple[str, ...] = VALUE_NAMES
    right: Tensor
    down: Tensor

    def __init__(self, settings: LightSettings, channels: int, working_wh: tuple[int, int]) -> None:
        super().__init__()
        self.settings = settings
        self.sampler = CellSampler(working_wh)
        self.estimator = LightEstimator()
        self._casts = channels > 1
        width, height = working_wh
        self.register_buffer("right", _places(width)[None, None, None, :])
        self.register_buffer("down", _places(height)[None, None, :, None])

    def forward(self, image: Tensor, valid: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        """Correct the light.

        Parameters
        ----------
        image : Tensor of float32 [N, C, h, w]
            0 to 255, aligned to the golden part.
        valid : Tensor of float32 [N, 1, h, w]
            1 where a sample comes from inside the frame.
        *values : Tensor
            The fitted tensors, as `value_names` orders them.

        Returns
        -------
        corrected : Tensor of float32 [N, C, h, w]
            May exceed 255 where a bright frame was not clipped.
        numbers : Tensor of float32 [N, 10]
            See `LIGHT_NUMBERS`.
        """
        cells = self.sampler(image, valid)
        return self.corrected(image, cells, self.estimator(cells, Golden(*values[:7])), *values)

    def corrected(self, image: Tensor, cells: Cells, estimate: Estimate, *values: Tensor) -> tuple[Tensor, Tensor]:
        """Correct images whose light is known, as `forward` does; the estimate is the same whatever is switched on."""
        golden, (templates, spans) = Golden(*values[:7]), values[7:]
        ratio = estimate.level_ratio if self.settings.contrast else estimate.ratio
        mean_ratio = (ratio * golden.level).sum(dim=1, keepdim=True) / golden.level.sum()  # [N, 1]
        cast = self._cast(cells, ratio, mean_ratio)  # [N, C]
        corrected = self._applied(image, mean_ratio, cast, estimate, golden)
        numbers = self._numbers(cells, mean_ratio, ratio / mean_ratio, estimate)
        return corrected, torch.cat((*numbers, *shading_numbers(estimate.residual, templates, spans)), dim=1)

    def _cast(self, cells: Cells, ratio: Tensor, mean_ratio: Tensor) -> Tensor:
        """Each channel relative to the mean of the channels, [N, C]: the golden part's or grey is 1."""
        if self.settings.white_balance != "grey_world":
            return ratio / mean_ratio
        total = (cells.mean * cells.share).sum(dim=2) / cells.share.sum(dim=2).clamp(min=1e-6) + 1e-3
        return total / total.mean(dim=1, keepdim=True)

    def _applied(self, image: Tensor, mean_ratio: Tensor, cast: Tensor, estimate: Estimate, golden: Golden) -> Tensor:
        settings = self.settings
        scale = torch.ones_like(mean_ratio)  # [N, 1], [N, C] with a white balance
        if settings.exposure:
            scale = (1.0 / mean_ratio).clamp(*settings.gain_limits)
        if settings.white_balance != "off" and self._casts:
            scale = scale / cast.clamp(1.0 / (1.0 + settings.cast_limit), 1.0 + settings.cast_limit)
        if not settings.contrast:
            return image * self._field(scale, estimate.plane)
        factor = (1.0 / estimate.contrast).clamp(*settings.contrast_limits).unsqueeze(1)  # [N, 1]
        offset = (1.0 - factor) * pivot(golden)  # [N, C]
        return image * self._field(scale * factor, estimate.plane) + offset.unsqueeze(2).unsqueeze(3)

    def _field(self, scale: Tensor, plane: Tensor) -> Tensor:
        """The factor on every sample, [N, 1 or C, h, w], or [N, 1 or C, 1, 1] without a gradient."""
        spread = scale.unsqueeze(2).unsqueeze(3)
        if not self.settings.gradient:
            return spread
        steepest = plane.square().sum(dim=1, keepdim=True).sqrt()
        bounded = plane * (self.settings.gradient_limit / steepest.clamp(min=self.settings.gradient_limit))
        across, along = bounded[:, 0, None, None, None], bounded[:, 1, None, None, None]
        light = across * self.right + (along * self.down + 1.0)  # [N, 1, h, w]
        return spread * light.clamp(min=0.1).reciprocal()

    def _numbers(self, cells: Cells, mean_ratio: Tensor, cast: Tensor, estimate: Estimate) -> tuple[Tensor, ...]:
        return (
            cells.level.mean(dim=1, keepdim=True),
            1.0 / mean_ratio,
            (cast - 1.0).abs().amax(dim=1, keepdim=True),
            estimate.plane.square().sum(dim=1, keepdim=True).sqrt(),
            1.0 / estimate.contrast.unsqueeze(1),
            cells.clipped.unsqueeze(1),
            cells.black.unsqueeze(1),
        )


def shading_numbers(residual: Tensor, templates: Tensor, spans: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Steps that no lamp explains: part_step, half_step and shading, each [N, 1].

    Parameters
    ----------
    residual : Tensor [N, P]
        See `Estimate`.
    templates : Tensor [P, 5]
        Part against background, then halves of the part in four directions.
    spans : Tensor [2, 5]
        Median and robust spread of the steps over the good images.
    """
    steps = torch.matmul(residual, templates) - spans[:1]  # [N, 5]
    return (
        steps[:, :1],
        steps[:, 1:].abs().amax(dim=1, keepdim=True),
        (steps / spans[1:]).abs().amax(dim=1, keepdim=True),
    )


def _places(side: int) -> Tensor:
    """Pixel centres from -1 to 1 between the outer borders, [side]."""
    return (2.0 * torch.arange(side) + 1.0) / side - 1.0
