"""The anomaly head: distance of each patch to a memory of good patches, after PatchCore (Roth et al., CVPR 2022).

Built for a CPU. Each tap is projected by one 1×1 convolution, averaged over 3×3, brought to the finest grid and summed;
projecting first is the same linear map as projecting the concatenation, on fewer numbers. The projection is random
orthonormal (Johnson and Lindenstrauss, 1984), so nothing about it is fitted but one scale a tap. A patch's distance is
to its nearest memory entry; the frame's score is the mean of its largest patch distances.

The 3×3 average counts zeros beyond the frame, so patches at the border weigh two thirds, in a corner four ninths. That
is wanted: their features are half made of the network's own zero padding and vary from frame to frame more than a
defect does. Measured in a trial of the head alone (lite0, strides 8/16, no augmented copies, score as here, 50 good
frames, drives: 100; mean and standard deviation over 5 seeds), image AUROC with the zeros and without: weave
0.999 ± 0.001 and 0.934 ± 0.011, ball-screw drives 0.922 ± 0.003 and 0.909 ± 0.003, caps 0.960 ± 0.009 and
0.959 ± 0.009 (no difference).

Where a pose was found, a frame's patch lies on the same place of the part in every frame, and the head may compare it
with that place alone (`lineside.transfer.place`): then its distance is that to the place's mean, counted the less along
a direction the more good patches differ along it. `fit_either` decides.

Patches outside the region have distance 0: they raise neither score nor map and take no part in what is fitted.

Every fitted number enters the graph as an input, so that one exported head serves all folds of the cross-fitting and
becomes the deployed head when the numbers are written into it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineside.errors import UsageError
from lineside.graph.onnx_export import export_module
from lineside.transfer.memory import k_centre
from lineside.transfer.place import LEAST_SEPARATION, Place, fit_place, separation

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Features = Mapping[int, Floats]
"""Tap features of some frames, by the tap's number: [n, channels, h, w]."""

LEAST_SHARE = 0.25
"""Of a map cell inside a patch, at least this share of its bilinear weights is the patch's own."""
HEAD_OUTPUTS = ("score", "anomaly_map", "embedding")
PATCH_DISTANCE = "patch_distance"
"""Name of the patch head's further output, which says where a class head looks."""
TOP_SHARE = 0.01
"""Share of a frame's patches whose mean distance is its score. Measured in the same trial, with the largest alone, 5,
10 and 20 of 1,024: ball-screw drives 0.910, 0.918, 0.922, 0.925 (± 0.003 to 0.005); caps 0.965, 0.962, 0.960, 0.955
(± 0.010); weave 0.998, 0.999, 0.999, 0.996. One hundredth stands between."""
TOP_SHARE_PLACED = 0.005
"""The same where patches are compared with their place. Measured on caps aligned by their true pose ± 0.3° and ± 0.5 px
(strides 8/16, 128 dimensions), image AUROC with 5 and 10 of 1,024: from 10 good frames 0.988 ± 0.005 and 0.986 ± 0.005
over 5 drawings of them, from 50 0.996 and 0.995 over 2 projections."""
REGION = "region"
"""Name of the graph's input that says which patches count."""
PLACE_INPUTS = ("place_mean", "place_whitening", "place_weight")


@dataclass(frozen=True)
class HeadShape:
    """What of the head is decided before any image is seen."""

    channels: tuple[int, ...]
    """Of each tap."""
    grids_hw: tuple[tuple[int, int], ...]
    """Patches of each tap, down and across."""
    map_wh: tuple[int, int]
    dimensions: int
    """Of a patch's embedding."""
    projected: bool
    """False: the taps are only concatenated."""
    memory: int
    """Entries at most."""
    placed: bool = False
    """Whether patches are compared with their place instead of with the memory."""

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Patches of the finest tap, the head's own grid."""
        return max(self.grids_hw, key=math.prod)

    @property
    def top_count(self) -> int:
        """Number of patches whose distances are averaged into the score."""
        share = TOP_SHARE_PLACED if self.placed else TOP_SHARE
        return max(1, round(share * self.grid_hw[0] * self.grid_hw[1]))


