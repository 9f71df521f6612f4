"""`lineside capture`: from a source into a folder, and what came of it."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lineside.capture.shot import Shot
from lineside.capture.source import Source, SourceOptions, find_source, open_source
from lineside.capture.store import Format, Stored, first, open_shot_store, same_folder
from lineside.errors import ImageError, LinesideError, UsageError
from lineside.image_files import shown

Ending = Literal["end", "count", "stopped", "broken"]
_SHOWN = 12


@dataclass(frozen=True)
class Recording:
    """What a capture stored, and why it ended."""

    out: Path
    count: int
    """Pictures stored by this run."""
    names: tuple[str, str] | None
    """First and last file; None where nothing was stored."""
    unreadable: tuple[str, ...]
    """Files that could not be used, with the reason."""
    ending: Ending
    """The source ended, the count was reached, Ctrl-C, or the source broke off."""
    error: LinesideError | None = None
    """Why it broke off, with the number of pictures that are kept."""

    @property
    def exit_code(self) -> int:
        """0, or that of what went wrong: 2 before 4 before 3."""
        codes = {self.error.exit_code} if self.error else set()
        if self.unreadable:
            codes.add(ImageError.exit_code)
        return next((code for code in (2, 4, 3) if code in codes), 0)


class BrokenOffError(LinesideError):
    """A source or the disk failed in the middle; the exit code is that of the cause, and what was stored stays."""

    def __init__(self, cause: LinesideError, count: int, out: Path) -> None:
        kept = f"{count} picture{'s were' if count != 1 else ' was'} stored before, in {out}; nothing of that is lost."
        super().__init__(f"{cause.message} {kept}")
        self.exit_code = cause.exit_code


class _Tally:
    """What was stored so far."""

    def __init__(self) -> None:
        self.count = 0
        self.names: tuple[str, str] | None = None
        self.unreadable: list[str] = []

    def add(self, stored: Stored) -> None:
        self.count += 1
        self.names = (self.names[0] if self.names else stored.path.name, stored.path.name)


def record(
    text: str,
    out: Path,
    options: SourceOptions | None = None,
    *,
    count: int | None = None,
    image_format: Format = "png",
    progress: Callable[[int], None] | None = None,
) -> Recording:
    """Store the pictures of a source. Ctrl-C (KeyboardInterrupt) ends it, and is no error.

    Parameters
    ----------
    text : str
        The source; see `lineside.capture.source.find_source`.
    out : Path
        The folder. A source folder must be another one; where `out` lies inside it, it is passed over.
    options : SourceOptions, optional
        The defaults where none are given. `skip` and `on_unreadable` are set here.
    count : int, optional
        Pictures at most; None: until the source ends.
    image_format : {"png", "tiff"}
        Both without loss.
    progress : callable, optional
        Told the number of pictures stored so far.

    Returns
    -------
    Recording
        Also when the source broke off after its first picture.

    Raises
    ------
    UsageError
        When there is no such source, or it is `out` itself.
    ImageError, StorageError
        When the source gave no picture at all, or nothing could be stored.
    """
    if count is not None and count < 1:
        raise UsageError(f"The number of pictures must be from 1, found {count}.")
    source = find_source(text)
    if source.kind == "folder" and same_folder(Path(text), out):
        raise UsageError(f"{shown(text)}: pictures cannot be stored into the folder that they come from. Name another.")
    tally = _Tally()
    told = replace(
        options or SourceOptions(), skip=out, on_unreadable=lambda error: tally.unreadable.append(error.message)
    )
    shots = open_source(text, told)
    ending, error = _store_all(shots, source, out, count, image_format, tally, progress)
    return Recording(out, tally.count, tally.names, tuple(tally.unreadable), ending, error)


def _store_all(
    shots: Generator[Shot, None, None],
    source: Source,
    out: Path,
    count: int | None,
    image_format: Format,
    tally: _Tally,
    progress: Callable[[int], None] | None,
) -> tuple[Ending, LinesideError | None]:
    with open_shot_store(out, source.label, image_format) as store, closing(shots) as taken:
        try:
            for shot in first(taken, count):
                tally.add(store.add(shot))
                if progress:
                    progress(tally.count)
        except KeyboardInterrupt:
            return "stopped", None
        except LinesideError as error:
            if not tally.count:
                raise
            return "broken", BrokenOffError(error, tally.count, out)
    return ("count" if tally.count == count else "end"), None


def describe(recording: Recording) -> list[str]:
    """Say in lines what was stored, what could not be used, and why it ended."""
    where = shown(str(recording.out))
    if recording.names is None:
        lines = [f"Nothing was stored in {where}."]
    elif recording.count == 1:
        lines = [f"Stored 1 picture in {where}: {recording.names[0]}."]
    else:
        lines = [f"Stored {recording.count} pictures in {where}: {recording.names[0]} to {recording.names[1]}."]
    if recording.ending == "stopped":
        lines.append("Stopped by Ctrl-C; what was stored is whole.")
    if recording.unreadable:
        lines.append(f"{len(recording.unreadable)} files could not be used:")
        lines += [f"  {shown(text)}" for text in recording.unreadable[:_SHOWN]]
        more = len(recording.unreadable) - _SHOWN
        lines += [f"  … and {more} more"] if more > 0 else []
    return lines
