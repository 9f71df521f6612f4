"""Where the defects are: regions of a map, boxes and masks of an inspection, and what is never taken for an image."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, lines, paint
from lineside.batch import InspectOptions, inspect_images
from lineside.batch.coco import categories
from lineside.batch.overlay import BOX_RGB, draw_boxes
from lineside.batch.regions import (
    Region,
    cells_to_frame,
    find_regions,
    frame_run_lengths,
    from_run_lengths,
    regions_of,
    run_lengths,
)
from lineside.batch.row import Row
from lineside.contract import Verdict
from lineside.errors import UsageError
from lineside.runtime import Inspector, Result

BOXES = InspectOptions(boxes=True)


def half_bad(path: Path) -> Path:
    """Write a part of 32x16 px whose left half is scratched: cells of 4x2 px, the left four columns above 100."""
    paint(path, GOOD_RGB)
    image = np.full((16, 32, 3), GOOD_RGB[::-1], np.uint8)
    image[:, :16] = BAD_RGB[::-1]
    assert cv2.imwrite(str(path), image)
    return path


def coco(out: Path | str) -> dict[str, Any]:
    """Read what was written for annotation tools."""
    document: dict[str, Any] = json.loads((Path(out) / "coco.json").read_text())
    return document


def decoded(segmentation: dict[str, Any]) -> np.ndarray:
    """Decode COCO's uncompressed run lengths, pixel by pixel."""
    height, width = segmentation["size"]
    pixels, value = [], 0
    for count in segmentation["counts"]:
        pixels += [value] * count
        value = 1 - value
    assert len(pixels) == height * width
    return np.array(pixels).reshape(width, height).T


# ---- regions


def test_regions_are_connected_cells_above_the_level() -> None:
    """Cells that touch by a corner are one defect; box and area are the frame's pixels; the worst comes first."""
    anomaly_map = np.zeros((4, 6), np.float32)
    anomaly_map[0, 0], anomaly_map[1, 1], anomaly_map[3, 4:6], anomaly_map[0, 5] = 3.0, 2.5, 7.0, 2.0
    first, second = find_regions(anomaly_map, 2.0, (60, 20))
    assert (first.box_xywh, first.area_px, first.score) == ((40, 15, 20, 5), 100, 7.0)
    assert (second.box_xywh, second.area_px, second.score) == ((0, 0, 20, 10), 100, 3.0)


def test_what_lies_outside_the_region_is_no_defect() -> None:
    """A map is 0 outside the part; a score below 0 must not turn that into a defect."""
    anomaly_map = np.array([[0.0, -5.0, -1.0], [0.0, 0.0, -1.5]], np.float32)
    (region,) = find_regions(anomaly_map, -2.0, (3, 2))
    assert region.box_xywh == (2, 0, 1, 2)


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 7))))
def test_run_lengths_come_back(mask: np.ndarray) -> None:
    """COCO's run lengths begin with a run of 0, go down the columns, and hold the whole mask."""
    runs = run_lengths(mask)
    assert sum(runs) == mask.size
    assert all(run > 0 for run in runs[1:])
    assert np.array_equal(from_run_lengths(runs, (mask.shape[1], mask.shape[0])), mask)
    assert np.array_equal(decoded({"size": mask.shape, "counts": runs}), mask)


