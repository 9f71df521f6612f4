"""Writing a bundle: everything into a folder beside its place, then one rename; the old bundle is kept as .previous."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from lineside.errors import StorageError

SUMS_FILE = "SHA256SUMS"


def write_bundle(out: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle so that `out` holds either the old one or the new one, never a mixture.

    Parameters
    ----------
    out : Path
        Folder of the bundle. An existing bundle moves to ``<out>.previous``, whose own content is dropped.
    files : mapping of relative path to content
        Everything but SHA256SUMS, which is made here.

    Raises
    ------
    StorageError
        When something cannot be written, another run is writing there, or `out` exists and is no bundle.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        check_target(out)
        with FileLock(out.parent / f".{out.name}.lock", timeout=0):
            part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
            try:
                _fill(part, files)
                _swap(part, out)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except Timeout:
        raise StorageError(
            f"{out}: another run is writing this bundle. Wait for it, or choose another --out."
        ) from None
    except OSError as error:
        raise StorageError(
            f"{error.filename or out}: cannot be written ({error.strerror or error}). The old bundle, if any, is "
            "as it was. Free some space or choose another --out."
        ) from None


def check_target(out: Path) -> None:
    """Refuse a target that exists and is no bundle, so that nothing else is moved away.

    Raises
    ------
    StorageError
    """
    if out.exists() and not (out / SUMS_FILE).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(f"{out}: exists and is no bundle; it is left alone. Choose another --out.")


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.chmod(0o755)  # mkdtemp makes it private; a bundle is for others to read
    sums = []
    for name in sorted(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
        sums.append(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n")
    (folder / SUMS_FILE).write_text("".join(sums), encoding="utf-8", newline="\n")


def _swap(part: Path, out: Path) -> None:
    previous = out.with_name(out.name + ".previous")
    if out.exists():
        if previous.exists():
            shutil.rmtree(previous)
        out.rename(previous)
    try:
        part.rename(out)
    except OSError:
        if previous.exists() and not out.exists():
            previous.rename(out)
        raise
