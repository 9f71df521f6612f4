"""Boxes that people drew: read from CSV and COCO, given to their images, counted as masks; mistakes are named."""

import json
from pathlib import Path

import numpy as np
import pytest

import images
from lineside.capture.truth import defect_mask
from lineside.data_lock import data_sha256
from lineside.dataset import Dataset, load_dataset
from lineside.errors import ImageError
from lineside.marked_boxes import MarkedBox
from lineside.recipe import load_recipe

COUNTS = {"train/good": 2, "train/dent": 2, "test/dent": 1}
HEAD = "image,x1,y1,x2,y2,class\n"
COCO = {
    "images": [{"id": 7, "file_name": "train/dent/001.png"}],
    "annotations": [{"id": 1, "image_id": 7, "bbox": [10, 5, 4, 6], "category_id": 3}],
    "categories": [{"id": 3, "name": "dent"}],
}


def dataset(folder: Path, files: dict[str, str]) -> Dataset:
    """Load a folder of images with these files among them."""
    images.write_folder(folder / "images", COUNTS)
    for name, text in files.items():
        (folder / "images" / name).write_text(text)
    return load_dataset(load_recipe(images.write_recipe(folder)))


def boxes(found: Dataset) -> dict[str, tuple[MarkedBox, ...]]:
    """Return the boxes by image, of images that have some."""
    return {sample.name: sample.boxes for sample in found.samples if sample.boxes}


def test_boxes_stand_beside_the_images_or_above_them(tmp_path: Path) -> None:
    """CSV beside the images, COCO at the top: names are relative to the file's folder; an image may have several."""
    rows = f"{HEAD}000.png,1,2,9,8,dent\n000.png,20,2,30.5,8,scratch\nelsewhere.png,1,1,2,2,dent\n"
    found = dataset(tmp_path, {"train/dent/boxes.csv": rows, "coco.json": json.dumps(COCO)})
    assert boxes(found) == {
        "train/dent/000.png": (MarkedBox((1, 2, 9, 8), "dent"), MarkedBox((20, 2, 30.5, 8), "scratch")),
        "train/dent/001.png": (MarkedBox((10, 5, 14, 11), "dent"),),
    }
    assert [sample.is_marked for sample in found.select("train", good=False)] == [True, True]


def test_the_column_of_the_kind_may_be_called_otherwise_or_be_missing(tmp_path: Path) -> None:
    """`defect` and `label` are taken too; without any the kind is not known."""
    one = dataset(tmp_path / "a", {"test/dent/boxes.csv": "image,x1,y1,x2,y2,defect\n000.png,1,2,9,8,open\n"})
    other = dataset(tmp_path / "b", {"test/dent/boxes.csv": "image,x1,y1,x2,y2\n000.png,1,2,9,8\n"})
    assert [found.label for found in (*boxes(one)["test/dent/000.png"], *boxes(other)["test/dent/000.png"])] == [
        "open",
        "",
    ]


def test_what_an_inspection_wrote_is_no_truth(tmp_path: Path) -> None:
    """A coco.json beside the run.json of an inspection with boxes holds its own answers."""
    assert not boxes(dataset(tmp_path, {"coco.json": json.dumps(COCO), "run.json": '{"boxes": true}'}))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("boxes.csv", "file,x1,y1,x2,y2\n", r"expected the columns image, x1, y1, x2, y2 and class, found file, x1"),
        ("boxes.csv", f"{HEAD}train/dent/000.png,9,2,1,8,dent\n", r"line 2: expected a box with x1 < x2"),
        ("boxes.csv", f"{HEAD}train/dent/000.png,1,2,wide,8,dent\n", r"line 2: expected a box"),
        ("boxes.csv", f"{HEAD}train/dent/000.png,1,2\n", r"line 2: expected a box"),
        ("boxes.csv", f"{HEAD}000.png,1,2,9,8,dent\n", r"names '000.png', but none of its images is in"),
        ("boxes.csv", f"{HEAD}train/good/000.png,1,2,9,8,dent\n", r"among the good images and has a box"),
        ("coco.json", "[]", r"expected a COCO document"),
        ("coco.json", '{"images": [], "annotations": [{"image_id": 1}]}', r"expected a COCO document"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    """File and line are named, with what was expected."""
    with pytest.raises(ImageError, match=words):
        dataset(tmp_path, {name: text})


def test_boxes_are_part_of_the_data(tmp_path: Path) -> None:
    """Another box is another data hash; without any box the hash is what it was before there were boxes."""
    plain = dataset(tmp_path, {})
    marked = dataset(tmp_path, {"boxes.csv": f"{HEAD}train/dent/000.png,1,2,9,8,dent\n"})
    moved = dataset(tmp_path, {"boxes.csv": f"{HEAD}train/dent/000.png,1,2,9,9,dent\n"})
    assert len({data_sha256(one) for one in (plain, marked, moved)}) == 3


def test_boxes_count_as_a_mask_and_a_mask_is_finer(tmp_path: Path) -> None:
    """Pixels inside the boxes, cut at the border; where there is a mask too, its pixels alone; else nothing."""
    rows = f"{HEAD}000.png,1,2,9,8,dent\n001.png,60,40,99,99,dent\n"
    found = dataset(tmp_path, {"train/dent/boxes.csv": rows})
    first, second = found.select("train", good=False)
    inside = np.zeros((48, 64), np.bool_)
    inside[2:8, 1:9] = True
    assert np.array_equal(defect_mask(first, (64, 48)), inside)
    assert defect_mask(second, (64, 48)).sum() == 4 * 8
    assert defect_mask(found.select("test")[0], (64, 48)) is None
    images.write(tmp_path / "images/ground_truth/dent/001_mask.png", np.full((48, 64), 255, np.uint8))
    masked = load_dataset(load_recipe(tmp_path)).select("train", good=False)[1]
    assert masked.boxes
    assert defect_mask(masked, (64, 48)).all()
    with pytest.raises(ImageError, match="expected a mask of the image's 65x48 px"):
        defect_mask(masked, (65, 48))
