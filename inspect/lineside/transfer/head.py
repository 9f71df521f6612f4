"""The anomaly head: distance of each patch to a memory of good patches, after PatchCore (Roth et al., CVPR 2022).

Built for a CPU. Each tap is projected by one 1×1 convolution, averaged over 3×3, brought to the finest grid and summed;
projecting first is the same linear map as projecting the concatenation, on fewer numbers. The projection is random
orthonormal (Johnson and Lindenstrauss, 1984), so nothing about it is fitted but one scale a tap. A patch's distance is
to its nearest memory entry, of the averaged patch and of the patch as it is (`lineside.transfer.sharp`); the frame's
score is pooled from its largest patch distances (`lineside.transfer.pooling`).

The 3×3 average counts zeros beyond the frame, so patches at the border weigh two thirds, in a corner four ninths. That
is wanted: their features are half made of the network's own zero padding and vary from frame to frame more than a
defect does. Measured in a trial of the head alone (lite0, strides 8/16, no augmented copies, score as here, 50 good
frames, drives: 100; mean and standard deviation over 5 seeds), image AUROC with the zeros and without: weave
0.999 ± 0.001 and 0.934 ± 0.011, ball-screw drives 0.922 ± 0.003 and 0.909 ± 0.003, caps 0.960 ± 0.009 and
0.959 ± 0.009 (no difference).

An averaged patch differs little from its neighbours. So where averaged patches are compared with a memory, every second
one is, down and across, and distances between them are interpolated: a quarter of that product. Measured without light
and pose (50 good frames, 4 projections), image AUROC and AUPRO with all and with every second: ball-screw drives 0.940,
0.864 and 0.940, 0.862; defective frames below the threshold that 5 % of the good ones exceed, 80 and 78 of 292.

How a patch is compared is one of the ways of `lineside.transfer.distance`; `lineside.transfer.head_fit` fits and
chooses.

Patches outside the region have distance 0: they raise neither score nor map and take no part in what is fitted.

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
from lineside.transfer.distance import WAY_INPUTS, Ranks, Subspace, Way, distance, example_inputs, to_memory
from lineside.transfer.leading import Leading, from_memory
from lineside.transfer.opening import opened
from lineside.transfer.place import Place
from lineside.transfer.pooling import POOL_INPUTS, Pooling, PoolRegion, in_score, plain_pooling, pooled
from lineside.transfer.sharp import SHARP_INPUTS, Sharp, SharpPlace, from_place, sharp_example

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
REGION = "region"
"""Name of the graph's input that says which patches count."""


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
    way: Way = "nearest"
    """How averaged patches are compared with good ones."""
    sharp: Sharp = "off"
    """How patches as they are are compared."""
    least_patches: int = 1
    """What fewer patches than this show does not count (`lineside.transfer.opening`)."""
    regions: tuple[PoolRegion, ...] = ()
    """Which have thresholds of their own, and what is left; none: all patches have the same."""

    @property
    def placed(self) -> bool:
        """Whether patches are compared with their place instead of with the memory."""
        return self.way == "place"

    @property
    def step(self) -> int:
        """Every so manieth averaged patch, down and across, is compared; see the header."""
        return 2 if self.way == "nearest" else 1

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Patches of the finest tap, the head's own grid."""
        return max(self.grids_hw, key=math.prod)


