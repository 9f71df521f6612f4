"""Ed25519 keys as PEM files: making a pair, reading one.

Ed25519 (RFC 8032) has no parameter to get wrong and signs the same bytes alike. `cryptography` is imported where a key
is asked for, because the runtime must load without it. A password on the private key was left out: a build server would
keep it beside the key; who needs more keeps the key on a machine of its own.
"""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lineside.errors import MissingExtraError, StorageError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE_FILE, PUBLIC_FILE = "private.pem", "public.pem"
_LARGEST_PEM = 65536


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
    _check_installed()
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
    _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(file)
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{file}: expected a private Ed25519 key as PEM, without a password. `lineside keygen` makes one."
        )
    return key


def read_public_key(file: str | Path) -> "Ed25519PublicKey":
    """Read the key that a signature is checked with.

    Raises
    ------
    UsageError
        When the file is no public Ed25519 key in PEM.
    StorageError
        When it cannot be read.
    MissingExtraError
        When `cryptography` is not installed.
    """
    _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read(file)
    try:
        key = load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        private = "; this is a private key, which belongs to whoever signs" if b"PRIVATE KEY" in content else ""
        raise UsageError(
            f"{file}: expected a public Ed25519 key as PEM{private}. Give the {PUBLIC_FILE} that `lineside keygen` "
            "wrote."
        )
    return key


def key_id(key: "Ed25519PublicKey") -> str:
    """Return the name of a key: the first 16 hex digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _check_installed() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingExtraError("cryptography", "sign") from None


def _read(file: str | Path) -> bytes:
    try:
        with Path(file).open("rb") as stream:
            return stream.read(_LARGEST_PEM)
    except FileNotFoundError:
        raise UsageError(f"{file}: no key there. `lineside keygen` makes a pair.") from None
    except OSError as error:
        raise StorageError(f"{file}: cannot be read ({error.strerror}).") from None


def _write_new(file: Path, content: bytes, mode: int) -> None:
    """Write a file that does not exist yet, with its mode from the first byte on."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
