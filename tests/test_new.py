"""`lineside new`: a recipe for a folder of images, of what was found in it, and never over another."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import images
from lineside.capture.survey import Survey, new_recipe, part_name, recipe_text, survey_images
from lineside.cli import new
from lineside.errors import ImageError, UsageError
from lineside.recipe import load_recipe
from lineside.recipe_yaml import read_yaml

app = typer.Typer()
app.command()(new.command)


def test_a_new_recipe_loads_and_says_what_was_found(tmp_path: Path) -> None:
    """The recipe points at the images, takes the folder's name, and its comments say what they are."""
    root = images.write_folder(tmp_path / "photos", {"train/good": 3, "test/good": 2, "test/dent": 2})
    images.write(root / "ground_truth/dent/000_mask.png", np.full((48, 64), 255, np.uint8))
    file, _ = new_recipe(tmp_path / "recipes" / "Caps 7", root)
    loaded = load_recipe(file)
    assert loaded.recipe.part == "Caps-7"
    assert loaded.recipe.images == "../../photos"
    assert loaded.images_dir.resolve() == root.resolve()
    assert file.read_text(encoding="utf-8").splitlines()[2:4] == [
        "# Found 7 images (MVTec AD layout): 5 good, 2 dent; 1 mask.",
        "# Sizes: 64x48 (7); 7 colour; 7 with 8 bit.",
    ]


def test_every_hint_of_a_new_recipe_is_one(tmp_path: Path) -> None:
    """Taken out of their comments, the lines on pose, light and region are read, and change what they name."""
    root = images.write_folder(tmp_path / "photos", {"good": 2})
    file, _ = new_recipe(tmp_path / "r", root)
    (tmp_path / "r" / "flat.png").touch()
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"^  # (pose|light|roi)", r"  \1", text, flags=re.MULTILINE), encoding="utf-8")
    normalise = load_recipe(file).recipe.normalise
    assert (normalise.pose.angle_deg, normalise.light.flat_field) == (10.0, "flat.png")
    assert normalise.roi == (0.1, 0.1, 0.9, 0.9)


def test_16_bit_files_are_told_with_their_largest_sample(tmp_path: Path) -> None:
    """The bit depth is not guessed: 16 is written, and what the files reach stands beside it."""
    for i in range(3):
        samples = np.full((48, 64), 1000 * (i + 1), np.uint16)
        images.write(tmp_path / f"photos/good/{i}.png", samples)
    file, survey = new_recipe(tmp_path / "r", tmp_path / "photos")
    assert (survey.deep, survey.largest_sample, survey.mono) == (3, 3000, 3)
    assert load_recipe(file).recipe.capture.bit_depth == 16
    assert "largest sample is 3000" in file.read_text(encoding="utf-8")


def test_a_plain_folder_is_described_as_such(tmp_path: Path) -> None:
    """Without train and test the split is drawn, and broken files are counted."""
    root = images.write_folder(tmp_path / "photos", {"ok": 3, "dent": 1})
    (root / "ok/broken.png").write_bytes(b"")
    survey = survey_images(root)
    assert (survey.layout, survey.counts, len(survey.unreadable)) == ("plain", {"good": 3, "dent": 1}, 1)


def test_the_recipe_may_lie_among_the_images(tmp_path: Path) -> None:
    """A recipe inside the folder of images points at its own folder."""
    images.write_folder(tmp_path, {"good": 2})
    file, _ = new_recipe(tmp_path, tmp_path)
    assert load_recipe(file).recipe.images == "."


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A recipe that is there stays as it is; exit code 2."""
    root = images.write_folder(tmp_path / "photos", {"good": 2})
    (tmp_path / "recipe.yaml").write_text("mine")
    with pytest.raises(UsageError) as caught:
        new_recipe(tmp_path, root)
    assert (
        str(caught.value) == f"{tmp_path / 'recipe.yaml'}: there already, and never overwritten. Name another folder."
    )
    assert caught.value.exit_code == 2
    assert (tmp_path / "recipe.yaml").read_text() == "mine"


@pytest.mark.parametrize(("name", "found"), [("nowhere", "nothing"), ("file", "a file")])
def test_images_must_be_a_folder(tmp_path: Path, name: str, found: str) -> None:
    """A wrong --from says what is there, and leaves nothing behind."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError) as caught:
        new_recipe(tmp_path / "r", tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: expected a folder of images, found {found}."
    assert not (tmp_path / "r").exists()


def test_a_folder_without_a_layout_leaves_nothing_behind(tmp_path: Path) -> None:
    """Loose images say what the layouts look like, and no recipe is written."""
    images.write(tmp_path / "photos/a.png", images.picture())
    with pytest.raises(ImageError, match="no known layout: found no folders and 1 images"):
        new_recipe(tmp_path / "r", tmp_path / "photos")
    assert not (tmp_path / "r").exists()


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    """The command names the file and the next step."""
    root = images.write_folder(tmp_path / "photos", {"good": 2, "dent": 1})
    result = CliRunner().invoke(app, [str(tmp_path / "caps"), "--from", str(root)], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Found 3 images (a folder per class; lineside draws the test images): 2 good, 1 dent; 0 masks.",
        "Sizes: 64x48 (3); 3 colour; 3 with 8 bit.",
        f"Wrote {tmp_path / 'caps' / 'recipe.yaml'}. Next: lineside check {tmp_path / 'caps'}",
    ]


@settings(deadline=None)
@given(name=st.text(min_size=1, max_size=30).filter(lambda n: "/" not in n and "\0" not in n))
def test_any_folder_name_gives_a_part_name(name: str) -> None:
    """Whatever a folder is called, the part's name is one that a recipe takes."""
    from lineside.recipe import Recipe

    Recipe(part=part_name(Path("x") / name), images="y")


@settings(deadline=None)
@given(images_path=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30))
def test_any_path_survives_the_yaml(images_path: str) -> None:
    """Spaces, quotes, colons and words that YAML would read otherwise come back as they were."""
    text = recipe_text("no", images_path, Survey("plain", {"good": 1}, {"64x48": 1}, 0, 1, 0, None, 0, ()))
    assert read_yaml(text, Path("r")).value["images"] == images_path
    assert read_yaml(text, Path("r")).value["part"] == "no"
