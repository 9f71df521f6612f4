"""Classes where people and programs read them: results, spreadsheet, console, inspection's and training's report."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from classed import NAMES, classed_contract, write_classed_bundle
from lineside.batch import InspectOptions, inspect_images
from lineside.batch.classes import told_classes
from lineside.batch.labels import rate, summarise_labels
from lineside.batch.table import facts
from lineside.report.confusion import confusion_table
from lineside.runtime import Inspector, Result

PARTS = {"good": [(90, 90)], "dull": [(180, 40), (200, 60)], "green": [(240, 200), (230, 50)], "other": [(200, 10)]}
"""Red and green levels of flat images, by folder; blue is 60 everywhere, so that NG begins at a red of 81."""


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    """The tiny bundle with classes, loaded."""
    return Inspector(write_classed_bundle(tmp_path_factory.mktemp("classed") / "tiny"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The images of `PARTS`, below the working folder; good is OK."""
    monkeypatch.chdir(tmp_path)
    for label, levels in PARTS.items():
        Path("imgs", label).mkdir(parents=True)
        for number, (red, green) in enumerate(levels):
            blue = 80 if label == "good" else 60
            cv2.imwrite(f"imgs/{label}/{number}.png", np.full((12, 16, 3), (blue, green, red), np.uint8))
    return Path("imgs")


def flat(red: int, green: int) -> np.ndarray:
    """Return a frame of these levels."""
    return np.full((12, 16, 3), (red, green, 60), np.uint8)


def seen(inspector: Inspector, red: int, green: int) -> Result:
    """Inspect a flat frame."""
    return inspector.inspect(flat(red, green))


def test_a_result_names_the_class_and_how_probable_it_is(inspector: Inspector) -> None:
    """By the contract's names; unknown has no probability, and what is OK no class."""
    named, unknown, good = (seen(inspector, *levels) for levels in ((200, 204), (200, 10), (70, 204)))
    assert (named.defect_class, named.class_probability) == ("green", pytest.approx(0.8))
    assert named.class_prob == pytest.approx({"dull": 0.2, "green": 0.8})
    assert (unknown.defect_class, unknown.class_probability) == ("unknown", None)
    assert (good.defect_class, good.class_probability) == (None, None)
    assert named.class_p_value == pytest.approx(0.8)
    content = named.to_dict()["resultContent"]
    assert (content["defect_class"], content["class_probability"]) == ("green", pytest.approx(0.8))
    assert content["class_p_value"] == named.class_p_value


def test_an_inspection_counts_classes_and_compares_them_with_the_folders(inspector: Inspector, folder: Path) -> None:
    """Right are the named images of known classes; a folder that is no class counts in none of the shares."""
    summary = inspect_images(inspector, [folder], "out", InspectOptions(labels=True, overlays="none", workers=1))
    assert summary.classes is not None
    assert summary.classes.counts == {"dull": 3, "green": 1, "unknown": 1}
    assert summary.classes.right is not None
    assert (summary.classes.right.k, summary.classes.right.n) == (3, 4)
    assert summary.classes.confusion["green"] == {"green": 1, "dull": 1}
    assert summary.classes.confusion["good"] == {"OK": 1}
    assert json.loads(Path("out/summary.json").read_text())["classes"]["right"]["k"] == 3
    told = dict(facts(summary))
    assert told["classes"] == "dull 3, green 1, unknown 1 (images)"
    assert told["class accuracy"].startswith("75.0 % (3 of 4")
    page = Path("out/report.html").read_text()
    assert "class green (78.4 %)" in page
    assert ">Classes<" in page


