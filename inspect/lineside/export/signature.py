"""Signed bundles: who vouches for the files. `lineside.export.signing` makes what is checked here.

The sums find damage; who can change the model can change them too. An Ed25519 signature over the sums, the contract's
version and the part cannot be made again without the private key. It lies beside the sums in a JSON file, so that a
bundle is signed after it was looked at, on another machine than it was trained on.

A signature says by whom, not which: an older bundle of the same part that the same key signed passes too. Who must
exclude that pins the model with ``sha256=``, or takes a new key.
"""

import base64
import binascii
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineside.contract import SIGNATURE_FILE, Contract
from lineside.errors import BundleError
from lineside.export.bundle_files import read_file
from lineside.export.keys import key_id, read_public_key

ALGORITHM = "ed25519"
_PREFIX = b"lineside bundle signature 1\n"
"""In front of what is signed: a signature made for anything else is none for a bundle."""
_LARGEST = 65536


@dataclass(frozen=True)
class Statement:
    """What is signed."""

    part: str
    contract_version: str
    sums_sha256: str
    """Of the bundle's SHA256SUMS, and by it of every file."""

    def to_bytes(self) -> bytes:
        """Return the bytes that the signature is over."""
        return _PREFIX + json.dumps(dataclasses.asdict(self), sort_keys=True).encode("ascii")


def statement_of(sums_content: bytes, contract: Contract) -> Statement:
    """Return what a bundle's signature must be over.

    Parameters
    ----------
    sums_content : bytes
        SHA256SUMS as it was read.
    contract : Contract
        The bundle's.
    """
    return Statement(contract.part, contract.contract_version, hashlib.sha256(sums_content).hexdigest())


def check_signature(folder: Path, wanted: Statement, key: str | Path) -> str:
    """Check that a bundle was signed with a key, as it lies here.

    Parameters
    ----------
    folder : Path
        The bundle.
    wanted : Statement
        What this bundle's signature must be over; its files are checked against their sums apart.
    key : str or Path
        The public key.

    Returns
    -------
    str
        Name of the key.

    Raises
    ------
    BundleError
        When the bundle is not signed, was signed by another key or as something else, or the signature is damaged.
    """
    public = read_public_key(key)
    file = folder / SIGNATURE_FILE
    if not file.exists():
        raise BundleError(f"{file}: missing: the bundle is not signed, but a signature by {key} is required.")
    signed_by, signed, signature = _read_signature(file)
    name = key_id(public)
    if signed_by != name:
        raise BundleError(f"{file}: signed with the key {signed_by}, but {key} is {name}. Do not use the bundle.")
    from cryptography.exceptions import InvalidSignature

    try:
        public.verify(signature, signed.to_bytes())
    except InvalidSignature:
        raise BundleError(f"{file}: the signature does not fit: it was altered. Do not use the bundle.") from None
    for field in dataclasses.fields(Statement):
        was, found = getattr(signed, field.name), getattr(wanted, field.name)
        if was != found:
            raise BundleError(
                f"{file}: {field.name} was signed as {was!r}, but the bundle has {found!r}: it is not what was signed. "
                "Do not use the bundle; copy it again from where it was signed."
            )
    return name


def _read_signature(file: Path) -> tuple[str, Statement, bytes]:
    """Read name of the key, statement and signature."""
    content = read_file(file, _LARGEST)
    try:
        document: Any = json.loads(content)
        if document["algorithm"] != ALGORITHM:
            raise ValueError(f"its algorithm must be {ALGORITHM}")
        statement = Statement(**document["statement"])
        texts = (document["key"], *dataclasses.astuple(statement))
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its key and statement must be texts")
        return document["key"], statement, base64.b64decode(document["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise BundleError(f"{file}: no signature that can be read ({error!r}). Sign the bundle again.") from None
