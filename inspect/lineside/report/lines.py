"""A measure against the number of training images, as SVG: a line for each method, with its interval.

The vertical axis begins where the numbers do, because methods that all lie above 0.9 would be one line on an axis from
0; its ends are printed, so nobody takes the bottom for nothing. The numbers of images stand evenly, as in `curve`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lineside.report.markup import Markup, element

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480.0, 240.0, 50.0, 14.0, 12.0, 28.0
_STEPS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_MOST_STEPS = 6
COLOURS = ("accent", "ng", "ok", "no-call", "review", "unreadable")
"""Of the page's style; with more lines they come again, dashed."""
DASHES = (None, "6 3", "2 3", "8 3 2 3")


@dataclass(frozen=True)
class Point:
    """A number, its interval, and both in words for whoever points at them."""

    value: float
    interval: tuple[float, float] | None
    words: str


@dataclass(frozen=True)
class Series:
    """One line; None leaves a gap."""

    name: str
    points: tuple[Point | None, ...]


def lines(ticks: Sequence[str], series: Sequence[Series], title: str, unit: str) -> Markup:
    """Draw shares (0 to 1) of several methods.

    Parameters
    ----------
    ticks : sequence of str
        What stands below the points, left to right.
    series : sequence of Series
        With a point for each tick; the last is drawn on top. At least one has a point.
    title : str
        For those who cannot see the picture.
    unit : str
        What the horizontal axis shows.
    """
    plot = _Plot(len(ticks), *_ends(series))
    return element(
        "svg",
        element("title", title),
        plot.grid(),
        plot.ticks(ticks, unit),
        (plot.band(one, number) for number, one in enumerate(series)),
        (plot.line(one, number) for number, one in enumerate(series)),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        class_="histogram",
    )


def legend(names: Sequence[str]) -> Markup:
    """Return what each line's colour and dashes mean."""
    return element("p", (element("span", _sample(i), " ", name) for i, name in enumerate(names)), class_="scale")


def _sample(number: int) -> Markup:
    line = element("line", x1=0, x2=28, y1=5, y2=5, style=_stroke(number), stroke_dasharray=_dashes(number))
    return element("svg", line, width=28, height=10, viewBox="0 0 28 10", aria_hidden="true")


def _stroke(number: int) -> str:
    return f"fill:none;stroke:var(--{COLOURS[number % len(COLOURS)]});stroke-width:2.2;stroke-linejoin:round"


def _dashes(number: int) -> str | None:
    return DASHES[number // len(COLOURS) % len(DASHES)]


def _ends(series: Sequence[Series]) -> tuple[float, float, float]:
    """Return both ends of the vertical axis and the step between its lines; intervals may reach beyond 0 and 1."""
    points = [point for one in series for point in one.points if point is not None]
    low = max(0.0, min(point.interval[0] if point.interval else point.value for point in points))
    high = min(1.0, max(point.interval[1] if point.interval else point.value for point in points))
    step = next((s for s in _STEPS if (high - low) / s <= _MOST_STEPS - 1), _STEPS[-1])
    bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return bottom, max(top, bottom + step), step


class _Plot:
    """Places numbers on the canvas."""

    def __init__(self, n: int, bottom: float, top: float, step: float) -> None:
        self._n, self._bottom, self._top, self._step = n, bottom, top, step

    def x(self, position: int) -> float:
        middle = 0.5 if self._n == 1 else position / (self._n - 1)
        return _LEFT + 12.0 + (_WIDTH - _LEFT - _RIGHT - 24.0) * middle

    def y(self, value: float) -> float:
        share = (min(max(value, self._bottom), self._top) - self._bottom) / (self._top - self._bottom)
        return _TOP + (1.0 - share) * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self) -> list[Markup]:
        count = round((self._top - self._bottom) / self._step)
        return [self._level(self._bottom + i * self._step, i == 0) for i in range(count + 1)]

    def ticks(self, ticks: Sequence[str], unit: str) -> list[Markup]:
        place = {"y": _HEIGHT - _BOTTOM + 16, "text_anchor": "middle"}
        named = [element("text", tick, x=f"{self.x(i):.1f}", **place) for i, tick in enumerate(ticks)]
        return [*named, element("text", unit, x=_WIDTH - _RIGHT, y=_HEIGHT - 1, text_anchor="end")]

    def line(self, one: Series, number: int) -> list[Markup]:
        paths = [
            element("path", d=self._path(run, [point.value for _, point in run]), style=_stroke(number),
                    stroke_dasharray=_dashes(number))
            for run in _runs(one)
            if len(run) > 1
        ]  # fmt: skip
        colour = f"fill:var(--{COLOURS[number % len(COLOURS)]})"
        dots = [
            element("circle", element("title", f"{one.name}, {point.words}"), cx=f"{self.x(i):.1f}",
                    cy=f"{self.y(point.value):.1f}", r=3.5, style=colour)
            for run in _runs(one)
            for i, point in run
        ]  # fmt: skip
        return paths + dots

    def band(self, one: Series, number: int) -> list[Markup]:
        style = f"fill:var(--{COLOURS[number % len(COLOURS)]});fill-opacity:0.12"
        found = []
        for run in _runs(one):
            ends = [(i, point, point.interval or (point.value, point.value)) for i, point in run]
            there = self._path(run, [high for _, _, (_, high) in ends])
            back = self._path(run[::-1], [low for _, _, (low, _) in reversed(ends)])
            found.append(element("path", d=f"{there}L{back[1:]}Z", style=style))
        return found

    def _level(self, value: float, lowest: bool) -> Markup:
        y = self.y(value)
        line = element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}",
                       class_="axis" if lowest else "grid")  # fmt: skip
        digits = 3 if self._step < 0.01 else 2
        text = element("text", f"{value:.{digits}f}", x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end")
        return element("g", line, text)

    def _path(self, run: Sequence[tuple[int, Point]], values: Sequence[float]) -> str:
        places = zip(run, values, strict=True)
        return "M" + "L".join(f"{self.x(i):.1f},{self.y(value):.1f}" for (i, _), value in places)


def _runs(one: Series) -> list[list[tuple[int, Point]]]:
    """Return the stretches without a gap."""
    runs: list[list[tuple[int, Point]]] = []
    for i, point in enumerate(one.points):
        if point is None:
            continue
        if runs and runs[-1][-1][0] == i - 1:
            runs[-1].append((i, point))
        else:
            runs.append([(i, point)])
    return runs
