"""The trial that light corrections are chosen by: spread of good images, visibility of synthetic defects in them.

Golden light is fitted on one half of the images and judged on the other, both ways round. Each step is judged by the
spread that it acts on: exposure and gradient by the level of coarse cells, white balance by their colour, contrast by
the picture itself, where print and grain would drown the other three. Visibility is counted in spreads of the picture.
A spot has to be visible in the picture; shading of all or half of the part may be, instead, in the shading number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lineside.normalise.light import LIGHT_NUMBERS, Light, LightSettings
from lineside.normalise.light_cells import Cells
from lineside.normalise.light_estimate import Estimate, Golden
from lineside.normalise.light_fit import as_tensors, fit_light
from lineside.synth.shading_defects import KINDS, Kind, draw_shading, shaded

F32 = npt.NDArray[np.float32]
StepName = Literal["exposure", "white_balance", "gradient", "contrast"]

STEPS: tuple[StepName, ...] = ("exposure", "white_balance", "gradient", "contrast")
MOST_IMAGES = 24
"""More good images cost time in every fold (measured: 10 and 24 images of caps and of bsd lead to the same steps)."""
DEFECT_IMAGES = 4
"""Images of each half that carry each kind of defect."""
JUDGED_SIDE, COARSE_SIDE = 64, 8
"""Sides of the pictures in which spread and visibility are measured, and of the coarse cells that light acts on."""


@dataclass(frozen=True)
class Measured:
    """Spread of the good images by what a step acts on (shares of the level); visibility by kind of defect."""

    spread: dict[StepName, float]
    visible: dict[Kind, float]


@dataclass(frozen=True, eq=False)
class _Lit:
    """Images [n, C, h, w] and the light on them, which no setting changes."""

    images: Tensor
    cells: Cells
    estimate: Estimate


@dataclass(frozen=True, eq=False)
class _Half:
    """Good images that the golden light was not fitted on, and the same with defects."""

    values: tuple[Tensor, ...]
    good: _Lit
    bad: _Lit
    defects: Sequence[tuple[Kind, int, F32]]  # of each of the bad: kind, good image, mask at the judged size


class Trial:
    """Measures settings on two halves of the good images.

    Parameters
    ----------
    images, valid : ndarray of float32 [n, C, h, w], [n, 1, h, w]
        Aligned, light as it was, 0 to 255; at least 4.
    part : ndarray of float32 [h, w] or None
        1 on the part, 0 on its background; None: not told apart, and shading of the whole part is not tried.
    seed : int
    shading_scored : bool
        Whether the verdict takes the shading number into account.
    """

    def __init__(self, images: F32, valid: F32, part: F32 | None, seed: int, shading_scored: bool) -> None:
        self._scored = shading_scored
        self._kinds = tuple(kind for kind in KINDS if kind != "whole" or part is not None)
        self._known: dict[LightSettings, Measured] = {}
        rng = np.random.default_rng([seed, 0x11647])
        images, valid = (_reduced(_thinned(planes), _smaller(planes)) for planes in (images, valid))
        part = None if part is None else _reduced(part[None, None], _smaller(part))[0, 0]
        shape = np.ones(images.shape[2:], np.float32) if part is None else part
        order = np.arange(len(images))
        self._halves = [
            self._half(images, valid, order % 2 == other, part, shape, rng) for other in (0, 1)
        ]  # judged on one half, fitted on the other

    def _half(
        self,
        images: F32,
        valid: F32,
        chosen: npt.NDArray[np.bool_],
        part: F32 | None,
        shape: F32,
        rng: np.random.Generator,
    ) -> _Half:
        values = as_tensors(fit_light(images[~chosen], valid[~chosen], foreground=part))
        judged, inside = images[chosen], valid[chosen]
        defects, bad = list[tuple[Kind, int, F32]](), list[F32]()
        for kind in self._kinds:
            for index in range(min(DEFECT_IMAGES, len(judged))):
                mask, depth = draw_shading(rng, kind, shape)
                defects.append((kind, index, _reduced(mask[None, None])[0, 0]))
                bad.append(shaded(judged[index], mask, depth))
        owners = [index for _, index, _ in defects]
        light = Light(LightSettings(), images.shape[1], (images.shape[3], images.shape[2]))
        good = _lit(light, values, judged, inside)
        return _Half(values, good, _lit(light, values, np.stack(bad), inside[owners]), defects)

    def measured(self, settings: LightSettings) -> Measured:
        """Spread of the good images and visibility of the defects, means over the halves."""
        if settings not in self._known:
            parts = [self._of_half(half, settings) for half in self._halves]
            self._known[settings] = Measured(
                {step: float(np.mean([part.spread[step] for part in parts])) for step in STEPS},
                {kind: float(np.mean([part.visible[kind] for part in parts])) for kind in self._kinds},
            )
        return self._known[settings]

    def _of_half(self, half: _Half, settings: LightSettings) -> Measured:
        good, _ = _corrected(half.good, half.values, settings)
        level = float(good.mean())
        spread = _spreads(good)
        bad, shading = _corrected(half.bad, half.values, settings)
        seen: dict[Kind, list[float]] = {kind: [] for kind in self._kinds}
        for row, (kind, index, mask) in enumerate(half.defects):
            change = (bad[row] - good[index]).mean(axis=0) / level
            in_picture = abs(_mean(change, mask) - _mean(change, 1.0 - mask)) / max(spread["contrast"], 1e-6)
            counts = self._scored and kind != "spot"
            seen[kind].append(max(in_picture, float(shading[row])) if counts else in_picture)
        return Measured(spread, {kind: float(np.median(values)) for kind, values in seen.items()})


def _lit(light: Light, values: tuple[Tensor, ...], images: F32, valid: F32) -> _Lit:
    with torch.no_grad():
        planes = torch.from_numpy(images)
        cells = light.sampler(planes, torch.from_numpy(valid))
        return _Lit(planes, cells, light.estimator(cells, Golden(*values[:7])))


def _corrected(lit: _Lit, values: tuple[Tensor, ...], settings: LightSettings) -> tuple[F32, F32]:
    """Corrected images at the judged size [n, C, 64, 64], and their shading numbers [n]."""
    channels, height, width = lit.images.shape[1:]
    light = Light(settings, channels, (width, height))
    with torch.no_grad():
        corrected, numbers = light.corrected(lit.images, lit.cells, lit.estimate, *values)
    return _reduced(corrected.numpy()), numbers[:, LIGHT_NUMBERS.index("shading")].numpy()


def _reduced(images: F32, size: tuple[int, int] = (JUDGED_SIDE, JUDGED_SIDE)) -> F32:
    """Images [n, C, h, w] at another size, height first."""
    reduced: F32 = torch.nn.functional.interpolate(torch.from_numpy(images), size=size, mode="area").numpy()
    return reduced


def _smaller(planes: F32) -> tuple[int, int]:
    """Half the height and width of [..., h, w], where that still is the judged size or more: a quarter of the time."""
    height, width = planes.shape[-2:]
    factor = 2 if min(height, width) >= 2 * JUDGED_SIDE else 1
    return height // factor, width // factor


def _spreads(good: F32) -> dict[StepName, float]:
    """Spread of good images [n, C, 64, 64] in what each step acts on, as shares of the level."""
    coarse = _reduced(good, (COARSE_SIDE, COARSE_SIDE))
    level = coarse.mean(axis=1, keepdims=True)
    in_level = _deviation(level) / max(float(good.mean()), 1.0)
    return {
        "exposure": in_level,
        "white_balance": _deviation(coarse / np.maximum(level, 1.0)),
        "gradient": in_level,
        "contrast": _deviation(good) / max(float(good.mean()), 1.0),
    }


def _deviation(values: F32) -> float:
    return float(np.abs(values - np.median(values, axis=0)).mean())


def _mean(values: F32, weight: F32) -> float:
    return float((values * weight).sum() / max(float(weight.sum()), 1e-6))


def _thinned(values: F32) -> F32:
    """At most `MOST_IMAGES`, evenly spaced."""
    if len(values) <= MOST_IMAGES:
        return values
    chosen: F32 = values[np.linspace(0, len(values) - 1, MOST_IMAGES).round().astype(int)]
    return chosen
