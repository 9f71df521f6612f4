"""Loading a bundle: every byte is checked before any of it is used.

The model is read once into memory, hashed there, and the session is made from those very bytes, so that a file which
changes between the check and the use cannot slip in. A path handed to ONNX Runtime was rejected for that reason, and
because a tensor that lies in another file is refused here (`onnx_file`), whatever path it names.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lineside.contract import CONTRACT_FILE, MODEL_FILE, SUMS_FILE, Contract
from lineside.errors import BundleError, UsageError
from lineside.export.bundle_files import MAX_TEXT_BYTES, RETRAIN, check_files, parse_sums, read_file, refuse_links_out
from lineside.export.onnx_file import refuse_external_data

MAX_MODEL_BYTES = 2**30
"""Largest model.onnx that is read unless more is asked for: some hundred times what lineside's own networks take."""
_GIVE_MORE = "If it is meant to be, give Inspector a higher max_model_bytes, `lineside inspect` --max-model-bytes."


@dataclass(frozen=True)
class Bundle:
    """A model whose bytes were checked.

    `contract` is None for a bare ``.onnx`` file: there it comes out of the file's own metadata once a session exists.
    """

    path: Path
    model: bytes
    model_sha256: str
    contract: Contract | None
    signed_by: str | None = None
    """Name of the key whose signature was checked; None where none was asked for."""


def load_bundle(
    path: str | Path,
    *,
    sha256: str | None = None,
    unverified: bool = False,
    require_key: str | Path | None = None,
    max_model_bytes: int = MAX_MODEL_BYTES,
) -> Bundle:
    """Read a bundle folder, or a bare ``.onnx`` file.

    Parameters
    ----------
    path : str or Path
        A bundle folder, as `lineside train` writes it, or a ``.onnx`` file.
    sha256 : str, optional
        SHA-256 (hex) that the model must have. A bare file loads only with this or with `unverified`.
    unverified : bool
        Load a bare file without any check of where it came from.
    require_key : str or Path, optional
        Public key (PEM, Ed25519) by which the bundle must be signed; then every file of it is checked. Needs
        ``pip install 'lineside[sign]'``.
    max_model_bytes : int
        A larger model is refused before it is read.

    Raises
    ------
    UsageError
        When there is nothing at `path`, a bare file comes with neither `sha256` nor `unverified`, or with
        `require_key`.
    BundleError
        When a file is missing, its hash differs, the model refers to another file, or the signature is not as required.
    StorageError
        When a file cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, sha256, require_key, max_model_bytes)
    if not path.exists():
        raise UsageError(f"{path}: no bundle there. Expected the folder that `lineside train` wrote.")
    if path.suffix != ".onnx":
        raise UsageError(f"{path}: expected a bundle folder or a .onnx file.")
    if require_key is not None:
        raise UsageError(f"{path}: a bare .onnx file carries no signature. Give the bundle folder.")
    if sha256 is None and not unverified:
        raise UsageError(
            f"{path}: a bare .onnx file carries no proof of where it came from. Give the bundle folder, "
            "or sha256='…' with the hash that it must have, or unverified=True."
        )
    model = read_file(path, max_model_bytes, _GIVE_MORE)
    digest = _checked_hash(model, sha256, path)
    refuse_external_data(model, str(path))
    return Bundle(path, model, digest, None)


def _load_folder(folder: Path, sha256: str | None, key: str | Path | None, max_model_bytes: int) -> Bundle:
    sums_content = read_file(folder / SUMS_FILE, MAX_TEXT_BYTES)
    sums = parse_sums(sums_content, folder / SUMS_FILE)
    contents: dict[str, bytes] = {}
    limits = (MODEL_FILE, max_model_bytes, _GIVE_MORE), (CONTRACT_FILE, MAX_TEXT_BYTES, RETRAIN)
    for name, limit, remedy in limits:
        if name not in sums:
            raise BundleError(f"{folder / SUMS_FILE}: no entry for {name}. {RETRAIN}")
        refuse_links_out(folder, name)
        contents[name] = read_file(folder / name, limit, remedy)
        _checked_hash(contents[name], sums[name], folder / name)
    digest = _checked_hash(contents[MODEL_FILE], sha256, folder / MODEL_FILE)
    try:
        text = contents[CONTRACT_FILE].decode()
    except UnicodeDecodeError:
        raise BundleError(f"{folder / CONTRACT_FILE}: not a text file. {RETRAIN}") from None
    contract = Contract.from_json(text, str(folder / CONTRACT_FILE))
    signed_by = None if key is None else _signed_by(folder, sums_content, sums, contract, key)
    refuse_external_data(contents[MODEL_FILE], str(folder / MODEL_FILE))
    return Bundle(folder, contents[MODEL_FILE], digest, contract, signed_by)


def _signed_by(folder: Path, sums_content: bytes, sums: Mapping[str, str], contract: Contract, key: str | Path) -> str:
    from lineside.export.signature import check_signature, statement_of

    name = check_signature(folder, statement_of(sums_content, contract), key)
    check_files(folder, sums)
    return name


def _checked_hash(content: bytes, expected: str | None, path: Path) -> str:
    digest = hashlib.sha256(content).hexdigest()
    if expected is not None and not hmac.compare_digest(digest, expected.lower()):
        raise BundleError(f"{path}: SHA-256 is {digest}, expected {expected}: the file was altered. {RETRAIN}")
    return digest
