"""Features of good frames, and the patch embeddings that a head's projections make of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lineside.errors import UsageError
from lineside.transfer.head import Features, HeadShape, enlarging

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

BLOCK = 16
"""Frames that are embedded at a time."""


@dataclass(frozen=True)
class Rows:
    """Features of some frames.

    Attributes
    ----------
    features : mapping of tap number to ndarray of float32 [n, channels, h, w]
        Out of ONNX Runtime.
    regions : ndarray of float32 [n, 1, gh, gw] or None
        0 to 1; patches below a half are left out. None: every patch counts.
    frames : sequence of int [n]
        Which frame each row shows: a frame and its copies bear the same number, the frame first.
    parts : sequence of int [n] or None
        Which physical part each row shows; None: each frame another.
    """

    features: Features
    regions: Floats | None
    frames: Sequence[int]
    parts: Sequence[int] | None = None

    @property
    def of_part(self) -> Sequence[int]:
        """Which part each row shows [n]."""
        return self.frames if self.parts is None else self.parts

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Rows":
        """Return some rows."""
        regions = None if self.regions is None else self.regions[rows]
        frames, parts = ([of[i] for i in rows] for of in (self.frames, self.of_part))
        return Rows({i: tap[rows] for i, tap in self.features.items()}, regions, frames, parts)

    def firsts(self) -> "Rows":
        """Return the frames without their copies."""
        return self.take(np.unique(np.asarray(self.frames), return_index=True)[1])

    def of_parts(self, parts: Sequence[int] | npt.NDArray[np.int64]) -> "Rows":
        """Return the rows that show these parts."""
        return self.take(np.flatnonzero(np.isin(np.asarray(self.of_part), np.asarray(parts))))

    def inside(self, grid_hw: tuple[int, int]) -> Bools:
        """Which patches count [n, P]."""
        if self.regions is None:
            return np.ones((len(self.frames), math.prod(grid_hw)), np.bool_)
        counts: Bools = self.regions.reshape(len(self.regions), -1) >= 0.5
        return counts

    def with_(self, other: "Rows | None") -> "Rows":
        """Return these rows and others behind them."""
        if other is None:
            return self
        both = {i: np.concatenate((tap, other.features[i])) for i, tap in self.features.items()}
        regions = None
        if self.regions is not None and other.regions is not None:
            regions = np.concatenate((self.regions, other.regions))
        return Rows(both, regions, [*self.frames, *other.frames], [*self.of_part, *other.of_part])


def patches_of(
    shape: HeadShape,
    rows: Rows,
    projections: Sequence[Floats],
    offsets: Sequence[Floats] | None = None,
    *,
    averaged: bool = True,
) -> tuple[Floats, Bools]:
    """Embeddings [n, P, d], averaged over their neighbours or as they are, and which of them count [n, P].

    Raises
    ------
    UsageError
        When no patch lies inside the region.
    """
    embedded = embed_patches(shape, rows.features, projections, offsets or no_offsets(shape), averaged=averaged)
    patches = embedded.reshape(len(rows.frames), math.prod(shape.grid_hw), -1)
    counts = rows.inside(shape.grid_hw)
    if not counts.any():
        height, width = shape.grid_hw
        raise UsageError(
            f"No patch of the {width}×{height} of any good image lies inside the region that is inspected. Make "
            "normalise.roi larger, or set normalise.foreground to off."
        )
    return patches, counts


def embed_patches(
    shape: HeadShape,
    features: Features,
    projections: Sequence[Floats],
    offsets: Sequence[Floats],
    *,
    averaged: bool = True,
) -> Floats:
    """Return the patch embeddings of all frames, [n × P, d].

    The same linear map as the head's (`lineside.transfer.head.PatchHead`), in the order that costs a fit least: patch
    after patch instead of channel after channel, and averaged before it is projected, on fewer channels.
    """
    dimensions = len(projections[0])
    found = np.empty((len(features[0]), *shape.grid_hw, dimensions), np.float32)
    with torch.inference_mode():
        for start in range(0, len(found), BLOCK):
            block = found[start : start + BLOCK]
            for number, weights in enumerate(zip(projections, offsets, strict=True)):
                tap = torch.from_numpy(features[number][start : start + BLOCK])
                projected = _enlarged(_projected(tap, *weights, averaged=averaged), shape.grid_hw)
                torch.from_numpy(block).copy_(projected) if number == 0 else torch.from_numpy(block).add_(projected)
    return found.reshape(-1, dimensions)


def _projected(tap: Tensor, projection: Floats, offset: Floats, *, averaged: bool) -> Tensor:
    """Return a tap [n, C, h, w] projected, [n, h, w, d]."""
    tap = tap.contiguous(memory_format=torch.channels_last)
    weights = torch.from_numpy(projection[:, :, 0, 0]).t()
    share = torch.ones(1, 1, *tap.shape[2:])
    if averaged:
        tap, share = _averaged(tap), _averaged(share)
    projected = torch.matmul(tap.permute(0, 2, 3, 1), weights)
    return projected + share[0, 0, :, :, None] * torch.from_numpy(offset) if offset.any() else projected


def _averaged(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)


def _enlarged(x: Tensor, grid_hw: tuple[int, int]) -> Tensor:
    """Enlarge [n, h, w, d] to the head's grid."""
    count, height, width, size = x.shape
    if (height, width) == grid_hw:
        return x
    rows, columns = (enlarging(*sides) for sides in zip((height, width), grid_hw, strict=True))
    wide = torch.matmul(columns, x.reshape(-1, width, size)).reshape(count, height, -1)  # [n, h, W d]
    return torch.matmul(rows, wide).reshape(count, *grid_hw, size)


def turned_by(
    basis: Floats, projections: Sequence[Floats], offsets: Sequence[Floats]
) -> tuple[tuple[Floats, ...], tuple[Floats, ...]]:
    """Return projections [r, C, 1, 1] and offsets [r] that give embeddings times a basis [d, r]."""
    turned = tuple(np.einsum("dr,dcyx->rcyx", basis, projection) for projection in projections)
    return turned, tuple(np.asarray(offset @ basis, np.float32) for offset in offsets)


def no_offsets(shape: HeadShape) -> tuple[Floats, ...]:
    """Nothing is added until a line that changed is matched to the old one."""
    return tuple(np.zeros(shape.dimensions, np.float32) for _ in shape.channels)
