"""Features of good frames, and the patch embeddings that a head's projections make of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from lineside.errors import UsageError
from lineside.transfer.head import Features, HeadShape, PatchHead

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


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
    guide : mapping of tap number to ndarray of float32 [n, channels, h, w] or None
        Features of the same rows that entries of a memory are chosen by; None: by `features` themselves.
    """

    features: Features
    regions: Floats | None
    frames: Sequence[int]
    parts: Sequence[int] | None = None
    guide: Features | None = None

    @property
    def of_part(self) -> Sequence[int]:
        """Which part each row shows [n]."""
        return self.frames if self.parts is None else self.parts

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Rows":
        """Return some rows."""
        regions = None if self.regions is None else self.regions[rows]
        frames, parts = ([of[i] for i in rows] for of in (self.frames, self.of_part))
        guide = None if self.guide is None else {i: tap[rows] for i, tap in self.guide.items()}
        return Rows({i: tap[rows] for i, tap in self.features.items()}, regions, frames, parts, guide)

    def guiding(self) -> "Rows":
        """Return the rows with the features that entries of a memory are chosen by."""
        return self if self.guide is None else replace(self, features=self.guide, guide=None)

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
        both = _joined(self.features, other.features)
        guide = None if self.guide is None or other.guide is None else _joined(self.guide, other.guide)
        regions = None
        if self.regions is not None and other.regions is not None:
            regions = np.concatenate((self.regions, other.regions))
        return Rows(both, regions, [*self.frames, *other.frames], [*self.of_part, *other.of_part], guide)


def _joined(first: Features, second: Features) -> Features:
    return {i: np.concatenate((tap, second[i])) for i, tap in first.items()}


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
    patches = embedded.reshape(-1, math.prod(shape.grid_hw), shape.dimensions)
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
    """Return the patch embeddings of all frames, [n × P, d]."""
    module = PatchHead(shape)
    weights = [torch.from_numpy(w) for w in projections]
    added = [torch.from_numpy(b) for b in offsets]
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(features[0]), 16):
            taps = [torch.from_numpy(features[i][start : start + 16]) for i in range(len(shape.channels))]
            projected = module.project(taps, weights, added)
            blocks.append(module.gather(projected, averaged=averaged).reshape(-1, shape.dimensions).numpy())
    return np.concatenate(blocks)


def no_offsets(shape: HeadShape) -> tuple[Floats, ...]:
    """Nothing is added until a line that changed is matched to the old one."""
    return tuple(np.zeros(shape.dimensions, np.float32) for _ in shape.channels)
