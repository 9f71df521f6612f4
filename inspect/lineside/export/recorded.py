"""The vectors of a bundle, read back: what `vectors` wrote, by whoever proves a bundle with numpy alone.

They are checked in plain code, for the runtime has no pydantic; and although their hash was right: a hash says only
that sums and file were written together.
"""

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from lineside.contract import OUTPUTS, SUMS_FILE
from lineside.errors import BundleError, StorageError
from lineside.export.bundle_files import MAX_TEXT_BYTES, read_file

VECTORS_FOLDER = "vectors"
VECTORS_FILE = f"{VECTORS_FOLDER}/vectors.json"
EXACT_OUTPUTS = ("verdict", "gate", "defect_class")
MAP_TOLERANCE_REL, MAP_FACTOR = 1e-2, 5.0
"""Of the map's largest value, and of the score's tolerance where that is more: single cells may differ more than the
score, which is a mean of several."""


@dataclass(frozen=True, eq=False)
class Vector:
    """One frame, and what the graph must return for it."""

    where: str
    """File and name, for errors."""
    frame: npt.NDArray[np.uint8]
    """[H, W, C]."""
    outputs: dict[str, npt.NDArray[np.generic]]
    """By name, `anomaly_map` included."""

    def compare(self, found: Mapping[str, npt.NDArray[np.generic]], score_tolerance_rel: float) -> float:
        """Compare what a graph returned for a batch of this frame alone; return the score's relative difference.

        Raises
        ------
        BundleError
            When an output differs by more than it may.
        """
        for name in OUTPUTS:
            _compare(name, found[name][0], self.outputs[name], score_tolerance_rel, self.where)
        wanted = float(self.outputs["score"])
        return abs(float(found["score"][0]) - wanted) / max(abs(wanted), 1e-9)


@dataclass(frozen=True)
class Recorded:
    """All vectors of a bundle; each is read when its turn comes."""

    folder: Path
    sums: Mapping[str, str]
    channels: int
    entries: tuple[object, ...]
    tells_swapped_channels: bool
    """Whether a vector would show that red and blue were swapped."""

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Vector]:
        for number, entry in enumerate(self.entries, 1):
            yield _Reader(self.folder, self.sums, self.channels, number, entry).vector()


def read_recorded(folder: Path, sums: Mapping[str, str], channels: int) -> Recorded:
    """Open the vectors of a bundle.

    Parameters
    ----------
    folder : Path
        The bundle.
    sums : mapping of path to hash
        Files that may be read; they were checked.
    channels : int
        Of a frame, by the contract.

    Raises
    ------
    BundleError
        When vectors.json, or later an entry of it, cannot be read.
    """
    file = folder / VECTORS_FILE
    try:
        document = json.loads(read_file(file, MAX_TEXT_BYTES))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file}: cannot be read ({error}).") from None
    if not isinstance(document, dict):
        raise BundleError(f"{file}: expected a JSON object, found {_shown(document)}.")
    if not isinstance(document.get("vectors"), list) or not document["vectors"]:
        raise BundleError(f"{file}: holds no vectors.")
    tells = document.get("tells_swapped_channels")
    if not isinstance(tells, bool):
        raise BundleError(f"{file}: expected true or false as tells_swapped_channels, found {_shown(tells)}.")
    return Recorded(folder, sums, channels, tuple(document["vectors"]), tells)


