"""Signing a bundle: keys, and the file that `lineside.export.signature` checks."""

import base64
import dataclasses
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lineside.capture.store import write_new
from lineside.contract import CONTRACT_FILE, SIGNATURE_FILE, SUMS_FILE, Contract
from lineside.errors import StorageError, UsageError
from lineside.export.bundle_files import MAX_TEXT_BYTES, check_files, parse_sums, read_file
from lineside.export.keys import PRIVATE_FILE, PUBLIC_FILE, check_installed, key_id, parsed, read_pem
from lineside.export.signature import ALGORITHM, statement_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sign_bundle(path: str | Path, key: str | Path) -> str:
    """Sign a bundle whose files are all as they were written; an older signature is replaced.

    Parameters
    ----------
    path : str or Path
        A bundle folder.
    key : str or Path
        The private key, as `make_keys` writes it.

    Returns
    -------
    str
        Name of the key, as `lineside.export.keys.key_id` gives it.

    Raises
    ------
    UsageError
        When `path` is no folder, or `key` no private key.
    BundleError
        When a file was altered, is missing or was added.
    StorageError
        When something cannot be read or written.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a bundle folder, as `lineside train` writes it.")
    private = read_private_key(key)
    sums_content = read_file(folder / SUMS_FILE, MAX_TEXT_BYTES)
    check_files(folder, parse_sums(sums_content, folder / SUMS_FILE))
    text = read_file(folder / CONTRACT_FILE, MAX_TEXT_BYTES).decode(errors="replace")
    statement = statement_of(sums_content, Contract.from_json(text, str(folder / CONTRACT_FILE)))
    name = key_id(private.public_key())
    document = {
        "what": f"Signature over {SUMS_FILE}, the contract's version and the part. Check: lineside verify --key",
        "algorithm": ALGORITHM,
        "key": name,
        "statement": dataclasses.asdict(statement),
        "signature": base64.b64encode(private.sign(statement.to_bytes())).decode("ascii"),
    }
    write_new(folder / SIGNATURE_FILE, (json.dumps(document, indent=1) + "\n").encode(), replace=True)
    return name


def make_keys(folder: str | Path) -> tuple[Path, Path]:
    """Make a pair of keys and write it.

    Parameters
    ----------
    folder : str or Path
        Gets ``private.pem``, readable by its owner alone (on Windows: as the folder says), and ``public.pem``.

    Returns
    -------
    tuple of Path
        The private and the public file.

    Raises
    ------
    UsageError
        When one of the files exists: a lost key cannot be made again.
    StorageError
        When they cannot be written.
    MissingExtraError
        When `cryptography` is not installed.
    """
    check_installed()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, public = Path(folder) / PRIVATE_FILE, Path(folder) / PUBLIC_FILE
    for file in (private, public):
        if file.exists():
            raise UsageError(f"{file}: exists; a key is never overwritten. Choose another folder, or move it away.")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    shown = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    try:
        private.parent.mkdir(parents=True, exist_ok=True)
        _write_new(private, secret, 0o600)
        _write_new(public, shown, 0o644)
    except OSError as error:
        raise StorageError(f"{error.filename or folder}: cannot be written ({error.strerror or error}).") from None
    return private, public


def read_private_key(file: str | Path) -> "Ed25519PrivateKey":
    """Read the key that signs.

    Raises
    ------
    UsageError
        When the file is no private Ed25519 key in PEM without a password.
    StorageError
        When it cannot be read.
    MissingExtraError
        When `cryptography` is not installed.
    """
    check_installed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = read_pem(file)
    key = parsed(partial(load_pem_private_key, password=None), content)
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{file}: expected a private Ed25519 key as PEM, without a password. `lineside keygen` makes one."
        )
    return key


def _write_new(file: Path, content: bytes, mode: int) -> None:
    """Write a file that does not exist yet, with its mode from the first byte on."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