@dataclass(frozen=True)
class HeadValues:
    """What was fitted: arrays by the names of the head's inputs."""

    projections: tuple[Floats, ...]
    """One a tap, [dimensions, channels, 1, 1]."""
    offsets: tuple[Floats, ...]
    """One a tap, [dimensions]: added to what was projected."""
    memory: Floats | None = None
    """[entries, dimensions]; None where patches are compared with their place."""
    place: Place | None = None
    """What is known of each place; None where patches are compared with the memory."""

    def feed(self, shape: HeadShape) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays under the names of the graph's inputs."""
        named = {projection_name(i): w for i, w in enumerate(self.projections)}
        named |= {offset_name(i): b for i, b in enumerate(self.offsets)}
        if self.place is not None:
            return {**named, **dict(zip(PLACE_INPUTS, self.place.arrays, strict=True))}
        assert self.memory is not None
        return {**named, "memory": self.memory}


@dataclass(frozen=True)
class HeadFit:
    """A fitted head and how it was decided to use the place of a patch or not."""

    shape: HeadShape
    """Decides the graph: export one head for each."""
    values: HeadValues
    separation: float | None
    """What `lineside.transfer.place.separation` measured; None where position was not allowed."""


def tap_name(number: int) -> str:
    """Name of a tap in the graph."""
    return f"tap{number}"


def projection_name(number: int) -> str:
    """Name of a tap's projection in the graph."""
    return f"projection{number}"


def offset_name(number: int) -> str:
    """Name of what is added to a tap's projection in the graph."""
    return f"offset{number}"


class PatchHead(nn.Module):
    """The head as a torch module; it holds no numbers of its own."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score frames.

        Parameters
        ----------
        *inputs : Tensor
            The taps [N, C, h, w], then the region [N, 1, gh, gw] (0 to 1; below a half a patch does not count), then
            the projections [d, C, 1, 1], then their offsets [d], then the memory [M, d], or mean [P, d], whitening
            [d, d] and weight [P] of the places.

        Returns
        -------
        score [N], anomaly_map [N, h, w] and patch_distance [N, gh, gw] at last (0 outside the region); between them
        embedding [N, d] (mean over the region)
        """
        count = len(self.shape.channels)
        projections, offsets = inputs[count + 1 : 2 * count + 1], inputs[2 * count + 1 : 3 * count + 1]
        patches = self.embed(inputs[:count], projections, offsets)  # [N, P, d]
        counts = (inputs[count] >= 0.5).to(patches.dtype)  # [N, 1, gh, gw]
        flat = counts.flatten(1)  # [N, P]
        fitted = inputs[3 * count + 1 :]
        distance = flat * (_to_place(patches, *fitted) if self.shape.placed else _to_memory(patches, *fitted))
        score = distance.topk(self.shape.top_count, dim=1).values.mean(dim=1)
        total = (patches * flat[:, :, None]).sum(dim=1)  # [N, d]
        embedding = total / flat.sum(dim=1, keepdim=True).clamp(min=1.0)
        grid = distance.reshape(-1, 1, *self.shape.grid_hw)
        return score, self._map(grid, counts), embedding, grid[:, 0]

    def _map(self, grid: Tensor, counts: Tensor) -> Tensor:
        """Enlarge distances [N, 1, gh, gw]; patches that do not count neither shine out nor dim their neighbours."""
        size = self.shape.map_wh[::-1]
        full = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
        share = F.interpolate(counts, size=size, mode="bilinear", align_corners=False)
        inside = F.interpolate(counts, size=size, mode="nearest")
        return (full * inside / share.clamp(min=LEAST_SHARE))[:, 0]  # [N, h, w]

    def embed(self, taps: Sequence[Tensor], projections: Sequence[Tensor], offsets: Sequence[Tensor]) -> Tensor:
        """Patch embeddings [N, P, d] of tap features."""
        total: Tensor | None = None
        for tap, projection, offset in zip(taps, projections, offsets, strict=True):
            x = F.conv2d(tap, projection, offset)  # [N, d, h, w]
            x = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)  # zeros beyond the border count: see the header
            if tuple(x.shape[2:]) != self.shape.grid_hw:
                x = F.interpolate(x, size=self.shape.grid_hw, mode="bilinear", align_corners=False)
            total = x if total is None else total + x
        assert total is not None
        return total.flatten(2).transpose(1, 2)  # [N, P, d]


