"""Loading a bundle: every byte is checked before any of it is used.

The model is read once into memory, hashed there, and the session is made from those very bytes, so that a file which
changes between the check and the use cannot slip in. A path handed to ONNX Runtime was rejected for that reason, and
because bytes cannot refer to external data beside the file.
"""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from lineside.contract import CONTRACT_FILE, METADATA_KEY, MODEL_FILE, SUMS_FILE, Contract
from lineside.errors import BundleError, StorageError, UsageError

_RETRAIN = "Copy the bundle again from where it was made, or train it again."


@dataclass(frozen=True)
class Bundle:
    """A model whose bytes were checked.

    `contract` is None for a bare ``.onnx`` file: there it comes out of the file's own metadata once a session exists.
    """

    path: Path
    model: bytes
    model_sha256: str
    contract: Contract | None


def load_bundle(path: str | Path, *, sha256: str | None = None, unverified: bool = False) -> Bundle:
    """Read a bundle folder, or a bare ``.onnx`` file.

    Parameters
    ----------
    path : str or Path
        A bundle folder, as `lineside train` writes it, or a ``.onnx`` file.
    sha256 : str, optional
        SHA-256 (hex) that the model must have. A bare file loads only with this or with `unverified`.
    unverified : bool
        Load a bare file without any check of where it came from.

    Raises
    ------
    UsageError
        When there is nothing at `path`, or a bare file comes with neither `sha256` nor `unverified`.
    BundleError
        When a file is missing or its hash differs.
    StorageError
        When a file cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, sha256)
    if not path.exists():
        raise UsageError(f"{path}: no bundle there. Expected the folder that `lineside train` wrote.")
    if path.suffix != ".onnx":
        raise UsageError(f"{path}: expected a bundle folder or a .onnx file.")
    if sha256 is None and not unverified:
        raise UsageError(
            f"{path}: a bare .onnx file carries no proof of where it came from. Give the bundle folder, "
            "or sha256='…' with the hash that it must have, or unverified=True."
        )
    model = _read(path)
    return Bundle(path, model, _checked_hash(model, sha256, path), None)


def read_sums(folder: Path) -> dict[str, str]:
    """Return the entries of a bundle's SHA256SUMS: relative path -> hex hash.

    Raises
    ------
    BundleError
        When the file is missing, has a malformed line, or names a path outside the bundle.
    """
    sums: dict[str, str] = {}
    try:
        lines = _read(folder / SUMS_FILE).decode().splitlines()
    except UnicodeDecodeError:
        raise BundleError(f"{folder / SUMS_FILE}: not a text file. {_RETRAIN}") from None
    for number, line in enumerate(lines, 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or name.startswith("/") or ".." in Path(name).parts or ":" in name:
            raise BundleError(f"{folder / SUMS_FILE}:{number}: expected '<sha256>  <path inside the bundle>'.")
        sums[name] = digest
    return sums


def _load_folder(folder: Path, sha256: str | None) -> Bundle:
    sums = read_sums(folder)
    contents: dict[str, bytes] = {}
    for name in (MODEL_FILE, CONTRACT_FILE):
        if name not in sums:
            raise BundleError(f"{folder / SUMS_FILE}: no entry for {name}. {_RETRAIN}")
        contents[name] = _read(folder / name)
        _checked_hash(contents[name], sums[name], folder / name)
    digest = _checked_hash(contents[MODEL_FILE], sha256, folder / MODEL_FILE)
    try:
        text = contents[CONTRACT_FILE].decode()
    except UnicodeDecodeError:
        raise BundleError(f"{folder / CONTRACT_FILE}: not a text file. {_RETRAIN}") from None
    contract = Contract.from_json(text, str(folder / CONTRACT_FILE))
    return Bundle(folder, contents[MODEL_FILE], digest, contract)


def _checked_hash(content: bytes, expected: str | None, path: Path) -> str:
    digest = hashlib.sha256(content).hexdigest()
    if expected is not None and not hmac.compare_digest(digest, expected.lower()):
        raise BundleError(f"{path}: SHA-256 is {digest}, expected {expected}: the file was altered. {_RETRAIN}")
    return digest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path}: missing from the bundle. {_RETRAIN}") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror}).") from None


def metadata_contract(metadata: dict[str, str], where: str) -> Contract:
    """Read the contract out of a model's metadata.

    Raises
    ------
    BundleError
        When the model holds none, or it cannot be read.
    """
    if METADATA_KEY not in metadata:
        raise BundleError(f"{where}: no contract in metadata_props[{METADATA_KEY!r}]; this is no lineside model.")
    return Contract.from_json(metadata[METADATA_KEY], f"{where}: metadata_props[{METADATA_KEY!r}]")
