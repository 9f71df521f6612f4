"""Truth from folder names, other thresholds, and the `lineside inspect` command."""

import json
import os
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import commands
from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, lines, paint
from lineside.batch import InspectOptions, inspect_images, verdict_table
from lineside.batch.labels import truth_of
from lineside.calibrate.metrics import auroc
from lineside.cli import inspect
from lineside.errors import BundleError
from lineside.runtime import Inspector, load_bundle

# ---- truth


@pytest.mark.parametrize(
    ("path", "truth"),
    [("a/good/1.png", "good"), ("a/OK/1.png", "good"), ("scratch/1.png", "scratch"), ("good/scratch/1.png", "scratch")],
)
def test_the_truth_is_the_folders_name(path: str, truth: str) -> None:
    """The folder that holds the image says what it is; the words for good are those of the data sets."""
    assert truth_of(Path(path)) == truth


def test_the_truth_is_known_from_inside_the_folder(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the path as given names no folder, the working folder's name counts."""
    monkeypatch.chdir(images / "good")
    assert truth_of(Path("0.png")) == "good"
    assert truth_of(Path("../0.png")) == "imgs"


def test_overkill_and_escapes_count_calls_only(images: Path, inspector: Inspector) -> None:
    """A good part without a call is neither a pass nor overkill; an unreadable file counts nowhere in the rates."""
    paint(images / "good/dark.png", DARK_RGB)
    paint(images / "good/red.png", BAD_RGB)
    paint(images / "scratch/pale.png", GOOD_RGB)
    (images / "scratch/empty.png").touch()
    labels = inspect_images(inspector, [images], "out", InspectOptions(labels=True)).labels
    assert labels is not None
    assert (labels.overkill.k, labels.overkill.n) == (1, 4)
    assert (labels.escapes.k, labels.escapes.n) == (1, 3)
    assert (labels.good_no_call, labels.defect_no_call) == (1, 0)
    assert labels.overkill.interval == pytest.approx((0.0063, 0.8059), abs=1e-4)  # tabulated: 1 of 4
    assert {row["label"] for row in lines("out")} == {"good", "scratch"}


def test_every_class_has_its_own_numbers(images: Path, inspector: Inspector) -> None:
    """Per class: counts, escapes, and AUROC against the good parts."""
    paint(images / "stain/0.png", GOOD_RGB)
    labels = inspect_images(inspector, [images], "out", InspectOptions(labels=True)).labels
    assert labels is not None
    by_name = {item.name: item for item in labels.classes}
    assert list(by_name) == ["good", "scratch", "stain"]
    assert (by_name["scratch"].auroc, by_name["stain"].auroc, by_name["good"].auroc) == (1.0, 0.5, None)
    assert (by_name["scratch"].wrong.share, by_name["stain"].wrong.share) == (0.0, 1.0)


def test_good_parts_alone_have_no_auroc(images: Path, inspector: Inspector) -> None:
    """With one side empty there is nothing to rank, and nothing is made up."""
    labels = inspect_images(inspector, [images / "good"], "out", InspectOptions(labels=True)).labels
    assert labels is not None
    assert labels.auroc is None
    assert labels.escapes.share is None


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_auroc_is_scikit_learns(good: list[int], defect: list[int]) -> None:
    """With ties, the same number as sklearn's."""
    metrics = pytest.importorskip("sklearn.metrics")
    truth = [0] * len(good) + [1] * len(defect)
    assert auroc(good, defect) == pytest.approx(metrics.roc_auc_score(truth, good + defect), abs=1e-12)


# ---- thresholds


@pytest.mark.parametrize(("threshold", "counts"), [(5.0, (0, 5)), (20.0, (3, 2)), (109.0, (3, 2)), (200.0, (5, 0))])
def test_another_threshold_decides(images: Path, bundle: Path, threshold: float, counts: tuple[int, int]) -> None:
    """An override decides every verdict, leaves nothing between NG and REVIEW, and is said in the summary."""
    summary = inspect_images(Inspector(bundle, threshold_ng=threshold), [images], "out")
    assert (summary.counts["OK"], summary.counts["NG"], summary.counts["REVIEW"]) == (*counts, 0)
    assert summary.threshold.overridden
    assert summary.threshold.ng == threshold


# ---- the command


run = partial(commands.run, "inspect", inspect.command)


def test_the_command_prints_the_table(images: Path, bundle: Path) -> None:
    """Counts, yield, times and the report's place, in the default folder; NG is a result, not a failure."""
    code, out, _ = run(bundle, images)
    assert code == 0
    for words in ("OK", "NO_CALL", "unreadable", "60.0 %", "ms per image", "inspections/tiny/report.html"):
        assert words in out
    assert "AUROC" not in out
    assert "overkill" not in out


def test_the_command_holds_times_against_the_takt(images: Path, bundle: Path) -> None:
    """--takt adds a line; what is no time is refused before anything is judged."""
    code, out, _ = run(bundle, images, "--takt", "2")
    assert code == 0
    assert "of 2 s per part" in out
    code, _, complaint = run(bundle, images, "--takt", "0", "--out", "other")
    assert code == 2
    assert "--takt must be a time per part" in complaint
    assert not Path("other").exists()


def test_the_command_tells_the_truth_only_when_asked(images: Path, bundle: Path) -> None:
    """--labels adds overkill, escapes, AUROC and a line per folder."""
    code, out, _ = run(bundle, images, "--labels")
    assert code == 0
    for words in ("overkill", "0 of 3 good images called NG", "escapes", "1.0000", "scratch"):
        assert words in out


def test_json_is_all_of_stdout(images: Path, bundle: Path) -> None:
    """--json prints one JSON document and nothing else."""
    code, out, _ = run(bundle, images, "--json", "--out", "out")
    assert code == 0
    assert json.loads(out)["counts"]["NG"] == 2


def test_an_unreadable_image_is_exit_code_3(images: Path, bundle: Path) -> None:
    """The others are judged, the results are written, and the code says that something was not read."""
    (images / "bad.png").touch()
    code, out, _ = run(bundle, images, "--out", "out")
    assert code == 3
    assert "report" in out
    assert (Path("out") / "report.html").exists()


def test_a_wrong_source_is_exit_code_2_even_with_a_wrong_model(images: Path) -> None:
    """What does not exist is said before the model is loaded, and nothing is written."""
    code, _, words = run("no-model", "absent", "--out", "out")
    assert code == 2
    assert "absent" in words
    assert not Path("out").exists()


def test_a_threshold_on_the_command_line_decides(images: Path, bundle: Path) -> None:
    """--threshold overrides the bundle's, and the table says so."""
    code, out, _ = run(bundle, images, "--threshold", "200")
    assert code == 0
    assert "100.0 %" in out
    assert "200 (overridden)" in out


def test_a_threshold_that_is_no_number_is_refused(images: Path, bundle: Path) -> None:
    """Not a number is no threshold."""
    code, _, words = run(bundle, images, "--threshold", "nan")
    assert code == 2
    assert "finite number" in words


def test_a_folder_name_cannot_style_the_table(images: Path, inspector: Inspector) -> None:
    """Square brackets in a folder's name are text, not rich markup."""
    paint(images / "[red]x/0.png", BAD_RGB)
    summary = inspect_images(inspector, [images], "out", InspectOptions(labels=True))
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(verdict_table(summary))
    assert "[red]x" in console.export_text()


def test_a_higher_limit_holds_to_the_report(bundle: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model above the usual limit that was let in is let in for the report's pictures too."""
    size = (bundle / "model.onnx").stat().st_size
    assert load_bundle.__kwdefaults__ is not None
    monkeypatch.setitem(load_bundle.__kwdefaults__, "max_model_bytes", size - 1)
    commands.invoke("inspect", bundle, images, "--out", "out", "--max-model-bytes", str(size))
    assert (Path("out") / "report.html").is_file()
    assert (Path("out") / "summary.json").is_file()


def test_limits_guard_against_giants(bundle: Path, images: Path) -> None:
    """--max-pixels makes larger images unreadable ones, --max-model-bytes refuses a larger model."""
    size = (bundle / "model.onnx").stat().st_size
    kept = commands.invoke("inspect", bundle, images, "--out", "out", "--max-model-bytes", str(size))
    assert kept.exit_code == 0
    pixels = int(np.prod(cv2.imread(str(next(images.rglob("*.png")))).shape[:2]))
    refused = commands.invoke("inspect", bundle, images, "--out", "small", "--max-pixels", str(pixels - 1), "--json")
    assert refused.exit_code == 3
    counts = json.loads(refused.stdout)["counts"]
    assert counts["unreadable"] == sum(counts.values()) > 0
    assert "--max-pixels" in Path("small/results.jsonl").read_text()
    giant = commands.invoke("inspect", bundle, images, "--out", "none", "--max-model-bytes", str(size - 1))
    assert isinstance(giant.exception, BundleError)
    assert "--max-model-bytes" in giant.exception.message
