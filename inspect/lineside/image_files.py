"""Finding and reading image files as bytes: what both the list of a recipe's images and every capture source build on.

Folders are walked lazily, in the same order on every machine, with one directory's names in memory at a time:
`Path.rglob` gives the file system's order and enters hidden folders and loops of links.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from lineside.errors import ImageError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""Compared in lower case."""


def walk_images(root: Path) -> Iterator[Path]:
    """Yield the image files below a folder, recursively.

    Parameters
    ----------
    root : Path
        The folder. A hidden one (leading dot) may be given; inside it, hidden files and folders are passed over.

    Yields
    ------
    Path
        Files with one of `IMAGE_SUFFIXES`, each directory's files by name and then its folders by name, compared by
        code point. A link to a folder that was already entered on the way down is not followed.

    Raises
    ------
    ImageError
        When a folder cannot be read.
    """
    yield from _walk(root, (os.path.realpath(root),))


def _walk(folder: Path, entered: tuple[str, ...]) -> Iterator[Path]:
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif entry.name.lower().endswith(IMAGE_SUFFIXES):
                    files.append(entry.name)
    except OSError as error:
        raise ImageError(f"the folder cannot be read ({error.strerror}).", path=folder) from None
    for name in sorted(files):
        yield folder / name
    del files
    for name in sorted(folders):
        real = os.path.realpath(folder / name)
        if real not in entered:
            yield from _walk(folder / name, (*entered, real))


def read_content(path: Path) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    ImageError
        When there is none, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("no such file.", path=path) from None
    except OSError as error:
        reason = "a folder, not an image file" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise ImageError(f"{reason}.", path=path) from None
