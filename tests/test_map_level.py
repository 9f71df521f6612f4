"""From which value on a cell belongs to a defect: from good maps, and from marks."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flat_parts import BAD_RGB, GOOD_RGB, paint
from images import write_recipe
from lineside.calibrate.map_level import MarkedMap, level_of_goods, level_of_marks, marked_cells
from lineside.contract import METADATA_KEY, Contract
from lineside.dataset import load_dataset
from lineside.recipe import load_recipe
from lineside.train.images import FrameReader
from lineside.train.marks import fitted_to_marks
from lineside.train.progress import Journal, SilentProgress
from tiny import tiny_contract, tiny_model


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.5, 99.0, width=32), min_size=2, max_size=60))
def test_no_more_good_frames_than_stated_have_a_cell_above_the_level(peaks: list[float]) -> None:
    """The share above it is at most the wish, and the level lies above the quantile by a multiple of the spread."""
    level = level_of_goods(peaks, 0.2)
    above = sum(peak > level.value for peak in peaks)
    assert above <= 0.2 * len(peaks)
    assert f"{above} of them" in level.rule
    assert level.value >= np.quantile(np.float32(peaks), 0.8, method="lower")


def test_the_level_by_hand() -> None:
    """Of three frames the highest peak counts: it lies 1 above the median, the level 3."""
    assert level_of_goods([1.0, 3.0, 2.0]).value == 5.0


@pytest.mark.parametrize("peaks", [(), (0.0, 0.0, 0.0)])
def test_without_a_map_nothing_is_located(peaks: tuple[float, ...]) -> None:
    """A method without a map gives 0 everywhere; no cell can be above the level."""
    assert level_of_goods(peaks).value == np.finfo(np.float32).max


def test_the_level_fits_the_marks_best() -> None:
    """No level has a larger F1 over the cells, as a slow search over all values says."""
    rng = np.random.default_rng(0)
    defect = rng.random((3, 8, 8)) < 0.2
    maps = (rng.normal(2.0, 1.0, (3, 8, 8)) + 2.0 * defect).astype(np.float32)
    level = level_of_marks([MarkedMap(one, marks) for one, marks in zip(maps, defect, strict=True)])

    def f1(value: float) -> float:
        return 2.0 * (defect & (maps > value)).sum() / ((maps > value).sum() + defect.sum())

    assert level is not None
    assert f1(level.value) == pytest.approx(max(f1(value) for value in maps.ravel()))


def test_cells_outside_the_region_have_no_say() -> None:
    """A mark outside the part (where the map is 0) cannot lower the level; where no other is there is none."""
    inside = np.array([[0.0, 0.0, 1.0, 1.5, 5.0, 6.0]], np.float32)
    marks = np.array([[True, True, False, False, True, True]])
    level = level_of_marks([MarkedMap(inside, marks)])
    assert level is not None
    assert 1.5 <= level.value < 5.0
    assert level_of_marks([MarkedMap(inside, marks & (inside == 0))]) is None
    assert level_of_marks([]) is None


def test_a_defect_smaller_than_a_cell_is_not_lost() -> None:
    """Cells that are half marked count; where none is, the one that is marked most."""
    mask = np.zeros((40, 40), np.bool_)
    mask[0:10, 0:16] = True
    assert np.argwhere(marked_cells(mask, (4, 4))).tolist() == [[0, 0], [0, 1]]
    mask[:] = False
    mask[21, 32:34] = True
    assert np.argwhere(marked_cells(mask, (4, 4))).tolist() == [[2, 3]]
    assert not marked_cells(np.zeros((40, 40), np.bool_), (4, 4)).any()


def test_marked_training_images_set_the_threshold_of_the_map(tmp_path: Path) -> None:
    """A box around the scratched half: the level lies between good and scratched cells, in graph and contract alike."""
    part = tmp_path / "images/train/scratch/0.png"
    for index in range(2):
        paint(tmp_path / f"images/train/good/{index}.png", GOOD_RGB, 16)
    paint(part, GOOD_RGB)
    half = np.full((16, 16, 3), GOOD_RGB[::-1], np.uint8)
    half[:, :8] = BAD_RGB[::-1]
    assert cv2.imwrite(str(part), half)
    contract = tiny_contract(map_threshold=5.0)
    dataset, reader = load_dataset(load_recipe(write_recipe(tmp_path))), FrameReader(3, 8)
    journal = Journal(SilentProgress())
    model = tiny_model(contract)
    assert fitted_to_marks(model, contract, dataset, reader, journal) == (model, contract)
    (part.parent / "boxes.csv").write_text("image,x1,y1,x2,y2\n0.png,0,0,8,16\n")
    dataset = load_dataset(load_recipe(tmp_path))
    model, changed = fitted_to_marks(model, contract, dataset, reader, journal)
    assert sum(GOOD_RGB) / 3 <= changed.map_threshold < sum(BAD_RGB) / 3
    assert "fits the marked defects of 1 training image" in changed.map_rule
    properties = {item.key: item.value for item in onnx.ModelProto.FromString(model).metadata_props}
    assert Contract.from_json(properties[METADATA_KEY], "here") == changed