@dataclass(frozen=True)
class HeadValues:
    """What was fitted: arrays by the names of the head's inputs."""

    projections: tuple[Floats, ...]
    """One a tap, [dimensions, channels, 1, 1]."""
    offsets: tuple[Floats, ...]
    """One a tap, [dimensions]: added to what was projected."""
    memory: Floats | None = None
    """Good patches, [entries, dimensions]."""
    place: Place | None = None
    """What is known of each place."""
    density: Floats | None = None
    """Factor on the distances to each entry of the memory, [entries]."""
    subspace: Subspace | None = None
    """The leading directions of good patches."""
    ranks: Ranks | None = None
    """Curves that make two distances comparable."""
    sharp_memory: Floats | None = None
    """Good patches as they are, [entries, dimensions]."""
    sharp_leading: Leading | None = None
    """In which directions those are compared; None: in all."""
    sharp_place: SharpPlace | None = None
    """What is known of each place, of patches as they are."""
    pooling: Pooling | None = None
    """How distances become a score; None: nothing was learned of it (`lineside.transfer.pooling.plain_pooling`)."""

    def sharply_fitted(self, sharp: Sharp) -> tuple[npt.NDArray[np.generic], ...]:
        """Return what the comparison of patches as they are takes, in the order of its inputs."""
        if sharp == "place":
            return self.sharp_place.arrays if self.sharp_place else ()
        if sharp == "off" or self.sharp_memory is None:
            return ()
        return self.sharp_memory, *(self.sharp_leading.arrays if self.sharp_leading else ())

    def fitted(self, way: Way) -> tuple[Floats, ...]:
        """Return what a way of comparing takes, in the order of its inputs."""
        place = self.place.arrays if self.place else ()
        subspace = (self.subspace.mean, self.subspace.residual) if self.subspace else ()
        memory = () if self.memory is None else (self.memory,)
        weight = () if self.density is None else (self.density,)
        ranks = (self.ranks.knots, self.ranks.slopes) if self.ranks else ()
        return {
            "place": place,
            "nearest": memory,
            "density": (*memory, *weight),
            "subspace": subspace,
            "combined": (*memory, *subspace, *ranks),
        }[way]

    def feed(self, shape: HeadShape) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays under the names of the graph's inputs."""
        named: dict[str, npt.NDArray[np.generic]] = {projection_name(i): w for i, w in enumerate(self.projections)}
        named |= {offset_name(i): b for i, b in enumerate(self.offsets)}
        pooling = self.pooling or plain_pooling(math.prod(shape.grid_hw), shape.regions)
        named |= dict(zip(POOL_INPUTS, pooling.arrays, strict=True))
        named |= dict(zip(WAY_INPUTS[shape.way], self.fitted(shape.way), strict=True))
        return {**named, **dict(zip(SHARP_INPUTS[shape.sharp], self.sharply_fitted(shape.sharp), strict=True))}


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
            the projections [d, C, 1, 1], then their offsets [d], then what pooling takes
            (`lineside.transfer.pooling.POOL_INPUTS`), then what the ways of comparing take
            (`lineside.transfer.distance.WAY_INPUTS`, `lineside.transfer.sharp.SHARP_INPUTS`).

        Returns
        -------
        score [N], anomaly_map [N, h, w] and patch_distance [N, gh, gw] at last (0 outside the region); between them
        embedding [N, d] (mean over the region's patches that are compared). Score and map count what `least_patches`
        show, patch_distance counts all: a class is told by a defect's peak.
        """
        count = len(self.shape.channels)
        projections, offsets = inputs[count + 1 : 2 * count + 1], inputs[2 * count + 1 : 3 * count + 1]
        projected = self.project(inputs[:count], projections, offsets)
        patches = self.gather(projected, averaged=True, step=self.shape.step)  # [N, P or fewer, d]
        counts = (inputs[count] >= 0.5).to(patches.dtype)  # [N, 1, gh, gw]
        flat, seen = counts.flatten(1), self._thinned(counts).flatten(1)  # [N, P], [N, P or fewer]
        weight, factor, power = inputs[3 * count + 1 : 3 * count + 4]
        away = self.distance(projected, patches, inputs[3 * count + 4 :]) * (flat * weight)  # [N, P]
        counted = opened(away, self.shape.grid_hw, self.shape.least_patches)
        score = pooled(counted, factor, power, self.shape.regions)
        total = torch.matmul(seen[:, None], patches)[:, 0]  # [N, d]
        embedding = total / seen.sum(dim=1, keepdim=True).clamp(min=1.0)
        grid = in_score(counted, factor, power, self.shape.regions).reshape(-1, 1, *self.shape.grid_hw)
        return score, self._map(grid, counts), embedding, away.reshape(-1, *self.shape.grid_hw)

    def distance(self, projected: Sequence[Tensor], patches: Tensor, fitted: tuple[Tensor, ...]) -> Tensor:
        """Distance [N, P] of each patch, averaged (as `gather` gives it with `HeadShape.step`) and as it is.

        `fitted`: what the comparing takes.
        """
        way, sharp = self.shape.way, self.shape.sharp
        taken = len(WAY_INPUTS[way])
        away = filled(self.shape, distance(way, patches, fitted[:taken]))
        if sharp == "off":
            return away
        return (away * self._sharply(sharp, projected, fitted[taken:])).sqrt()

    def _sharply(self, sharp: Sharp, projected: Sequence[Tensor], fitted: tuple[Tensor, ...]) -> Tensor:
        """Distance [N, P] of patches as they are; turned into a place's few directions before they are enlarged."""
        if sharp == "memory":
            return to_memory(self.gather(projected, averaged=False), fitted[0])[0]
        if sharp == "leading":
            return from_memory(self.gather(projected, averaged=False), *fitted)
        basis, *place = fitted
        turned = [F.conv2d(x, basis.t()[:, :, None, None]) for x in projected]  # [N, r, h, w]
        return from_place(self.gather(turned, averaged=False), *place)

    def _map(self, grid: Tensor, counts: Tensor) -> Tensor:
        """Enlarge distances [N, 1, gh, gw]; patches that do not count neither shine out nor dim their neighbours."""
        size = self.shape.map_wh[::-1]
        full = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
        share = F.interpolate(counts, size=size, mode="bilinear", align_corners=False)
        inside = F.interpolate(counts, size=size, mode="nearest")
        return (full * inside / share.clamp(min=LEAST_SHARE))[:, 0]  # [N, h, w]

    def project(
        self, taps: Sequence[Tensor], projections: Sequence[Tensor], offsets: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """Project tap features: [N, d, h, w] each."""
        return tuple(F.conv2d(*one) for one in zip(taps, projections, offsets, strict=True))

    def gather(self, projected: Sequence[Tensor], *, averaged: bool, step: int = 1) -> Tensor:
        """Patch embeddings [N, P, d] of projected taps, averaged over 3×3 or as they are; of every `step`-th patch."""
        total: Tensor | None = None
        for x in projected:
            finest = tuple(x.shape[2:]) == self.shape.grid_hw
            if averaged:  # zeros beyond the border count: see the header
                x = F.avg_pool2d(x, kernel_size=3, stride=step if finest else 1, padding=1)
            if not finest:
                x = self._enlarged(x, step)
            total = x if total is None else total + x
        assert total is not None
        return total.flatten(2).transpose(1, 2)  # [N, P, d]

    def _thinned(self, plane: Tensor) -> Tensor:
        """Every `HeadShape.step`-th cell of planes [N, 1, gh, gw]."""
        step = self.shape.step
        return plane if step == 1 else plane[:, :, ::step, ::step]

    def _enlarged(self, x: Tensor, step: int) -> Tensor:
        """Enlarge to the head's grid, bilinearly: two matrices take ONNX Runtime half as long as its Resize does."""
        rows, columns = (enlarging(*sides)[::step] for sides in zip(x.shape[2:], self.shape.grid_hw, strict=True))
        return torch.matmul(rows, torch.matmul(x, columns.t()))


def enlarging(side: int, wanted: int) -> Tensor:
    """Matrix [wanted, side] that interpolates linearly between cells; the outermost are held to their edge."""
    at = np.clip((np.arange(wanted) + 0.5) * side / wanted - 0.5, 0.0, side - 1.0)
    weights = np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(side)))
    return torch.from_numpy(weights.astype(np.float32))


