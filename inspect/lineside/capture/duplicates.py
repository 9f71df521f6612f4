"""Pictures that stand twice in a data set: the same bytes or pixels, or the same scene closer than the camera's noise.

A picture on both sides of the split makes a test worthless. Exact copies are found by hash. A near copy (saved again,
another exposure, the next frame of a part at rest) is a pair whose small grey versions, brought to one mean level,
differ by less than two frames of a still scene do. Perceptual hashes with a fixed distance were rejected: good parts in
a fixture are alike by nature, and only the camera's own noise tells a copy from a twin. The typical distance of good
images is reported beside it, so that a person can judge the limit.

Noise: J. Immerkaer, Fast noise variance estimation, Computer Vision and Image Understanding 64(2), 1996: mean absolute
response to his mask, here the lower quartile over blocks of 16x16 pixels, since edges and texture respond too (6 % low
on noise alone).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

THUMB_SIDE_PX = 64
CODING_NOISE = 0.2
"""Grey levels that rounding to 8 bit and JPEG add to one pixel of a thumbnail, where averaging does not lower it.
Measured on 20 images each of ball screws, caps and weave: a copy saved as JPEG of quality 90 lies 0.2 to 0.3 away, one
darkened by a fifth 0.07 to 0.14."""
_BLOCK_PX = 16
_ROWS = 512  # thumbnails compared at once: 512 x 512 distances, 16 MB of thumbnails in float64


@dataclass(frozen=True)
class NearPair:
    """Two pictures closer than noise explains; `distance` in grey levels (RMS over the thumbnail)."""

    first: str
    second: str
    distance: float


def to_grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the mean of the channels: uint8 [H, W, C] -> float32 [H, W]; plane by plane, eight times as fast."""
    total = image[:, :, 0].astype(np.float32)
    for channel in range(1, image.shape[2]):
        total += image[:, :, channel]
    return total / np.float32(image.shape[2])


def noise_sigma(grey: npt.NDArray[np.float32]) -> float:
    """Estimate the standard deviation of a picture's noise, in grey levels.

    Parameters
    ----------
    grey : float32 [H, W]
        Levels 0 to 255. Blocks that are nearly black or white are left out: there the noise is cut off.

    Returns
    -------
    float
        0.0 where the picture is too small (below 18x18) or has no block to measure.
    """
    if min(grey.shape) < _BLOCK_PX + 2:
        return 0.0
    smooth = grey[:-2] - 2 * grey[1:-1] + grey[2:]  # [H-2, W]
    response = np.abs(smooth[:, :-2] - 2 * smooth[:, 1:-1] + smooth[:, 2:])  # [H-2, W-2]
    levels, responses = _block_means(grey[1:-1, 1:-1]), _block_means(response)
    measured = responses[(levels > 5) & (levels < 250)]
    return float(np.sqrt(np.pi / 2) / 6 * np.quantile(measured, 0.25)) if measured.size else 0.0


def _block_means(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    rows, columns = values.shape[0] // _BLOCK_PX, values.shape[1] // _BLOCK_PX
    tiles = values[: rows * _BLOCK_PX, : columns * _BLOCK_PX].reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    means: npt.NDArray[np.float32] = tiles.mean(axis=(1, 3))
    return means


def thumbnail(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return a picture's area-averaged small version, flat: float32 [H, W] -> float32 [64 * 64]."""
    import cv2

    small = cv2.resize(grey, (THUMB_SIDE_PX, THUMB_SIDE_PX), interpolation=cv2.INTER_AREA)
    flat: npt.NDArray[np.float32] = np.asarray(small, np.float32).reshape(-1)
    return flat


def near_limit(sigma: float, frame_pixels: int) -> float:
    """Return the RMS difference below which two thumbnails are near, in grey levels.

    Two frames of a still scene differ by sqrt(2) times the noise; averaging k pixels into one lowers white noise by
    sqrt(k), and leaves the coding's share (`CODING_NOISE`).
    """
    averaged = max(1.0, frame_pixels / THUMB_SIDE_PX**2)
    return float(np.sqrt(2 * (sigma**2 / averaged + CODING_NOISE**2)))


def level(thumbs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Bring thumbnails [n, d] to their common mean level by one gain each; black ones stay as they are."""
    means = thumbs.mean(axis=1, keepdims=True)  # [n, 1]
    gains = np.where(means > 0, means.mean() / np.maximum(means, 1e-6), 1.0)
    levelled: npt.NDArray[np.float32] = (thumbs * gains).astype(np.float32)
    return levelled


def closer(
    thumbs: npt.NDArray[np.float32], limit: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Find the pairs of thumbnails [n, d], at one mean level, that differ by less than a limit.

    Returns
    -------
    first, second : int64 [p]
        Rows, first < second.
    distances : float64 [p]
        RMS difference in grey levels.
    """
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    for i, j, block in _blocks(thumbs, thumbs):
        one, other = np.nonzero(block < limit)
        once = one + i < other + j
        found.append((one[once] + i, other[once] + j, block[one[once], other[once]]))
    first, second, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return first, second, distances


def nearest(
    among: npt.NDArray[np.float32], of: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Find, for each thumbnail of `of`, the most alike one of `among`.

    Parameters
    ----------
    among, of : float32 [n, d], [m, d]
        Thumbnails at one mean level. The very same array twice: nobody is its own neighbour.

    Returns
    -------
    rows : int64 [m]
        Row of `among`; -1 where there is none.
    distances : float64 [m]
        RMS difference in grey levels; infinite where there is none.
    """
    rows = np.full(len(of), -1, np.int64)
    distances = np.full(len(of), np.inf)
    for i, j, block in _blocks(among, of):
        if among is of and i == j:
            np.fill_diagonal(block, np.inf)
        columns = slice(j, j + block.shape[1])
        best = block.argmin(axis=0)  # [q]
        lowest = block[best, np.arange(block.shape[1])]
        closer = lowest < distances[columns]
        rows[columns] = np.where(closer, i + best, rows[columns])
        distances[columns] = np.minimum(lowest, distances[columns])
    return rows, distances


def _blocks(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]
) -> Iterator[tuple[int, int, npt.NDArray[np.float64]]]:
    """Yield (first row of a, first row of b, RMS differences) block by block; float64, as the squares nearly cancel."""
    centre = a.mean(axis=0, dtype=np.float64) if len(a) else 0.0
    for i in range(0, len(a), _ROWS):
        x = a[i : i + _ROWS] - centre  # [p, d]
        for j in range(0, len(b), _ROWS):
            y = b[j : j + _ROWS] - centre  # [q, d]
            squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None] - 2 * (x @ y.T)  # [p, q]
            yield i, j, np.sqrt(np.maximum(squares, 0.0) / a.shape[1])


def same(hashes: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return the sets of names, two or more, that share a hash; sorted."""
    by_hash: dict[str, list[str]] = {}
    for name in sorted(hashes):
        by_hash.setdefault(hashes[name], []).append(name)
    return tuple(tuple(names) for names in by_hash.values() if len(names) > 1)
