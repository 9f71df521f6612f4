"""Several images of one part: the worst counts."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, lines, paint
from lineside.batch import InspectOptions, inspect_images, verdict_table
from lineside.batch.course import CourseTaker
from lineside.batch.parts import WORSE, worst
from lineside.batch.row import Row
from lineside.batch.table import facts
from lineside.binomial import clopper_pearson
from lineside.errors import UsageError
from lineside.export.known_images import LOCK_FILE
from lineside.report.course import course_section
from lineside.runtime import Inspector
from report_pages import Page
from tiny import seal, write_tiny_bundle

PATTERN = "^(?P<part>[a-z]+)_"


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures of each of four parts: all well, one with a defect, one too dark in one picture, one with both."""
    monkeypatch.chdir(tmp_path)
    folder = Path("line")
    shots = {"well": (GOOD_RGB, GOOD_RGB), "bad": (BAD_RGB, GOOD_RGB), "dim": (GOOD_RGB, DARK_RGB)}
    for part, colours in {**shots, "both": (DARK_RGB, BAD_RGB)}.items():
        for number, colour in enumerate(colours):
            paint(folder / f"{part}_{number}.png", colour)
    return folder


def sheet(name: str) -> list[dict[str, str]]:
    """Read a CSV file of the run."""
    with (Path("out") / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_pattern_that_fits_no_name_is_refused(line: Path, inspector: Inspector) -> None:
    """A slip in it would make every image a part of its own; nothing is written."""
    with pytest.raises(UsageError, match=r"--group '\^zzz' fits no file name, such as .*\.png"):
        inspect_images(inspector, [line], "out", InspectOptions(group="^zzz"))
    assert not Path("out").exists()


def test_a_part_is_as_its_worst_image(line: Path, inspector: Inspector) -> None:
    """One NG makes a part NG; a part that is else OK and got no call once is not OK."""
    summary = inspect_images(inspector, [line], "out", InspectOptions(group=PATTERN))
    assert {row["part"]: (row["verdict"], row["images"], row["worst_image"]) for row in sheet("parts.csv")} == {
        "bad": ("NG", "2", "line/bad_0.png"),
        "both": ("NG", "2", "line/both_1.png"),
        "dim": ("NO_CALL", "2", "line/dim_1.png"),
        "well": ("OK", "2", "line/well_0.png"),
    }
    assert summary.parts is not None
    assert (summary.total, summary.parts.total, summary.parts.first_pass_yield) == (8, 4, 0.25)
    assert dict(summary.parts.counts) == {"OK": 1, "NG": 2, "REVIEW": 0, "NO_CALL": 1, "unreadable": 0}


def test_rows_and_sheet_name_the_part(line: Path, inspector: Inspector) -> None:
    """The part's name is each row's partId, and a column of results.csv."""
    inspect_images(inspector, [line], "out", InspectOptions(group=PATTERN))
    assert [row["partId"] for row in lines("out")] == [row["part"] for row in sheet("results.csv")]
    assert {row["part"] for row in sheet("results.csv")} == {"well", "bad", "dim", "both"}


def test_the_report_counts_parts_first(line: Path, inspector: Inspector) -> None:
    """Page and console say how many parts there are, and what of them."""
    from rich.console import Console

    summary = inspect_images(inspector, [line], "out", InspectOptions(group=PATTERN))
    page = Page((Path("out") / "report.html").read_text())
    assert "4 parts, each as its worst image: 1 OK, 2 NG, 1 without a call. The yield is 25.0 %." in page.text
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(verdict_table(summary))
    assert "4 parts, each as its worst image" in console.export_text()


def test_an_unreadable_image_keeps_its_part_from_being_ok(line: Path, inspector: Inspector) -> None:
    """Nothing is known of that picture; the part's other one is OK."""
    (line / "well_1.png").write_bytes(b"no picture")
    summary = inspect_images(inspector, [line], "out", InspectOptions(group=PATTERN))
    assert summary.parts is not None
    assert summary.parts.counts["unreadable"] == 1
    assert summary.parts.first_pass_yield == 0.0


def test_the_recipes_own_pattern_is_taken(line: Path) -> None:
    """A bundle whose recipe tells parts apart does so in an inspection too."""
    bundle = write_tiny_bundle(Path("model"))
    (bundle / LOCK_FILE).write_text(f"recipe: {{capture: {{group: '{PATTERN}'}}}}\nimages: []\n")
    seal(bundle)
    summary = inspect_images(Inspector(bundle), [line], "out")
    assert summary.parts is not None
    assert (summary.parts.pattern, summary.parts.total) == (PATTERN, 4)


def test_without_a_pattern_nothing_is_said_of_parts(line: Path, inspector: Inspector) -> None:
    """Each image stands for itself, and parts.csv of an earlier run is gone."""
    inspect_images(inspector, [line], "out", InspectOptions(group=PATTERN))
    assert inspect_images(inspector, [line], "out", InspectOptions(fresh=True)).parts is None
    assert not (Path("out") / "parts.csv").exists()
    assert "part" not in sheet("results.csv")[0]


def test_a_run_does_not_go_on_with_another_pattern(line: Path, inspector: Inspector) -> None:
    """The rows that are there name other parts."""
    inspect_images(inspector, [line], "out", InspectOptions(group=PATTERN))
    with pytest.raises(UsageError, match=r"group: .*--fresh"):
        inspect_images(inspector, [line], "out", InspectOptions(group="^(?P<part>.)"))


def test_a_broken_pattern_is_named(line: Path, inspector: Inspector) -> None:
    """The message shows the option and what is wrong with it; nothing is written."""
    with pytest.raises(UsageError, match=r"--group '\(': no regular expression"):
        inspect_images(inspector, [line], "out", InspectOptions(group="("))
    assert not Path("out").exists()


def test_a_part_is_not_good_and_defective(
    tmp_path: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where folders are the truth one part under two of them is refused with both files, before any is judged."""
    monkeypatch.chdir(tmp_path)
    paint(Path("line/good/well_0.png"), GOOD_RGB)
    paint(Path("line/scratch/well_1.png"), BAD_RGB)
    both = r"'well' stands under two labels: line/good/well_0\.png and line/scratch/well_1\.png"
    with pytest.raises(UsageError, match=both):
        inspect_images(inspector, [Path("line")], "out", InspectOptions(group=PATTERN, labels=True))
    assert not Path("out").exists()
    summary = inspect_images(inspector, [Path("line")], "out", InspectOptions(group=PATTERN))
    assert summary.parts is not None
    assert summary.parts.total == 1


def test_rates_against_folder_names_count_parts(
    tmp_path: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shots of one part are one draw: overkill, escapes, their intervals and the classes' table."""
    monkeypatch.chdir(tmp_path)
    shots = {"good/a_0": BAD_RGB, "good/a_1": GOOD_RGB, "good/a_2": GOOD_RGB, "good/b_0": GOOD_RGB,
             "good/b_1": GOOD_RGB, "dent/c_0": GOOD_RGB, "dent/c_1": BAD_RGB, "dent/d_0": GOOD_RGB,
             "dent/d_1": GOOD_RGB, "dent/e_0": GOOD_RGB, "dent/e_1": DARK_RGB}  # fmt: skip
    for name, colour in shots.items():
        paint(Path("line") / f"{name}.png", colour)
    labels = inspect_images(inspector, [Path("line")], "out", InspectOptions(group=PATTERN, labels=True)).labels
    assert labels is not None
    assert (labels.unit, labels.auroc, labels.defect_no_call) == ("part", 0.5, 1)
    assert [(rate.k, rate.n) for rate in (labels.overkill, labels.escapes)] == [(1, 2), (1, 2)]
    assert labels.overkill.interval == clopper_pearson(1, 2)
    text = Page((Path("out") / "report.html").read_text()).text
    assert "50.0 % (1 of 2 good parts called NG" in text
    plain = inspect_images(inspector, [Path("line")], "plain", InspectOptions(labels=True)).labels
    assert plain is not None
    assert (plain.unit, plain.overkill.n) == ("image", 5)


def test_control_charts_count_parts() -> None:
    """Five images of each of forty parts, every eighth part NG in one of them: forty draws, each at its first time with
    its highest score, whatever the order of the rows. Without a pattern all images are drawn."""
    rows = [
        (Row(f"p{part}_{k}.png", "NG" if part % 8 == 0 and k == 2 else "OK", part + 0.1 * k, (), None, 1.0, None,
             opc={"partId": f"p{part}"}), 100.0 * part + k)
        for part in range(40) for k in range(5)
    ]  # fmt: skip
    grouped, plain = CourseTaker(grouped=True), CourseTaker()
    for row, time in reversed(rows):
        grouped.add(row, row.score or 0.0, time)
        plain.add(row, row.score or 0.0, time)
    grouped.add(Row("p39_9.png", "OK", 0.0, (), None, 1.0, None, opc={"partId": "p39"}), 0.0, None)
    by_part, by_image = grouped.course(of_good=False), plain.course(of_good=False)
    assert (by_part.images, by_part.timed, by_part.unit) == (40, 40, "part")
    assert (by_image.images, by_image.timed, by_image.unit) == (200, 200, "image")
    assert by_part.rejects is not None
    assert by_image.rejects is not None
    assert by_part.scores is not None
    assert (by_part.rejects.centre, by_image.rejects.centre) == (5 / 40, 5 / 200)
    assert by_part.scores.centre == pytest.approx(np.mean([part + 0.4 for part in range(40)]), abs=1e-5)
    assert (by_part.first, by_part.times[1]) == (0.0, 400.0)
    page = str(course_section(by_part))
    assert "40 parts in the order in which they were taken" in page
    assert "4 parts: " in page


def test_parts_in_several_folders_are_said(line: Path, inspector: Inspector) -> None:
    """They stay one part each, for two cameras do that; the console, the page and summary.json count them."""
    assert "folders" not in dict(facts(inspect_images(inspector, [line], "plain", InspectOptions(group=PATTERN))))
    for part in ("well", "bad"):
        paint(line / f"second/{part}_9.png", GOOD_RGB)
    summary = inspect_images(inspector, [line], "out", InspectOptions(group=PATTERN))
    assert summary.parts is not None
    assert (summary.parts.total, summary.parts.scattered) == (4, 2)
    words = "2 parts have images in several folders and count once each"
    assert dict(facts(summary))["folders"].startswith(words)
    assert words in Page((Path("out") / "report.html").read_text()).text
    assert json.loads((Path("out") / "summary.json").read_text())["parts"]["scattered"] == 2


@given(st.lists(st.sampled_from(WORSE), min_size=1))
def test_the_worst_is_one_of_them_and_ng_wins(verdicts: list[str]) -> None:
    """Order and repetition do not matter; one NG is enough, and OK stands only where all are OK."""
    found = worst(verdicts)
    assert found in verdicts
    assert (found == "NG") == ("NG" in verdicts)
    assert (found == "OK") == (set(verdicts) == {"OK"})
