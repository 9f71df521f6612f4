"""The flat field: uneven lamp and lens, divided out of every frame: (I - D) / (F - D).

The gain map is stored small, in relative frame coordinates, and enlarged to the picture that it is applied to: a
constant, which ONNX Runtime folds when it loads the graph. Without a picture of an empty target it can be estimated
from good frames, but only where their content moves: what stands still in every frame cannot be told from the lamp.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lineside.errors import UsageError
from lineside.normalise.evenness import (
    FALLOFF_LIMIT,
    SATURATED,
    STRUCTURE_LIMIT,
    falloff,
    small_field,
    smooth_surface,
    structure,
)

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

GAIN_LIMITS = (1 / 3, 3.0)
"""A gain of 3 triples the noise too; a lens that loses more than two thirds of its light wants another lens."""
BLUR_CELLS = 1.5
"""Standard deviation of the blur of a target's small field, in cells: specks of dust go, the lamp stays."""
COARSE_CELLS = 4.0
"""The same before what a median frame leaves is judged: threads and grain do not bend the surface, a part does."""
LEAST_FRAMES = 8
"""Fewer good frames give no median that their content has left."""
LEAST_FALLOFF = 0.02
"""Below it an estimated map is not worth its cost: it is within what the good frames' own content leaves."""


@dataclass(frozen=True, eq=False)
class FlatMaps:
    """What a flat field is made of.

    Attributes
    ----------
    gain : ndarray of float32 [1, hf, wf, C]
        Factor on every sample, median 1 per channel, within 1/3 to 3.
    dark : ndarray of float32 [1, hf, wf, C]
        Dark level that is taken off first, grey levels; zeros where there is no dark frame.
    """

    gain: F32
    dark: F32


@dataclass(frozen=True, eq=False)
class FlatEstimate:
    """A flat field estimated from good frames, and whether it may be used.

    Attributes
    ----------
    maps : FlatMaps
        Neutral (gain 1) where the estimate is not usable.
    falloff, structure : float
        Of the median frame: fall of its smooth light, and what that does not explain at a coarse scale (shares).
    usable : bool
    words : str
        Why or why not, for the report.
    """

    maps: FlatMaps
    falloff: float
    structure: float
    usable: bool
    words: str


class FlatField(nn.Module):
    """Frames evenly lit.

    Parameters
    ----------
    middle_wh : tuple of int
        Size of the picture that it is applied to, px; it shows the whole frame.
    with_dark : bool
        False leaves the subtraction out of the graph.
    """

    def __init__(self, middle_wh: tuple[int, int], with_dark: bool) -> None:
        super().__init__()
        self._middle_hw = (middle_wh[1], middle_wh[0])
        self._with_dark = with_dark

    def forward(self, middle: Tensor, gain_map: Tensor, dark_map: Tensor) -> Tensor:
        """Divide lamp and lens out.

        Parameters
        ----------
        middle : Tensor of float32 [N, hm, wm, C]
            0 to 255.
        gain_map, dark_map : Tensor of float32 [1, hf, wf, C or 1]
            As in `FlatMaps`.

        Returns
        -------
        Tensor of float32 [N, hm, wm, C]
            Below 0 and above 255 where the correction leads there; samples that were saturated stay at 255 at least,
            so that what comes later still knows them.
        """
        lit = middle - self._enlarged(dark_map) if self._with_dark else middle
        even = lit * self._enlarged(gain_map)
        return torch.where(middle >= SATURATED, even.clamp(min=255.0), even)

    def _enlarged(self, small: Tensor) -> Tensor:
        planes = small.permute(0, 3, 1, 2)
        large = nn.functional.interpolate(planes, size=self._middle_hw, mode="bilinear", align_corners=False)
        return large.permute(0, 2, 3, 1)  # [1, hm, wm, C or 1]


