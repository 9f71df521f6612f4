"""The recipe's frames after the one reduction that holds nothing fitted: made once, read by every fold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.graph.run import parallel
from lineside.graph.trunk import Reduction
from lineside.train.images import References
from lineside.train.progress import Journal

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reductions:
    """Every good training frame and its augmented copies, reduced, by row.

    Attributes
    ----------
    middle : ndarray of uint8 [rows, h, w, C]
    frame_wh : ndarray of float32 [rows, 2]
        Size of the frame that each came from.
    """

    middle: Pixels
    frame_wh: Floats

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Reductions":
        """Return some rows."""
        return Reductions(self.middle[rows], self.frame_wh[rows])


def reduce_all(reductions: Sequence[Reduction], references: References, journal: Journal) -> tuple[Reductions, ...]:
    """Read every frame once, make its copies once, and reduce them in ONNX Runtime to each of some sizes."""
    count = len(references.samples) * references.rows_per_frame
    journal.stage("reading and reducing the good images", count)
    middles: list[Pixels] = []
    sizes = np.empty((count, 2), np.float32)

    def one(frame: Pixels) -> list[tuple[Pixels, Floats]]:
        return [reduction(frame) for reduction in reductions]

    for row, made in enumerate(parallel(one, references.frames())):
        if not middles:
            middles = [np.empty((count, *middle.shape[1:]), np.uint8) for middle, _ in made]
        for kept, (middle, frame_wh) in zip(middles, made, strict=True):
            kept[row], sizes[row] = middle[0], frame_wh
        journal.step()
    return tuple(Reductions(kept, sizes) for kept in middles)
