"""The evaluation's report: what stands in it, and colours that can be told apart."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import lineside.report
from evaluated import ESCAPES, EVIL, evaluated
from lineside.batch.eye import Eye
from lineside.batch.gallery import Picture
from lineside.batch.when import taken_at
from lineside.binomial import upper_bound
from lineside.capture.sidecar import read_sidecar
from lineside.report.gallery import Card, gallery
from lineside.report.roc import operating_curves, operating_points
from lineside.runtime import Inspector
from report_pages import Page


@dataclass(frozen=True)
class Made:
    """The page of an evaluation with everything in it."""

    file: Path
    text: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Good and scratched parts of every verdict, with times in their names, limits, takt, costs and red rabbits."""
    file = evaluated(tmp_path_factory.mktemp("evaluation"))
    return Made(file, file.read_text(encoding="utf-8"))


def of_section(made: Made, title: str) -> str:
    """The HTML of one section."""
    found = re.search(rf'<section id="{title}">.*?</section>', made.text, re.S)
    assert found, title
    return found.group()


# ---- what stands in it


def test_the_page_says_in_words_whether_the_model_may_go(made: Made) -> None:
    """The first sentence needs no term of statistics."""
    text = Page(made.text).text
    assert "Of 40 good parts it rejected 1 and it let 5 of 15 defective parts pass." in text
    assert "1 part got no call: the picture was not fit for a verdict." in text
    assert "It cannot be released: 1 of 2 limits is broken and 1 of 1 red rabbit passed." in text


def test_every_part_that_was_wrong_or_unsure_is_shown_with_its_picture(made: Made) -> None:
    """Escapes lowest score first, overkill, review, no call, the red rabbit: image and heatmap each."""
    escapes = of_section(made, "escapes")
    assert re.findall(r"missed(\d)\.png</span>", escapes) == ["0", "1", "2", "3", "4"]
    assert len(re.findall(r"<img ", escapes)) == 2 * ESCAPES
    for title, name in (
        ("overkill", "20260301T071700.png"),
        ("review", "unsure.png"),
        ("no-call", "dark.png"),
        ("red-rabbits-that-passed", "pale.png"),
    ):
        shown = of_section(made, title)
        assert name in shown
        assert len(re.findall(r"<img ", shown)) == 2
    assert "empty.png" in of_section(made, "unreadable")


def test_the_promise_stands_beside_what_came_of_it(made: Made) -> None:
    """The box holds the contract's statement, the realised overkill, and what may be said of escapes."""
    box = Page(of_section(made, "threshold")).text
    for words in (
        "A test's threshold: it promises nothing.",
        "does not contradict the stated 5.0 %",
        "5 of 15 defective parts passed: with 95 % confidence",
        f"at most {100 * upper_bound(5, 15):.1f} % pass (one-sided)",
    ):
        assert words in box


def test_the_plant_the_takt_and_the_quality_are_told(made: Made) -> None:
    """Numbers at the plant's share of defects, time against takt, the gate's numbers, what was not tested."""
    assert "800 of them defective" in of_section(made, "in-the-plant")
    assert "all classes of defects together in the mix they have there" in of_section(made, "in-the-plant")
    assert "Takt: 2 s per part. One image at a time" in of_section(made, "time")
    assert "mean_level" in of_section(made, "picture-quality")
    assert "is marked, by masks or boxes" in of_section(made, "not-tested")


def test_the_good_parts_are_charted_over_time(made: Made) -> None:
    """Names tell the time; the forty good parts with one make ten subgroups, the others are not charted."""
    chart = Page(of_section(made, "over-time")).text
    assert "40 good parts in the order in which they were taken, 2026-03-01 to 2026-03-02" in chart
    assert "in 10 subgroups of 4" in chart
    assert chart.count("p-chart of 10 subgroups") == 1


def test_the_page_is_small_and_needs_nothing_but_itself(made: Made) -> None:
    """Below 15 MB, no address, no picture from outside, one script of our own; a name that is markup stays text."""
    page = Page(made.text)
    assert made.file.stat().st_size < 15_000_000
    assert not {"link", "iframe", "object", "base", "form"} & {name for name, _ in page.elements}
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert len(page.all("script")) == 1
    assert EVIL in page.text
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert str(policy).startswith("default-src 'none'")


def test_the_working_image_stands_in_the_middle_where_a_model_tells_it(inspector: Inspector) -> None:
    """Three pictures with it, two without; a graph without such a value gives none, and is opened all the same."""
    eye = Eye((Path(inspector.path) / "model.onnx").read_bytes(), inspector.contract, (20.0, 20.0), "it")
    assert eye(Path(), np.zeros((8, 8, 3), np.uint8)).working is None
    for working, wanted in ((b"w", ["cGF0aA==", "dw==", "aGVhdA=="]), (b"", ["cGF0aA==", "aGVhdA=="])):
        picture = Picture(b"path", b"heat", working=working)
        page = Page(str(gallery([Card("a.png", "OK", 1.0, picture)], 2.0)))
        assert [str(image["src"]).split(",")[1] for image in page.all("img")] == wanted
        assert all(image["alt"] for image in page.all("img"))


