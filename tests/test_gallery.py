"""The pictures of all reports: how many are taken, in which order they stand, and what is said of those left out."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.batch.eye import Eye, Seen
from lineside.batch.gallery import LEFT_OUT, Picture, pictures_of
from lineside.batch.regions import find_regions, regions_of
from lineside.report.gallery import FIRST, FURTHER, Card, Kind, galleries, in_turn, pages
from lineside.runtime import Inspector
from report_pages import Page
from tiny import write_tiny_bundle

SHOWN = Picture(b"raw", b"heat")


def cards(shown: int, left_out: int = 0) -> list[Card]:
    """Cards of falling score, the last of them without a picture."""
    pictures = [SHOWN] * shown + [LEFT_OUT] * left_out
    return [Card(f"{i}.png", "NG", 100.0 - i, picture) for i, picture in enumerate(pictures)]


def read(path: Path) -> np.ndarray:
    """Read a picture in colour."""
    found = cv2.imread(str(path))
    assert found is not None
    return found


@given(st.lists(st.lists(st.integers()), max_size=4))
def test_the_first_page_of_each_kind_comes_before_the_second_of_any(kinds: list[list[int]]) -> None:
    """Nothing is lost or shown twice, and what is taken first is at least a page of every kind."""
    order = in_turn(*kinds)
    assert sorted(order) == sorted(one for kind in kinds for one in kind)
    firsts = sum(len(kind[:FIRST]) for kind in kinds)
    assert order[:firsts] == [one for kind in kinds for one in kind[:FIRST]]


def test_further_pictures_stand_on_pages_that_unfold() -> None:
    """The first page is open, the others tell their places and scores; all of them are there, in order."""
    count = FIRST + FURTHER + 1
    text = "".join(str(part) for part in pages(cards(count), 20.0, count, "results.csv") if part)
    page = Page(text)
    assert len(page.all("details")) == 2
    assert f"{FIRST + 1} to {FIRST + FURTHER}, scores 88 to 65" in page.text
    assert f"{count}, score 64" in page.text
    places = [page.text.index(f"threshold{i}.png") for i in range(count)]
    assert places == sorted(places)
    assert "15 MB" not in page.text


@pytest.mark.parametrize(
    ("shown", "left_out", "count", "words"),
    [
        (3, 2, 5, "The first 3 of 5 are shown, to keep the page below 15 MB; results.csv names all."),
        (3, 0, 1234, "The first 3 of 1,234 are shown"),
        (0, 2, 2, "None of 2 images is shown"),
    ],
)
def test_what_is_left_out_is_said(shown: int, left_out: int, count: int, words: str) -> None:
    """Whether a picture would have been too much or was never kept: the count and the file that has all stand there."""
    page = Page("".join(str(part) for part in pages(cards(shown, left_out), 20.0, count, "results.csv") if part))
    assert words in page.text
    assert len(page.all("img")) == 2 * shown
    assert "None." not in page.text


def test_the_pictures_are_explained_once() -> None:
    """At the first gallery that shows any, with a sentence on the working image only where there is one."""
    one = [Card("a.png", "NG", 30.0, Picture(b"raw", b"heat", None, b"inner", 2))]
    kinds = [Kind("Escapes", "…", [], 0, "x"), Kind("Overkill", "…", one, 1, "x"), Kind("Review", "…", one, 1, "x")]
    made = galleries(kinds, 20.0)
    assert [("In the middle the working image" in text) for text in made.values()] == [False, True, False]
    assert "None." in made["Escapes"]
    assert "2 boxes" in made["Overkill"]
    assert len(Page(made["Overkill"]).all("img")) == 3


def test_pictures_are_taken_until_they_would_be_too_many(tmp_path: Path) -> None:
    """What comes first is there whole; what exceeds the limit is left out, and far behind that nothing is read."""
    rng = np.random.default_rng(0)
    for i in range(80):
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), rng.integers(0, 255, (60, 80, 3)).astype(np.uint8))
    paths, seen = [(path.name, path) for path in sorted(tmp_path.iterdir())], list[int]()
    names = [name for name, _ in paths]

    def look(_: Path, frame: np.ndarray) -> Seen:
        seen.append(1)
        return Seen(np.zeros((6, 8), np.float32))

    every = pictures_of(paths, read, look, 1.0, workers=2)
    size = [picture.size for picture in every.values()]
    seen.clear()
    some = pictures_of(paths, read, look, 1.0, workers=2, most_bytes=sum(size[:10]))
    assert [name for name, picture in some.items() if picture != LEFT_OUT] == names[:10]
    assert list(some) == names
    assert len(seen) < 80
    assert all(some[name] == every[name] for name in names[:10])
    twice = pictures_of([*paths[:10], *paths[:5]], read, look, 1.0, workers=2, most_bytes=sum(size[:10]))
    assert LEFT_OUT in twice.values()  # what stands in the page twice counts twice


@pytest.mark.parametrize(("limits", "boxes"), [((20.0, 20.0), 1), ((500.0, 20.0), 1), ((500.0, 500.0), 0)])
def test_an_eye_sees_what_an_inspector_tells(tmp_path: Path, limits: tuple[float, float], boxes: int) -> None:
    """The same map, and boxes by the thresholds in force: on NG and REVIEW, none on an OK frame."""
    bundle = write_tiny_bundle(tmp_path / "model")
    inspector = Inspector(bundle, threshold_ng=limits[0], threshold_review=limits[1])
    frame = np.full((16, 16, 3), (250, 60, 90), np.uint8)
    result = inspector.inspect(frame)
    seen = Eye((bundle / "model.onnx").read_bytes(), inspector.contract, limits, "it")(Path(), frame)
    assert np.array_equal(seen.anomaly_map, result.anomaly_map)
    assert seen.regions == regions_of(result, inspector.contract.map_threshold)
    assert len(seen.regions) == boxes


def test_a_heatmap_has_contour_and_box(tmp_path: Path) -> None:
    """Whether anybody asked for boxes or not: cyan around what lies above the map's own threshold."""
    path = tmp_path / "part.png"
    cv2.imwrite(str(path), np.full((256, 256, 3), 90, np.uint8))
    heat = np.zeros((16, 16), np.float32)
    heat[4:8, 4:12] = 30.0
    boxed = Seen(heat, find_regions(heat, 20.0, (256, 256)))
    made = [
        pictures_of([("a", path)], read, lambda *_, seen=seen: seen, 20.0, workers=1)["a"]
        for seen in (boxed, Seen(heat))
    ]
    drawn, bare = (cv2.imdecode(np.frombuffer(one.overlay, np.uint8), 1).astype(int) for one in made)
    assert (made[0].boxes, made[1].boxes) == (1, 0)
    edge = drawn[100, 63]  # blue, green, red of the box's left line
    assert edge[0] - edge[2] > 60
    assert np.abs(drawn - bare)[100, 100].max() < 12
    assert (bare[:, :, 0] > 200).any()  # the contour
