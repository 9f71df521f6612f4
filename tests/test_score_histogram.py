"""The histogram of scores: bins, drawing, and the table that says the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.report.histogram import ScoreSets, bin_scores, histogram
from lineside.report.scores import drawn_scores
from report_pages import Page

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
    drawn = histogram(ScoreSets(np.array(scores, np.float32), np.array([], np.float32), threshold, ("a", "b")))
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


def test_the_histogram_can_be_read_as_a_table() -> None:
    """Every bar is a line: its scores, its side of the threshold, and the numbers, which add up."""
    up, down = np.array([1, 1, 2, 3], np.float32), np.array([3, 5], np.float32)
    pale = ("more", np.array([1, 4], np.float32))
    drawn = drawn_scores(ScoreSets(up, down, 2.0, ("good", "bad"), pale))
    page = Page("".join(drawn))
    assert [name for name, _ in page.elements].count("details") == 1
    cells = [row.split("<td>")[1:] for row in str(drawn[1]).split("<tr>")[2:]]
    sides = [row[0].split("<")[0] for row in cells]
    counts = np.array([[int(cell.split("<")[0].replace("·", "0")) for cell in row[1:]] for row in cells])
    assert counts.sum(axis=0).tolist() == [4, 2, 2]
    above = counts[[side == "above" for side in sides]].sum(axis=0).tolist()
    assert above == [1, 1, 2]
    assert set(sides) == {"above", "at or below"}


def test_without_scores_there_is_no_table() -> None:
    """A sentence says so, and nothing is to be unfolded."""
    nothing = np.array([], np.float32)
    assert "<details" not in "".join(drawn_scores(ScoreSets(nothing, nothing, 1.0, ("a", ""))))


def test_pale_scores_stand_on_the_solid_ones() -> None:
    """Both are counted once, in the same bins, and the axis has room for their sum."""
    solid, pale = np.full(7, 1.0, np.float32), np.array([1.0, 1.0, 3.0], np.float32)
    bins = bin_scores(solid, solid[:0], 2.0, pale)
    assert (bins.up.sum(), bins.pale.sum(), bins.down.sum()) == (7, 3, 0)
    assert (bins.up + bins.pale).max() == 9
    drawn = Page(histogram(ScoreSets(solid, solid[:0], 2.0, ("a", "b"), ("c", pale))))
    bars = [bar for bar in drawn.all("rect") if str(bar["class"]).endswith("ok")]
    first, second = ((float(str(bar["y"])), float(str(bar["height"]))) for bar in bars)
    assert second[0] + second[1] == pytest.approx(first[0], abs=0.15)  # one decimal each
    assert min(first[0], second[0]) >= 0
    assert "Histogram of 10 scores; 1 above the threshold of 2." in drawn.text
