"""The list of a recipe's images: layouts, splits by part, masks, hashes, and what is refused."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import images
from lineside.batch.plan import OVERLAY_FOLDER, RUN_FILE
from lineside.capture.survey import survey_images
from lineside.contract import CONTRACT_FILE, MODEL_FILE
from lineside.data_lock import data_sha256, lock_document
from lineside.dataset import Dataset, load_dataset
from lineside.errors import ImageError, LinesideError, RecipeError
from lineside.recipe import LoadedRecipe, load_recipe

MVTEC = {"train/good": 4, "train/scratch": 2, "test/good": 3, "test/scratch": 3, "test/dent": 1}
MASK = np.full((48, 64), 255, np.uint8)
LAYOUTS = (
    "Expected train/good, test/good, test/<class> and ground_truth/<class>/<name>_mask.png (MVTec AD), or good/ and a "
    "folder per defect class; good, ok, OK, normal all mean good."
)


def loaded(folder: Path, counts: dict[str, int], text: str = "") -> LoadedRecipe:
    """Write a recipe and images of these counts, and load the recipe."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images.write_folder(folder / "images", counts)
    return load_recipe(images.write_recipe(folder, text))


def touched(folder: Path, names: list[str], text: str = "") -> LoadedRecipe:
    """Write a recipe and empty files of these names, and load the recipe."""
    for name in names:
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return load_recipe(images.write_recipe(folder, text))


def sides(dataset: Dataset) -> dict[str, str]:
    """Return the side of each image by name."""
    return {s.name: s.split for s in dataset.samples}


def test_mvtec_layout(tmp_path: Path) -> None:
    """The folders say side and class; counts come train first, good first."""
    dataset = load_dataset(loaded(tmp_path, MVTEC))
    assert dataset.layout == "mvtec"
    assert dataset.class_names == ("dent", "scratch")
    assert list(dataset.counts().items()) == [
        ("train/good", 4),
        ("train/scratch", 2),
        ("test/good", 3),
        ("test/dent", 1),
        ("test/scratch", 3),
    ]
    assert [s.name for s in dataset.select("train", good=False)] == ["train/scratch/000.png", "train/scratch/001.png"]
    assert len(dataset.select("test")) == 7
    assert [s.name for s in dataset.samples] == sorted(s.name for s in dataset.samples)


def test_a_pattern_of_parts_that_fits_no_name_is_refused(tmp_path: Path) -> None:
    """A slip in it would make every image a part of its own, and promise what five shots of a part do not bear."""
    names = ["train/good/a1.png", "train/good/a2.png"]
    with pytest.raises(RecipeError, match=r"capture.group: '\^zzz' fits no file name, such as a1.png"):
        load_dataset(touched(tmp_path / "none", names, "capture: {group: '^zzz'}\n"))
    some = load_dataset(touched(tmp_path / "some", names, "capture: {group: '^(?P<part>a)1'}\n"))
    assert [sample.group for sample in some.samples] == ["a", "train/good/a2.png"]


@pytest.mark.parametrize("good", ["good", "ok", "OK", "normal"])
def test_all_names_of_good_mean_good(tmp_path: Path, good: str) -> None:
    """Folders called good, ok, OK and normal all give the label good."""
    dataset = load_dataset(touched(tmp_path, [f"train/{good}/a.png", f"test/{good}/b.png"]))
    assert dataset.counts() == {"train/good": 1, "test/good": 1}


def test_masks_are_found_by_both_names(tmp_path: Path) -> None:
    """A mask is <stem>_mask.png or <stem>.png; good images have none."""
    recipe = touched(
        tmp_path,
        [
            "train/good/000.png",
            "test/scratch/000.jpg",
            "test/scratch/001.jpg",
            "test/scratch/002.jpg",
            "ground_truth/scratch/000_mask.png",
            "ground_truth/scratch/001.png",
            "ground_truth/good/000_mask.png",
        ],
    )
    masks = {s.name: s.mask and s.mask.name for s in load_dataset(recipe).samples}
    assert masks == {
        "train/good/000.png": None,
        "test/scratch/000.jpg": "000_mask.png",
        "test/scratch/001.jpg": "001.png",
        "test/scratch/002.jpg": None,
    }