def filled(shape: HeadShape, away: Tensor) -> Tensor:
    """Distances [N, P] from those of every `HeadShape.step`-th patch, bilinearly between them."""
    if shape.step == 1:
        return away
    rows, columns = (between(side, shape.step) for side in shape.grid_hw)
    plane = away.reshape(-1, rows.shape[1], columns.shape[1])
    return torch.matmul(rows, torch.matmul(plane, columns.t())).flatten(1)


def between(side: int, step: int) -> Tensor:
    """Matrix [side, cells] that interpolates linearly between every `step`-th cell; behind the last, that one."""
    cells = -(-side // step)
    at = np.minimum(np.arange(side) / step, cells - 1.0)
    weights = np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(cells)))
    return torch.from_numpy(weights.astype(np.float32))


def patch_distances(shape: HeadShape, values: HeadValues, patches: Floats) -> Floats:
    """Measure averaged patches [n, P, d] as the graph does, [n, P]; patches as they are have no say."""
    fitted = tuple(torch.from_numpy(array) for array in values.fitted(shape.way))
    with torch.inference_mode():
        blocks = [distance(shape.way, torch.from_numpy(frame[None]), fitted).numpy() for frame in patches]
    return np.asarray(np.concatenate(blocks), np.float32)


def head_shape(
    channels: Sequence[int],
    grids_hw: Sequence[tuple[int, int]],
    working_wh: tuple[int, int],
    projection: int | None,
    memory: int,
    least_patches: int = 1,
    regions: Sequence[PoolRegion] = (),
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
        least_patches=least_patches,
        regions=tuple(regions),
    )


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
    places = math.prod(shape.grid_hw)
    inputs |= zip(POOL_INPUTS, map(torch.from_numpy, plain_pooling(places, shape.regions).arrays), strict=True)
    inputs |= example_inputs(shape.way, places, shape.dimensions)
    inputs |= sharp_example(shape.sharp, places, shape.dimensions)
    entries = {"memory": "M", "memory_weight": "M", "sharp_memory": "S"}
    dynamic |= {name: {0: size} for name, size in entries.items() if name in inputs}
    return export_module(PatchHead(shape), inputs, (*HEAD_OUTPUTS, PATCH_DISTANCE), dynamic, key=repr(shape))
