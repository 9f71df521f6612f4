"""The run's folder: who holds it, which run it belongs to, and the results that were written so far.

results.jsonl is the only state. A line is appended with one unbuffered write, so that a killed process loses at most
the line it was writing; the next run drops that torn line and goes on. A database was rejected: a line of text can be
followed with `tail`, and needs no tool to be rescued.

A fresh start removes the old results first, in an order that leaves a folder which still resumes rightly wherever it is
cut off. The other way (new results beside the old ones, swapped at the end) was rejected: after a kill nobody could say
which of the two the next run goes on with.
"""

import contextlib
import hashlib
import json
import os
import shutil
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.batch.files import storage_errors, write_atomic
from lineside.batch.plan import BOXES_FILE, MASK_FOLDER, OVERLAY_FOLDER, RUN_FILE
from lineside.batch.row import Row
from lineside.errors import StorageError, UsageError

RESULTS_FILE, CSV_FILE, SUMMARY_FILE, REPORT_FILE = "results.jsonl", "results.csv", "summary.json", "report.html"
EVALUATION_FILE, PARQUET_FILE, PARTS_FILE = "evaluation.json", "results.parquet", "parts.csv"
LOCK_FILE = ".lock"
_IDENTITY = ("job_id", "created", "lineside_version")


@dataclass(frozen=True)
class RunHeader:
    """run.json: what the results in a folder were made with. A run resumes only where all but identity is the same."""

    job_id: str
    created: str
    lineside_version: str
    part: str
    model_sha256: str
    recipe_sha256: str
    threshold_ng: float
    threshold_review: float
    overlays: str
    labels: bool
    images: tuple[str, ...]
    """Files and folders as they were named."""
    images_resolved: tuple[str, ...]
    """The same as absolute paths: from another working folder the same names may mean other images."""
    boxes: bool = False
    """Whether defects get boxes and masks."""
    group: str | None = None
    """Regular expression that tells the part in file names; None: nothing tells it."""
    purpose: str = "inspect"
    """Or ``evaluate``, which leaves out the model's own training images."""

    def differences(self, other: "RunHeader") -> list[str]:
        """Say in words where `other` differs, identity aside."""
        pairs = [(f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return [f"{name}: {_show(a)}, now {_show(b)}" for name, a, b in pairs if name not in _IDENTITY and a != b]


class RunStore:
    """An open run: locked, its torn line dropped, ready to be appended to.

    Made by `open_store`. `done` answers whether a path has a line already, from 8 bytes per image.
    """

    def __init__(self, folder: Path, header: RunHeader) -> None:
        self.folder = folder
        self.header = header
        self._path = folder / RESULTS_FILE
        with storage_errors(self._path, begun=_has_results(folder)):
            self._path.touch()
            hashes, self._size = _scan(self._path)
            self._file = self._path.open("r+b", buffering=0)
            self._file.truncate(self._size)
            self._file.seek(self._size)
        self.n_resumed = len(hashes)
        self._done = np.sort(np.frombuffer(hashes, np.uint64)) if len(hashes) else np.empty(0, np.uint64)

    def done(self, path: str) -> bool:
        """Whether a line for this path was written before this run began."""
        key = np.uint64(_hash(path))
        at = int(np.searchsorted(self._done, key))
        return at < len(self._done) and bool(self._done[at] == key)

    def append(self, row: Row) -> None:
        """Write one line; it is in the file when this returns.

        Raises
        ------
        StorageError
            When it cannot be written whole; what was written of it is taken back.
        """
        line = row.to_line()
        with storage_errors(self._path, begun=self._size > 0):
            try:
                _write(self._file.fileno(), line)
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._size)
                raise
        self._size += len(line)

    def rows(self) -> Iterator[Row]:
        """Read every line, from the first run on."""
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield Row.from_line(line, f"{self._path}:{number}")

    def close(self) -> None:
        """Push the results to the disk and let the file go."""
        with storage_errors(self._path), contextlib.closing(self._file):
            os.fsync(self._file.fileno())


@contextlib.contextmanager
def open_store(folder: Path, header: RunHeader, *, fresh: bool) -> Iterator[RunStore]:
    """Take a run's folder, or make it.

    Parameters
    ----------
    folder : Path
        Where the results go.
    header : RunHeader
        What this run is made with. The identity of a run that is resumed is kept: see `RunStore.header`.
    fresh : bool
        Remove the results that are there, of whatever run, and start over.

    Raises
    ------
    UsageError
        When the folder holds another run's results, or files that are not ours.
    StorageError
        When another process holds the folder, or it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder for the results, found a file. Name another one with --out.")
    with storage_errors(folder, begun=False):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        found = _read_header(folder)
        _check_ours(folder, found)
        if found is not None and fresh:
            _remove_results(folder, found)
            found = None
        if found is None:
            _check_masks(folder, header)
            write_atomic(folder / RUN_FILE, (json.dumps(asdict(header), indent=2) + "\n").encode(), begun=False)
        else:
            _check_same(folder, found, header)
        store = RunStore(folder, found or header)
        try:
            yield store
        finally:
            store.close()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder; the operating system lets go when the process dies, however it dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_FILE)
    with storage_errors(folder / LOCK_FILE, begun=_has_results(folder)):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StorageError(
                f"{folder}: another inspection is writing here. Wait until it is done, or name another folder with "
                "--out."
            ) from None
    try:
        yield
    finally:
        lock.release()


def _has_results(folder: Path) -> bool:
    """Whether a run of this folder has come so far that the same command goes on with it."""
    try:
        return (folder / RESULTS_FILE).stat().st_size > 0
    except OSError:
        return False


def _check_ours(folder: Path, found: RunHeader | None) -> None:
    ours = (
        RESULTS_FILE,
        CSV_FILE,
        PARTS_FILE,
        PARQUET_FILE,
        SUMMARY_FILE,
        EVALUATION_FILE,
        REPORT_FILE,
        OVERLAY_FOLDER,
    )
    present = [name for name in ours if (folder / name).exists()]
    if found is None and present:
        raise UsageError(
            f"{folder}: holds {present[0]} but no {RUN_FILE}, so it was not written by an inspection and nothing in it "
            "is touched. Name another folder with --out."
        )


def _check_same(folder: Path, found: RunHeader, header: RunHeader) -> None:
    different = found.differences(header)
    if different:
        raise UsageError(
            f"{folder}: holds the results of another inspection ({'; '.join(different)}). "
            "Add --fresh to remove them and start over, or name another folder with --out."
        )


def _check_masks(folder: Path, header: RunHeader) -> None:
    """Refuse to write masks among somebody else's."""
    for name in (MASK_FOLDER, BOXES_FILE) if header.boxes else ():
        if (folder / name).exists():
            raise UsageError(
                f"{folder}: holds {name}, which no inspection wrote, and nothing in it is touched. Name another folder "
                "with --out."
            )


def _remove_results(folder: Path, found: RunHeader) -> None:
    """Derived files first, then the results, then the pictures; run.json is replaced afterwards.

    Masks and boxes are only ours where the run asked for them: a folder of images may have a folder ``masks`` too.
    """
    files = [REPORT_FILE, SUMMARY_FILE, EVALUATION_FILE, PARQUET_FILE, PARTS_FILE, CSV_FILE, RESULTS_FILE]
    folders = [OVERLAY_FOLDER]
    if found.boxes:
        files, folders = [*files[:-1], BOXES_FILE, files[-1]], [*folders, MASK_FOLDER]
    for name in files:
        with storage_errors(folder / name, begun=False):
            (folder / name).unlink(missing_ok=True)
    for name in folders:
        if (folder / name).is_dir():
            with storage_errors(folder / name, begun=False):
                shutil.rmtree(folder / name)


def _read_header(folder: Path) -> RunHeader | None:
    path = folder / RUN_FILE
    if not path.exists():
        return None
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        lists = {name: tuple(document[name]) for name in ("images", "images_resolved")}
        return RunHeader(**{**document, **lists})
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{path}: expected the settings of an inspection, found something else. "
            "Name another folder with --out, or remove this one."
        ) from None


def _scan(path: Path) -> tuple["array[int]", int]:
    """Hash the path of every whole line, and find where the last one ends."""
    hashes, size = array("Q"), 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            hashes.append(_hash(Row.from_line(line, f"{path}:{number}").path))
            size += len(line)
    return hashes, size


def _hash(path: str) -> int:
    """64 bits of a path: among a million images, two that meet have a chance of 3 in 100 million."""
    raw = path.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")


def _write(descriptor: int, line: bytes) -> None:
    view: memoryview = memoryview(line)
    while view:
        view = view[os.write(descriptor, view) :]


def _show(value: npt.NDArray[np.generic] | object) -> str:
    if isinstance(value, str):
        return value[:16]
    return ", ".join(value) if isinstance(value, tuple) else str(value)
