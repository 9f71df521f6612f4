"""Pictures stored so that nothing of them is lost: pixels without loss, and beside each what is known of it.

A picture's JSON sidecar is there before the picture is, so that whoever waits for pictures finds both. Numbers go on
where an earlier run ended, and a lock keeps two runs apart: no file is ever written over.
"""

import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from lineside import __version__
from lineside.capture.shot import Samples, Shot
from lineside.errors import StorageError, UsageError
from lineside.image_files import shown

Format = Literal["png", "tiff"]
_NAME = re.compile(r"frame-(\d{8})\..+")
_LAST_NUMBER = 10**8 - 1  # names sort in order as long as they are equally long
_LOCK_FILE = ".lock"


@dataclass(frozen=True)
class Stored:
    """One picture that was stored."""

    path: Path
    sidecar: Path


class ShotStore:
    """A folder that pictures are stored into. Made by `open_shot_store`."""

    def __init__(self, folder: Path, label: str, image_format: Format) -> None:
        self._folder, self._label, self._format = folder, label, image_format
        with storage_errors(folder):
            found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
            self._next = 1 + max((int(name[1]) for name in found if name), default=0)

    def add(self, shot: Shot) -> Stored:
        """Store one picture.

        Raises
        ------
        StorageError
            When it cannot be written; then nothing of it stands under a final name but perhaps its sidecar.
        UsageError
            When the folder holds all the pictures that its names can number.
        """
        if self._next > _LAST_NUMBER:
            raise UsageError(f"{self._folder}: holds frame {_LAST_NUMBER}, the last number. Name another folder.")
        path = self._folder / f"frame-{self._next:08d}.{self._format}"
        sidecar = path.with_suffix(".json")
        self._next += 1
        content = encode_samples(shot.samples, self._format)
        write_new(sidecar, _sidecar(shot, self._label, path.name, content))
        write_new(path, content)
        return Stored(path, sidecar)


@contextmanager
def open_shot_store(folder: Path, label: str, image_format: Format = "png") -> Iterator[ShotStore]:
    """Take a folder for storing, or make it.

    Parameters
    ----------
    folder : Path
        May hold pictures of earlier runs; they stay.
    label : str
        What the source is called, for the sidecars.
    image_format : {"png", "tiff"}
        Both without loss, 8 and 16 bit.

    Raises
    ------
    UsageError
        When `folder` is a file.
    StorageError
        When it cannot be made or written, or another run stores into it.
    """
    from filelock import FileLock, Timeout

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder for the pictures, found a file. Name another one with --out.")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK_FILE)
    with storage_errors(folder / _LOCK_FILE):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"{folder}: another capture is storing here. Wait until it is done, or name another folder with --out."
            ) from None
    try:
        yield ShotStore(folder, label, image_format)
    finally:
        lock.release()


def encode_samples(samples: Samples, image_format: Format) -> bytes:
    """Return samples [H, W, C], red first, as an image file's bytes, without loss."""
    import cv2

    ok, data = cv2.imencode(f".{image_format}", np.ascontiguousarray(samples[:, :, ::-1]))
    if not ok:
        raise StorageError(f"A picture of shape {samples.shape} cannot be written as {image_format}.")
    return bytes(data)


def write_new(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file under a temporary name beside it, then move it there.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        What it is to hold.
    replace : bool
        Let the new file take the place of one that is there.

    Raises
    ------
    StorageError
        When it cannot be written, or is there already; nothing then stands under the temporary name.
    """
    partial = path.with_name(f".{path.name}.partial")
    with storage_errors(path):
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if not replace and path.exists():
                raise StorageError(f"{path}: was written by something else in the meantime; it is left as it is.")
            os.replace(partial, path)  # noqa: PTH105 -- the very call that is atomic
        except BaseException:
            _remove(partial)
            raise


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a StorageError that names `path` and the remedy."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}). Make room, give write permission, or name another "
            "place with --out."
        ) from error


def sidecar_bytes(document: dict[str, object]) -> bytes:
    """Return a sidecar's document as JSON text in ASCII: file names may hold what is no UTF-8."""
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def same_folder(one: Path, other: Path) -> bool:
    """Whether two paths lead to one folder."""
    return os.path.realpath(one) == os.path.realpath(other)


def first(shots: Iterator[Shot], count: int | None) -> Iterator[Shot]:
    """Yield up to `count` pictures, and do not wait for one more."""
    return itertools.islice(shots, count)


def _sidecar(shot: Shot, label: str, name: str, content: bytes) -> bytes:
    height, width, channels = shot.samples.shape
    now = datetime.now(UTC)
    time = shot.time or now
    return sidecar_bytes(
        {
            "file": name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "time": time.astimezone(UTC).isoformat(timespec="milliseconds"),
            "time_of": "storing" if shot.time is None else "camera" if shot.path is None else "last change of the file",
            "source": label,
            "name": shown(shot.name),
            "index": shot.index,
            "video_ms": shot.video_ms,
            "exposure_us": shot.exposure_us,
            "driver_exposure": shot.driver_exposure,
            "size_wh": [width, height],
            "channels": channels,
            "bits": shot.bits,
            "lineside_version": __version__,
        }
    )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the error that brought us here is the one to show