class _Reader:
    """Reads one entry of vectors.json; whatever is wrong is a BundleError that names the entry."""

    def __init__(self, folder: Path, sums: Mapping[str, str], channels: int, number: int, entry: object) -> None:
        self._folder, self._sums, self._channels = folder, sums, channels
        self._where = f"{folder / VECTORS_FILE}: vector {number}"
        if not isinstance(entry, dict):
            self._refuse(f"expected a JSON object, found {_shown(entry)}")
        if not isinstance(entry.get("name"), str):
            self._refuse(f"expected its name as text, found {_shown(entry.get('name'))}")
        self._where += f" ({_shown(entry['name'])})"
        self._entry: dict[str, Any] = entry

    def vector(self) -> Vector:
        frame_shape = self._shape("frame_shape_hwc", "[H, W, C]", 3)
        if frame_shape[2] != self._channels:
            self._refuse(f"frame_shape_hwc is {list(frame_shape)}, but the contract has {self._channels} channels")
        map_shape = self._shape("anomaly_map_shape_hw", "[h, w]", 2)
        frame = np.frombuffer(self._content("frame", math.prod(frame_shape)), np.uint8).reshape(frame_shape)
        cells = np.frombuffer(self._content("anomaly_map", 4 * math.prod(map_shape)), "<f4").reshape(map_shape)
        outputs = {name: self._output(name) for name in OUTPUTS if name != "anomaly_map"}
        outputs["anomaly_map"] = self._finite("anomaly_map", cells)
        return Vector(self._where, frame, outputs)

    def _shape(self, key: str, form: str, rank: int) -> tuple[int, ...]:
        shape = self._entry.get(key)
        if not isinstance(shape, list) or len(shape) != rank or not all(type(n) is int and n > 0 for n in shape):
            self._refuse(f"expected {form} in whole numbers from 1 on as {key}, found {_shown(shape)}")
        return tuple(shape)

    def _content(self, key: str, size: int) -> bytes:
        """Read a file that the sums list: no other can be reached, whatever the entry says."""
        name = self._entry.get(key)
        listed = f"{VECTORS_FOLDER}/{name}"
        if not isinstance(name, str) or listed not in self._sums:
            self._refuse(f"expected as {key} a file in {VECTORS_FOLDER}/ that {SUMS_FILE} lists, found {_shown(name)}")
        file = self._folder / listed
        try:
            found = file.stat().st_size
            if found != size:
                self._refuse(f"{listed} has {found} bytes, but its shape needs {size}")
            return file.read_bytes()
        except OSError as error:
            raise StorageError(f"{file}: cannot be read ({error.strerror}).") from None

    def _output(self, name: str) -> npt.NDArray[np.generic]:
        outputs = self._entry.get("outputs")
        if not isinstance(outputs, dict):
            self._refuse(f"expected a JSON object as outputs, found {_shown(outputs)}")
        if name not in outputs:
            self._refuse(f"outputs lacks {name}")
        try:
            values = np.asarray(outputs[name])
        except (ValueError, OverflowError, RecursionError):  # lists of unequal length, or nested beyond reason
            self._refuse(f"expected numbers as output {name}, found {_shown(outputs[name])}")
        if values.dtype.kind not in "iuf":
            self._refuse(f"expected numbers as output {name}, found {_shown(outputs[name])}")
        return self._finite(name, values)

    def _finite(self, name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """An infinity would make any tolerance infinite."""
        if not np.isfinite(values).all():
            self._refuse(f"output {name} is not finite")
        return values

    def _refuse(self, what: str) -> NoReturn:
        raise BundleError(f"{self._where}: {what}. Copy the bundle again from where it was made, or train it again.")


def _compare(
    name: str, found: npt.NDArray[np.generic], wanted: npt.NDArray[np.generic], rel: float, where: str
) -> None:
    if found.shape != wanted.shape:
        raise BundleError(
            f"{where}: output {name} has the shape {list(found.shape)}, recorded was {list(wanted.shape)}."
        )
    if name in EXACT_OUTPUTS:
        same = bool(np.array_equal(found, wanted))
    else:
        allowed = max(MAP_TOLERANCE_REL, MAP_FACTOR * rel) if name == "anomaly_map" else rel
        limit = allowed * max(float(np.abs(wanted).max(initial=0)), 1e-6)
        same = bool(np.all(np.abs(found.astype(np.float64) - wanted.astype(np.float64)) <= limit))
    if not same:
        raise BundleError(
            f"{where}: output {name} is {_short(found)} on this machine, recorded was {_short(wanted)}. The model "
            "would not judge here as it was evaluated: do not use it here; train on this machine, or install the "
            "onnxruntime version that the contract names."
        )


def _short(values: npt.NDArray[np.generic]) -> str:
    return np.array2string(values, precision=5, threshold=6, edgeitems=2).replace("\n", " ")


def _shown(value: object) -> str:
    """Say in a few characters what stood in the document, however long or deep it is."""
    return "nothing" if value is None else reprlib.repr(value)