def _to_memory(patches: Tensor, memory: Tensor) -> Tensor:
    """Distance [N, P] of patches [N, P, d] to the nearest entry of the memory [M, d]."""
    half = 0.5 * (memory * memory).sum(dim=1)  # [M]
    closeness = torch.matmul(patches, memory.t()) - half  # [N, P, M], largest where the distance is smallest
    index = closeness.topk(1, dim=2).indices.flatten()  # [N * P]
    nearest = memory.index_select(0, index).reshape(patches.shape)  # [N, P, d]
    return (patches - nearest).square().sum(dim=2).sqrt()  # [N, P]; from |p|² - 2pm + |m|² it would be rounding


def _to_place(patches: Tensor, mean: Tensor, whitening: Tensor, weight: Tensor) -> Tensor:
    """Distance [N, P] of patches [N, P, d] to the mean [P, d] of their place."""
    return torch.matmul(patches - mean, whitening).square().sum(dim=2).sqrt() * weight


def head_shape(
    channels: Sequence[int],
    grids_hw: Sequence[tuple[int, int]],
    working_wh: tuple[int, int],
    projection: int | None,
    memory: int,
) -> HeadShape:
    """Derive the head's shape from the recipe's settings and the backbone's taps."""
    width, height = working_wh
    dimensions = sum(channels) if projection is None else min(projection, sum(channels))
    return HeadShape(
        channels=tuple(channels),
        grids_hw=tuple(grids_hw),
        map_wh=(max(1, width // 4), max(1, height // 4)),
        dimensions=dimensions,
        projected=projection is not None and projection < sum(channels),
        memory=memory,
    )


def fit_either(
    shape: HeadShape,
    features: Features,
    seed: int,
    regions: Floats | None,
    frames: Sequence[int],
    *,
    position: bool,
) -> HeadFit:
    """Fit the head, comparing patches with their place where that is allowed and tells goods from strange patches.

    Parameters
    ----------
    shape, features, seed, regions
        As for `fit_head`; `shape.placed` is decided here.
    frames : sequence of int [n]
        Which frame (or physical part) each row shows: a frame and its augmented copies bear the same number.
    position : bool
        Whether a pose was found, so that a patch shows the same place of the part in every frame.
    """
    if not position:
        return HeadFit(
            replace(shape, placed=False), fit_head(replace(shape, placed=False), features, seed, regions), None
        )
    placed = replace(shape, placed=True)
    projections = _projections(shape, features, seed)
    offsets = _offsets(shape)
    grid = (-1, shape.grid_hw[0] * shape.grid_hw[1], shape.dimensions)
    patches = embed_patches(shape, features, projections, offsets).reshape(grid)  # [n, P, d]
    counts = _counts(shape, patches, regions)
    told = separation(patches, counts, frames, shape.grid_hw, placed.top_count, seed)
    if told < LEAST_SEPARATION:
        flat = replace(shape, placed=False)
        return HeadFit(flat, HeadValues(projections, offsets, memory=_memory(flat, patches, counts, seed)), told)
    return HeadFit(placed, HeadValues(projections, offsets, place=fit_place(patches, counts, frames)), told)


def fit_head(
    shape: HeadShape,
    features: Features,
    seed: int,
    regions: Floats | None = None,
    frames: Sequence[int] | None = None,
) -> HeadValues:
    """Fit the head on the features of good frames.

    Parameters
    ----------
    shape : HeadShape
    features : mapping of tap number to ndarray of float32 [n, channels, h, w]
        Of good frames and of their augmented copies, out of ONNX Runtime.
    seed : int
        Of the projection and of the memory's first entry.
    regions : ndarray of float32 [n, 1, gh, gw] or None
        0 to 1; patches below a half are left out. None: every patch counts.
    frames : sequence of int [n] or None
        As for `fit_either`; None: every row is a frame of its own.

    Raises
    ------
    UsageError
        When no patch lies inside the region.
    """
    projections = _projections(shape, features, seed)
    offsets = _offsets(shape)
    grid = (-1, shape.grid_hw[0] * shape.grid_hw[1], shape.dimensions)
    patches = embed_patches(shape, features, projections, offsets).reshape(grid)  # [n, P, d]
    counts = _counts(shape, patches, regions)
    if shape.placed:
        rows = range(len(patches)) if frames is None else frames
        return HeadValues(projections, offsets, place=fit_place(patches, counts, rows))
    return HeadValues(projections, offsets, memory=_memory(shape, patches, counts, seed))


def _counts(shape: HeadShape, patches: Floats, regions: Floats | None) -> npt.NDArray[np.bool_]:
    """Which patches count [n, P]."""
    if regions is None:
        return np.ones(patches.shape[:2], np.bool_)
    counts: npt.NDArray[np.bool_] = regions.reshape(len(patches), -1) >= 0.5
    if not counts.any():
        height, width = shape.grid_hw
        raise UsageError(
            f"No patch of the {width}×{height} of any good image lies inside the region that is inspected. Make "
            "normalise.roi larger, or set normalise.foreground to off."
        )
    return counts


def _memory(shape: HeadShape, patches: Floats, counts: npt.NDArray[np.bool_], seed: int) -> Floats:
    """Choose the memory [M, d] among the patches that count."""
    points = patches[counts]
    return np.ascontiguousarray(points[k_centre(points, shape.memory, seed)])


def embed_patches(
    shape: HeadShape, features: Features, projections: Sequence[Floats], offsets: Sequence[Floats]
) -> Floats:
    """Return the patch embeddings of all frames, [n × P, d]."""
    module = PatchHead(shape)
    weights = [torch.from_numpy(w) for w in projections]
    added = [torch.from_numpy(b) for b in offsets]
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(features[0]), 16):
            taps = [torch.from_numpy(features[i][start : start + 16]) for i in range(len(shape.channels))]
            blocks.append(module.embed(taps, weights, added).reshape(-1, shape.dimensions).numpy())
    return np.concatenate(blocks)


def export_head(shape: HeadShape) -> "onnx.ModelProto":
    """Export the head with taps, region and fitted numbers as inputs; frames and memory entries are dynamic."""
    inputs: dict[str, Tensor] = {}
    dynamic: dict[str, dict[int, str]] = {}
    for number, (channels, grid) in enumerate(zip(shape.channels, shape.grids_hw, strict=True)):
        inputs[tap_name(number)] = torch.zeros(2, channels, *grid)
        dynamic[tap_name(number)] = {0: "N"}
    inputs[REGION] = torch.ones(2, 1, *shape.grid_hw)
    dynamic[REGION] = {0: "N"}
    for number, channels in enumerate(shape.channels):
        inputs[projection_name(number)] = torch.zeros(shape.dimensions, channels, 1, 1)
    for number in range(len(shape.channels)):
        inputs[offset_name(number)] = torch.zeros(shape.dimensions)
    if shape.placed:
        places, size = shape.grid_hw[0] * shape.grid_hw[1], shape.dimensions
        examples = (torch.zeros(places, size), torch.zeros(size, size), torch.ones(places))
        inputs.update(zip(PLACE_INPUTS, examples, strict=True))
    else:
        inputs["memory"] = torch.zeros(16, shape.dimensions)
        dynamic["memory"] = {0: "M"}
    return export_module(PatchHead(shape), inputs, (*HEAD_OUTPUTS, PATCH_DISTANCE), dynamic)


def _projections(shape: HeadShape, features: Features, seed: int) -> tuple[Floats, ...]:
    """Make one projection a tap: random orthonormal rows or a plain placing, over the tap's typical deviation.

    The scale makes the taps count alike: without it the tap with the largest activations decides alone.
    """
    total = sum(shape.channels)
    if shape.projected:
        gaussian = np.random.default_rng(seed).standard_normal((total, shape.dimensions))
        basis = np.linalg.qr(gaussian)[0] * math.sqrt(total / shape.dimensions)  # [total, d]
    else:
        basis = np.eye(total)
    projections, start = [], 0
    for number, channels in enumerate(shape.channels):
        deviation = float(features[number].std(axis=(0, 2, 3), dtype=np.float64).mean())
        scale = 1.0 / (max(deviation, 1e-6) * math.sqrt(channels))
        block = basis[start : start + channels].T * scale  # [d, channels]
        projections.append(np.ascontiguousarray(block, dtype=np.float32)[:, :, None, None])
        start += channels
    return tuple(projections)


def _offsets(shape: HeadShape) -> tuple[Floats, ...]:
    """Nothing is added until a line that changed is matched to the old one."""
    return tuple(np.zeros(shape.dimensions, np.float32) for _ in shape.channels)
