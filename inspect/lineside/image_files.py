"""Finding and reading image files as bytes: what both the list of a recipe's images and every capture source build on.

Folders are walked lazily, in the same order on every machine, with one directory's names in memory at a time:
`Path.rglob` gives the file system's order and enters hidden folders and loops of links.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from lineside.contract import MAX_FRAME_PIXELS
from lineside.errors import ImageError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
"""Compared in lower case."""
_BUNDLE_FILES = ("model.onnx", "contract.json")
_OVERLAYS, _MASKS, _RUN_FILE = "overlays", "masks", "run.json"  # of an inspection's results


def walk_images(root: Path, skip: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """Yield the image files below a folder, recursively.

    Parameters
    ----------
    root : Path
        The folder. A hidden one (leading dot) may be given; inside it, hidden files and folders are passed over.
    skip : callable, optional
        Told each folder below `root` before it is entered; where it returns True the folder is passed over.

    Yields
    ------
    Path
        Files with one of `IMAGE_SUFFIXES`, each directory's files by name and then its folders by name, compared by
        code point. A link to a folder that was already entered on the way down is not followed. A link that leads
        nowhere is yielded, since an image is missing there; a pipe, a socket or a device is not, whatever its name.

    Raises
    ------
    ImageError
        When a folder cannot be read.
    """
    yield from _walk(root, (os.path.realpath(root),), skip)


def _walk(folder: Path, entered: tuple[str, ...], skip: Callable[[Path], bool] | None) -> Iterator[Path]:
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                kind = _kind(entry)
                if kind == "folder":
                    folders.append(entry.name)
                elif kind == "file" and entry.name.lower().endswith(IMAGE_SUFFIXES):
                    files.append(entry.name)
    except OSError as error:
        raise ImageError(f"the folder cannot be read ({error.strerror}).", path=folder) from None
    for name in sorted(files):
        yield folder / name
    del files
    for name in sorted(folders):
        real = os.path.realpath(folder / name)
        if real not in entered and not (skip and skip(folder / name)):
            yield from _walk(folder / name, (*entered, real), skip)


def _kind(entry: "os.DirEntry[str]") -> Literal["folder", "file", "other"]:
    """Tell what an entry is or leads to; reading what is neither folder nor file (a pipe, a device) may never end."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        entry.stat()
    except OSError:  # a link that leads nowhere: reading it will say so
        return "file"
    return "other"


def is_own_output(folder: Path) -> bool:
    """Whether lineside wrote the images in a folder: it is a bundle, or holds the overlays or masks of an inspection.

    Only the overlays, not all that lies beside a run.json: an inspection may be written among the images it judged.
    """
    if folder.name == _OVERLAYS and (folder.parent / _RUN_FILE).is_file():
        return True
    if folder.name == _MASKS and wrote_masks(folder.parent):
        return True
    return all((folder / name).is_file() for name in _BUNDLE_FILES)


def wrote_masks(folder: Path) -> bool:
    """Whether a folder holds the results of an inspection that was asked for boxes: its ``masks`` are no images."""
    try:
        return json.loads((folder / _RUN_FILE).read_bytes()).get("boxes") is True
    except (OSError, ValueError, AttributeError):
        return False


def is_text(name: str) -> bool:
    """Whether a file's name can be written into a text file; on Linux a name may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """Return a file's name as it can be printed: what is not UTF-8 is escaped, as in ``b\\xff.png``."""
    return name if is_text(name) else os.fsencode(name).decode("utf-8", "backslashreplace")


def max_image_bytes(max_pixels: int) -> int:
    """Return what a file of so many pixels takes at most: 16-bit samples with alpha, and a megabyte of what else."""
    return 8 * max_pixels + 2**20


def read_content(path: Path, max_bytes: int = max_image_bytes(MAX_FRAME_PIXELS)) -> bytes:
    """Return a file's bytes.

    Raises
    ------
    ImageError
        When there is none, it is larger than `max_bytes`, or it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > max_bytes:
                raise ImageError(f"a file of {size} bytes, more than the {max_bytes} that are read.", path=path)
            return stream.read()
    except FileNotFoundError:
        raise ImageError("no such file.", path=path) from None
    except OSError as error:
        reason = "a folder, not an image file" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise ImageError(f"{reason}.", path=path) from None
