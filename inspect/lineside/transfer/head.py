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

Every fitted number enters the graph as an input, so that one exported head serves all folds of the cross-fitting and
becomes the deployed head when the numbers are written into it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.transfer.memory import k_centre

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Features = Mapping[int, Floats]
"""Tap features of some frames: stride -> [n, channels, h, w]."""

HEAD_OUTPUTS = ("score", "anomaly_map", "embedding")
TOP_SHARE = 0.01
"""Share of a frame's patches whose mean distance is its score. Measured in the same trial, with the largest alone, 5,
10 and 20 of 1,024: ball-screw drives 0.910, 0.918, 0.922, 0.925 (± 0.003 to 0.005); caps 0.965, 0.962, 0.960, 0.955
(± 0.010); weave 0.998, 0.999, 0.999, 0.996. One hundredth stands between."""


@dataclass(frozen=True)
class HeadShape:
    """What of the head is decided before any image is seen."""

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    grid_hw: tuple[int, int]
    """Patches of the finest tap."""
    map_wh: tuple[int, int]
    dimensions: int
    """Of a patch's embedding."""
    projected: bool
    """False: the taps are only concatenated."""
    memory: int
    """Entries at most."""

    @property
    def top_count(self) -> int:
        """Number of patches whose distances are averaged into the score."""
        return max(1, round(TOP_SHARE * self.grid_hw[0] * self.grid_hw[1]))


@dataclass(frozen=True)
class HeadValues:
    """What was fitted: arrays by the names of the head's inputs."""

    projections: tuple[Floats, ...]
    """One a tap, [dimensions, channels, 1, 1]."""
    memory: Floats
    """[entries, dimensions]."""

    def feed(self, shape: HeadShape) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays under the names of the graph's inputs."""
        named = {projection_name(s): w for s, w in zip(shape.strides, self.projections, strict=True)}
        return {**named, "memory": self.memory}


def tap_name(stride: int) -> str:
    """Name of a tap in the graph."""
    return f"tap{stride}"


def projection_name(stride: int) -> str:
    """Name of a tap's projection in the graph."""
    return f"projection{stride}"


class PatchHead(nn.Module):
    """The head as a torch module; it holds no numbers of its own."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score frames.

        Parameters
        ----------
        *inputs : Tensor
            The taps [N, C, h, w], then their projections [d, C, 1, 1], then the memory [M, d].

        Returns
        -------
        score [N], anomaly_map [N, h, w], embedding [N, d]
        """
        count = len(self.shape.strides)
        patches = self.embed(inputs[:count], inputs[count : 2 * count])  # [N, P, d]
        memory = inputs[-1]
        half = 0.5 * (memory * memory).sum(dim=1)  # [M]
        closeness = torch.matmul(patches, memory.t()) - half  # [N, P, M], largest where the distance is smallest
        index = closeness.topk(1, dim=2).indices.flatten()  # [N * P]
        nearest = memory.index_select(0, index).reshape(patches.shape)  # [N, P, d]
        distance = (patches - nearest).square().sum(dim=2).sqrt()  # [N, P]; from |p|² - 2pm + |m|² it would be rounding
        score = distance.topk(self.shape.top_count, dim=1).values.mean(dim=1)
        height, width = self.shape.grid_hw
        grid = distance.reshape(-1, 1, height, width)
        map_w, map_h = self.shape.map_wh
        full = F.interpolate(grid, size=(map_h, map_w), mode="bilinear", align_corners=False)
        return score, full[:, 0], patches.mean(dim=1)

    def embed(self, taps: Sequence[Tensor], projections: Sequence[Tensor]) -> Tensor:
        """Patch embeddings [N, P, d] of tap features."""
        total: Tensor | None = None
        for tap, projection in zip(taps, projections, strict=True):
            x = F.conv2d(tap, projection)  # [N, d, h, w]
            x = F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)  # zeros beyond the border count: see the header
            if tuple(x.shape[2:]) != self.shape.grid_hw:
                x = F.interpolate(x, size=self.shape.grid_hw, mode="bilinear", align_corners=False)
            total = x if total is None else total + x
        assert total is not None
        return total.flatten(2).transpose(1, 2)  # [N, P, d]


def head_shape(
    strides: Sequence[int],
    channels: Sequence[int],
    working_wh: tuple[int, int],
    projection: int | None,
    memory: int,
) -> HeadShape:
    """Derive the head's shape from the recipe's settings and the backbone's taps."""
    width, height = working_wh
    finest = min(strides)
    dimensions = sum(channels) if projection is None else min(projection, sum(channels))
    return HeadShape(
        strides=tuple(strides),
        channels=tuple(channels),
        grid_hw=(math.ceil(height / finest), math.ceil(width / finest)),
        map_wh=(max(1, width // 4), max(1, height // 4)),
        dimensions=dimensions,
        projected=projection is not None and projection < sum(channels),
        memory=memory,
    )


def fit_head(shape: HeadShape, features: Features, seed: int) -> HeadValues:
    """Fit the head on the features of good frames.

    Parameters
    ----------
    shape : HeadShape
    features : mapping of stride to ndarray of float32 [n, channels, h, w]
        Of good frames and of their augmented copies, out of ONNX Runtime.
    seed : int
        Of the projection and of the memory's first entry.
    """
    projections = _projections(shape, features, seed)
    patches = embed_patches(shape, features, projections)
    chosen = k_centre(patches, shape.memory, seed)
    return HeadValues(projections, np.ascontiguousarray(patches[chosen]))


def embed_patches(shape: HeadShape, features: Features, projections: Sequence[Floats]) -> Floats:
    """Return the patch embeddings of all frames, [n × P, d]."""
    module = PatchHead(shape)
    weights = [torch.from_numpy(w) for w in projections]
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(features[shape.strides[0]]), 16):
            taps = [torch.from_numpy(features[s][start : start + 16]) for s in shape.strides]
            blocks.append(module.embed(taps, weights).reshape(-1, shape.dimensions).numpy())
    return np.concatenate(blocks)


def export_head(shape: HeadShape) -> "onnx.ModelProto":
    """Export the head with taps, projections and memory as inputs; batch and number of memory entries are dynamic."""
    inputs: dict[str, Tensor] = {}
    dynamic: dict[str, dict[int, str]] = {}
    finest = min(shape.strides)
    for stride, channels in zip(shape.strides, shape.channels, strict=True):
        grid = [math.ceil(side * finest / stride) for side in shape.grid_hw]
        inputs[tap_name(stride)] = torch.zeros(2, channels, *grid)
        dynamic[tap_name(stride)] = {0: "N"}
    for stride, channels in zip(shape.strides, shape.channels, strict=True):
        inputs[projection_name(stride)] = torch.zeros(shape.dimensions, channels, 1, 1)
    inputs["memory"] = torch.zeros(16, shape.dimensions)
    dynamic["memory"] = {0: "M"}
    return export_module(PatchHead(shape), inputs, HEAD_OUTPUTS, dynamic)


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
    for stride, channels in zip(shape.strides, shape.channels, strict=True):
        deviation = float(features[stride].std(axis=(0, 2, 3), dtype=np.float64).mean())
        scale = 1.0 / (max(deviation, 1e-6) * math.sqrt(channels))
        block = basis[start : start + channels].T * scale  # [d, channels]
        projections.append(np.ascontiguousarray(block, dtype=np.float32)[:, :, None, None])
        start += channels
    return tuple(projections)