def test_shots_of_one_part_are_one_answer_of_an_inspection(
    inspector: Inspector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five shots of a part that is told wrongly and two of one told rightly are one of two; the class is that of the
    worst image. Without a pattern they are images, and said to be."""
    monkeypatch.chdir(tmp_path)
    shots = {"green/a": [(230, 50)] * 5, "dull/b": [(200, 60), (180, 220)], "dull/c": [(70, 40), (70, 220)]}
    for name, levels in shots.items():
        Path("imgs", name).parent.mkdir(parents=True, exist_ok=True)
        for number, (red, green) in enumerate(levels):
            cv2.imwrite(f"imgs/{name}_{number}.png", np.full((12, 16, 3), (60, green, red), np.uint8))
    how = InspectOptions(labels=True, overlays="none", workers=1, group="^([a-z])_")
    by_part = inspect_images(inspector, [Path("imgs")], "out", how)
    assert by_part.classes is not None
    assert by_part.classes.right == rate(1, 2)
    assert by_part.classes.counts == {"dull": 2, "green": 0, "unknown": 0}
    assert by_part.classes.confusion == {"dull": {"dull": 1, "OK": 1}, "green": {"dull": 1}}
    told = dict(facts(by_part))
    assert "1 of 2 named parts of known classes right" in told["class accuracy"]
    assert told["classes"] == "dull 2 (parts)"
    assert "1 of 2 named parts of known classes" in Path("out/report.html").read_text()
    by_image = inspect_images(inspector, [Path("imgs")], "each", replace(how, group=None))
    assert by_image.classes is not None
    assert by_image.classes.right == rate(1, 7)
    assert "1 of 7 named images of known classes right" in dict(facts(by_image))["class accuracy"]


def test_the_spreadsheet_has_class_and_probability(inspector: Inspector, folder: Path) -> None:
    """One column each; empty where none was told."""
    inspect_images(inspector, [folder], "out", InspectOptions(overlays="none", workers=1))
    with Path("out/results.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows["imgs/green/0.png"]["defect_class"] == "green"
    assert float(rows["imgs/green/0.png"]["class_probability"]) == pytest.approx(200 / 255)
    assert float(rows["imgs/green/0.png"]["class_p_value"]) == pytest.approx(200 / 255)
    assert rows["imgs/good/0.png"]["defect_class"] == rows["imgs/good/0.png"]["class_probability"] == ""
    assert rows["imgs/other/0.png"]["defect_class"] == "unknown"
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["classes"]["right"] is None
    assert summary["classes"]["confusion"] == {}


def test_a_model_without_classes_counts_none() -> None:
    """And says nothing of them."""
    assert told_classes({"": {"NG": 3}}, (), labels=False) is None


def test_folders_of_good_kinds_count_as_good() -> None:
    """Where parts are sorted, NG in a trained folder is overkill and OK in any other an escape."""
    contract = classed_contract(("bolt", "nut"), "classify")
    counts = {"bolt": {"OK": 3, "NG": 1}, "nut": {"OK": 2}, "wing": {"OK": 1, "NG": 1}}
    scores = {"bolt": [1.0, 1.0, 1.0, 9.0], "nut": [1.0, 1.0], "wing": [1.0, 9.0]}
    found = summarise_labels(counts, scores, contract.is_good)
    assert (found.overkill.k, found.overkill.n, found.escapes.k, found.escapes.n) == (1, 6, 1, 2)
    assert [(item.name, item.is_good) for item in found.classes] == [("bolt", True), ("nut", True), ("wing", False)]


def test_the_confusion_table_puts_classes_before_verdicts() -> None:
    """What is right stands out; columns that nothing fell into are left out."""
    counted = [("dull", "dull", 4), ("dull", "OK", 1), ("green", "unknown", 2), ("good", "OK", 7)]
    table = str(confusion_table(counted, NAMES))
    columns = [name for name in ("dull", "green", "unknown", "OK") if f'<th scope="col">{name}</th>' in table]
    assert columns == ["dull", "unknown", "OK"]
    assert table.index(">dull</th>") < table.index(">unknown</th>") < table.index(">OK</th>")
    assert table.count("<strong>") == 1
    assert "<strong>4</strong>" in table
