"""ROC, and overkill and escapes against the threshold, as SVG: what another threshold would have done.

Both are drawn from the counted scores, as the steps that they are; a smoothed curve would promise what nobody measured.
A small script moves a line through both; without it everything but that line is there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from lineside.batch.table import area, number, percent
from lineside.report.curve import line_sample
from lineside.report.document import table
from lineside.report.markup import Markup, element
from lineside.report.ticks import round_steps

Doubles = npt.NDArray[np.float64]
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480.0, 320.0, 50.0, 24.0, 14.0, 40.0
_MOST_POINTS = 600
_ROWS = 24
_GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Operating:
    """What happens at each threshold."""

    thresholds: Doubles
    """[k] rising: from below every score and the model's own to the highest of them; NG is above."""
    overkill: Doubles
    """[k] share of the good parts above it, 0 to 1."""
    escapes: Doubles
    """[k] share of the defective parts not above it."""
    good: int
    defective: int


def operating_points(good: Sequence[float], defective: Sequence[float], *own: float) -> Operating:
    """Count at every score, with very many of them at evenly chosen ones, and at the model's own thresholds.

    An own threshold is never thinned out: what the page says of it would be that of a neighbouring score.
    """
    goods, bads = np.sort(np.asarray(good, np.float64)), np.sort(np.asarray(defective, np.float64))
    scores = np.unique(np.concatenate([goods, bads]))
    if len(scores) > _MOST_POINTS:
        scores = scores[np.unique(np.linspace(0, len(scores) - 1, _MOST_POINTS).round().astype(np.int64))]
    below = min((scores[0], *own)) - max(1e-9, 0.02 * float(scores[-1] - scores[0]))
    thresholds = np.unique(np.concatenate([[below, *own], scores]))
    overkill = 1.0 - np.searchsorted(goods, thresholds, "right") / max(1, len(goods))
    escapes = np.searchsorted(bads, thresholds, "right") / max(1, len(bads))
    return Operating(thresholds, overkill, escapes, len(goods), len(bads))


def script() -> str:
    """Return the script that moves a line through the curves."""
    return resources.files("lineside.report").joinpath("curves.js").read_text(encoding="utf-8")


def operating_curves(points: Operating, threshold: float, auroc: float) -> Markup:
    """Return both drawings, and the slider that the script shows.

    Parameters
    ----------
    points : Operating
        Of good and defective parts, at least one each; counted at `threshold` too.
    threshold : float
        The model's own.
    auroc : float
        For the title.
    """
    data = {
        "t": [round(float(v), 6) for v in points.thresholds],
        "o": [round(float(v), 5) for v in points.overkill],
        "e": [round(float(v), 5) for v in points.escapes],
        "good": points.good,
        "defective": points.defective,
    }
    at = int(np.searchsorted(points.thresholds, threshold))
    slider = element(
        "p",
        element("label", "Try a threshold ", for_="threshold-slider"),
        element("input", type="range", id="threshold-slider", min=0, max=len(points.thresholds) - 1, value=at, step=1),
        element("output", "", for_="threshold-slider"),
        class_="slider",
        hidden="hidden",
    )
    drawings = element(
        "div",
        element("figure", _roc(points, at, auroc), element("figcaption", _roc_words(points, at, auroc))),
        element("figure", _against(points, threshold), element("figcaption", _against_words(threshold))),
        class_="gallery curves",
    )
    listed = element("details", element("summary", "The same as a table"), _table(points, at), class_="listed")
    return element("div", drawings, slider, listed, id="operating", data_points=json.dumps(data, separators=(",", ":")))


def _table(points: Operating, at: int) -> Markup:
    """Some of the thresholds, the model's own among them; the ends say what always and never calling NG would do."""
    some = np.linspace(0, len(points.thresholds) - 1, min(_ROWS, len(points.thresholds))).round().astype(int)
    rows = []
    for i in sorted({at, *some.tolist()}):
        own = " (the model's)" if i == at else ""
        shares = (float(points.overkill[i]), float(points.escapes[i]))
        counts = (round(shares[0] * points.good), round(shares[1] * points.defective))
        rows.append((f"{number(float(points.thresholds[i]))}{own}", *_counted(counts, shares)))
    names = ("NG above", f"Overkill, of {points.good}", "", f"Escapes, of {points.defective}", "")
    return table(names, rows)


def _counted(counts: tuple[int, int], shares: tuple[float, float]) -> tuple[object, ...]:
    return counts[0], percent(shares[0]), counts[1], percent(shares[1])


def _roc(points: Operating, at: int, auroc: float) -> Markup:
    plot = _Plot(0.0, 1.0)
    steps = _steps(points.overkill[::-1], 1.0 - points.escapes[::-1])
    x, y = plot.x(float(points.overkill[at])), plot.y(1.0 - float(points.escapes[at]))
    return _svg(
        f"ROC curve; area {area(auroc)}.",
        plot.grid(),
        plot.x_axis(_GRID, _percent_tick, "overkill: good parts called NG"),
        plot.diagonal(),
        plot.path(steps, "accent"),
        element("circle", element("title", "the model's threshold"), cx=f"{x:.1f}", cy=f"{y:.1f}", r=5, class_="own"),
        element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=7, class_="tried", visibility="hidden"),
        kind="roc",
    )


