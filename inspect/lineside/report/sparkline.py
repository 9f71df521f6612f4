"""A number over time in a few square centimetres, as SVG: its course between its limits."""

from lineside.batch.quality import QualityFound
from lineside.batch.table import number
from lineside.report.course import moment
from lineside.report.markup import Markup, element

_WIDTH, _HEIGHT, _MARGIN = 300.0, 84.0, 8.0


def sparkline(found: QualityFound) -> Markup | None:
    """Draw a number's medians over time, its limits as dashed lines; None where nothing tells a time."""
    course = found.course
    if course is None:
        return None
    limits = [limit for limit in found.limits if limit is not None]
    low, high = min((*course.medians, *limits)), max((*course.medians, *limits))
    scale = (_HEIGHT - 2 * _MARGIN) / ((high - low) or 1.0)
    step = (_WIDTH - 2 * _MARGIN) / (len(course.medians) - 1)

    def y(value: float) -> str:
        return f"{_HEIGHT - _MARGIN - scale * (value - low):.1f}"

    places = [f"{_MARGIN + i * step:.1f},{y(value)}" for i, value in enumerate(course.medians)]
    words = (
        f"{found.name}, medians of {len(course.medians)} subgroups from {moment(course.times[0])}: "
        f"{number(course.medians[0])} at first, {number(course.medians[-1])} at last, "
        f"{number(min(course.medians))} to {number(max(course.medians))}."
    )
    dots = [
        element("circle", element("title", f"{moment(time)}: {number(value)}"), cx=place[0], cy=place[1], r=6)
        for time, value, place in zip(course.times, course.medians, (p.split(",") for p in places), strict=True)
    ]
    drawing = element(
        "svg",
        element("title", words),
        [element("line", x1=0, x2=_WIDTH, y1=y(limit), y2=y(limit), class_="limit") for limit in limits],
        element("path", d=f"M{'L'.join(places)}", class_="course"),
        element("g", dots, class_="points"),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        class_="histogram",
    )
    ends = f"{number(course.medians[0])} → {number(course.medians[-1])}"
    return element("figure", drawing, element("figcaption", element("b", found.name), f" {ends}"))