def test_a_mask_that_fits_both_sides_belongs_to_test(tmp_path: Path) -> None:
    """Where train and test use the same name, the mask under ground_truth is that of the test image."""
    names = ["train/good/a.png", "train/dent/000.png", "test/dent/000.png", "ground_truth/dent/000_mask.png"]
    masked = {s.name for s in load_dataset(touched(tmp_path, names)).samples if s.mask}
    assert masked == {"test/dent/000.png"}


def test_nested_folders_belong_to_their_class(tmp_path: Path) -> None:
    """Images deeper down keep the class's folder as their label, and their masks lie as deep."""
    names = ["train/good/monday/a.png", "test/dent/monday/b.png", "ground_truth/dent/monday/b_mask.png"]
    samples = load_dataset(touched(tmp_path, names)).samples
    assert [(s.label, s.mask is not None) for s in samples] == [("dent", True), ("good", False)]


def test_plain_layout_keeps_a_quarter_of_the_goods_and_half_of_each_class(tmp_path: Path) -> None:
    """The drawn split puts three quarters of the goods and half of each class to train."""
    names = [f"{label}/{i:03d}.png" for label, n in (("OK", 40), ("dent", 8), ("rust", 5)) for i in range(n)]
    dataset = load_dataset(touched(tmp_path, [*names, "ground_truth/dent/000_mask.png"]))
    assert dataset.layout == "plain"
    assert dataset.counts() == {
        "train/good": 30,
        "train/dent": 4,
        "train/rust": 2,
        "test/good": 10,
        "test/dent": 4,
        "test/rust": 3,
    }
    assert sum(s.mask is not None for s in dataset.samples) == 1


def test_the_drawn_split_follows_the_seed(tmp_path: Path) -> None:
    """The same seed draws the same split, another seed another one."""
    names = [f"good/{i:03d}.png" for i in range(40)]
    first = sides(load_dataset(touched(tmp_path, names)))
    again = sides(load_dataset(touched(tmp_path, names)))
    other = sides(load_dataset(touched(tmp_path, names, "seed: 1\n")))
    assert first == again
    assert first != other


def test_one_more_image_hardly_moves_the_drawn_split(tmp_path: Path) -> None:
    """Adding an image changes the side of at most one image that was there."""
    names = [f"good/{i:03d}.png" for i in range(40)]
    first = sides(load_dataset(touched(tmp_path, names)))
    more = sides(load_dataset(touched(tmp_path, [*names, "good/new.png"])))
    assert sum(more[name] != side for name, side in first.items()) <= 1


@settings(deadline=None, max_examples=100)
@given(
    views=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["good", "dent", "rust"])), min_size=1, max_size=40),
    seed=st.integers(0, 3),
)
def test_a_part_never_stands_on_both_sides(
    tmp_path_factory: pytest.TempPathFactory, views: list[tuple[int, str]], seed: int
) -> None:
    """However the views lie in the classes, a part is drawn to one side, and a quarter of the goods to test."""
    names = [f"{label}/p{part}_{i}.png" for i, (part, label) in enumerate(views)] + ["good/p0_first.png"]
    recipe = touched(tmp_path_factory.mktemp("d"), names, f"seed: {seed}\ncapture: {{group: '^p([0-9]+)_'}}\n")
    samples = load_dataset(recipe).samples
    found: dict[str, set[str]] = {}
    for sample in samples:
        found.setdefault(sample.group, set()).add(sample.split)
    assert all(len(each) == 1 for each in found.values())
    good = {s.group for s in samples if s.is_good}
    tested = {s.group for s in samples if s.is_good and s.split == "test"}
    assert len(tested) == (max(1, round(len(good) / 4 + 1e-9)) if len(good) > 1 else 0)


@pytest.mark.parametrize(
    ("pattern", "group"),
    [
        ("(?P<part>A[0-9]+)_(x)", "A7"),
        ("^([A-Z])(?P<part>[0-9]+)", "7"),
        ("^([A-Z])[0-9]", "A"),
        ("A[0-9]+", "A7"),
        ("^(B)?A", "train/good/A7_x.png"),
    ],
)
def test_the_part_is_the_named_group_the_first_group_or_the_match(tmp_path: Path, pattern: str, group: str) -> None:
    """A pattern finds the part in the file's name; where it finds none, the image is a part of its own."""
    recipe = touched(tmp_path, ["train/good/A7_x.png"], f"capture: {{group: '{pattern}'}}\n")
    assert load_dataset(recipe).samples[0].group == group


