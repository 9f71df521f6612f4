"""A wish that the recipe's images cannot decide: said by `check`, and by training before any work."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from images import picture, write, write_folder, write_recipe
from lineside.capture.check import check_recipe
from lineside.dataset import load_dataset
from lineside.errors import RecipeError
from lineside.recipe import LoadedRecipe, load_recipe
from lineside.train import train
from lineside.train.deployed_scores import Shown
from lineside.train.progress import Journal, SilentProgress
from lineside.train.thresholds import with_defects
from tiny import tiny_contract, tiny_model

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
    assert "3 defective parts can support an escape of 25.0% at best, and 1.00% is asked for: that needs 99, 96" in text


def test_enough_defects_are_no_problem(tmp_path: Path) -> None:
    """One defective part supports an escape of a half."""
    folder = recipe(tmp_path, "calibrate: {escape: 0.5}\n", train_defects=1)
    assert not [p for p in check_recipe(load_recipe(folder)).problems if "escape" in p.text]


def group_recipe(folder: Path, dents: tuple[int, ...]) -> LoadedRecipe:
    """Write a recipe whose file names tell the part, with pictures of some of its twenty good parts after damage."""
    for number in range(20):
        write(folder / f"images/train/good/{number:03d}_a.png", picture(number))
    for number in dents:
        write(folder / f"images/train/dent/{number:03d}_b.png", picture(100 + number))
    return load_recipe(write_recipe(folder, f"{WISHES['escape']}capture: {{group: '^([0-9]+)_'}}\n"))


def test_defects_of_parts_that_are_learned_as_good_decide_nothing(tmp_path: Path) -> None:
    """The score knows those parts: where there is no other the wish is refused, and check counts the others alone."""
    alone = group_recipe(tmp_path / "alone", (3, 4))
    with pytest.raises(RecipeError, match="all 2 in train/ show parts that stand among its good images"):
        train(alone, tmp_path / "model")
    report = check_recipe(group_recipe(tmp_path / "some", (3, 50, 51)))
    (text,) = [p.text for p in report.problems if "escape" in p.text]
    assert text.startswith("2 defective parts can support")


def test_only_defects_of_other_parts_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are named in the log, and reach neither threshold nor escapes."""
    loaded = group_recipe(tmp_path, (3, 50, 51))
    journal, seen = Journal(SilentProgress()), list[str]()

    def stop(_: object, __: object, shown: Sequence[Shown], ___: object) -> None:
        seen.extend(one.name for one in shown)
        raise InterruptedError

    monkeypatch.setattr("lineside.train.thresholds.deployed_scores", stop)
    model, contract = tiny_model(tiny_contract()), tiny_contract()
    references = SimpleNamespace(sorts=False, reader=SimpleNamespace(lazily=lambda _: None))
    with pytest.raises(InterruptedError):
        with_defects(
            loaded,
            load_dataset(loaded),
            references,  # type: ignore[arg-type]  # it is asked for these two alone
            SimpleNamespace(called={0: None}),  # type: ignore[arg-type]
            (model, contract),
            journal,
        )
    assert seen == ["train/dent/050_b.png", "train/dent/051_b.png"]
    assert any(words.endswith("say nothing of escapes: train/dent/003_b.png.") for words in journal.decisions)
