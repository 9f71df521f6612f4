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


def reduce_all(reduction: Reduction, references: References, journal: Journal) -> Reductions:
    """Reduce every frame and copy, in ONNX Runtime."""
    count = len(references.samples) * references.rows_per_frame
    journal.stage("reading and reducing the good images", count)
    middles: Pixels | None = None
    sizes = np.empty((count, 2), np.float32)
    for row, (middle, frame_wh) in enumerate(parallel(reduction, references.frames())):
        if middles is None:
            middles = np.empty((count, *middle.shape[1:]), np.uint8)
        middles[row], sizes[row] = middle[0], frame_wh
        journal.step()
    assert middles is not None  # there are at least two good frames
    return Reductions(middles, sizes)