def test_a_part_on_both_sides_of_the_folders_is_refused(tmp_path: Path) -> None:
    """Where the folders make the split, a part on both sides is an error that names two files."""
    recipe = touched(tmp_path, ["train/good/p1_a.png", "test/good/p1_b.png"], "capture:\n  group: '^(p[0-9]+)_'\n")
    with pytest.raises(RecipeError) as caught:
        load_dataset(recipe)
    assert str(caught.value) == (
        f"{tmp_path / 'recipe.yaml'}:4: capture.group: the part 'p1' stands on both sides of the split: "
        "test/good/p1_b.png and train/good/p1_a.png. Move one of them, or change the pattern so that different parts "
        "get different names."
    )


BROKEN: dict[str, tuple[list[str], str]] = {
    "nothing": ([], f"no known layout: found no folders. {LAYOUTS}"),
    "loose images": (["a.png", "b.png"], f"no known layout: found no folders and 2 images. {LAYOUTS}"),
    "other folders": (
        ["scratch/a.png", "parts/b.png"],
        f"no known layout: found the folders parts, scratch. {LAYOUTS}",
    ),
    "no good folder in train": (
        ["train/scratch/a.png", "test/good/b.png"],
        f"no good images to train on; found 1 in train/scratch, 1 in test/good. {LAYOUTS}",
    ),
    "images of another kind": (
        ["train/good/a.webp"],
        f"no good images to train on; found no images at all (.bmp, .jpeg, .jpg, .png, .tif, .tiff are read). "
        f"{LAYOUTS}",
    ),
    "empty good folder": (
        ["good/notes.txt", "dent/a.png"],
        f"no good images to train on; found 1 in test/dent. {LAYOUTS}",
    ),
    "hidden only": ([".good/a.png"], f"no known layout: found no folders. {LAYOUTS}"),
}


@pytest.mark.parametrize(("names", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_folders_that_cannot_be_trained_on(tmp_path: Path, names: list[str], message: str) -> None:
    """Each kind of unusable folder says what was found and what both layouts look like, with exit code 3."""
    (tmp_path / "images").mkdir()
    with pytest.raises(ImageError) as caught:
        load_dataset(touched(tmp_path, names))
    assert str(caught.value) == f"{tmp_path / 'images'}: {message}"
    assert caught.value.exit_code == 3


def test_the_data_hash_is_that_of_names_sides_labels_and_contents(tmp_path: Path) -> None:
    """Moving the folder keeps the hash; a byte, a name, a label or a mask changes it."""
    first = data_sha256(load_dataset(loaded(tmp_path / "a", MVTEC)))
    assert data_sha256(load_dataset(loaded(tmp_path / "b", MVTEC))) == first
    root = tmp_path / "b" / "images"
    hashes = {first}
    with (root / "test/good/000.png").open("ab") as stream:
        stream.write(b"x")
    hashes.add(data_sha256(load_dataset(load_recipe(tmp_path / "b"))))
    (root / "test/good/001.png").rename(root / "test/good/009.png")
    hashes.add(data_sha256(load_dataset(load_recipe(tmp_path / "b"))))
    (root / "test/dent").rename(root / "test/rust")
    hashes.add(data_sha256(load_dataset(load_recipe(tmp_path / "b"))))
    images.write(root / "ground_truth/scratch/002_mask.png", MASK)
    hashes.add(data_sha256(load_dataset(load_recipe(tmp_path / "b"))))
    assert len(hashes) == 5


def test_the_lock_names_every_default_and_every_image(tmp_path: Path) -> None:
    """recipe.lock.yaml is the resolved recipe with its hashes and images, the same from any folder."""
    recipe = loaded(tmp_path / "a", {"good": 4, "dent": 2})
    dataset = load_dataset(recipe)
    text = lock_document(recipe, dataset)
    document = yaml.safe_load(text)
    assert document["recipe"]["transfer"]["memory"] == "auto"
    assert document["recipe"]["normalise"]["light"]["exposure"] == "auto"
    assert document["recipe_sha256"] == recipe.sha256
    assert document["data_sha256"] == data_sha256(dataset)
    assert [(i["name"], i["split"], i["label"]) for i in document["images"]] == [
        (s.name, s.split, s.label) for s in dataset.samples
    ]
    assert str(tmp_path) not in text
    other = loaded(tmp_path / "b", {"good": 4, "dent": 2})
    assert lock_document(other, load_dataset(other)) == text


def test_the_resolved_recipe_of_a_lock_is_a_recipe(tmp_path: Path) -> None:
    """What stands under recipe in the lock loads again, to the same recipe and hash."""
    recipe = loaded(tmp_path, {"good": 4}, "normalise: {light: {exposure: off}}\n")
    document = yaml.safe_load(lock_document(recipe, load_dataset(recipe)))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document["recipe"]))
    assert load_recipe(tmp_path).sha256 == recipe.sha256


