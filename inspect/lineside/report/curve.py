"""Shares against strength, as SVG: where a model begins to fail, and whether it then refuses or calls wrongly.

The levels stand evenly, each with its number, because they are steps that a person chose: on an axis to scale the weak
ones, where a line works, would lie on top of each other. The undisturbed images are a point of the curve, at the level
that changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lineside.batch.labels import Rate
from lineside.report.markup import Markup, element

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480.0, 210.0, 54.0, 14.0, 12.0, 26.0
_CROWDED = 12  # levels from which their numbers are printed smaller
_GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Line:
    """One share over all levels."""

    name: str
    colour: str
    """Of the page's style: ``ng``."""
    rates: tuple[Rate, ...]
    """One per level; a rate of nothing leaves a gap."""
    dashes: str | None = None
    band: bool = False
    """Draw the 95 % interval around it."""


def curves(ticks: Sequence[str], words: Sequence[str], lines: Sequence[Line], neutral: int, limit: float) -> Markup:
    """Draw shares against levels.

    Parameters
    ----------
    ticks : sequence of str
        The levels as numbers, weak to strong or low to high.
    words : sequence of str
        The levels in words, for whoever points at them.
    lines : sequence of Line
        Drawn in their order, the last on top.
    neutral : int
        Which level changes nothing.
    limit : float
        A share, 0 to 1, that is drawn as a limit.
    """
    plot = _Plot(len(ticks))
    title = f"{', '.join(line.name for line in lines)} from {words[0]} to {words[-1]}."
    return element(
        "svg",
        element("title", title),
        plot.grid(),
        plot.neutral(neutral),
        plot.limit(limit),
        plot.ticks(ticks),
        (plot.band(line) for line in lines if line.band),
        (plot.line(line, words) for line in lines),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        class_="histogram",
    )


def key(lines: Sequence[Line], limit: str) -> Markup:
    """Return the legend of curves: their lines, and what the limit is."""
    items = [(line.name, f"var(--{line.colour})", line.dashes, 2.5) for line in lines]
    items.append((limit, "var(--ink)", "5 3", 1.0))
    return element("p", (element("span", line_sample(*item[1:]), " ", item[0]) for item in items), class_="scale")


def line_sample(colour: str, dashes: str | None, width: float = 2.5) -> Markup:
    """Return a short line as a legend shows it, in a colour of CSS."""
    style = f"stroke:{colour};stroke-width:{width:g}"
    line = element("line", x1=0, x2=28, y1=5, y2=5, style=style, stroke_dasharray=dashes)
    return element("svg", line, width=28, height=10, viewBox="0 0 28 10", aria_hidden="true")


class _Plot:
    """Places shares on the canvas."""

    def __init__(self, n: int) -> None:
        self._n = n

    def x(self, position: int) -> float:
        return _LEFT + 8.0 + (_WIDTH - _LEFT - _RIGHT - 16.0) * position / max(1, self._n - 1)

    def y(self, share: float) -> float:
        return _TOP + (1.0 - share) * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self) -> list[Markup]:
        return [
            element(
                "g",
                self._level(share, "axis" if share == 0.0 else "grid"),
                element("text", f"{100 * share:g} %", x=_LEFT - 6, y=f"{self.y(share) + 4:.1f}", text_anchor="end"),
            )
            for share in _GRID
        ]

    def limit(self, share: float) -> Markup:
        return self._level(min(share, 1.0), "limit")

    def neutral(self, position: int) -> Markup:
        x = f"{self.x(position):.1f}"
        return element("line", x1=x, x2=x, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="axis", stroke_opacity=0.6)

    def ticks(self, ticks: Sequence[str]) -> list[Markup]:
        style = "font-size:10px" if self._n > _CROWDED else None
        place = {"y": _HEIGHT - _BOTTOM + 17, "text_anchor": "middle", "style": style}
        return [element("text", tick, x=f"{self.x(i):.1f}", **place) for i, tick in enumerate(ticks)]

    def line(self, line: Line, words: Sequence[str]) -> list[Markup]:
        runs = _runs(line.rates)
        stroke = f"fill:none;stroke:var(--{line.colour});stroke-width:2.2;stroke-linejoin:round"
        paths = [
            element("path", d=self._path(run, [line.rates[i].share or 0.0 for i in run]), style=stroke,
                    stroke_dasharray=line.dashes)
            for run in runs
            if len(run) > 1
        ]  # fmt: skip
        return paths + [self._dot(line, i, words[i]) for run in runs for i in run]

    def band(self, line: Line) -> list[Markup]:
        found = []
        for run in _runs(line.rates):
            there = self._path(run, [line.rates[i].interval[1] for i in run])
            back = self._path(run[::-1], [line.rates[i].interval[0] for i in run[::-1]])
            style = f"fill:var(--{line.colour});fill-opacity:0.13"
            found.append(element("path", d=f"{there}L{back[1:]}Z", style=style))
        return found

    def _dot(self, line: Line, position: int, words: str) -> Markup:
        counted = line.rates[position]
        low, high = counted.interval
        share = counted.share or 0.0
        said = f"{line.name} at {words}: {100 * share:.1f} % ({counted.k} of {counted.n}; 95 % interval "
        title = element("title", f"{said}{100 * low:.1f} to {100 * high:.1f} %)")
        style = f"fill:var(--{line.colour})"
        return element("circle", title, cx=f"{self.x(position):.1f}", cy=f"{self.y(share):.1f}", r=3, style=style)

    def _path(self, positions: Sequence[int], shares: Sequence[float]) -> str:
        pairs = zip(positions, shares, strict=True)
        return "M" + "L".join(f"{self.x(i):.1f},{self.y(share):.1f}" for i, share in pairs)

    def _level(self, share: float, kind: str) -> Markup:
        y = f"{self.y(share):.1f}"
        return element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_=kind)


def _runs(rates: Sequence[Rate]) -> list[list[int]]:
    """Return the stretches of levels that have a share."""
    runs: list[list[int]] = []
    for i, found in enumerate(rates):
        if found.share is None:
            continue
        if runs and runs[-1][-1] == i - 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs
