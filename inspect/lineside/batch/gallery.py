"""Pictures for the report: the raw image beside its overlay, small enough to embed.

The overlay is drawn anew at the size shown, from one more look at the image: an overlay file shrunk to a thumbnail
loses its contour, and OK images near the threshold have none. What is seen there changes no result.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.batch.judge import inspect_frame, read_frame
from lineside.batch.overlay import encode_jpeg, overlay
from lineside.batch.row import Row
from lineside.errors import LinesideError
from lineside.runtime import Inspector

THUMBNAIL_PX = 320
_QUALITY = 82


@dataclass(frozen=True)
class Picture:
    """Raw image and overlay as JPEG bytes, or the reason why they cannot be shown."""

    raw: bytes
    overlay: bytes
    missing: str | None = None


def take_pictures(rows: Iterable[Row], inspector: Inspector, threshold: float, workers: int) -> dict[str, Picture]:
    """Return the pictures of `rows`, by path; each image is read once.

    Parameters
    ----------
    rows : iterable of Row
        What the report shows.
    inspector : Inspector
        The model of the run.
    threshold : float
        Where the overlays' colour sets in.
    workers : int
        Threads.
    """
    paths: Sequence[str] = list(dict.fromkeys(row.path for row in rows))
    with ThreadPoolExecutor(workers) as pool:
        pictures = pool.map(lambda path: _picture(Path(path), inspector, threshold), paths)
        return dict(zip(paths, pictures, strict=True))


def _picture(path: Path, inspector: Inspector, threshold: float) -> Picture:
    try:
        frame = read_frame(path, inspector.contract.frame)
        anomaly_map = inspect_frame(inspector, frame).anomaly_map
    except LinesideError:
        there = "can no longer be read" if path.exists() else "is no longer where it was inspected"
        return Picture(b"", b"", f"The image {there}.")
    small = _shrunk(frame)
    return Picture(encode_jpeg(small, _QUALITY), encode_jpeg(overlay(small, anomaly_map, threshold), _QUALITY))


def _shrunk(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    import cv2

    height, width = frame.shape[:2]
    factor = THUMBNAIL_PX / max(height, width)
    if factor >= 1.0:
        return frame
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA)
    return np.atleast_3d(small).astype(np.uint8, copy=False)
