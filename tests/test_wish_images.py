"""A wish that the recipe's images cannot decide: said by `check`, and by training before any work."""

from pathlib import Path

import pytest

from images import write_folder, write_recipe
from lineside.capture.check import check_recipe
from lineside.errors import RecipeError
from lineside.recipe import load_recipe
from lineside.train import train

WISHES = {
    "escape": "calibrate: {escape: 0.01}\n",
    "cost": "calibrate: {cost: {overkill: 0.4, escape: 250}, defect_rate_ppm: 800}\n",
}


def recipe(folder: Path, more: str, train_defects: int = 0) -> Path:
    """Write a recipe with good images, defects in test and, where asked, defects to train on."""
    counts = {"train/good": 20, "test/good": 4, "test/dent": 3}
    write_folder(folder / "images", {**counts, **({"train/dent": train_defects} if train_defects else {})})
    return write_recipe(folder, more)


@pytest.mark.parametrize("kind", WISHES)
def test_a_wish_that_needs_defects_is_refused_without_them(tmp_path: Path, kind: str) -> None:
    """One sentence with file, line, key and remedy, although test/ has defects; nothing is written."""
    folder = recipe(tmp_path, WISHES[kind])
    with pytest.raises(RecipeError) as raised:
        train(load_recipe(folder), tmp_path / "model")
    line = len((folder / "recipe.yaml").read_text().splitlines())
    assert raised.value.message == (
        f"{folder / 'recipe.yaml'}:{line}: calibrate.{kind}: {kind} needs defective images to choose the threshold by, "
        "and train/ holds none, and the test images are for judging alone; put some into train/<class>, or write "
        "calibrate.overkill instead."
    )
    assert not (tmp_path / "model").exists()
    (problem,) = [p for p in check_recipe(load_recipe(folder)).problems if p.severity == "error"]
    assert f"calibrate.{kind}: {kind} needs defective images" in problem.text
    assert problem.exit_code == 2


def test_check_says_what_so_few_defects_support(tmp_path: Path) -> None:
    """Three defective parts and a wish of 1 %: 25 % at best, 99 are needed."""
    report = check_recipe(load_recipe(recipe(tmp_path, WISHES["escape"], train_defects=3)))
    (text,) = [p.text for p in report.problems if "escape" in p.text]
    assert "3 defective parts can support an escape of 25.0% at best, and 1.00% is asked for: that needs 99" in text


def test_enough_defects_are_no_problem(tmp_path: Path) -> None:
    """One defective part supports an escape of a half."""
    folder = recipe(tmp_path, "calibrate: {escape: 0.5}\n", train_defects=1)
    assert not [p for p in check_recipe(load_recipe(folder)).problems if "escape" in p.text]