def test_operating_points_count_what_is_above_each_threshold() -> None:
    """By hand: at a score itself it is not NG."""
    points = operating_points([1.0, 2.0], [2.0, 3.0])
    assert points.thresholds[1:].tolist() == [1.0, 2.0, 3.0]
    assert points.overkill.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert points.escapes.tolist() == [0.0, 0.0, 0.5, 1.0]


def test_the_curves_can_be_read_as_a_table() -> None:
    """The model's own threshold is among the lines, with counts and shares."""
    page = Page(str(operating_curves(operating_points([1.0, 2.0], [2.0, 3.0], 1.5), 1.5, 0.9)))
    assert "1.5 (the model's)150.0 %00.0 %" in page.text
    assert "Overkill, of 2" in page.text


def test_the_charts_can_be_read_as_tables(made: Made) -> None:
    """A line for each subgroup, with the limits that it was held against."""
    chart = of_section(made, "over-time")
    assert chart.count("<details") == 2
    assert Page(chart).text.count("2026-03-01 07:0") >= 2


def test_very_many_scores_still_make_a_small_curve() -> None:
    """Thinned, and still from everything NG to nothing NG."""
    rng = np.random.default_rng(0)
    points = operating_points(rng.normal(0, 1, 20_000).tolist(), rng.normal(2, 1, 20_000).tolist())
    assert len(points.thresholds) <= 601
    assert (points.overkill[0], points.overkill[-1], points.escapes[0], points.escapes[-1]) == (1.0, 0.0, 0.0, 1.0)


def test_the_own_threshold_is_counted_itself_however_many_scores_there_are() -> None:
    """Its shares are its own, not those of the score that was kept beside it."""
    rng = np.random.default_rng(0)
    good, bad = rng.normal(0, 1, 20_000), rng.normal(2, 1, 20_000)
    points = operating_points(good.tolist(), bad.tolist(), 0.123)
    (at,) = np.flatnonzero(points.thresholds == 0.123)
    assert points.overkill[at] == pytest.approx((good > 0.123).mean())
    assert points.escapes[at] == pytest.approx((bad <= 0.123).mean())


@pytest.mark.parametrize("own", [-5.0, 1.5, 9.0])
def test_the_own_threshold_stays_on_the_canvas(own: float) -> None:
    """Also below every score and above every score; the dot stands where it rejects what it rejects."""
    page = Page(str(operating_curves(operating_points([1.0, 2.0], [2.0, 3.0], own), own, 0.9)))
    left, right = (float(edge) for edge in str(page.all("svg")[1]["data-box"]).split()[:2])
    (line,) = [one for one in page.all("line") if one.get("class") == "limit"]
    assert left < float(str(line["x1"])) <= right
    dot = next(one for one in page.all("circle") if one.get("class") == "own")
    overkill = {-5.0: 1.0, 1.5: 0.5, 9.0: 0.0}[own]
    assert float(str(dot["cx"])) == pytest.approx(left + overkill * (right - left), abs=0.1)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("20260301T071530.png", 1772349330.0),
        ("cam1_2026-03-01_07-15-30_p7.png", 1772349330.0),
        ("01_260301071530_4.jpg", 1772349330.0),
        ("000.png", None),
        ("20261301T071530.png", None),
        ("1234567890123456.png", None),
    ],
)
def test_a_time_in_a_name_is_read(name: str, seconds: float | None) -> None:
    """Year to second; digits that are no time are none."""
    assert taken_at(Path(name), {}) == seconds


def test_a_sidecar_goes_before_the_name_unless_it_had_to_guess(tmp_path: Path) -> None:
    """lineside capture says when; where it only had the file's date, the name counts."""
    path = tmp_path / "20260301T071530.png"
    path.with_suffix(".json").write_text('{"time": "2026-03-01T08:00:00+00:00", "time_of": "camera"}')
    assert taken_at(path, read_sidecar(path)) == 1772352000.0
    path.with_suffix(".json").write_text('{"time": "2026-03-01T08:00:00+00:00", "time_of": "last change of the file"}')
    assert taken_at(path, read_sidecar(path)) == 1772349330.0
    path.with_suffix(".json").write_text("[]")
    assert taken_at(path, read_sidecar(path)) == 1772349330.0


# ---- colours


def palettes() -> list[dict[str, str]]:
    """Return the colours of light and dark."""
    style = Path(lineside.report.__file__).with_name("page.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    return [one for one in found if one]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 to 21: WCAG 2.2, definitions of relative luminance and contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent", "ok", "ng", "review", "no-call"])
def test_text_stands_out(mode: int, text: str) -> None:
    """WCAG AA: 4.5 for text, on paper and on cards."""
    palette = palettes()[mode]
    assert len(palettes()) == 2
    assert contrast(palette[text], palette["paper"]) >= 4.5
    assert contrast(palette[text], palette["card"]) >= 4.5


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_marks_stand_out(mode: int) -> None:
    """WCAG AA: 3 for bars, lines and borders that mean something; text of a warning 4.5 on its ground."""
    palette = palettes()[mode]
    for mark in ("ok", "ng", "review", "no-call", "unreadable", "accent"):
        assert contrast(palette[mark], palette["card"]) >= 3.0
    assert contrast(palette["ink"], palette["warn"]) >= 4.5
