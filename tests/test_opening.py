"""The smallest defect that counts: which regions of distances the opening lowers, and which it must not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label

from conftest import write_part
from images import write_recipe
from lineside.capture.check import check_recipe
from lineside.errors import RecipeError
from lineside.export.head_reference import reference_score
from lineside.export.parity import TOLERANCE_REL
from lineside.export.state import read_state
from lineside.graph.run import Graph
from lineside.least_defect import least_defect
from lineside.recipe import load_recipe
from lineside.train import train
from lineside.transfer.head import HeadValues, export_head, head_shape, tap_name
from lineside.transfer.opening import opened
from lineside.transfer.pooling import fit_pooling

GRID = (9, 12)
EVERY_SIDE = np.ones((3, 3))
SCALE = "capture: {px_per_mm: 10}\n"


def lowered(grid: np.ndarray, least: int) -> np.ndarray:
    """Open one grid of distances [h, w]."""
    flat = torch.from_numpy(grid.astype(np.float32).reshape(1, -1))
    return opened(flat, grid.shape, least).numpy().reshape(grid.shape)


@settings(deadline=None, max_examples=60)
@given(arrays(np.int8, GRID, elements=st.integers(0, 4)), st.integers(1, 6))
def test_no_connected_region_of_enough_patches_is_lowered(grid: np.ndarray, least: int) -> None:
    """At every level, a region of `least` patches that touch, by a corner too, keeps it; nothing is raised."""
    out = lowered(grid, least)
    assert (out <= grid).all()
    for level in range(1, 5):
        regions, count = label(grid >= level, EVERY_SIDE)
        for region in range(1, count + 1):
            if (regions == region).sum() >= least:
                assert (out[regions == region] >= level).all()


@pytest.mark.parametrize("least", [2, 3, 4, 6])
def test_what_too_few_patches_show_falls_to_what_lies_around(least: int) -> None:
    """One patch fewer than asked for is lowered to the level of its surroundings, one more is left as it is."""
    for patches, wanted in ((least - 1, 1.0), (least, 5.0)):
        grid = np.ones((20, 20))
        grid[10, 5 : 5 + patches] = 5.0
        assert lowered(grid, least)[10, 5 : 5 + patches].tolist() == [wanted] * patches


def test_specks_near_each_other_count_together() -> None:
    """Two pairs within the window are four patches; further apart each is two, and lowered."""
    for gap, wanted in ((1, 5.0), (4, 0.0)):
        grid = np.zeros((20, 20))
        grid[4:6, 4] = grid[4:6, 4 + gap + 1] = 5.0
        assert lowered(grid, 4).max() == wanted


def test_opening_twice_is_opening_once() -> None:
    """It is an opening in the sense of morphology, and one patch changes nothing."""
    grid = np.random.default_rng(0).random(GRID).astype(np.float32)
    once = lowered(grid, 3)
    assert (once < grid).any()
    assert np.array_equal(lowered(once, 3), once)
    assert np.array_equal(lowered(grid, 1), grid)


@pytest.mark.parametrize("least", [2, 5])
def test_the_graph_equals_the_reference(least: int) -> None:
    """ONNX Runtime's score of any frame, in and out of a region, is that of the plain NumPy head."""
    rng = np.random.default_rng(1)
    head = head_shape((6,), ((12, 16),), (128, 96), None, 64, least)
    memory = rng.standard_normal((40, 6)).astype(np.float32)
    eye, none = np.eye(6, dtype=np.float32)[:, :, None, None], np.zeros(6, np.float32)
    pooling = fit_pooling(rng.random((8, 192)).astype(np.float32) + 0.5, np.ones((8, 192), bool), (12, 16), least)
    values = HeadValues((eye,), (none,), memory=memory, pooling=pooling)
    taps, regions = rng.standard_normal((5, 6, 12, 16)).astype(np.float32), rng.random((5, 1, 12, 16), np.float32)
    out = Graph(export_head(head))({tap_name(0): taps, "region": regions, **values.feed(head)})
    wanted = [reference_score(head, values, {0: taps[i : i + 1]}, regions[i : i + 1]) for i in range(5)]
    every = [reference_score(replace(head, least_patches=1), values, {0: taps[i : i + 1]}) for i in range(5)]
    assert out["score"].tolist() == pytest.approx(wanted, rel=1e-4)
    assert (np.array(wanted) < every).all()