def _against(points: Operating, threshold: float) -> Markup:
    low, high = float(points.thresholds[0]), float(points.thresholds[-1])
    plot = _Plot(low, high)
    ticks = [tick for tick in round_steps(low, high, 5) if low <= tick <= high]
    own = f"{plot.x(threshold):.1f}"
    return _svg(
        "Overkill falls and escapes rise with the threshold.",
        plot.grid(),
        plot.x_axis(ticks, number, "threshold on the score"),
        plot.path(_held(points.thresholds, points.overkill, high), "ng"),
        plot.path(_held(points.thresholds, points.escapes, high), "review", "7 3"),
        element("line", x1=own, x2=own, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="limit"),
        element("line", x1=own, x2=own, y1=_TOP, y2=_HEIGHT - _BOTTOM, class_="tried", visibility="hidden"),
        kind="against",
        ends=f"{plot.x(low):.1f} {plot.x(high):.1f} {low!r} {high!r}",
    )


def _roc_words(points: Operating, at: int, auroc: float) -> str:
    caught, overkill = percent(1.0 - float(points.escapes[at])), percent(float(points.overkill[at]))
    return (
        f"ROC: what is caught of {points.defective} defective parts against what it costs of {points.good} good ones; "
        f"area {area(auroc)}. The dot is the model's threshold: {caught} caught, {overkill} overkill."
    )


def _against_words(threshold: float) -> Markup:
    return element(
        "span",
        line_sample("var(--ng)", None),
        " overkill ",
        line_sample("var(--review)", "7 3"),
        f" escapes, against the threshold; upright: the model's {number(threshold)}.",
    )


def _percent_tick(value: float) -> str:
    """Say a share without digits that are all 0."""
    return f"{100 * value:g} %"


def _steps(x: Doubles, y: Doubles) -> list[tuple[float, float]]:
    """Points of a curve that rises; equal neighbours once. From (0, 0) to (1, 1)."""
    places = [(0.0, 0.0), *zip(x.tolist(), y.tolist(), strict=True), (1.0, 1.0)]
    return [place for i, place in enumerate(places) if i == 0 or place != places[i - 1]]


def _held(x: Doubles, y: Doubles, end: float) -> list[tuple[float, float]]:
    """Points of a share that holds from one score to the next."""
    places: list[tuple[float, float]] = []
    for at, value in zip(x.tolist(), y.tolist(), strict=True):
        if places:
            places.append((at, places[-1][1]))
        places.append((at, value))
    return [*places, (end, places[-1][1])]


def _svg(title: str, *children: object, kind: str, ends: str | None = None) -> Markup:
    return element(
        "svg",
        element("title", title),
        *children,
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        class_="histogram",
        data_kind=kind,
        data_ends=ends,
        data_box=f"{_LEFT:g} {_WIDTH - _RIGHT:g} {_TOP:g} {_HEIGHT - _BOTTOM:g}",
    )


class _Plot:
    """Places shares (upward) and whatever runs to the right on the canvas."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._span = low, (high - low) or 1.0

    def x(self, value: float) -> float:
        return _LEFT + (value - self._low) / self._span * (_WIDTH - _LEFT - _RIGHT)

    def y(self, share: float) -> float:
        return _TOP + (1.0 - share) * (_HEIGHT - _TOP - _BOTTOM)

    def grid(self) -> list[list[Markup]]:
        return [
            [
                element(
                    "line",
                    x1=_LEFT,
                    x2=_WIDTH - _RIGHT,
                    y1=f"{self.y(share):.1f}",
                    y2=f"{self.y(share):.1f}",
                    class_="grid" if share else "axis",
                ),
                element("text", _percent_tick(share), x=_LEFT - 6, y=f"{self.y(share) + 4:.1f}", text_anchor="end"),
            ]
            for share in _GRID
        ]

    def x_axis(self, ticks: Sequence[float], say: Callable[[float], str], unit: str) -> list[Markup]:
        named = [
            element("text", say(tick), x=f"{self.x(tick):.1f}", y=_HEIGHT - _BOTTOM + 16, text_anchor="middle")
            for tick in ticks
        ]
        return [*named, element("text", unit, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 6, text_anchor="middle")]

    def diagonal(self) -> Markup:
        ends = {"x1": _LEFT, "y1": self.y(0.0), "x2": _WIDTH - _RIGHT, "y2": self.y(1.0)}
        return element("line", **ends, class_="grid")

    def path(self, places: Sequence[tuple[float, float]], colour: str, dashes: str | None = None) -> Markup:
        told = "L".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in places)
        return element("path", d=f"M{told}", class_="line", style=f"stroke:var(--{colour})", stroke_dasharray=dashes)
