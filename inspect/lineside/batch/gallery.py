"""Pictures for the reports: the raw image, what the network was given of it, and the heatmap, small enough to embed.

The heatmap is drawn anew at the size shown, from the anomaly map that the run kept or from one more look at the image:
an overlay file shrunk to a thumbnail loses its contour, and OK images near the threshold have none. Where next to
nothing of a map lies above the threshold, as on an escape, a ring marks its highest place: two equal pictures would not
say what the model looked at. Boxes are taken from that same map, whether the run was asked for them or not. What is
seen here changes no result.

A page stays small because pictures are taken only until they would make it too large; those after that say so.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.batch.eye import Eye, Seen
from lineside.batch.judge import read_frame
from lineside.batch.kept import KeptResults
from lineside.batch.overlay import draw_boxes, encode_jpeg, mark_peak, overlay
from lineside.batch.row import Row
from lineside.contract import FrameSpec
from lineside.errors import LinesideError
from lineside.runtime import Inspector, load_bundle

PICTURE_BYTES = 9_000_000
"""Of all pictures in a page's galleries as JPEG: in base64 they grow by a third, to 12 MB, and the page with its text
and other pictures stays below 15 MB."""
THUMBNAIL_PX = 320
_QUALITY = 82
_SMALL_SHARE = 0.002  # of the map: a contour smaller than this is overlooked on a thumbnail
_AT_ONCE = 32  # pictures taken before it is asked whether more are wanted


Look = Callable[[Path, npt.NDArray[np.uint8]], Seen]
"""A model's eye for frames uint8 [H, W, C], and where each came from; called from several threads."""
Read = Callable[[Path], npt.NDArray[np.uint8]]
"""Reads a frame; called from several threads."""


@dataclass(frozen=True)
class Picture:
    """Raw image and heatmap as JPEG bytes, or the reason why they cannot be shown."""

    raw: bytes
    overlay: bytes
    missing: str | None = None
    working: bytes = b""
    """What the network was given, where the model tells it."""
    boxes: int = 0
    """Drawn on the heatmap."""

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return len(self.raw) + len(self.overlay) + len(self.working)


LEFT_OUT = Picture(b"", b"", "Left out to keep the page below 15 MB.")
"""Stands for a picture that would have made the page too large."""


def take_pictures(
    rows: Sequence[Row], inspector: Inspector, workers: int, results: KeptResults | None = None
) -> dict[str, Picture]:
    """Return the pictures of inspected images, by path; each image is read once.

    Parameters
    ----------
    rows : sequence of Row
        What the report shows, what matters most first, and each as often as it is shown.
    inspector : Inspector
        The model of the run, with its thresholds.
    workers : int
        Threads.
    results : KeptResults, optional
        Of the images that need no further look.
    """
    most_bytes = inspector.max_model_bytes
    model = load_bundle(inspector.path, sha256=inspector.model_sha256, max_model_bytes=most_bytes).model
    limits = inspector.threshold_ng, inspector.threshold_review
    look = Eye(model, inspector.contract, limits, str(inspector.path), results)
    read = partial(read_frame, spec=inspector.contract.frame, max_pixels=inspector.max_frame_pixels)
    shown = [(row.path, Path(row.path)) for row in rows]
    return pictures_of(shown, read, look, inspector.threshold_ng, workers)


def pictures_of(
    shown: Sequence[tuple[str, Path]],
    read: Read,
    look: Look,
    threshold: float,
    workers: int,
    most_bytes: int = PICTURE_BYTES,
) -> dict[str, Picture]:
    """Return the pictures of images, under the names given; each image is read once.

    Parameters
    ----------
    shown : sequence of (str, Path)
        Name and file, what matters most first, and each as often as it is shown.
    read : callable
        Reads them.
    look : callable
        The model.
    threshold : float
        Where the heatmaps' colour sets in.
    workers : int
        Threads.
    most_bytes : int
        Of all pictures; those from the one on that exceeds it are `LEFT_OUT`.
    """
    paths, times = dict(shown), Counter(name for name, _ in shown)
    names, taken, size = list(paths), dict[str, Picture](), 0

    def picture(name: str) -> Picture:
        return _picture(paths[name], read, look, threshold)

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(names), _AT_ONCE):
            if size > most_bytes:
                break
            some = names[start : start + _AT_ONCE]
            for name, one in zip(some, pool.map(picture, some), strict=True):
                size += one.size * times[name]
                taken[name] = one if size <= most_bytes else LEFT_OUT
    return {name: taken.get(name, LEFT_OUT) for name in names}


def _picture(path: Path, read: Read, look: Look, threshold: float) -> Picture:
    try:
        frame = read(path)
        seen = look(path, frame)
    except LinesideError:
        there = "can no longer be read" if path.exists() else "is no longer where it was inspected"
        return Picture(b"", b"", f"The image {there}.")
    small = _shrunk(frame)
    heat = overlay(small, seen.anomaly_map, threshold)
    if (seen.anomaly_map > threshold).mean() < _SMALL_SHARE:
        heat = mark_peak(heat, seen.anomaly_map)
    heat = draw_boxes(heat, seen.regions, (frame.shape[1], frame.shape[0]))
    inner = b"" if seen.working is None else encode_jpeg(_shrunk(seen.working), _QUALITY)
    return Picture(encode_jpeg(small, _QUALITY), encode_jpeg(heat, _QUALITY), None, inner, len(seen.regions))


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
