"""What a recipe's images are learnt for: keys, folders, splits by class."""

from pathlib import Path

import numpy as np
import pytest

from images import write_folder, write_recipe
from lineside.calibrate.crossfit import class_folds, class_holdout
from lineside.capture.folder import frame_channels
from lineside.dataset import load_dataset
from lineside.errors import ImageError, RecipeError, UsageError
from lineside.recipe import load_recipe
from lineside.train.sorting_images import Turner, sorting_references
from lineside.train.task import class_names, task_of

DEFECTS = {f"train/{name}": 2 for name in ("scratch", "dent")}
GOOD = {"train/good": 4, "test/good": 2}


def recipe(folder: Path, images: dict[str, int], transfer: str = "") -> Path:
    """Write a recipe with so many images a folder; return its folder."""
    write_folder(folder / "images", images)
    return write_recipe(folder, f"transfer: {{{transfer}}}\n")


@pytest.mark.parametrize(
    ("images", "transfer", "task"),
    [
        ({**GOOD, **DEFECTS}, "", "both"),
        ({**GOOD, **DEFECTS}, "classes: {method: none}", "anomaly"),
        ({**GOOD, **DEFECTS}, "method: anomalib.Padim", "anomaly"),
        ({**GOOD, **DEFECTS}, "task: anomaly", "anomaly"),
        ({**GOOD, **DEFECTS}, "task: classify", "classify"),
        ({**GOOD, "train/dent": 3}, "", "anomaly"),
        ({**GOOD, "test/dent": 3, "test/scratch": 3}, "", "anomaly"),
    ],
)
def test_auto_follows_the_folders(tmp_path: Path, images: dict[str, int], transfer: str, task: str) -> None:
    """Two defect classes to learn from make both, unless the recipe or the method says otherwise."""
    loaded = load_recipe(recipe(tmp_path, images, transfer))
    assert task_of(loaded, load_dataset(loaded)) == task


@pytest.mark.parametrize("task", ["classify", "both"])
@pytest.mark.parametrize("other", ["method: anomalib.Patchcore", "classes: {method: none}"])
def test_classes_need_a_method_that_tells_them(tmp_path: Path, task: str, other: str) -> None:
    """An anomalib model by its name, or method none, is refused at the line of the task."""
    folder = recipe(tmp_path, {**GOOD, **DEFECTS}, f"task: {task}, {other}")
    with pytest.raises(RecipeError, match=r"transfer\.task.*(anomalib\.Patchcore|classes\.method is none)"):
        load_recipe(folder)


def test_both_without_defect_images_is_refused(tmp_path: Path) -> None:
    """The message says what was found."""
    loaded = load_recipe(recipe(tmp_path, {**GOOD, "train/dent": 3}, "task: both"))
    with pytest.raises(RecipeError, match=r"at least 2 defect classes.*found dent"):
        task_of(loaded, load_dataset(loaded))


def test_episodes_are_recipe_folders(tmp_path: Path) -> None:
    """A folder without a recipe is an error on the key."""
    folder = recipe(tmp_path, GOOD, "classes: {episodes: [other]}")
    with pytest.raises(RecipeError, match=r"transfer\.classes\.episodes.*no recipe"):
        load_recipe(folder)


def test_good_is_the_last_class(tmp_path: Path) -> None:
    """Where it is a class at all: it is none of the defects'."""
    loaded = load_recipe(recipe(tmp_path, {**GOOD, "train/zebra": 2, "train/ant": 2}))
    dataset = load_dataset(loaded)
    assert class_names(dataset, "classify") == ("ant", "zebra", "good")
    assert class_names(dataset, "both") == ("ant", "zebra")
    assert class_names(dataset, "anomaly") == ()


@pytest.mark.parametrize("layout", [("train/nut", "train/bolt", "test/nut"), ("nut", "bolt")])
def test_sorting_needs_no_good_folder(tmp_path: Path, layout: tuple[str, ...]) -> None:
    """In both layouts; drawn by the seed, three quarters of each class are trained on."""
    images = dict.fromkeys(layout, 8)
    loaded = load_recipe(recipe(tmp_path, images, "task: classify"))
    dataset = load_dataset(loaded)
    assert dataset.training_classes == ("bolt", "nut")
    assert frame_channels(loaded, dataset) in (1, 3)
    if layout == ("nut", "bolt"):
        assert dataset.counts() == {"train/bolt": 6, "train/nut": 6, "test/bolt": 2, "test/nut": 2}
    references = sorting_references(loaded, dataset)
    assert len(references.good_positions) == len(dataset.select("train"))


def test_one_folder_alone_cannot_be_sorted(tmp_path: Path) -> None:
    """Nor be told from another task's missing good images."""
    loaded = load_recipe(recipe(tmp_path, {"train/nut": 3, "test/bolt": 3}, "task: classify"))
    with pytest.raises(ImageError, match="at least two classes"):
        load_dataset(loaded)
    loaded = load_recipe(recipe(tmp_path / "other", {"nut": 3, "bolt": 3}))
    with pytest.raises(ImageError, match="no known layout"):
        load_dataset(loaded)


def test_the_good_parts_alone_set_the_threshold_of_sorted_parts(tmp_path: Path) -> None:
    """Their positions among all training images."""
    loaded = load_recipe(recipe(tmp_path, {**GOOD, **DEFECTS}, "task: classify"))
    references = sorting_references(loaded, load_dataset(loaded))
    assert [references.samples[i].label for i in references.good_positions] == ["good"] * 4
    assert len(references.samples) == 8


def test_every_fold_leaves_every_class_in_the_fit() -> None:
    """Classes of 2, 5 and 1 parts: each image is scored once, the only part of its class never."""
    labels = ["a"] * 2 + ["b"] * 10 + ["c"]
    groups = ["a0", "a1", *(f"b{i // 2}" for i in range(10)), "c0"]
    folds = class_folds(groups, labels, 5)
    assert sorted(i for fold in folds for i in fold.score) == list(range(12))
    for fold in folds:
        assert {labels[i] for i in fold.fit} == {"a", "b", "c"}
        assert not {groups[i] for i in fold.fit} & {groups[i] for i in fold.score}


def test_the_held_out_parts_are_of_every_class_that_has_two() -> None:
    """A fifth of each, at least one; a class's only part is fitted on."""
    labels = ["a"] * 2 + ["b"] * 10 + ["c"]
    fold = class_holdout([f"{i}" for i in range(13)], labels, 0)
    assert sorted(labels[i] for i in fold.score) == ["a", "b", "b"]


def test_one_part_of_each_class_is_too_little() -> None:
    """No score can come from a model that has not seen the part."""
    with pytest.raises(UsageError, match="at least 2 parts of one class"):
        class_folds(["0", "1"], ["a", "b"], 5)


@pytest.mark.parametrize(("size_hw", "views"), [((6, 6), 8), ((4, 9), 4)])
def test_copies_are_the_frame_s_own_symmetries(size_hw: tuple[int, int], views: int) -> None:
    """A square is turned and flipped eight ways; a long frame keeps its proportions, and nothing else is drawn."""
    frame = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    copies = Turner().copies(frame, 3, views - 1)
    seen = {(f.shape, f.tobytes()) for f in (frame, *copies)}
    assert len(seen) == views
    assert all(sorted(f.ravel().tolist()) == sorted(frame.ravel().tolist()) for f in copies)
    assert views == 8 or {f.shape for f in copies} == {frame.shape}