def test_an_area_needs_a_scale_and_regions(tmp_path: Path) -> None:
    """Without px_per_mm, and for a method whose score has no patches, the error names file, line, key and remedy."""
    with pytest.raises(RecipeError, match=r"add capture\.px_per_mm") as caught:
        load_recipe(write_recipe(tmp_path, "capture: {}\ncalibrate: {least_defect_mm2: 0.5}\n", images="."))
    assert (caught.value.key, caught.value.line) == ("calibrate.least_defect_mm2", 4)
    text = f"{SCALE}calibrate: {{least_defect_mm2: 0.5}}\ntransfer: {{task: classify}}\n"
    with pytest.raises(RecipeError, match="method: lineside"):
        load_recipe(write_recipe(tmp_path, text, images="."))


def test_an_area_becomes_whole_patches(tmp_path: Path) -> None:
    """A frame of 640×480 px at 10 px/mm with 32×24 patches has patches of 4 mm²: rounded down, so that none is lost."""
    for area, patches in ((3.9, 1), (8.0, 2), (11.9, 2), (64.0, 16)):
        loaded = load_recipe(write_recipe(tmp_path, f"{SCALE}calibrate: {{least_defect_mm2: {area}}}\n", images="."))
        made = least_defect(loaded, (640, 480), (32, 24))
        assert made is not None
        assert (made.patches, made.patch_mm2) == (patches, pytest.approx(4.0))
    loaded = load_recipe(write_recipe(tmp_path, f"{SCALE}calibrate: {{least_defect_mm2: 68.0}}\n", images="."))
    with pytest.raises(RecipeError, match=r"17 patches .* write 64 or less"):
        least_defect(loaded, (640, 480), (32, 24))
    loaded = load_recipe(write_recipe(tmp_path, SCALE, images="."))
    assert least_defect(loaded, (640, 480), (32, 24)) is None


def test_check_says_what_cannot_be_resolved(sound: Path) -> None:
    """Less than two patches is a warning, more than the search can do an error, and all between is silent."""
    said = {}
    for area in (1.0, 200.0, 1e5):
        text = f"capture: {{px_per_mm: 1}}\ncalibrate: {{least_defect_mm2: {area}}}\nnormalise: {{size: 64}}\n"
        write_recipe(sound, text)
        found = check_recipe(load_recipe(sound)).problems
        said[area] = [(p.severity, p.exit_code, p.text) for p in found if "least_defect_mm2" in p.text]
    [(kind, _, text)] = said[1.0]
    assert (kind, "cannot be told from a smaller one" in text) == ("warning", True)
    assert said[200.0] == []
    [(kind, code, text)] = said[1e5]
    assert (kind, code, "at most 16 can be asked for" in text) == ("error", 2, True)


@pytest.mark.slow
def test_a_trained_model_carries_it_in_its_graph(tmp_path: Path) -> None:
    """Training proves the graph frame by frame against a reference that asks for as many patches, and says so."""
    folder = write_part(tmp_path, goods=8, test_goods=2, test_defects=2, more="capture: {px_per_mm: 1}\n")
    file = folder / "recipe.yaml"
    file.write_text(file.read_text().replace("folds: 2", "folds: 2, least_defect_mm2: 200"))
    record = train(load_recipe(folder), folder / "model")
    made = record.contract.least_defect
    assert made is not None
    assert (made.patches, made.patch_mm2) == (3, 64.0)
    assert record.parity_worst_rel < TOLERANCE_REL
    assert made.statement in (folder / "model" / "card.md").read_text()
    assert json.loads(str(read_state(folder / "model")["shape"]))["least_patches"] == 3
