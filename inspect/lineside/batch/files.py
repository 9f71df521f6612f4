"""Writing files so that a final name never holds half a file, and errors say which file and what to do.

The temporary file lies beside the final one (a move across file systems is a copy, and a copy can be half done). Its
name is fixed rather than random: a run that was killed leaves at most one, and the next run writes over it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lineside.errors import StorageError

_GO_ON = "Make room or give write permission, then run the same command again: it goes on where it stopped."
_NOT_BEGUN = "Make room, give write permission, or name another folder with --out."


@contextmanager
def storage_errors(path: Path, *, begun: bool = True, remedy: str | None = None) -> Iterator[None]:
    """Turn an OSError into a StorageError that names `path` and the remedy.

    `begun` says whether there are results that the same command would go on with; where a remedy is given it is that.
    """
    try:
        yield
    except OSError as error:
        remedy = remedy or (_GO_ON if begun else _NOT_BEGUN)
        raise StorageError(f"{path}: cannot be written ({error.strerror or error}). {remedy}") from error


def check_writable(path: Path, remedy: str) -> None:
    """Try whether a file can be written at `path`, before the work that it is for.

    Raises
    ------
    StorageError
        When it cannot, with the remedy; what stands there still does.
    """
    partial = _partial(path)
    with storage_errors(path, remedy=remedy):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        partial.touch()
        partial.unlink()


def write_atomic(path: Path, content: bytes, *, begun: bool = True, remedy: str | None = None) -> None:
    """Write `content` to a temporary file beside `path`, then move it there; the rest as in `storage_errors`.

    Raises
    ------
    StorageError
        When writing or moving fails; nothing then stands under the temporary name, and what stood at `path` still does.
    """
    write_atomic_with(path, lambda file: _write_all(file, content), begun=begun, remedy=remedy)


def write_text(path: Path, text: str, *, begun: bool = True) -> None:
    """Write text in UTF-8 as `write_atomic` does; what of a file's name is no text becomes its escape."""
    write_atomic(path, text.encode("utf-8", "backslashreplace"), begun=begun)


def write_atomic_with(
    path: Path, write: Callable[[BinaryIO], None], *, begun: bool = True, remedy: str | None = None
) -> None:
    """Write through `write` to a temporary file beside `path`, then move it there; see `write_atomic`."""
    partial = _partial(path)
    with storage_errors(path, begun=begun, remedy=remedy):
        try:
            with partial.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)  # noqa: PTH105 -- the very call that is atomic
        except BaseException:
            _remove(partial)
            raise


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _write_all(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the error that brought us here is the one to show
