"""Frames as a class head will see them: through the deployed front and anomaly head, pooled where the map points."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.capture.truth import defect_mask
from lineside.dataset import Sample
from lineside.graph.join import fix_input, join, select_outputs
from lineside.graph.run import Graph
from lineside.train.images import FrameReader
from lineside.train.method import FittedHead
from lineside.transfer.class_weight import export_class_weight, mask_cells, weight_reference
from lineside.transfer.classes.pooling import CLASS_EMBEDDING, CLASS_WEIGHT, PoolShape, export_pool, pool_reference
from lineside.transfer.classes.tail import TailValues, tail_reference
from lineside.transfer.classes.turns import turned, turns
from lineside.transfer.head import PATCH_DISTANCE, REGION

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Arrays = dict[str, npt.NDArray[np.generic]]

LEAST_COVER = 0.05
"""Share of a patch that a mask must cover for the patch to count."""


@dataclass(frozen=True, eq=False)
class View:
    """One embedding of a training image.

    Attributes
    ----------
    embedding : ndarray of float32 [D]
    original : bool
        Whether it is the very one that the deployed graph has of the image.
    turned : bool
        Whether the image was turned or mirrored.
    taps : tuple of ndarray of float32 [C, h, w]
        What was pooled; none where the trunk's tail cannot be tuned.
    weight : ndarray of float32 [1, gh, gw]
        Where it was pooled.
    """

    embedding: Floats
    original: bool
    turned: bool
    taps: tuple[Floats, ...]
    weight: Floats


@dataclass(frozen=True)
class Eye:
    """Sees frames as the class head will.

    Attributes
    ----------
    graph : Graph
        Frame -> taps, region, patch distance, weights, embedding, transform.
    pool : Graph
        Taps and weights -> embedding.
    shape : PoolShape
    taps : tuple of str
    working_wh : tuple of int
    parts : tuple of (name, onnx.ModelProto)
        Weights and pooling, to stand behind the head.
    keeps_taps : bool
        Whether views keep what was pooled.
    """

    graph: Graph
    pool: Graph
    shape: PoolShape
    taps: tuple[str, ...]
    working_wh: tuple[int, int]
    parts: "tuple[tuple[str, onnx.ModelProto], ...]"
    keeps_taps: bool = False

    def embedding(self, frame: Pixels) -> Floats:
        """Return the embedding [D] of a frame [H, W, C]."""
        out = self.graph({"frame": frame[None]}, (CLASS_EMBEDDING,))
        return np.asarray(out[CLASS_EMBEDDING][0], np.float32)

    def views(self, sample: Sample, reader: FrameReader, *, copies: bool) -> list[View]:
        """Return an image's views: as it is, within its mask where it has one, and with `copies` turned ones too."""
        frame = reader.read(sample)
        marked = defect_mask(sample, (frame.shape[1], frame.shape[0]))
        mask = None if marked is None else marked.astype(np.uint8)
        found = list(self._views(frame, mask, is_turned=False))
        for quarters, mirrored in turns(*frame.shape[:2]) if copies else ():
            other = None if mask is None else turned(mask, quarters, mirrored=mirrored)
            found += self._views(turned(frame, quarters, mirrored=mirrored), other, is_turned=True)
        return found

    def reference(self, frame: Pixels, tail: TailValues | None) -> Doubles:
        """Tune and pool a frame in plain NumPy, from the graph's own taps and distances: [1, D]."""
        out = self.graph({"frame": frame[None]}, (*self.taps, PATCH_DISTANCE, REGION))
        weight = weight_reference(out[PATCH_DISTANCE][0], out[REGION][0, 0])
        taps: Mapping[int, npt.NDArray[np.generic]] = {i: out[name] for i, name in enumerate(self.taps)}
        if tail is not None:
            return tail_reference(tail, taps, weight[None, None])
        return pool_reference(self.shape, taps, weight[None, None])

    def _views(self, frame: Pixels, mask: Pixels | None, *, is_turned: bool) -> Iterator[View]:
        out = self.graph({"frame": frame[None]})
        taps = tuple(out[name][0].astype(np.float32) for name in self.taps) if self.keeps_taps else ()
        whole = np.asarray(out[CLASS_WEIGHT][0], np.float32)
        yield View(out[CLASS_EMBEDDING][0].astype(np.float32), not is_turned, is_turned, taps, whole)
        weight = None if mask is None else self._within(mask, out)
        if weight is not None:
            fed = {name: out[name] for name in self.taps}
            pooled = self.pool({**fed, CLASS_WEIGHT: weight[None, None]})[CLASS_EMBEDDING]
            yield View(pooled[0].astype(np.float32), original=False, turned=is_turned, taps=taps, weight=weight[None])

    def _within(self, mask: Pixels, out: Arrays) -> Floats | None:
        """Return the map's weights within a mask: the mask itself where the map points elsewhere, None off the region.

        The map's come first because they are what the deployed graph will have.
        """
        cells = mask_cells(mask, out["transform"][0].astype(np.float32), self.working_wh, self.shape.grid_hw)
        region, weight = (np.asarray(out[name][0, 0], np.float32) for name in (REGION, CLASS_WEIGHT))
        inside = np.asarray((cells >= LEAST_COVER) & (region >= 0.5), np.float32)
        both = np.asarray(weight * inside, np.float32)
        if both.any():
            return both
        return inside if inside.any() else None


def eye_of(head: FittedHead) -> Eye:
    """Put weights and pooling behind a fitted head of lineside's own method."""
    taps, known = head.front.trunk.taps, head.front.outputs
    grid_hw = (known[REGION].shape[2], known[REGION].shape[3])
    grids = tuple((known[tap].shape[2], known[tap].shape[3]) for tap in taps)
    shape = PoolShape(tuple(known[tap].shape[1] for tap in taps), grids, grid_hw)
    pool = export_pool(shape)
    parts = (("class_weight", export_class_weight(grid_hw)), ("class_pool", pool))
    model = _written(head)
    for name, part in parts:
        model = join(model, part, f"{name}/")
    wanted = (*taps, REGION, PATCH_DISTANCE, CLASS_WEIGHT, CLASS_EMBEDDING, "transform")
    working_wh = head.front.decision.settings.working_wh
    return Eye(Graph(select_outputs(model, wanted)), Graph(pool), shape, taps, working_wh, parts)


def _written(head: FittedHead) -> "onnx.ModelProto":
    """Return trunk and head with their fitted numbers written in."""
    model = head.front.trunk.joined({})
    for name, part in head.parts:
        model = join(model, part, f"{name}/")
    taken = {item.name for item in model.graph.input}
    for name, value in head.constants.items():
        if name in taken:
            fix_input(model, name, value)
    return model
