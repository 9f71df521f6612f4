"""One image: read, judge, lay the overlay over it, and say all of it in one row.

Runs in the worker threads. Whatever is wrong with one image becomes its row's error; whatever is wrong with the disk
is raised, for the next image would meet it too. There are more threads than may compute: while one waits for the disk,
to read a file or to have a picture on it for good, another one has the processor.

Decoding a JPEG at half its scale was rejected: the graph takes the camera's frame, and then sees another one. Measured
on 60 caps of 1280 × 1024 px, 2026-11-27: scores off by up to 2.8 %, for 1.8 of 53 ms an image.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lineside.batch.files import storage_errors, write_atomic
from lineside.batch.kept import KeptResults
from lineside.batch.labels import truth_of
from lineside.batch.overlay import draw_boxes, encode_jpeg, encode_png, mirrored_name, overlay
from lineside.batch.plan import MASK_FOLDER, OVERLAY_FOLDER
from lineside.batch.regions import Region, mask_of, regions_of
from lineside.batch.row import Row, failed_row
from lineside.contract import MAX_FRAME_PIXELS, FrameSpec, Verdict
from lineside.errors import LinesideError
from lineside.image_files import read_content
from lineside.runtime import Inspector, Result

OverlayMode = Literal["all", "ng", "none"]
Seen = Callable[[Path, npt.NDArray[np.uint8], Result], Mapping[str, object]]
"""Looks at a frame and its result, and returns what the row's `resultContent` shall say of it beside."""


@dataclass(frozen=True)
class Judge:
    """Judges images for one run; safe to share between threads."""

    inspector: Inspector
    folder: Path
    """Of the results; overlays go below it."""
    job_id: str
    overlays: OverlayMode
    labels: bool
    threshold_ng: float
    """Where the overlays' colour sets in."""
    part_of: Callable[[Path, str], str] | None = None
    """Path and name -> the part's name; None: the file's name without its suffix."""
    boxes: bool = False
    """Whether the places of defects are told, and get masks; on an overlay they have a box in any case."""
    seen: Seen | None = None
    """Told every result while its anomaly map is there; from several threads."""
    kept: KeptResults | None = None
    """Told every result, for the report."""
    slot: AbstractContextManager[object] = field(default_factory=nullcontext)
    """Held while computing, never while waiting for the disk: a semaphore of as many images as are judged at once."""

    def __call__(self, path: Path, result_id: str) -> Row:
        """Judge one image.

        Raises
        ------
        StorageError
            When overlay or mask cannot be written.
        """
        label = truth_of(path) if self.labels else None
        identity = {"resultId": result_id, "partId": self._part(path), "measId": path.as_posix(), "jobId": self.job_id}
        try:
            frame, result, read_ms = self._look(path)
        except LinesideError as error:
            message = error.message.removeprefix(f"{path}: ")
            return failed_row(path.as_posix(), message, recipe_id=self.inspector.recipe_id, label=label, opc=identity)
        if self.kept is not None:
            self.kept.add(path.as_posix(), result)
        shown = self._overlay_name(path, result)
        with self.slot:
            facts = self.seen(path, frame, result) if self.seen else {}
            regions = regions_of(result, self.inspector.contract.map_threshold) if self.boxes or shown else ()
            pictures = self._pictures(path, frame, result, regions, shown)
        for name, content in pictures.items():
            self._write(name, content)
        told = regions if self.boxes else None
        return self._row(path, result, label, identity, read_ms, shown, told, facts)

    def _part(self, path: Path) -> str:
        return path.stem if self.part_of is None else self.part_of(path, path.as_posix())

    def _look(self, path: Path) -> tuple[npt.NDArray[np.uint8], Result, float]:
        """Return the frame, what the model says of it, and the milliseconds that reading and decoding took."""
        start = time.perf_counter()
        content = read_content(path)
        read_s = time.perf_counter() - start
        with self.slot:
            start = time.perf_counter()
            frame = decode_frame(content, path, self.inspector.contract.frame, self.inspector.max_frame_pixels)
            read_s += time.perf_counter() - start
            return frame, inspected(self.inspector, frame), 1000.0 * read_s

    def _overlay_name(self, path: Path, result: Result) -> str | None:
        if self.overlays == "none" or (self.overlays == "ng" and result.verdict is Verdict.OK):
            return None
        return f"{OVERLAY_FOLDER}/{mirrored_name(path, '.jpg')}"

    def _pictures(
        self,
        path: Path,
        frame: npt.NDArray[np.uint8],
        result: Result,
        regions: tuple[Region, ...],
        shown: str | None,
    ) -> dict[str, bytes]:
        """Return the mask of the regions and the overlay, by name within the run's folder."""
        pictures: dict[str, bytes] = {}
        if self.boxes and regions:
            height, width = result.anomaly_map.shape
            mask = mask_of(regions, (width, height), result.frame_wh)
            pictures[f"{MASK_FOLDER}/{mirrored_name(path, '.png')}"] = encode_png(mask)
        if shown:
            picture = overlay(frame, result.anomaly_map, self.threshold_ng)
            pictures[shown] = encode_jpeg(draw_boxes(picture, regions, result.frame_wh))
        return pictures

    def _write(self, name: str, content: bytes) -> None:
        target = self.folder / name
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)

    def _row(
        self,
        path: Path,
        result: Result,
        label: str | None,
        identity: dict[str, Any],
        read_ms: float,
        shown: str | None,
        regions: tuple[Region, ...] | None,
        facts: Mapping[str, object],
    ) -> Row:
        opc = {**result.to_dict(), **identity}
        opc["resultContent"] = {**opc["resultContent"], **facts}
        opc["processingTimes"] = {**opc["processingTimes"], "acquisitionDuration": round(read_ms, 3)}
        return Row(
            path=path.as_posix(),
            verdict=result.verdict.name,
            score=result.score,
            reasons=result.reasons,
            defect_class=result.defect_class,
            duration_ms=round(result.duration_ms, 3),
            error=None,
            label=label,
            overlay=shown,
            regions=regions,
            frame_wh=None if regions is None else result.frame_wh,
            opc=opc,
        )


def read_frame(path: Path, spec: FrameSpec, max_pixels: int = MAX_FRAME_PIXELS) -> npt.NDArray[np.uint8]:
    """Read an image as the contract wants it, unless it is larger than `max_pixels`.

    Returns
    -------
    ndarray of uint8 [H, W, C], RGB or grey

    Raises
    ------
    ImageError
        When it cannot be read.
    """
    return decode_frame(read_content(path), path, spec, max_pixels)


def decode_frame(
    content: bytes, path: Path, spec: FrameSpec, max_pixels: int = MAX_FRAME_PIXELS
) -> npt.NDArray[np.uint8]:
    """Decode an image file's bytes; see `read_frame`. `path` is for the errors."""
    from lineside.capture.decode import decode_image

    return decode_image(content, path, channels=spec.channels, bit_depth=spec.bit_depth, max_pixels=max_pixels)


def inspected(inspector: Inspector, frame: npt.NDArray[np.uint8]) -> Result:
    """Judge a frame that `read_frame` gave.

    Raises
    ------
    LinesideError
        When the frame does not fit, the model fails on it, or its score is no number.
    """
    try:
        result = inspector.inspect(frame, reduced=True)
    except LinesideError:
        raise
    except Exception as error:  # ONNX Runtime raises one class of its own per status code, with no common root
        raise LinesideError(f"the model failed on this image ({str(error).splitlines()[0]}).") from error
    if not np.isfinite(result.score):
        raise LinesideError(f"the model returned the score {result.score}, which is no finite number.")
    return result
