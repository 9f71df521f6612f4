"""Triangular matrices as a bundle keeps them: half of the numbers, and of those half of the bytes.

What each place knows of itself was half of a bundle: 4.3 of 8.5 MB for ball-screw drives, now 1.1. The numbers are
rounded when they are fitted, so that head, reference and graph compute with the same ones; the graph fills the matrices
once, when it is opened. Rejected for the memory of patches: half precision is off by a share of a patch's length, and
patches of parts that are all alike differ by less.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]

LARGEST = float(np.finfo(np.float16).max)


def halved(values: npt.NDArray[np.floating]) -> Floats:
    """Round to numbers that half precision holds; beyond its largest, 65,504, to that."""
    rounded: Floats = np.clip(values, -LARGEST, LARGEST).astype(np.float16).astype(np.float32)
    return rounded


def packed(lower: Floats) -> Halves:
    """Return the lower triangles of matrices [n, r, r] of `halved` numbers, row after row: [n, r (r + 1) / 2]."""
    rows, columns = np.tril_indices(lower.shape[1])
    return lower[:, rows, columns].astype(np.float16)


def unpacked(triangles: npt.NDArray[np.floating]) -> Floats:
    """Return lower triangular matrices [n, r, r] from what `packed` gives."""
    size = side_of(triangles.shape[1])
    rows, columns = np.tril_indices(size)
    lower = np.zeros((len(triangles), size, size), np.float32)
    lower[:, rows, columns] = triangles
    return lower


def side_of(count: int) -> int:
    """Return r of triangles with r (r + 1) / 2 numbers."""
    return int(np.sqrt(2 * count + 0.25) - 0.5 + 1e-6)
