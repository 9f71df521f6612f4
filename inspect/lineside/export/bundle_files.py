"""The files of a bundle: which there are, that each is as it was written, and that none lies elsewhere.

Apart from `bundle`, which reads a model quickly: a whole bundle is checked where a signature or a proof is asked for.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from lineside.contract import SIGNATURE_FILE, SUMS_FILE
from lineside.errors import BundleError, StorageError

UNLISTED = (SUMS_FILE, SIGNATURE_FILE)
"""Files of a bundle that its sums cannot list: themselves, and the signature over them."""
MAX_TEXT_BYTES = 2**24
"""Of contract.json and SHA256SUMS."""
RETRAIN = "Copy the bundle again from where it was made, or train it again."


def read_sums(folder: Path) -> dict[str, str]:
    """Return the entries of a bundle's SHA256SUMS: relative path -> hex hash.

    Raises
    ------
    BundleError
        When the file is missing, has a malformed line, or names a path outside the bundle or the same path again.
    """
    return parse_sums(read_file(folder / SUMS_FILE, MAX_TEXT_BYTES), folder / SUMS_FILE)


def parse_sums(content: bytes, file: Path) -> dict[str, str]:
    """Return the entries of a bundle's SHA256SUMS: relative path -> hex hash.

    Parameters
    ----------
    content : bytes
        What stands in it.
    file : Path
        Where it was read, for the error message.

    Raises
    ------
    BundleError
        When a line is malformed, or names a path outside the bundle or the same path again.
    """
    sums: dict[str, str] = {}
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise BundleError(f"{file}: not a text file. {RETRAIN}") from None
    for number, line in enumerate(lines, 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not _is_inside(name) or name in sums:
            raise BundleError(f"{file}:{number}: expected '<sha256>  <path inside the bundle>', each path once.")
        sums[name] = digest
    return sums


def _is_inside(name: str) -> bool:
    """Whether a name stays in the bundle, on POSIX and on Windows."""
    return bool(name) and not name.startswith("/") and ".." not in Path(name).parts and not set(name) & set(":\\\0")


def check_files(folder: Path, sums: Mapping[str, str]) -> None:
    """Check that a bundle holds exactly the files that its sums list, each as it was written.

    Raises
    ------
    BundleError
        When a file was altered, is missing, was added, or is a link that leads out of the bundle.
    StorageError
        When a file cannot be read.
    """
    for name, expected in sums.items():
        file = folder / name
        refuse_links_out(folder, name)
        try:
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except FileNotFoundError:
            raise BundleError(f"{file}: missing from the bundle.") from None
        except OSError as error:
            raise StorageError(f"{file}: cannot be read ({error.strerror}).") from None
        if digest != expected:
            raise BundleError(f"{file}: SHA-256 is {digest}, expected {expected}: the file was altered.")
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
    added = sorted(present - set(sums) - set(UNLISTED))
    if added:
        raise BundleError(f"{folder / added[0]}: not listed in {SUMS_FILE}: it was added after the bundle was written.")


def refuse_links_out(folder: Path, name: str) -> None:
    """Refuse a file of a bundle that is in truth a link to something outside of it.

    Raises
    ------
    BundleError
        When it is.
    """
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{file}: a link that leads out of the bundle, to {file.resolve()}. Copy the file itself.")


def read_file(path: Path, max_bytes: int, remedy: str = RETRAIN) -> bytes:
    """Read a file of a bundle whole.

    Parameters
    ----------
    path : Path
    max_bytes : int
        A larger file is refused before it is read.
    remedy : str
        What to do then.

    Raises
    ------
    BundleError
        When it is missing or larger.
    StorageError
        When it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            content = b"" if size > max_bytes else stream.read(size + 1)  # one more, to see a file that grows
    except FileNotFoundError:
        raise BundleError(f"{path}: missing from the bundle. {RETRAIN}") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror}).") from None
    if max(size, len(content)) > max_bytes:
        raise BundleError(f"{path}: larger than {max_bytes} bytes. {remedy}")
    return content


def read_listed(folder: Path, name: str, max_bytes: int) -> bytes:
    """Read a file of a bundle whole, as it was written.

    Raises
    ------
    BundleError
        When it is missing, larger than `max_bytes`, or not as the bundle's sums list it.
    StorageError
        When it cannot be read.
    """
    content = read_file(folder / name, max_bytes)
    if hashlib.sha256(content).hexdigest() != read_sums(folder).get(name):
        raise BundleError(f"{folder / name}: altered or added after the bundle was written. {RETRAIN}")
    return content
