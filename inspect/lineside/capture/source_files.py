"""Image files as a source: a folder, a pattern, a list of paths, a single file."""

import glob
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from lineside.capture.decode import decode_samples
from lineside.capture.exif import exposure_us
from lineside.capture.shot import Shot
from lineside.errors import ImageError, UsageError
from lineside.image_files import IMAGE_SUFFIXES, read_content, shown, walk_images

Named = tuple[str, Path]
"""A picture's name within its source, and its file."""
_MAX_LIST_BYTES = 256 * 2**20  # of a list: more than two million paths; what is larger is no list


def is_pattern(text: str) -> bool:
    """Whether a text holds a wildcard."""
    return any(sign in text for sign in "*?[")


def folder_paths(folder: Path, skip: Path | None = None) -> Iterator[Named]:
    """Walk a folder's images in order; `skip` is a folder that is passed over."""
    passed_over = skipper(skip)
    for path in walk_images(folder, passed_over):
        yield path.relative_to(folder).as_posix(), path


def skipper(skip: Path | None) -> Callable[[Path], bool] | None:
    """Return what tells `walk_images` to pass over a folder."""
    if skip is None:
        return None
    real = os.path.realpath(skip)
    return lambda path: os.path.realpath(path) == real


def glob_paths(pattern: str, skip: Path | None = None) -> list[Named]:
    """Return the image files that a pattern matches, sorted; ``**`` goes through folders.

    Raises
    ------
    UsageError
        When nothing matches.
    ImageError
        When no match is an image.
    """
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 -- Path.glob takes no absolute pattern
    if not found:
        raise UsageError(f"{shown(pattern)}: no file matches this pattern.")
    real = os.path.realpath(skip) if skip else None
    images = [
        path
        for path in map(Path, found)
        if path.name.lower().endswith(IMAGE_SUFFIXES) and path.is_file() and not _inside(path, real)
    ]
    if not images:
        raise ImageError(f"{len(found)} matches, but no image. {_wanted()}", path=shown(pattern))
    return [(path.as_posix(), path) for path in images]


def list_paths(file: Path) -> list[Named]:
    """Read a list of images: UTF-8, a path per line, relative to the list; empty lines and ``# ...`` are passed over.

    Raises
    ------
    ImageError
        When the list is no such text, names no image, or a line names what is no file or was named before.
    """
    named: list[Named] = []
    first: dict[str, int] = {}
    for number, line in enumerate(_lines(file), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        path = file.parent / text
        known = first.setdefault(os.path.normcase(os.path.normpath(path)), number)
        _check_line(path, text, f"{shown(str(file))}:{number}", known if known != number else None)
        named.append((Path(text).as_posix(), path))
    if not named:
        raise ImageError("names no image; a list holds a path per line, relative to the list.", path=file)
    return named


def file_shots(
    named: Iterable[Named], label: str, step: int = 1, on_unreadable: Callable[[ImageError], None] | None = None
) -> Generator[Shot, None, None]:
    """Read image files.

    Parameters
    ----------
    named : iterable of (str, Path)
        Names and files.
    label : str
        What the source is called, for the error.
    step : int
        Every n-th file is read, from the first.
    on_unreadable : callable, optional
        Told of files that cannot be used; without it the first one is raised.

    Raises
    ------
    ImageError
        When there is no file at all, or one cannot be used and `on_unreadable` is None.
    """
    number = -1
    for number, (name, path) in enumerate(named):
        if number % step:
            continue
        try:
            shot = read_shot(path, name, number)
        except ImageError as error:
            if on_unreadable is None:
                raise
            on_unreadable(error)
            continue
        yield shot
    if number < 0:
        raise ImageError(f"no image in it. {_wanted()}", path=label)


def read_shot(path: Path, name: str, index: int, content: bytes | None = None) -> Shot:
    """Read one image file with what it says of itself; `content` where its bytes were read already.

    Raises
    ------
    ImageError
        When it cannot be used.
    """
    data = read_content(path) if content is None else content
    samples = decode_samples(data, path)
    return Shot(samples, name, index, path, _changed(path), exposure_us=exposure_us(data))


def _changed(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError):  # gone since it was read, or a time outside the calendar
        return None


def _lines(file: Path) -> list[str]:
    try:
        if file.stat().st_size > _MAX_LIST_BYTES:
            raise ImageError("too large for a list of images; a list holds a path per line.", path=file)
        return read_content(file).decode("utf-8-sig").split("\n")
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror}).", path=file) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        where = f"{shown(str(file))}:{line}"
        raise ImageError("not UTF-8 text; a list holds a path per line. Save it as UTF-8.", path=where) from None


def _check_line(path: Path, text: str, where: str, known: int | None) -> None:
    if "\x00" in text:
        raise ImageError("holds a zero byte, so this is no list of paths in UTF-8. Save it as UTF-8.", path=where)
    if known is not None:
        raise ImageError(f"names {shown(text)} again, after line {known}. Remove one.", path=where)
    if not path.exists():
        raise ImageError(f"there is no file {shown(text)} (paths are relative to the list).", path=where)
    if not path.is_file():
        raise ImageError(f"{shown(text)} is no file. Name every image in a line of its own.", path=where)


def _inside(path: Path, folder: str | None) -> bool:
    return folder is not None and Path(os.path.realpath(path)).is_relative_to(folder)


def _wanted() -> str:
    return f"Images are files that end in {', '.join(IMAGE_SUFFIXES)}."
