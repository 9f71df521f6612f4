"""The report page, its histogram and its pictures: what a reader sees, and what no file name may do to it."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.batch import InspectOptions, inspect_images
from lineside.batch.row import Row
from lineside.batch.summary import Top
from lineside.contract import Component, Contract, Finding, QualityLimit
from lineside.errors import UsageError
from lineside.report.markup import Markup, element
from lineside.report.origin import model_section
from lineside.runtime import Inspector
from report_pages import Page, paint, section
from tiny import write_bundle, write_tiny_bundle


@pytest.fixture
def inspector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inspector:
    """The tiny bundle, and good and scratched parts below the working folder."""
    monkeypatch.chdir(tmp_path)
    for index, red in enumerate((95, 100, 105, 130)):  # scores 5, 10, 15, 40: the last one is overkill
        paint(Path(f"imgs/good/{index}.png"), red)
    for index, red in enumerate((100, 160, 200)):  # scores 10, 70, 110: the first one escapes
        paint(Path(f"imgs/scratch/{index}.png"), red)
    return Inspector(write_tiny_bundle(tmp_path / "model"))


def page_of(inspector: Inspector, options: InspectOptions | None = None) -> Page:
    """Inspect ``imgs`` and read the report."""
    inspect_images(inspector, ["imgs"], "out", options)
    return Page(Path("out/report.html").read_text(encoding="utf-8"))


# ---- the page


def test_the_page_needs_nothing_but_itself(inspector: Inspector) -> None:
    """No script, no frame, no stylesheet, no picture from outside; links lead to the overlays beside the page."""
    page = page_of(inspector, InspectOptions(labels=True))
    assert not {"script", "link", "iframe", "object", "base", "form"} & {name for name, _ in page.elements}
    assert page.all("img")
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.all("img"))
    links = [str(link["href"]) for link in page.all("a")]
    files = [link for link in links if not link.startswith("#")]
    assert files
    assert all(link.startswith("overlays/") and Path("out", link).is_file() for link in files)
    ids = {f"#{attributes['id']}" for attributes in page.all("section")}
    assert {link for link in links if link.startswith("#")} == ids
    style = Path("out/report.html").read_text().split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_every_picture_has_a_text(inspector: Inspector) -> None:
    """Images and the histogram say in words what they show."""
    page = page_of(inspector)
    assert all(image["alt"] for image in page.all("img"))
    assert [svg["role"] for svg in page.all("svg")] == ["img"]
    assert "Histogram of 7 scores; 3 above the threshold of 20." in page.text


def test_the_page_says_what_was_found(inspector: Inspector) -> None:
    """Verdicts, yield, hashes, threshold with its statement, times."""
    page = page_of(inspector)
    assert "7 images: 4 OK, 3 NG. The yield is 57.1 %." in page.text
    for words in (inspector.model_sha256, "0" * 64, "A test's threshold: it promises nothing.", "fixed by the test"):
        assert words in page.text
    for words in ("empirical", "20 scores of good images", "0.0 % to 20.0 %", "p95", "Images per second"):
        assert words in page.text


def test_a_finding_is_said_in_words_on_its_card(inspector: Inspector, tmp_path: Path) -> None:
    """An NG image whose reason no map shows says it as a sentence, and only that image."""
    pale = Finding("pale", "the part is paler than any good one", (QualityLimit("mean_level", None, 110.0),))
    contract = dataclasses.replace(inspector.contract, findings=(pale,))
    text = page_of(Inspector(write_bundle(tmp_path / "found", contract))).text
    worst = text[text.index("Worst first", text.index("Threshold")) :]  # red 200: mean level 350 / 3
    assert worst.count("the part is paler than any good one") == 1
    assert worst.index("the part is paler") < worst.index("imgs/scratch/2.png") < worst.index("imgs/scratch/1.png")


def test_truth_is_reported_only_when_asked(inspector: Inspector) -> None:
    """Without labels no word of overkill found or escapes; with them the numbers, per class too."""
    page = page_of(inspector)
    assert "Defective parts called OK" not in page.text
    assert "Against the truth" not in page.text
    page = page_of(inspector, InspectOptions(labels=True, fresh=True))
    assert "25.0 % (1 of 4 good images called NG" in page.text
    assert "33.3 % (1 of 3 defective images called OK" in page.text
    assert "Each image was taken for a part of its own" in page.text
    assert "imgs/scratch/0.png" in section(page, "Defective parts called OK, lowest", "Overkill")
    assert "imgs/good/3.png" in section(page, "Good parts called NG, highest", "per image, ms")


def test_the_worst_come_first(inspector: Inspector) -> None:
    """The gallery is ordered by score, with image and overlay of each."""
    page = page_of(inspector)
    worst = section(page, "Highest score first", "per image, ms")
    order = ["imgs/scratch/2", "imgs/scratch/1", "imgs/good/3", "imgs/good/2"]
    places = [worst.index(name) for name in order]
    assert places == sorted(places)
    assert len(page.all("img")) == 2 * 7


def test_the_clearest_escape_comes_first(inspector: Inspector) -> None:
    """Among the escapes, the one that the model saw least of is shown first."""
    paint(Path("imgs/scratch/low.png"), 91)
    paint(Path("imgs/scratch/near.png"), 109)
    escapes = section(
        page_of(inspector, InspectOptions(labels=True)), "Defective parts called OK, lowest", "Good parts"
    )
    assert escapes.index("low.png") < escapes.index("scratch/0.png") < escapes.index("near.png")


def test_an_image_that_is_gone_is_said_so(inspector: Inspector) -> None:
    """A resumed run cannot show a picture that was moved away, nor one that was overwritten; it says which and why."""
    page_of(inspector)
    Path("imgs/scratch/2.png").unlink()
    Path("imgs/scratch/1.png").write_bytes(b"")
    page = page_of(inspector)
    assert "The image is no longer where it was inspected." in page.text
    assert "The image can no longer be read." in page.text
    assert len(page.all("img")) == 2 * 5


def test_a_resumed_run_reports_all_of_it(inspector: Inspector) -> None:
    """The page after a stop and the page of a whole run show the same images."""
    shutil.move("imgs/scratch", "later")
    page_of(inspector)
    shutil.move("later", "imgs/scratch")
    page = page_of(inspector)
    assert "7 images: 4 OK, 3 NG" in page.text
    assert "3 of 7" in section(page, "Judged by the last call", "SHA-256")


def test_unreadable_files_are_listed(inspector: Inspector) -> None:
    """Each with what was wrong, and not counted in the yield."""
    Path("imgs/good/empty.png").touch()
    page = page_of(inspector)
    assert "1 unreadable. The yield is 57.1 %" in page.text
    assert "imgs/good/empty.png" in section(page, "These files were not judged", "per image, ms")


def test_no_call_has_its_own_place(inspector: Inspector) -> None:
    """A picture without a call is not among the worst; its reason is spelt out."""
    paint(Path("imgs/good/dark.png"), 0)
    cv2.imwrite("imgs/good/dark.png", np.zeros((8, 8, 3), np.uint8))
    page = page_of(inspector)
    assert "dark.png" not in section(page, "Highest score first", "not fit for a verdict")
    refused = section(page, "not fit for a verdict", "per image, ms")
    assert "dark.png" in refused
    assert "the frame is too dark or too bright" in refused


def test_parts_for_a_person_have_a_gallery_of_their_own(inspector: Inspector, tmp_path: Path) -> None:
    """REVIEW stands apart, highest score first, with pictures; the histogram draws where it begins."""
    review = dataclasses.replace(inspector.contract.threshold_review, value=12.0)
    contract = dataclasses.replace(inspector.contract, threshold_review=review)
    paint(Path("imgs/scratch/unsure.png"), 108)  # a score of 18; imgs/good/2.png has 15
    page = page_of(Inspector(write_bundle(tmp_path / "band", contract)))
    told = section(page, "For a person to decide", "per image, ms")
    assert 0 < told.index("scratch/unsure.png") < told.index("good/2.png")
    assert "good/1.png" not in told
    assert "REVIEW above 12" in page.text
    assert len(page.all("img")) == 2 * (8 + 2)


def test_the_page_says_what_was_not_tested(inspector: Inspector) -> None:
    """What an inspection leaves open depends on what it was told: truth, takt, parts."""
    without = section(page_of(inspector), "Not testedOverkill", "Model SHA-256")
    for words in ("nobody told which of these parts are good", "no takt was given", "for a part of its own"):
        assert words in without
    assert "Light, pose and picture quality beyond those of the images at hand" in without
    for path in sorted(Path("imgs/scratch").iterdir()):
        path.rename(path.with_name(f"s{path.name}"))
    told = InspectOptions(labels=True, takt_s=2.0, group=r"(?P<part>s?\d)\.png", fresh=True)
    given = page_of(inspector, told).text
    given = given[given.index("lineside evaluate tells") :]
    for words in ("nobody told", "no takt was given", "for a part of its own"):
        assert words not in given


def test_times_are_held_against_the_takt(inspector: Inspector) -> None:
    """Per part, all images of a part together: the share of the takt stands on the page and can be computed again."""
    options = InspectOptions(takt_s=0.5, group=r"(?P<part>\d)\.png$")
    summary = inspect_images(inspector, ["imgs"], "out", options)
    rows = [json.loads(line) for line in Path("out/results.jsonl").read_text().splitlines()]
    times = [sum(row["duration_ms"] for row in rows if row["partId"] == part) for part in "0123"]
    assert summary.part_duration_ms is not None
    assert summary.part_duration_ms.p99 == pytest.approx(float(np.percentile(times, 99)), abs=2e-3)
    assert summary.takt_share == pytest.approx(summary.part_duration_ms.p99 / 500.0)
    text = Page(Path("out/report.html").read_text(encoding="utf-8")).text
    assert f"per part, of the takt{100 * summary.part_duration_ms.p50 / 500:.1f} %" in text
    assert "Takt: 0.5 s per part." in text
    assert json.loads(Path("out/summary.json").read_text())["takt_ms"] == 500.0


@pytest.mark.parametrize("takt", [0.0, -1.0, float("inf"), float("nan")])
def test_a_takt_that_is_no_time_is_refused(inspector: Inspector, takt: float) -> None:
    """Before any image is judged."""
    with pytest.raises(UsageError, match="--takt must be a time per part"):
        inspect_images(inspector, ["imgs"], "out", InspectOptions(takt_s=takt))
    assert not Path("out/results.jsonl").exists()


def test_an_override_voids_what_the_contract_states(inspector: Inspector) -> None:
    """Under another threshold the page withdraws the statement and shows both numbers."""
    page = page_of(Inspector("model", threshold_ng=50.0), InspectOptions())
    assert "any guarantee included, does not hold" in page.text
    assert "A test's threshold: it promises nothing." not in page.text
    assert "NG above50" in page.text
    assert "The model's own20" in page.text


def test_no_name_becomes_markup(inspector: Inspector) -> None:
    """Files and folders named like HTML are text, in every place where the page shows them."""
    evil = '"><script>alert(1)<img src=x onerror=1>'
    paint(Path(f"imgs/{evil}/<script>.png"), 200)
    (Path("imgs") / evil / "<b>.png").touch()
    cv2.imwrite(f"imgs/{evil}/<i>.png", np.zeros((8, 8, 3), np.uint8))
    page = page_of(inspector, InspectOptions(labels=True))
    assert not {"script", "b>", "i"} & {name for name, _ in page.elements}
    assert all(str(image["src"]).startswith("data:") for image in page.all("img"))
    assert "<script>.png" in page.text


def test_licences_are_shown(inspector: Inspector) -> None:
    """Every component stands with its name, source, licence and hash."""
    part = Component("backbone", "some-net", "pypi:some-net==1", "Apache-2.0", "ab" * 32)
    contract: Contract = dataclasses.replace(inspector.contract, components=(part,))
    summary = inspect_images(inspector, ["imgs"], "out")
    text = Page(model_section(summary, contract)).text
    for words in ("some-net", "pypi:some-net==1", "Apache-2.0", "abababababab"):
        assert words in text


def test_the_page_follows_light_and_dark() -> None:
    """The style has colours for both and leaves the choice to the reader's system."""
    style = Path(__import__("lineside.report", fromlist=["x"]).__file__).with_name("page.css").read_text()
    assert "prefers-color-scheme: dark" in style


# ---- markup


def test_text_is_escaped_and_markup_is_not() -> None:
    """Text, attributes and nested lists are escaped once; elements are left as they are."""
    assert element("p", "<&", [element("b", 1), None], title='"') == '<p title="&quot;">&lt;&amp;<b>1</b></p>'
    assert isinstance(element("br"), Markup)


# ---- which rows are shown


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 5))
def test_the_top_rows_are_those_of_a_full_sort(keys: list[int], k: int) -> None:
    """A bounded heap keeps what sorting everything would keep; equals stay in their order."""
    top = Top(k)
    for index, key in enumerate(keys):
        top.add(key, Row(str(index), "OK", float(key), (), None, 1.0, None))
    expected = sorted(range(len(keys)), key=lambda index: (-keys[index], index))[:k]
    assert [row.path for row in top.rows()] == [str(index) for index in expected]
