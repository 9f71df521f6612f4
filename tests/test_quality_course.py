"""Picture quality over time: medians of subgroups in the order in which pictures were taken."""

import numpy as np
import pytest

from lineside.batch.quality import QualityTaker
from lineside.batch.row import Row
from lineside.report.capture_quality import quality_section
from report_pages import Page

LIMITS = {"level": (50.0, 150.0), "told": (None, None)}


def row(level: float | None) -> Row:
    """A row with a number behind the gate."""
    return Row("a.png", "OK", 1.0, (), None, 1.0, None, opc={"resultContent": {"quality": {"level": level, "told": 1}}})


def taken(values: list[float | None], times: list[float | None]) -> QualityTaker:
    """Take a row for each value."""
    taker = QualityTaker(LIMITS)
    for value, time in zip(values, times, strict=True):
        taker.add(row(value), time)
    return taker


def test_the_course_is_in_order_of_time() -> None:
    """A lamp that fades is seen as falling medians, in whatever order the pictures were read."""
    level = np.linspace(140.0, 60.0, 40)
    order = np.random.default_rng(0).permutation(40)
    level_found, _ = taken(level[order].tolist(), [float(i) for i in order]).found()
    assert level_found.course is not None
    assert list(level_found.course.medians) == sorted(level_found.course.medians, reverse=True)
    assert level_found.course.times[0] == 0.0
    assert level_found.images == 40


def test_pictures_without_a_time_or_number_are_left_out() -> None:
    """They count in least and greatest where they have a number, and not in the course."""
    values: list[float | None] = [100.0] * 20 + [999.0, None]
    found, _ = taken(values, [*map(float, range(20)), None, 20.0]).found()
    assert (found.greatest, found.images, found.beyond) == (999.0, 21, 1)
    assert found.course is not None
    assert set(found.course.medians) == {100.0}


@pytest.mark.parametrize("times", [[None] * 40, [0.0] * 3 + [None] * 37])
def test_without_times_there_is_no_course(times: list[float | None]) -> None:
    """Too few timed pictures make no course, and the report draws none."""
    found = taken([100.0] * 40, times).found()
    assert found[0].course is None
    assert "over time" not in Page(str(quality_section(found))).text


def test_the_report_draws_each_number_with_a_limit() -> None:
    """One picture for a number that the gate speaks by, none for the others; its words say how it went."""
    found = taken(np.linspace(140.0, 60.0, 40).tolist(), [1.8e9 + i for i in range(40)]).found()
    page = Page(str(quality_section(found)))
    assert len(page.all("svg")) == 1
    assert "level, medians of 10 subgroups from 2027-01-15 08:00: 136.9 at first, 63.08 at last" in page.text
