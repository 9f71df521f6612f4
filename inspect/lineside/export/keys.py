"""Ed25519 keys as PEM files: reading a public one; `lineside.export.signing` makes pairs.

Ed25519 (RFC 8032) has no parameter to get wrong and signs the same bytes alike. `cryptography` is imported where a key
is asked for, because the runtime must load without it. A password on the private key was left out: a build server would
keep it beside the key; who needs more keeps the key on a machine of its own.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lineside.errors import MissingExtraError, StorageError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PRIVATE_FILE, PUBLIC_FILE = "private.pem", "public.pem"
_LARGEST_PEM = 65536


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
    check_installed()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = read_pem(file)
    key = parsed(load_pem_public_key, content)
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


def check_installed() -> None:
    """Raise MissingExtraError where `cryptography` is not installed."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise MissingExtraError("cryptography", "sign") from None


def parsed(load: Callable[[bytes], object], content: bytes) -> object | None:
    """Return the key that a loader of `cryptography` finds in a file's content; None where it finds none."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def read_pem(file: str | Path) -> bytes:
    """Read a key's file.

    Raises
    ------
    UsageError
        When there is none.
    StorageError
        When it cannot be read.
    """
    try:
        with Path(file).open("rb") as stream:
            return stream.read(_LARGEST_PEM)
    except FileNotFoundError:
        raise UsageError(f"{file}: no key there. `lineside keygen` makes a pair.") from None
    except OSError as error:
        raise StorageError(f"{file}: cannot be read ({error.strerror}).") from None
