"""Proving a bundle on the machine that will run it: every file as it was written, every vector as it was recorded."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.contract import CONTRACT_VERSION, OUTPUTS
from lineside.errors import BundleError, StorageError, UsageError
from lineside.runtime.bundle import SUMS_FILE, read_sums
from lineside.runtime.inspector import Inspector

VECTORS_FILE = "vectors/vectors.json"
EXACT_OUTPUTS = ("verdict", "gate", "defect_class")
MAP_TOLERANCE_REL = 1e-2
"""Of the map's largest value: single cells may differ more than the score, which is a mean of several."""


@dataclass(frozen=True)
class Verification:
    """What was proven."""

    path: Path
    part: str
    contract_version: str
    model_sha256: str
    files: int
    vectors: int
    worst_score_rel: float
    tells_swapped_channels: bool
    """Whether a vector would have shown that red and blue were swapped."""


def verify_bundle(path: str | Path) -> Verification:
    """Check every file of a bundle, its contract, and that its vectors give their outputs on this machine.

    Parameters
    ----------
    path : str or Path
        A bundle folder.

    Raises
    ------
    BundleError
        At the first thing that is not as it was written: a file altered, missing or added, a contract that cannot be
        read, an output that differs.
    UsageError
        When `path` is no bundle folder.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a bundle folder, as `lineside train` writes it.")
    files = _checked_files(folder)
    inspector = Inspector(folder)
    document = _vectors(folder)
    worst = max((_checked_vector(inspector, folder, entry) for entry in document["vectors"]), default=0.0)
    return Verification(
        path=folder,
        part=inspector.contract.part,
        contract_version=CONTRACT_VERSION,
        model_sha256=inspector.model_sha256,
        files=files,
        vectors=len(document["vectors"]),
        worst_score_rel=worst,
        tells_swapped_channels=bool(document["tells_swapped_channels"]),
    )


def _checked_files(folder: Path) -> int:
    sums = read_sums(folder)
    for name, expected in sums.items():
        file = folder / name
        try:
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except FileNotFoundError:
            raise BundleError(f"{file}: missing from the bundle.") from None
        except OSError as error:
            raise StorageError(f"{file}: cannot be read ({error.strerror}).") from None
        if digest != expected:
            raise BundleError(f"{file}: SHA-256 is {digest}, expected {expected}: the file was altered.")
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    added = sorted(present - set(sums) - {SUMS_FILE})
    if added:
        raise BundleError(f"{folder / added[0]}: not listed in {SUMS_FILE}: it was added after the bundle was written.")
    return len(sums)


def _vectors(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / VECTORS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder / VECTORS_FILE}: cannot be read ({error}).") from None
    if not isinstance(document, dict) or not isinstance(document.get("vectors"), list) or not document["vectors"]:
        raise BundleError(f"{folder / VECTORS_FILE}: holds no vectors.")
    return document


def _checked_vector(inspector: Inspector, folder: Path, entry: dict[str, Any]) -> float:
    """Run one vector; return the relative difference of its score."""
    where = folder / "vectors" / str(entry.get("name"))
    try:
        raw = _array(folder / "vectors" / entry["frame"], np.dtype(np.uint8), entry["frame_shape_hwc"])
        expected = {name: np.asarray(value) for name, value in entry["outputs"].items()}
        map_file = folder / "vectors" / entry["anomaly_map"]
        expected["anomaly_map"] = _array(map_file, np.dtype("<f4"), entry["anomaly_map_shape_hw"])
        expected_score = float(expected["score"])
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise BundleError(f"{where}: the vector cannot be read ({error!r}).") from None
    outputs = inspector.raw_outputs(raw[None].astype(np.uint8, copy=False))
    for name in OUTPUTS:
        _compare(name, outputs[name][0], expected.get(name), inspector.contract.score_tolerance_rel, str(where))
    return abs(float(outputs["score"][0]) - expected_score) / max(abs(expected_score), 1e-9)


def _compare(
    name: str, found: npt.NDArray[np.generic], wanted: npt.NDArray[np.generic] | None, rel: float, where: str
) -> None:
    if wanted is None or found.shape != wanted.shape:
        raise BundleError(f"{where}: output {name} has another shape than recorded.")
    if name in EXACT_OUTPUTS:
        same = bool(np.array_equal(found, wanted))
    else:
        limit = (MAP_TOLERANCE_REL if name == "anomaly_map" else rel) * max(float(np.abs(wanted).max(initial=0)), 1e-6)
        same = bool(np.all(np.abs(found.astype(np.float64) - wanted.astype(np.float64)) <= limit))
    if not same:
        raise BundleError(
            f"{where}: output {name} is {_short(found)} on this machine, recorded was {_short(wanted)}. The model "
            "would not judge here as it was evaluated: do not use it here; train on this machine, or install the "
            "onnxruntime version that the contract names."
        )


def _array(path: Path, kind: np.dtype[Any], shape: list[int]) -> npt.NDArray[np.generic]:
    return np.frombuffer(path.read_bytes(), kind).reshape(shape)


def _short(values: npt.NDArray[np.generic]) -> str:
    return np.array2string(values, precision=5, threshold=6, edgeitems=2).replace("\n", " ")
