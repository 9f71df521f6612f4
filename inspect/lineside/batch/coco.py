"""Defects as COCO JSON: what annotation tools and detection toolkits read.

Written from the rows, in two passes, so that a year's images are never held at once. Scores are the map's, not
probabilities: COCO wants numbers that order detections, and these do.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from lineside.batch.regions import DEFECT, frame_run_lengths, from_run_lengths
from lineside.batch.row import Row
from lineside.contract import Contract

UNKNOWN = "unknown"
ABOUT = (
    "Boxes [x, y, width, height] in px of the frame; segmentation: uncompressed run lengths; score: highest value of "
    "the anomaly map inside, above map_threshold; category: the class of the whole image, the same for all its boxes, "
    "since the model tells one class an image. Images that are OK, got no call or could not be read have no boxes; a "
    "finding (see its reasons) has no place on the image."
)


def categories(contract: Contract) -> tuple[str, ...]:
    """Return the names of COCO's categories; the ids count from 1."""
    return (DEFECT, *contract.class_names, *((UNKNOWN,) if contract.class_names else ()))


def write_coco(file: BinaryIO, rows: Callable[[], Iterable[Row]], contract: Contract) -> None:
    """Write a COCO document.

    Parameters
    ----------
    file : binary file
    rows : callable
        Gives all rows of a run with their regions, as often as it is called.
    contract : Contract
        Of the model.
    """
    names = categories(contract)
    head = {
        "info": {"description": ABOUT, "part": contract.part, "map_threshold": contract.map_threshold},
        "licenses": [],
        "categories": [{"id": i, "name": name, "supercategory": DEFECT} for i, name in enumerate(names, 1)],
    }
    file.write(_text(head)[:-1] + b', "images": [')
    _join(file, (_image(number, row) for number, row in enumerate(rows(), 1)))
    file.write(b'], "annotations": [')
    _join(file, _annotations(rows(), names, contract.map_wh))
    file.write(b"]}\n")


def _image(number: int, row: Row) -> dict[str, Any]:
    width, height = row.frame_wh or (None, None)
    return {
        "id": number,
        "file_name": row.path,
        "width": width,
        "height": height,
        "verdict": row.verdict,
        "score": row.score,
    }


def _annotations(rows: Iterable[Row], names: tuple[str, ...], map_wh: tuple[int, int]) -> Iterator[dict[str, Any]]:
    number = 0
    for image, row in enumerate(rows, 1):
        for region in row.regions or ():
            assert row.frame_wh is not None  # a row with regions was judged
            number += 1
            width, height = row.frame_wh
            runs = frame_run_lengths(from_run_lengths(region.cells, map_wh), (width, height))
            yield {
                "id": number,
                "image_id": image,
                "category_id": names.index(region.category) + 1,
                "bbox": list(region.box_xywh),
                "area": region.area_px,
                "score": region.score,
                "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": list(runs)},
            }


def _join(file: BinaryIO, documents: Iterable[dict[str, Any]]) -> None:
    for number, document in enumerate(documents):
        file.write((b",\n" if number else b"\n") + _text(document))


def _text(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
