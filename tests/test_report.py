"""The report page, its histogram and its pictures: what a reader sees, and what no file name may do to it."""

import dataclasses
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.batch import InspectOptions, inspect_images
from lineside.batch.overlay import encode_jpeg, mirrored_name, overlay
from lineside.batch.row import Row
from lineside.batch.summary import Top
from lineside.contract import Component, Contract, Finding, QualityLimit
from lineside.report.histogram import bin_scores, histogram
from lineside.report.markup import Markup, element
from lineside.report.origin import model_section
from lineside.runtime import Inspector
from tiny import write_bundle, write_tiny_bundle


class Page(HTMLParser):
    """Reads a page: its elements, its text, and whether every element is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element without content."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last, and no other."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text."""
        if self._open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def paint(path: Path, red: int) -> Path:
    """Write a flat image with a score of red - 90."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((12, 16, 3), (90, 60, red), np.uint8))
    return path


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


def section(page: Page, title: str, following: str) -> str:
    """The text from one heading to another."""
    return page.text[page.text.index(title) : page.text.index(following, page.text.index(title))]


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
    assert "25.0 % (1 of 4 good parts called NG" in page.text
    assert "33.3 % (1 of 3 defective parts called OK" in page.text
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


# ---- histogram

SCORES = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40)


@settings(deadline=None)
@given(SCORES, SCORES, st.floats(-1e6, 1e6, width=32))
def test_every_score_is_in_a_bar_on_its_side(up: list[float], down: list[float], threshold: float) -> None:
    """No score is lost, and where the threshold is an edge, as many lie right of it as are above it."""
    bins = bin_scores(np.array(up, np.float32), np.array(down, np.float32), threshold)
    assert (bins.up.sum(), bins.down.sum()) == (len(up), len(down))
    assert (np.diff(bins.edges) > 0).all()
    edge = np.flatnonzero(np.isclose(bins.edges, threshold, rtol=1e-12, atol=0))
    if len(edge) and not bins.log_x:
        assert bins.up[edge[0] :].sum() == sum(score > threshold for score in up)


def test_the_threshold_is_an_edge_and_belongs_to_its_left() -> None:
    """A score that equals the threshold is not NG, so it stands left of the line."""
    scores = np.array([1.0, 2.0, 2.0, 3.0], np.float32)
    bins = bin_scores(scores, scores[:0], 2.0)
    edge = int(np.flatnonzero(bins.edges == 2.0)[0])
    assert (bins.up[:edge].sum(), bins.up[edge:].sum()) == (3, 1)


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [
        ([], 1.0),
        ([3.0], 3.0),
        ([0.0], 0.0),
        ([5.0] * 9, 1.0),
        ([-3.0, -1.0], -2.0),
        ([1.0, 2.0], 1e9),
        ([1e-3, 1e4], 1.0),
    ],
)
def test_odd_scores_still_give_a_drawing(scores: list[float], threshold: float) -> None:
    """None, one, equal, negative and far-apart scores, and a far threshold, are drawn with finite numbers."""
    drawn = histogram(np.array(scores, np.float32), np.array([], np.float32), threshold, names=("a", "b"), unit="score")
    Page(drawn)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert ("No image got a call" in drawn) == (not scores)


def test_a_wide_range_is_drawn_logarithmically() -> None:
    """Scores over several decades would all stand in one bar otherwise."""
    scores = np.geomspace(0.01, 1000, 500).astype(np.float32)
    bins = bin_scores(scores, scores[:0], 1.0)
    assert bins.log_x
    assert (bins.up > 0).sum() > 40


# ---- which rows are shown


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 5))
def test_the_top_rows_are_those_of_a_full_sort(keys: list[int], k: int) -> None:
    """A bounded heap keeps what sorting everything would keep; equals stay in their order."""
    top = Top(k)
    for index, key in enumerate(keys):
        top.add(key, Row(str(index), "OK", float(key), (), None, 1.0, None))
    expected = sorted(range(len(keys)), key=lambda index: (-keys[index], index))[:k]
    assert [row.path for row in top.rows()] == [str(index) for index in expected]


# ---- overlays


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.png", "a/b.png.jpg"),
        ("../../b.png", "@up/@up/b.png.jpg"),
        ("/a/b.png", "@root/a/b.png.jpg"),
        ("@up/b.png", "@@up/b.png.jpg"),
        ("a/../../b.png", "a/@up/@up/b.png.jpg"),
    ],
)
def test_an_overlay_never_leaves_its_folder(path: str, name: str) -> None:
    """Paths are mirrored; what would lead out of the folder is renamed, and renamed paths meet no real ones."""
    assert mirrored_name(Path(path), ".jpg") == name


def test_long_names_stay_apart_and_short_enough() -> None:
    """Two long names that begin alike get two overlay names that a file system takes."""
    first, second = (mirrored_name(Path("é" * 120 + end + ".png"), ".jpg") for end in "ab")
    assert first != second
    assert max(len(name.encode()) for name in (first, second)) < 240


def test_below_the_threshold_the_frame_stays_as_it_was() -> None:
    """Nothing is drawn where the map does not exceed the threshold, however it varies."""
    frame = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    heat = np.linspace(0, 20, 64, dtype=np.float32).reshape(8, 8)
    assert (overlay(frame, heat, 20.0) == frame).all()


def test_colour_means_score_and_not_the_images_own_range() -> None:
    """The same score has the same colour on two images of different range; a hotter one is drawn more strongly."""
    frame = np.full((64, 64, 3), 128, np.uint8)
    shared, hot = np.full((8, 8), 30, np.float32), np.full((8, 8), 30, np.float32)
    hot[0, 0] = 1000.0
    assert (overlay(frame, shared, 20.0)[50, 50] == overlay(frame, hot, 20.0)[50, 50]).all()
    centre = [overlay(frame, np.full((8, 8), s, np.float32), 20.0)[32, 32].astype(int) for s in (22, 38)]
    assert abs(centre[1] - 128).sum() > abs(centre[0] - 128).sum() > 0


def test_a_grey_frame_gets_a_coloured_overlay() -> None:
    """One channel in, three out, and the caller's frame is not changed."""
    frame = np.full((32, 48, 1), 80, np.uint8)
    drawn = overlay(frame, np.full((4, 4), 9, np.float32), 1.0)
    assert drawn.shape == (32, 48, 3)
    assert (frame == 80).all()


def test_an_overlay_is_stored_as_red_green_blue() -> None:
    """What is red in memory is red in the file."""
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    stored = cv2.imdecode(np.frombuffer(encode_jpeg(red), np.uint8), cv2.IMREAD_COLOR)
    assert stored[8, 8, 2] > 150 > 50 > stored[8, 8, 0]
