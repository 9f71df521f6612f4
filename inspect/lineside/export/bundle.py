"""Writing a bundle: everything into a folder beside its place, then renamed; the old bundle is kept as .previous.

The place is reserved before any work is done: a run that would fail to write after minutes of training, or that would
push another run's bundle aside, is refused at once.
"""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from lineside.contract import CONTRACT_FILE, MODEL_FILE, SUMS_FILE
from lineside.errors import StorageError, UsageError

Writer = Callable[[Mapping[str, bytes]], None]


def write_bundle(out: Path, files: Mapping[str, bytes]) -> None:
    """Write a bundle; see `reserved`."""
    with reserved(out) as write:
        write(files)


@contextlib.contextmanager
def reserved(out: Path) -> Iterator[Writer]:
    """Keep other runs away from a bundle's folder, and give the function that writes it.

    The folder holds the old bundle until the new one is complete beside it. Killed between the two renames, the old one
    stands at ``<out>.previous`` and nothing at `out`; it never holds a mixture.

    Parameters
    ----------
    out : Path
        Folder of the bundle. An existing bundle moves to ``<out>.previous``, in place of the bundle there.

    Yields
    ------
    callable
        Takes a mapping of relative path to content: everything but SHA256SUMS, which is made here.

    Raises
    ------
    UsageError
        When `out` is no name for a folder.
    StorageError
        When something cannot be written, another run has reserved the folder, or a folder that is no bundle is there.
    """
    out = out.resolve()
    if not out.name:
        raise UsageError(f"{out}: expected a folder of its own for the bundle, such as models/mypart.")
    with _storage_errors(out):
        _refuse_others(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out.parent / f".{out.name}.lock", timeout=0)
        lock.acquire()
    try:
        _sweep(out)
        yield lambda files: _write(out, files)
    finally:
        lock.release()


@contextlib.contextmanager
def _storage_errors(out: Path) -> Iterator[None]:
    """Say in a user's words what reserving and writing may meet; the training between them has errors of its own."""
    try:
        yield
    except Timeout:
        raise StorageError(
            f"{out}: another run is writing this bundle. Wait for it, or choose another --out."
        ) from None
    except OSError as error:
        raise StorageError(
            f"{error.filename or out}: cannot be written ({error.strerror or error}). The old bundle, if any, is "
            "as it was. Free some space or choose another --out."
        ) from None


def is_bundle(folder: Path) -> bool:
    """Whether a folder was written as a bundle: its list of hashes names a model and a contract."""
    try:
        lines = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return {MODEL_FILE, CONTRACT_FILE} <= {line.partition("  ")[2] for line in lines}


def _previous(out: Path) -> Path:
    return out.with_name(out.name + ".previous")


def _refuse_others(out: Path) -> None:
    """Refuse to move or replace what is no bundle."""
    for folder in (out, _previous(out)):
        empty = folder.is_dir() and not any(folder.iterdir())
        if folder.exists() and not empty and not is_bundle(folder):
            raise StorageError(f"{folder}: exists and is no bundle; it is left alone. Choose another --out.")


def _sweep(out: Path) -> None:
    """Remove what killed runs left half written."""
    for part in out.parent.glob(f".{out.name}.*.part"):
        shutil.rmtree(part, ignore_errors=True)


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    with _storage_errors(out):
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        try:
            _fill(part, files)
            _refuse_others(out)
            _swap(part, out)
        finally:
            shutil.rmtree(part, ignore_errors=True)


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
    previous = _previous(out)
    if out.exists():
        if previous.exists():
            shutil.rmtree(previous)
        out.rename(previous)
    try:
        part.rename(out)
    except BaseException:
        if previous.exists() and not out.exists():
            previous.rename(out)
        raise