def test_an_image_that_vanishes_is_named(tmp_path: Path) -> None:
    """A file that cannot be read while hashing is an error with its path."""
    recipe = loaded(tmp_path, {"good": 2})
    dataset = load_dataset(recipe)
    dataset.samples[0].path.unlink()
    with pytest.raises(LinesideError, match=r"000\.png: no such file"):
        data_sha256(dataset)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux alone")
@pytest.mark.parametrize("top", ["", "train/"])
def test_names_that_are_no_text_are_refused(tmp_path: Path, top: str) -> None:
    """Names that no lock file and no hash can hold are refused in both layouts, all of them, escaped."""
    recipe = touched(tmp_path, [f"{top}good/a.png"])
    for name in (b"b\xff.png", b"c\xe4.png"):
        (tmp_path / "images" / top / "good" / os.fsdecode(name)).touch()
    for read in (lambda: load_dataset(recipe), lambda: survey_images(recipe.images_dir)):
        with pytest.raises(ImageError) as caught:
            read()
        assert str(caught.value) == (
            f"{tmp_path / 'images'}: expected file and folder names in UTF-8, found {top}good/b\\xff.png, "
            f"{top}good/c\\xe4.png. Rename them."
        )


OWN_OUTPUT: dict[str, tuple[list[str], str]] = {
    "a bundle below good": (
        [f"good/m/{MODEL_FILE}", f"good/m/{CONTRACT_FILE}", "good/m/vectors/000.png"],
        "good/m",
    ),
    "a bundle as a class": ([f"m/{MODEL_FILE}", f"m/{CONTRACT_FILE}", "m/vectors/000.png"], "m"),
    "a bundle called good": ([f"OK/{MODEL_FILE}", f"OK/{CONTRACT_FILE}", "OK/vectors/000.png"], "OK"),
    "an inspection called good": ([f"OK/{RUN_FILE}", f"OK/{OVERLAY_FOLDER}/good/0.jpg"], f"OK/{OVERLAY_FOLDER}"),
    "an inspection below good": (
        [f"good/r/{RUN_FILE}", f"good/r/{OVERLAY_FOLDER}/0.jpg"],
        f"good/r/{OVERLAY_FOLDER}",
    ),
    "an inspection of good into good": (
        [f"good/{RUN_FILE}", f"good/{OVERLAY_FOLDER}/a.jpg"],
        f"good/{OVERLAY_FOLDER}",
    ),
    "an inspection into the images": ([RUN_FILE, f"{OVERLAY_FOLDER}/good/a.jpg"], OVERLAY_FOLDER),
}


@pytest.mark.parametrize("top", ["", "train/"])
@pytest.mark.parametrize(("names", "left_out"), OWN_OUTPUT.values(), ids=OWN_OUTPUT.keys())
def test_what_lineside_wrote_is_no_image_of_a_part(tmp_path: Path, top: str, names: list[str], left_out: str) -> None:
    """Vectors of a bundle and overlays of an inspection that lie among the images are left out, and noted."""
    recipe = touched(tmp_path, [f"{top}good/a.png", f"{top}dent/b.png", *(top + name for name in names)])
    dataset = load_dataset(recipe)
    assert [s.name for s in dataset.samples] == [f"{top}dent/b.png", f"{top}good/a.png"]
    assert dataset.left_out == (top + left_out,)


def test_a_run_file_of_another_program_hides_no_image(tmp_path: Path) -> None:
    """A run.json beside images is no reason to leave them out."""
    dataset = load_dataset(touched(tmp_path, ["good/a.png", f"good/{RUN_FILE}", "good/monday/b.png"]))
    assert [s.name for s in dataset.samples] == ["good/a.png", "good/monday/b.png"]
    assert dataset.left_out == ()


def test_a_survey_counts_no_output(tmp_path: Path) -> None:
    """The first recipe for a folder does not describe lineside's own output as images."""
    images.write_folder(tmp_path, {"good": 2, f"good/r/{OVERLAY_FOLDER}": 3})
    (tmp_path / "good/r" / RUN_FILE).touch()
    assert survey_images(tmp_path).counts == {"good": 2}
