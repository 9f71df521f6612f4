"""Boxes around defects, drawn by people: read from CSV or COCO files that lie among the images.

`boxes.csv` has the columns image, x1, y1, x2, y2 and, where the kinds are known, class (or defect, or label);
`coco.json` is a COCO document, of which boxes and categories are read. Image names are relative to the file's folder.
Torch-free, and no pixel is decoded. What an inspection wrote itself is no truth and is passed over.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineside.errors import ImageError
from lineside.image_files import read_content, wrote_masks

CSV_FILE, COCO_FILE = "boxes.csv", "coco.json"
CORNERS = ("x1", "y1", "x2", "y2")
CLASS_COLUMNS = ("class", "defect", "label")


@dataclass(frozen=True)
class MarkedBox:
    """A box around one defect."""

    box_xyxy: tuple[float, float, float, float]
    """Left, top, right, bottom in px of the image; the right and bottom edges are those of the last pixels."""
    label: str
    """The kind of defect; empty where the file names none."""


def boxes_by_image(root: Path, images: Iterable[Path]) -> dict[Path, tuple[MarkedBox, ...]]:
    """Read every file of boxes in the folders of some images, up to `root`.

    Parameters
    ----------
    root : Path
        The folder of images.
    images : iterable of Path
        All images below it.

    Returns
    -------
    dict
        Image -> its boxes, in the order of the files. Images without a box are missing; so are images that a file
        names and that are not among these, as of another subset.

    Raises
    ------
    ImageError
        When a file cannot be read, a box is none, or a file names not a single one of the images.
    """
    known = set(images)
    found: dict[Path, list[MarkedBox]] = {}
    for folder in sorted({parent for image in known for parent in _folders_up(image, root)}):
        for name, read in _READERS.items():
            file = folder / name
            if not file.is_file() or wrote_masks(folder):
                continue
            named = [(folder / image, box) for image, box in read(file)]
            if named and not any(image in known for image, _ in named):
                raise ImageError(
                    f"names {named[0][0].relative_to(folder).as_posix()!r}, but none of its images is in {folder}. "
                    "Image names are relative to the file's own folder.",
                    path=file,
                )
            for image, box in named:
                if image in known:
                    found.setdefault(image, []).append(box)
    return {image: tuple(boxes) for image, boxes in found.items()}


def _folders_up(image: Path, root: Path) -> Iterator[Path]:
    for folder in image.parents:
        yield folder
        if folder == root:
            return


def _read_csv(file: Path) -> Iterator[tuple[str, MarkedBox]]:
    reader = csv.DictReader(_text(file).splitlines())
    columns = reader.fieldnames or ()
    missing = [name for name in ("image", *CORNERS) if name not in columns]
    if missing:
        found = ", ".join(columns) or "none"
        raise ImageError(f"expected the columns image, {', '.join(CORNERS)} and class, found {found}.", path=file)
    kind = next((name for name in CLASS_COLUMNS if name in columns), None)
    for row in reader:
        where = f"line {reader.line_num}"
        yield row["image"] or "", _box([row[name] for name in CORNERS], (row[kind] or "") if kind else "", file, where)


def _read_coco(file: Path) -> Iterator[tuple[str, MarkedBox]]:
    try:
        document: dict[str, Any] = json.loads(_text(file))
        images = {image["id"]: str(image["file_name"]) for image in document["images"]}
        kinds = {kind["id"]: str(kind["name"]) for kind in document.get("categories", [])}
        rows = [
            (images[a["image_id"]], a["bbox"], kinds.get(a.get("category_id"), "")) for a in document["annotations"]
        ]
        corners = [(x, y, x + width, y + height) for _, (x, y, width, height), _ in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(
            f"expected a COCO document with images, annotations and categories, found something else ({error!r}).",
            path=file,
        ) from None
    for number, ((image, _, label), ends) in enumerate(zip(rows, corners, strict=True), 1):
        yield image, _box(ends, label, file, f"annotation {number}")


_READERS: dict[str, Callable[[Path], Iterator[tuple[str, MarkedBox]]]] = {CSV_FILE: _read_csv, COCO_FILE: _read_coco}


def _text(file: Path) -> str:
    try:
        return read_content(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ImageError("expected text in UTF-8.", path=file) from None


def _box(ends: Iterable[object], label: str, file: Path, where: str) -> MarkedBox:
    given = list(ends)
    try:
        left, top, right, bottom = (float(str(value)) for value in given)
        sound = all(map(math.isfinite, (left, top, right, bottom))) and left < right and top < bottom
    except ValueError:
        sound = False
    if not sound:
        raise ImageError(f"{where}: expected a box with x1 < x2 and y1 < y2 in px, found {given}.", path=file)
    return MarkedBox((left, top, right, bottom), label)