@settings(max_examples=40, deadline=None)
@given(arrays(np.bool_, (3, 5)), st.integers(1, 40), st.integers(1, 40))
def test_every_pixel_belongs_to_the_cell_its_centre_lies_in(cells: np.ndarray, width: int, height: int) -> None:
    """Whatever the sizes, as a slow loop says; the frame's run lengths are found without its pixels."""
    pixels = cells_to_frame(cells, (width, height))
    slow = [[cells[(2 * y + 1) * 3 // (2 * height), (2 * x + 1) * 5 // (2 * width)] for x in range(width)]
            for y in range(height)]  # fmt: skip
    assert np.array_equal(pixels, np.array(slow))
    assert frame_run_lengths(cells, (width, height)) == run_lengths(pixels)


def test_only_a_frame_that_is_not_ok_has_defects(inspector: Inspector) -> None:
    """Boxes never contradict the verdict; they bear the class where the model names one."""
    bad = inspector.inspect(np.full((16, 16, 3), BAD_RGB, np.uint8))

    def shown(**changes: object) -> list[str]:
        result: Result = dataclasses.replace(bad, **changes)
        return [region.category for region in regions_of(result, 100.0)]

    assert shown() == shown(verdict=Verdict.REVIEW) == ["defect"]
    assert shown(verdict=Verdict.OK) == shown(verdict=Verdict.NO_CALL) == []
    assert shown(defect_class="dent") == ["dent"]


def test_categories_are_the_models_classes(inspector: Inspector) -> None:
    """Without classes everything is a defect; with classes there is one more for what is none of them."""
    assert categories(inspector.contract) == ("defect",)
    known = dataclasses.replace(inspector.contract, class_names=("dent", "stain"))
    assert categories(known) == ("defect", "dent", "stain", "unknown")


# ---- an inspection


def test_boxes_and_masks_are_where_the_defect_is(images: Path, inspector: Inspector) -> None:
    """The scratched half has a box in px of the frame, run lengths that decode to it, and a mask of its pixels."""
    half_bad(images / "scratch/half.png")
    inspect_images(inspector, [images / "scratch/half.png", images / "good/0.png"], "out", BOXES)
    document = coco("out")
    assert [(image["file_name"], image["width"], image["height"]) for image in document["images"]] == [
        ("imgs/scratch/half.png", 32, 16),
        ("imgs/good/0.png", 12, 12),
    ]
    (found,) = document["annotations"]
    assert (found["image_id"], found["bbox"], found["area"]) == (1, [0, 0, 16, 16], 256)
    assert found["score"] == pytest.approx(350 / 3)  # grey level of the scratch
    assert document["categories"][found["category_id"] - 1]["name"] == "defect"
    mask = cv2.imread("out/masks/imgs/scratch/half.png.png", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decoded(found["segmentation"]) * 255, mask)
    assert [path.name for path in Path("out/masks").rglob("*.png")] == ["half.png.png"]


def test_an_image_without_a_call_or_unreadable_has_no_boxes(images: Path, inspector: Inspector) -> None:
    """They stand in the list of images, the unreadable one without a size, and nothing points at them."""
    paint(images / "dark.png", DARK_RGB)
    (images / "empty.png").touch()
    inspect_images(inspector, [images / "dark.png", images / "empty.png"], "out", BOXES)
    document = coco("out")
    assert [(image["verdict"], image["width"]) for image in document["images"]] == [("NO_CALL", 12), (None, None)]
    assert document["annotations"] == []


def test_a_model_without_a_map_is_refused(images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty annotations would say that there is no defect; nothing is written, and the reason is the contract's."""
    why = {"anomaly_map": "0: parts are sorted, not looked at for anomalies"}
    monkeypatch.setattr(inspector, "contract", dataclasses.replace(inspector.contract, neutral_outputs=why))
    with pytest.raises(UsageError, match=r"--boxes: .* its anomaly_map is 0: parts are sorted, .*Leave --boxes out"):
        inspect_images(inspector, [images], "out", BOXES)
    assert not Path("out").exists()
    assert inspect_images(inspector, [images], "out").total == 5


def test_the_file_says_that_a_class_is_the_images(images: Path, inspector: Inspector) -> None:
    """Whoever reads the categories of boxes learns that they are not told box by box."""
    inspect_images(inspector, [images], "out", BOXES)
    assert "the class of the whole image, the same for all its boxes" in coco("out")["info"]["description"]


def test_without_the_option_nothing_is_written(images: Path, inspector: Inspector) -> None:
    """Neither files nor fields in the rows."""
    inspect_images(inspector, [images], "out")
    assert not (Path("out") / "coco.json").exists()
    assert not (Path("out") / "masks").exists()
    assert not {"regions", "frame_wh"} & lines("out")[3].keys()


def test_a_row_comes_back_with_its_regions() -> None:
    """What is written of a region is read again, after a restart too."""
    region = Region((1, 2, 3, 4), 10, 1.5, "dent", (5, 2, 17))
    row = Row("a.png", "NG", 1.5, (), None, 2.0, None, regions=(region,), frame_wh=(40, 30))
    assert Row.from_line(row.to_line(), "here") == row


def test_a_run_goes_on_with_its_boxes(images: Path, inspector: Inspector) -> None:
    """Images judged by the first call keep their boxes; another wish about boxes is another inspection."""
    inspect_images(inspector, [images], "out", BOXES)
    half_bad(images / "scratch/half.png")
    inspect_images(inspector, [images], "out", BOXES)
    assert len(coco("out")["annotations"]) == 3
    with pytest.raises(UsageError, match="boxes: True, now False"):
        inspect_images(inspector, [images], "out")


def test_a_run_of_an_older_version_goes_on(images: Path, inspector: Inspector) -> None:
    """run.json without a word on boxes means none."""
    inspect_images(inspector, [images], "out")
    settings_file = Path("out/run.json")
    document = json.loads(settings_file.read_text())
    del document["boxes"]
    settings_file.write_text(json.dumps(document))
    assert inspect_images(inspector, [images], "out").judged_now == 0


def test_masks_of_an_inspection_are_no_images(images: Path, inspector: Inspector) -> None:
    """Results below the inspected folder are passed over, of this run and of another, complete or not."""
    assert inspect_images(inspector, ["."], "inspections/a", BOXES).total == 5
    Path("inspections/a/coco.json").unlink()
    assert inspect_images(inspector, ["."], "inspections/b", BOXES).total == 5
    assert inspect_images(inspector, ["."], "inspections/a", BOXES).total == 5


def test_a_fresh_start_removes_its_own_masks_alone(images: Path, inspector: Inspector) -> None:
    """Masks that no inspection wrote are neither removed nor written among."""
    inspect_images(inspector, [images], "out", BOXES)
    inspect_images(inspector, [images], "out", InspectOptions(fresh=True))
    assert not Path("out/masks").exists()
    assert not Path("out/coco.json").exists()
    mine = paint(Path("out/masks/mine.png"), GOOD_RGB)
    inspect_images(inspector, [images], "out", InspectOptions(fresh=True))
    with pytest.raises(UsageError, match="holds masks, which no inspection wrote"):
        inspect_images(inspector, [images], "out", InspectOptions(fresh=True, boxes=True))
    assert mine.exists()


def test_boxes_are_drawn_at_the_pictures_size() -> None:
    """A box in px of the frame is drawn where it lies on a picture of half the size, around the defect."""
    picture = np.zeros((50, 100, 3), np.uint8)
    boxed = draw_boxes(picture, [Region((40, 20, 60, 40), 2400, 1.0, "defect", ())], (200, 100))
    assert tuple(boxed[20, 19]) == BOX_RGB
    assert tuple(boxed[30, 50]) == BOX_RGB
    assert not boxed[12:28, 24:46].any()
    assert not picture.any()


@pytest.mark.parametrize("options", [BOXES, InspectOptions()], ids=["asked for", "not asked for"])
def test_overlay_and_report_show_the_boxes(images: Path, inspector: Inspector, options: InspectOptions) -> None:
    """The overlay of the half scratched part has the box's colour at its edge, and the report counts the box."""
    half_bad(images / "scratch/half.png")
    inspect_images(inspector, [images / "scratch/half.png"], "out", options)
    shown = cv2.imread("out/overlays/imgs/scratch/half.png.jpg")[:, :, ::-1].astype(int)
    assert (shown[:, 16, 1] - shown[:, 16, 0]).min() > 30  # the box is cyan; part and heat have more red than green
    assert "1 box" in Path("out/report.html").read_text()
    assert (b"regions" in Path("out/results.jsonl").read_bytes()) == options.boxes
    assert Path("out/masks").exists() == options.boxes
