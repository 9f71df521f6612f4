"""Images without a call: counted apart from NG, by reason, and limited by `lineside inspect --max-no-call`."""

import csv
import json
from functools import partial
from pathlib import Path

import pytest

import commands
from flat_parts import DARK_RGB, paint
from lineside.batch import InspectOptions, inspect_images
from lineside.batch.no_call import NoCalls, Reason, count_no_calls
from lineside.batch.table import no_call_words
from lineside.cli import inspect
from lineside.errors import UsageError
from lineside.runtime import Inspector

run = partial(commands.run, "inspect", inspect.command)
WORDS = "the frame is too dark or too bright"


@pytest.fixture
def dark(images: Path) -> Path:
    """Five parts, and one picture without light: one of six gets no call."""
    paint(images / "good/dark.png", DARK_RGB)
    return images


@pytest.mark.parametrize(("limit", "code"), [("0", 1), ("0.16", 1), ("0.17", 0), ("1", 0)])
def test_too_many_without_a_call_is_exit_code_1(dark: Path, bundle: Path, limit: str, code: int) -> None:
    """After everything was written; the share and the limit are said."""
    found, out, words = run(bundle, dark, "--out", "out", "--max-no-call", limit)
    assert found == code
    assert "report" in out
    assert (Path("out") / "report.html").exists()
    assert ("16.67 % of the readable images" in words.replace("16.67%", "16.67 %")) == (code == 1)
    assert (f"{float(limit):.2%}" in words) == (code == 1)
    assert json.loads((Path("out") / "summary.json").read_text())["no_call"]["limit"] == float(limit)


def test_without_a_limit_any_share_is_no_failure(dark: Path, bundle: Path) -> None:
    """Exit code 0; the summary says that no limit was set."""
    assert run(bundle, dark, "--out", "out")[0] == 0
    document = json.loads((Path("out") / "summary.json").read_text())["no_call"]
    assert document == {
        "count": 1,
        "readable": 6,
        "share": pytest.approx(1 / 6),
        "limit": None,
        "reasons": [{"name": "exposure", "words": WORDS, "count": 1}],
    }


def test_a_limit_may_change_when_a_run_goes_on(dark: Path, bundle: Path) -> None:
    """It changes no result, so that the same results are judged by another limit."""
    assert run(bundle, dark, "--out", "out", "--max-no-call", "0.5")[0] == 0
    code, out, _ = run(bundle, dark, "--out", "out", "--max-no-call", "0.1")
    assert code == 1
    assert "nothing was left to judge" in out


def test_unreadable_images_come_before_the_limit(dark: Path, bundle: Path) -> None:
    """Exit code 3 where both hold; the share is of the images that could be read, and is said all the same."""
    (dark / "empty.png").touch()
    code, _, words = run(bundle, dark, "--out", "out", "--max-no-call", "0.1")
    assert code == 3
    assert "1 of 6" in words


@pytest.mark.parametrize("limit", ["-0.1", "1.1", "nan"])
def test_a_limit_that_is_no_share_is_refused(dark: Path, bundle: Path, inspector: Inspector, limit: str) -> None:
    """Before anything is judged; from a program too."""
    code, _, words = run(bundle, dark, "--out", "out", "--max-no-call", limit)
    assert code == 2
    assert "from 0 to 1" in words
    assert not Path("out").exists()
    with pytest.raises(UsageError):
        inspect_images(inspector, [dark], "out", InspectOptions(max_no_call=float(limit)))


def test_with_json_the_complaint_is_not_on_stdout(dark: Path, bundle: Path) -> None:
    """stdout holds the summary and nothing else."""
    code, out, words = run(bundle, dark, "--json", "--max-no-call", "0")
    assert code == 1
    assert json.loads(out)["no_call"]["count"] == 1
    assert "no call" in words


def test_reasons_are_spelt_out_everywhere(dark: Path, bundle: Path) -> None:
    """Console, table and page say the contract's sentence; the table keeps the name for machines."""
    _, out, _ = run(bundle, dark, "--out", "out", "--max-no-call", "0.5")
    assert "no call" in out
    assert "at most 50.0 % allowed" in " ".join(out.split())
    with (Path("out") / "results.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["verdict"] == "NO_CALL")
    assert (row["reasons"], row["words"]) == ("exposure", WORDS)
    page = (Path("out") / "report.html").read_text()
    assert "16.7 % of the readable images (1 of 6; at most 50.0 % allowed)" in page
    assert page.count(WORDS) >= 2


def test_a_broken_limit_is_a_warning_on_the_page(dark: Path, bundle: Path) -> None:
    """The same sentence as on the console."""
    run(bundle, dark, "--out", "out", "--max-no-call", "0")
    assert "is allowed by --max-no-call" in (Path("out") / "report.html").read_text()


def test_reasons_are_counted_most_frequent_first() -> None:
    """An unknown reason keeps its name; without a readable image there is no share and no complaint."""
    counts = {"OK": 1, "NG": 0, "REVIEW": 0, "NO_CALL": 3, "unreadable": 2}
    found = count_no_calls(counts, {"b": 1, "a": 1, "c": 3}, {"a": "word"}, 0.5)
    assert found == NoCalls(3, 4, 0.75, 0.5, (Reason("c", "c", 3), Reason("a", "word", 1), Reason("b", "b", 1)))
    assert found.too_many
    assert "75.0 % (3 of 4 readable images)" in no_call_words(found)
    nothing = count_no_calls({**counts, "OK": 0, "NO_CALL": 0}, {}, {}, 0.0)
    assert nothing.share is None
    assert not nothing.too_many
