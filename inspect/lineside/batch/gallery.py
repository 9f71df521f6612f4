"""Pictures for the report: the raw image beside its overlay, small enough to embed.

The overlay is drawn anew at the size shown, from one more look at the image: an overlay file shrunk to a thumbnail
loses its contour, and OK images near the threshold have none. Where next to nothing of a map
lies above the threshold, as on an escape, a ring marks its highest place: two equal pictures would not say what the
model looked at. What is seen here changes no result.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.batch.judge import read_frame
from lineside.batch.overlay import draw_boxes, encode_jpeg, mark_peak, overlay
from lineside.batch.regions import Region
from lineside.batch.row import Row
from lineside.contract import MAX_FRAME_PIXELS, FrameSpec
from lineside.errors import LinesideError
from lineside.runtime import Inspector

Look = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""A model's eye: frame uint8 [H, W, C] to anomaly map [h, w]; called from several threads."""
Read = Callable[[Path], npt.NDArray[np.uint8]]
"""Reads a frame; called from several threads."""
Show = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8] | None]
"""Frame uint8 [H, W, C] to working image uint8 [h, w, 3], or None; called from several threads."""

THUMBNAIL_PX = 320
_QUALITY = 82
_SMALL_SHARE = 0.002  # of the map: a contour smaller than this is overlooked on a thumbnail


@dataclass(frozen=True)
class Picture:
    """Raw image and overlay as JPEG bytes, or the reason why they cannot be shown."""

    raw: bytes
    overlay: bytes
    missing: str | None = None
    working: bytes = b""
    """What the network saw, where it was asked for and the model tells."""

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return len(self.raw) + len(self.overlay) + len(self.working)


def take_pictures(
    rows: Sequence[Row], inspector: Inspector, threshold: float, workers: int, working: Show | None = None
) -> dict[str, Picture]:
    """Return the pictures of `rows`, by path; each image is read once.

    Parameters
    ----------
    rows : sequence of Row
        What the report shows.
    inspector : Inspector
        The model of the run.
    threshold : float
        Where the overlays' colour sets in.
    workers : int
        Threads.
    working : callable, optional
        Makes the working image, which then stands between the two.
    """
    paths = {row.path: Path(row.path) for row in rows}

    def look(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return inspector.inspect(frame, reduced=True).anomaly_map

    boxes = {row.path: row.regions for row in rows if row.regions}
    spec, limit = inspector.contract.frame, inspector.max_frame_pixels
    return pictures_of(paths, spec, look, threshold, workers, boxes, working, limit)


def pictures_of(
    paths: Mapping[str, Path],
    spec: FrameSpec,
    look: Look,
    threshold: float,
    workers: int,
    boxes: Mapping[str, Sequence[Region]] | None = None,
    working: Show | None = None,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> dict[str, Picture]:
    """Return the pictures of images, under the names given; each image is read once.

    Parameters
    ----------
    paths : mapping of str to Path
        Name -> file.
    spec : FrameSpec
        What frames the model takes.
    look : callable
        The model.
    threshold : float
        Where the overlays' colour sets in.
    workers : int
        Threads.
    boxes : mapping of str to sequence of Region, optional
        Defects to draw, by the names given.
    working : callable, optional
        Makes the working image.
    max_pixels : int
        A larger image is not read.
    """
    shown = boxes or {}
    read = partial(read_frame, spec=spec, max_pixels=max_pixels)

    def picture(name: str) -> Picture:
        return _picture(paths[name], read, look, threshold, shown.get(name, ()), working)

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(paths, pool.map(picture, paths), strict=True))


def _picture(
    path: Path, read: Read, look: Look, threshold: float, regions: Sequence[Region], working: Show | None
) -> Picture:
    try:
        frame = read(path)
        anomaly_map = look(frame)
        seen = working(frame) if working else None
    except LinesideError:
        there = "can no longer be read" if path.exists() else "is no longer where it was inspected"
        return Picture(b"", b"", f"The image {there}.")
    small = _shrunk(frame)
    heat = overlay(small, anomaly_map, threshold)
    if (anomaly_map > threshold).mean() < _SMALL_SHARE:
        heat = mark_peak(heat, anomaly_map)
    heat = draw_boxes(heat, regions, (frame.shape[1], frame.shape[0]))
    inner = b"" if seen is None else encode_jpeg(_shrunk(seen), _QUALITY)
    return Picture(encode_jpeg(small, _QUALITY), encode_jpeg(heat, _QUALITY), working=inner)


def plain_picture(path: Path, spec: FrameSpec) -> bytes:
    """Return an image as a small JPEG; nothing where it can no longer be read."""
    try:
        return encode_jpeg(_shrunk(read_frame(path, spec)), _QUALITY)
    except LinesideError:
        return b""


def _shrunk(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    import cv2

    height, width = frame.shape[:2]
    factor = THUMBNAIL_PX / max(height, width)
    if factor >= 1.0:
        return frame
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA)
    return np.atleast_3d(small).astype(np.uint8, copy=False)
