"""Control charts over time, as SVG: whether reject rate and mean score stayed within what chance explains."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from lineside.batch.course import Course
from lineside.batch.table import number, percent, plural
from lineside.calibrate.control import LEAST_IN_SUBGROUP, LEAST_SUBGROUPS, WEIGHT, Chart
from lineside.report.document import scrolling, table
from lineside.report.markup import Markup, element, section
from lineside.report.ticks import round_steps

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960.0, 210.0, 64.0, 14.0, 14.0, 28.0
_MOST_LABELS = 6
_NO_TIME = (
    "No control chart: neither file names nor sidecars of lineside capture tell when the pictures were taken. A time "
    "in the name (20260301T071530) is read; the file's own date is not, for a copy has another one."
)


def course_section(course: Course) -> Markup:
    """Return the section "Over time", or the sentence why there is none."""
    if not course.timed:
        return section("Over time", element("p", _NO_TIME))
    if course.rejects is None or course.scores is None:
        words = (
            f"No control chart: {course.timed} of {plural(course.images, course.unit)} with a call tell when they were "
            f"taken, and {LEAST_SUBGROUPS} subgroups of {LEAST_IN_SUBGROUP} are needed."
        )
        return section("Over time", element("p", words))
    kind = "good parts" if course.of_good else f"{course.unit}s"
    rate = "Overkill" if course.of_good else "Reject rate"
    return section(
        "Over time",
        element("p", _in_words(course, kind, rate)),
        element("h3", f"{rate}: p-chart"),
        _drawn(course.rejects, course, f"p-chart of {plural(len(course.rejects.points), 'subgroup')}", percent),
        element("h3", "Mean score: EWMA"),
        _drawn(course.scores, course, "EWMA of the mean score", number),
        element("p", _note(course, kind), class_="note"),
    )


def _in_words(course: Course, kind: str, rate: str) -> str:
    assert course.rejects is not None
    assert course.scores is not None
    found = [(rate.lower(), course.rejects.outside), ("mean score", course.scores.outside)]
    said = [f"the {name} leaves its limits in {plural(n, 'subgroup')}" for name, n in found if n]
    if not said:
        return f"Steady: {rate.lower()} and mean score of the {kind} stay within their limits."
    return f"Not steady: {' and '.join(said)}. Look for what changed there: light, camera, material, tool."


def _note(course: Course, kind: str) -> str:
    assert course.rejects is not None
    assert course.first is not None
    assert course.last is not None
    sizes = sorted({point.n for point in course.rejects.points})
    size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    left_out = f"; {course.images - course.timed} without a time are left out" if course.timed < course.images else ""
    return (
        f"{course.timed} {kind} in the order in which they were taken, {_day(course.first)} to {_day(course.last)}, in "
        f"{len(course.rejects.points)} subgroups of {size}{left_out}. The pale band is what chance explains (3 sigma, "
        "for shares the same probability), computed from these same images; a diamond lies outside. The EWMA weighs "
        f"the newest subgroup by {WEIGHT:g}. "
        "Times come from file names or sidecars."
    )


def _drawn(chart: Chart, course: Course, words: str, say: Callable[[float], str]) -> Markup:
    plot, times, unit = _Plot(chart), course.times, course.unit
    title = f"{words}; {chart.outside} of {len(chart.points)} outside the limits; centre {say(chart.centre)}."
    drawing = element(
        "svg",
        element("title", title),
        plot.grid(say),
        plot.band(),
        plot.level(chart.centre, "axis"),
        plot.line(),
        plot.dots(times, say, unit),
        plot.labels(times),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        class_="histogram",
    )
    listed = element("details", element("summary", "The same as a table"), _table(chart, times, say), class_="listed")
    return element("div", scrolling("Chart", drawing), listed)


def _table(chart: Chart, times: Sequence[float], say: Callable[[float], str]) -> Markup:
    rows = (
        (
            moment(time),
            point.n,
            element("strong", say(point.value)) if point.outside else say(point.value),
            f"{say(point.lower)} to {say(point.upper)}",
        )
        for point, time in zip(chart.points, times, strict=True)
    )
    return table(("From (UTC)", "Images", "Value", "Limits"), rows)


class _Plot:
    """Places a chart on the canvas."""

    def __init__(self, chart: Chart) -> None:
        self._points = chart.points
        low = min(min(point.value, point.lower) for point in chart.points)
        high = max(max(point.value, point.upper) for point in chart.points)
        margin = 0.06 * ((high - low) or 1.0)
        self._low, self._high = low - margin, high + margin

    def x(self, position: float) -> float:
        return _LEFT + 12.0 + (_WIDTH - _LEFT - _RIGHT - 24.0) * position / (len(self._points) - 1)

    def y(self, value: float) -> float:
        return _TOP + (self._high - value) / (self._high - self._low) * (_HEIGHT - _TOP - _BOTTOM)

    def level(self, value: float, kind: str) -> Markup:
        y = f"{self.y(value):.1f}"
        return element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_=kind)

    def grid(self, say: Callable[[float], str]) -> list[list[Markup]]:
        values = [value for value in round_steps(self._low, self._high, 4) if value >= 0 or self._low < -1e-9]
        return [
            [
                self.level(value, "grid"),
                element("text", say(value), x=_LEFT - 6, y=f"{self.y(value) + 4:.1f}", text_anchor="end"),
            ]
            for value in values
        ]

    def band(self) -> Markup:
        """The limits as steps, each as wide as its subgroup."""
        sides = [(i + side, point) for i, point in enumerate(self._points) for side in (-0.5, 0.5)]
        upper = [f"{self.x(at):.1f},{self.y(point.upper):.1f}" for at, point in sides]
        lower = [f"{self.x(at):.1f},{self.y(point.lower):.1f}" for at, point in sides]
        return element("path", d=f"M{'L'.join(upper + lower[::-1])}Z", class_="band")

    def line(self) -> Markup:
        places = [f"{self.x(i):.1f},{self.y(p.value):.1f}" for i, p in enumerate(self._points)]
        return element("path", d=f"M{'L'.join(places)}", class_="course")

    def dots(self, times: Sequence[float], say: Callable[[float], str], unit: str) -> list[Markup]:
        found = []
        for i, (point, time) in enumerate(zip(self._points, times, strict=True)):
            x, y = self.x(i), self.y(point.value)
            limits = f"limits {say(point.lower)} to {say(point.upper)}"
            words = f"from {moment(time)}, {plural(point.n, unit)}: {say(point.value)}, {limits}"
            title = element("title", words)
            if point.outside:
                d = f"M{x:.1f},{y - 7:.1f}l7,7l-7,7l-7,-7Z"
                found.append(element("path", title, d=d, class_="out"))
            else:
                found.append(element("circle", title, cx=f"{x:.1f}", cy=f"{y:.1f}", r=3.5, class_="in"))
        return found

    def labels(self, times: Sequence[float]) -> list[Markup]:
        step = max(1, -(-len(times) // _MOST_LABELS))
        one_day = times[-1] - times[0] < 24 * 3600
        return [
            element(
                "text",
                moment(time)[11:] if one_day else _day(time),
                x=f"{self.x(i):.1f}",
                y=_HEIGHT - 8,
                text_anchor="middle",
            )
            for i, time in enumerate(times)
            if i % step == 0
        ]


def moment(time: float) -> str:
    """Say a time, seconds since 1970, as date, hour and minute in UTC."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}"


def _day(time: float) -> str:
    return moment(time)[:10]
