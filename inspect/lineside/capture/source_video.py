"""Videos, cameras and streams by OpenCV, which is in the base install and opens all three alike.

OpenCV says no more than "no frame" when something ends, so what it meant is decided here: a video that ends well before
the number of frames in its header is cut off; a camera or a stream never ends by itself, so that no frame is a break.
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from lineside.capture.decode import silent_opencv
from lineside.capture.shot import Samples, Shot
from lineside.capture.source_watch import Clock
from lineside.errors import ImageError, StorageError

CAMERA_PATIENCE_S = 5.0
"""A choice: USB cameras give nothing for up to a few seconds while their exposure settles."""
_STREAM_TIMEOUT_MS = 10_000
_RETRY_S = 0.05
_SHORT_FRAMES, _SHORT_SHARE = 2, 0.02
"""A choice: containers without an index announce a number that is computed from duration and rate, and is a little off;
a file that was cut off lacks more."""


class VideoCapture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool:
        """Whether there is anything to read from."""

    def grab(self) -> bool:
        """Go to the next frame."""

    def retrieve(self) -> tuple[bool, npt.NDArray[np.generic] | None]:
        """Decode the frame: blue, green, red, or grey."""

    def get(self, prop: int, /) -> float:
        """Return a property; 0 or -1 where it is not known."""

    def getBackendName(self) -> str:
        """Name what reads."""

    def release(self) -> None:
        """Let go."""


Opener = Callable[[int | str], VideoCapture]
"""Given a camera's number, a file's path or an address."""


def open_capture(source: int | str) -> VideoCapture:
    """Open a video, a camera or a stream with OpenCV; streams give up after 10 s without an answer.

    FFmpeg's own log is kept off the console unless the environment (``OPENCV_FFMPEG_LOGLEVEL``) says otherwise.
    """
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read when FFmpeg is used first
    with silent_opencv():
        if isinstance(source, str) and "://" in source:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _STREAM_TIMEOUT_MS]
            limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, _STREAM_TIMEOUT_MS]
            return cast("VideoCapture", cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits))
        return cast("VideoCapture", cv2.VideoCapture(source))


def video_shots(path: Path, step: int = 1, opener: Opener = open_capture) -> Generator[Shot, None, None]:
    """Read every `step`-th frame of a video file.

    Raises
    ------
    ImageError
        When it cannot be opened, holds no frame, or ends before the number of frames that its header announces.
    """
    import cv2

    with _opened(opener, str(path.resolve())) as capture:
        if not capture.isOpened():
            raise ImageError("cannot be opened as a video: damaged, cut off, or of an unknown kind.", path=path)
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        index = 0
        while capture.grab():
            if index % step == 0:
                samples = _retrieved(capture)
                if samples is None:
                    raise ImageError(f"frame {index} cannot be decoded: the video is damaged.", path=path)
                yield Shot(samples, f"#{index}", index, path, video_ms=_place(capture))
            index += 1
    if index == 0:
        raise ImageError("a video without a frame that can be decoded; copy it again.", path=path)
    if announced - index > max(_SHORT_FRAMES, _SHORT_SHARE * announced):
        raise ImageError(
            f"ends after {index} of the {announced:.0f} frames that its header announces: cut off or damaged. "
            "Copy it again.",
            path=path,
        )


def live_shots(
    address: int | str, label: str, step: int, opener: Opener, patience_s: float, clock: Clock
) -> Generator[Shot, None, None]:
    """Read every `step`-th frame of a camera or a stream, until the caller stops.

    Parameters
    ----------
    address : int or str
        The camera's number, or the stream's address.
    label : str
        What it is called in errors.
    step : int
        Every n-th frame.
    opener : callable
        Opens it.
    patience_s : float
        How long it may give nothing, seconds.
    clock : Clock
        Tells the time, and waits.

    Raises
    ------
    StorageError
        When it cannot be opened, gives no frame, or breaks off.
    """
    with _opened(opener, address) as capture:
        if not capture.isOpened():
            raise StorageError(f"{label}: cannot be opened. {_remedy(address)}")
        exposure = _driver_exposure(capture) if isinstance(address, int) else None
        index = 0
        while _grabbed(capture, patience_s, clock):
            time = datetime.now(UTC)
            if index % step == 0:
                samples = _retrieved(capture)
                if samples is None:
                    break
                yield Shot(samples, f"#{index}", index, time=time, driver_exposure=exposure)
            index += 1
    if index == 0:
        raise StorageError(f"{label}: was opened, but gave no frame within {patience_s:g} s. {_remedy(address)}")
    raise StorageError(f"{label}: gave no more frames after frame {index - 1}. {_remedy(address)}")


@contextmanager
def _opened(opener: Opener, source: int | str) -> Iterator[VideoCapture]:
    capture = opener(source)
    try:
        yield capture
    finally:
        capture.release()


def _grabbed(capture: VideoCapture, patience_s: float, clock: Clock) -> bool:
    now, wait = clock
    end = now() + patience_s
    while not capture.grab():
        if now() >= end:
            return False
        wait(_RETRY_S)
    return True


def _retrieved(capture: VideoCapture) -> Samples | None:
    """Return the frame as [H, W, C], red first, or None where it is none."""
    ok, image = capture.retrieve()
    if not ok or image is None or image.size == 0 or image.dtype not in (np.uint8, np.uint16):
        return None
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape[2] not in (1, 3):
        return None
    return cast("Samples", np.array(image[:, :, ::-1], order="C"))  # a copy: drivers hand out their own buffer


def _place(capture: VideoCapture) -> float | None:
    import cv2

    place = capture.get(cv2.CAP_PROP_POS_MSEC)
    return round(place, 3) if np.isfinite(place) and place >= 0 else None


def _driver_exposure(capture: VideoCapture) -> str | None:
    import cv2

    value = capture.get(cv2.CAP_PROP_EXPOSURE)
    return f"{value:g} ({capture.getBackendName()})" if value not in (0.0, -1.0) and np.isfinite(value) else None


def _remedy(address: int | str) -> str:
    if isinstance(address, int):
        return "Is it plugged in, free of other programs, and may this user read it?"
    return "Check the address, the network, user and password, and that the camera is on."