def flat_maps(targets: Sequence[U8 | F32], darks: Sequence[U8 | F32] = ()) -> FlatMaps:
    """Make a flat field from pictures of an empty, evenly lit target.

    Parameters
    ----------
    targets : sequence of ndarray of uint8 [H, W, C]
        Averaged.
    darks : sequence of ndarray of uint8 [H, W, C]
        With the lens covered; averaged.

    Raises
    ------
    UsageError
        When there is no target, the pictures differ in size or channels, or the target is as dark as the dark frame.
    """
    if not targets:
        raise UsageError("A flat field needs at least one picture of an empty target, found none.")
    shapes = sorted({picture.shape for picture in (*targets, *darks)})
    if len(shapes) > 1:
        found = ", ".join(str(list(shape)) for shape in shapes)
        raise UsageError(f"Pictures for a flat field must be alike in size and channels, found {found}.")
    field = _blurred(small_field(_mean(targets)))
    dark = _blurred(small_field(_mean(darks))) if darks else np.zeros_like(field)
    light = field - dark
    if float(light.mean()) < 4.0:
        raise UsageError(
            f"The flat field's target is {float(light.mean()):.1f} grey levels above black: too dark to divide by."
        )
    return FlatMaps(_gain(light)[None], dark[None])


def neutral_maps(frame_hwc: tuple[int, int, int]) -> FlatMaps:
    """Return maps for a frame's shape that change nothing."""
    field = small_field(np.ones(frame_hwc, np.float32))
    return FlatMaps(np.ones_like(field)[None], np.zeros_like(field)[None])


def estimated_flat(frames: Sequence[U8]) -> FlatEstimate:
    """Estimate a flat field from good frames that are **not** aligned.

    The median over the frames of the small fields, each divided by its own level, then its smooth surface. Usable
    where the surface explains the median: content that stands still leaves structure.

    Parameters
    ----------
    frames : sequence of ndarray of uint8 [H, W, C]
        All of one shape.
    """
    fields = [small_field(frame.astype(np.float32)) for frame in frames]
    levels = [np.maximum(field.mean(axis=(0, 1)), 1.0) for field in fields]
    median = np.median([f / level for f, level in zip(fields, levels, strict=True)], axis=0).astype(np.float32)
    surface = smooth_surface(128.0 * median)
    fall, left = falloff(surface), structure(surface + _blurred(128.0 * median - surface, COARSE_CELLS), surface)
    reason = _unusable(len(frames), fall, left)
    maps = neutral_maps(frames[0].shape) if reason else FlatMaps(_gain(surface)[None], np.zeros_like(surface)[None])
    words = reason or f"Estimated from {len(frames)} good frames: light falls by {fall:.0%}, {left:.1%} unexplained."
    return FlatEstimate(maps, fall, left, not reason, words)


def _unusable(count: int, fall: float, left: float) -> str:
    if count < LEAST_FRAMES:
        return f"{count} good frames are too few for a flat field; {LEAST_FRAMES} at least."
    if left > STRUCTURE_LIMIT:
        return (
            f"The good frames share content that stands still ({left:.1%} of the median frame is no smooth light): a "
            "flat field cannot be told from it. Give a picture of an empty target."
        )
    if fall > FALLOFF_LIMIT:
        return f"The median frame falls by {fall:.0%}, more than a gain may mend."
    if fall < LEAST_FALLOFF:
        return f"The median frame is even within {fall:.1%}: there is nothing to divide out."
    return ""


def _mean(pictures: Sequence[U8 | F32]) -> F32:
    total = np.zeros(pictures[0].shape, np.float64)
    for picture in pictures:
        total += picture
    return (total / len(pictures)).astype(np.float32)


def _blurred(field: F32, cells: float = BLUR_CELLS) -> F32:
    blurred = cv2.GaussianBlur(field, (0, 0), cells, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32).reshape(field.shape)


def _gain(light: F32) -> F32:
    """Reciprocal of the light, median 1 per channel, bounded: black corners do not move what the rest is brought to."""
    gain = np.median(light, axis=(0, 1)) / np.maximum(light, 1.0)
    bounded: F32 = np.clip(gain, *GAIN_LIMITS).astype(np.float32)
    return bounded
