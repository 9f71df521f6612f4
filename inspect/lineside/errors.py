"""The one exception tree.

Every error that a user can cause is a `LinesideError`: the command line shows its text without a traceback and ends
with its exit code (design, section 4), a program catches it by type. The text says what was expected, what was found,
where, and what to do about it. Modelled on click, whose exceptions carry their own exit code.
"""

from importlib.util import find_spec
from pathlib import Path


class LinesideError(Exception):
    """Root of all errors that lineside raises on purpose.

    Parameters
    ----------
    message : str
        One or two sentences: what was expected, what was found, and the remedy.
    """

    exit_code: int = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UsageError(LinesideError):
    """A command or function was asked for something that it cannot do (exit code 2)."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed; the message holds the pip line that installs it (exit code 2)."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is needed here and is not installed. Install it with: pip install 'lineside[{extra}]'"
        )


def require(module: str, extra: str) -> None:
    """Raise MissingExtraError where a module is not installed; it is only looked for, not imported."""
    if find_spec(module) is None:
        raise MissingExtraError(module, extra)


class RecipeError(LinesideError):
    """A recipe is wrong (exit code 2).

    Parameters
    ----------
    message : str
        What was expected and what was found.
    file : Path
        The recipe file.
    line : int or None
        1-based line in that file, where it is known.
    key : str or None
        Dotted key, such as ``transfer.taps``.
    """

    def __init__(self, message: str, *, file: Path, line: int | None = None, key: str | None = None) -> None:
        where = f"{file}:{line}" if line is not None else f"{file}"
        named = f"{where}: {key}: " if key else f"{where}: "
        super().__init__(named + message)
        self.file = file
        self.line = line
        self.key = key


class ImageError(LinesideError):
    """An image or a folder of images cannot be used (exit code 3)."""

    exit_code = 3

    def __init__(self, message: str, *, path: Path | str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = Path(path)


class StorageError(LinesideError):
    """Reading or writing failed: disk full, no permission, another run holds the folder (exit code 4)."""

    exit_code = 4


class LimitError(LinesideError):
    """A limit that was set is broken (exit code 1)."""

    exit_code = 1


class BundleError(LinesideError):
    """A bundle is not what it claims to be: altered, incomplete, or of another contract (exit code 1)."""

    exit_code = 1


class ParityError(LinesideError):
    """The assembled graph and its reference disagree; nothing was exported (exit code 1)."""

    exit_code = 1


class FrameError(LinesideError, ValueError):
    """A frame given to an `Inspector` has the wrong type, rank, size or number of channels (exit code 2)."""
