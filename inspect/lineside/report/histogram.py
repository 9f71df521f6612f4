"""The histogram of scores, as SVG: on which side of the threshold the images lie, and how far from it.

One bin edge is the threshold itself, so that no bar lies on both sides. With known truth the good parts stand upward
and the others hang down: two colours over one another hide just the bars that matter, those near the threshold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lineside.report.markup import Markup, element
from lineside.report.ticks import nice, round_steps

Scores = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
_N_BINS = 48
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 960.0, 280.0, 44.0, 12.0, 26.0, 40.0
_LOG_FROM = 100  # highest bar from which heights are logarithmic: one image must still be seen
_WIDE = 50.0  # largest over smallest score from which the axis is logarithmic


@dataclass(frozen=True)
class Bins:
    """Counts between edges; a score on an edge counts to the left, as NG means above the threshold."""

    edges: npt.NDArray[np.float64]
    up: Counts
    pale: Counts
    """Stacked on `up`."""
    down: Counts
    log_x: bool


@dataclass(frozen=True, eq=False)
class ScoreSets:
    """What is drawn.

    Attributes
    ----------
    up, down : ndarray of float32 [n]
        Scores drawn upward and downward; `down` may be empty.
    threshold : float
        In the same unit.
    names : (str, str)
        What the two are, for the legend.
    pale : (str, ndarray of float32 [n])
        More of the kind of `up`, drawn pale on top of it: its name and scores; may be empty.
    more : sequence of (str, float)
        Further thresholds that lie among the scores, with their names.
    """

    up: Scores
    down: Scores
    threshold: float
    names: tuple[str, str]
    pale: tuple[str, Scores] = ("", np.zeros(0, np.float32))
    more: Sequence[tuple[str, float]] = ()

    @property
    def scores(self) -> Scores:
        """All of them [n]."""
        return np.concatenate([self.up, self.pale[1], self.down])

    @cached_property
    def bins(self) -> Bins:
        """How many of each lie between the same edges; of no score there are none."""
        return bin_scores(self.up, self.down, self.threshold, self.pale[1])


def histogram(sets: ScoreSets) -> Markup:
    """Draw scores: an SVG element with a text alternative; or a sentence where there is no score."""
    scores, threshold = sets.scores, sets.threshold
    if not len(scores):
        return element("p", "No image got a call, so there is no score to show.", class_="note")
    bins, plot = sets.bins, _Plot(sets.bins, threshold)
    above = int((scores > np.float32(threshold)).sum())
    title = f"Histogram of {len(scores)} scores; {above} above the threshold of {threshold:.4g}."
    return element(
        "svg",
        element("title", title),
        plot.y_axis(),
        plot.bars(bins.up, "up", sets.names[0]),
        plot.bars(bins.pale, "up pale", sets.pale[0], bins.up),
        plot.bars(-bins.down, "down", sets.names[1]) if len(sets.down) else None,
        plot.x_axis("score, larger is worse"),
        plot.limit(),
        (plot.further(name, value) for name, value in sets.more),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        class_="histogram",
    )


def bin_scores(up: Scores, down: Scores, threshold: float, pale: Scores | None = None) -> Bins:
    """Count scores between edges of which one is the threshold, where that lies near the scores at all."""
    parts = [part.astype(np.float64) for part in (up, up[:0] if pale is None else pale, down)]
    scores = np.concatenate(parts)
    limit = float(np.float32(threshold))
    low, high = float(scores.min()), float(scores.max())
    log_x = low > 0 and limit > 0 and max(high, limit) / min(low, limit) > _WIDE
    scale = np.log if log_x else np.asarray
    edges = _edges(float(scale(low)), float(scale(high)), float(scale(limit)))
    up_counts, pale_counts, down_counts = (_count(edges, scale(part)) for part in parts)
    return Bins(np.exp(edges) if log_x else edges, up_counts, pale_counts, down_counts, bool(log_x))


def _count(edges: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> Counts:
    bars = np.searchsorted(edges, values, "left") - 1
    return np.bincount(np.clip(bars, 0, len(edges) - 2), minlength=len(edges) - 1)


def _edges(low: float, high: float, limit: float) -> npt.NDArray[np.float64]:
    span = high - low
    near = low - span <= limit <= high + span or span == 0
    if near:
        low, high = min(low, limit), max(high, limit)
    step = ((high - low) or abs(limit) or 1.0) / _N_BINS
    anchor = limit if near else low
    below, above = math.ceil((anchor - low) / step - 1e-9), math.ceil((high - anchor) / step - 1e-9)
    return anchor + step * np.arange(-max(below, 1), max(above, 1) + 1, dtype=np.float64)


class _Plot:
    """Places values on the canvas."""

    def __init__(self, bins: Bins, threshold: float) -> None:
        self._bins = bins
        self._threshold = threshold
        self._counts = int((bins.up + bins.pale).max()), int(bins.down.max())  # highest upward, downward
        self._log_y = max(self._counts) > _LOG_FROM
        self._top, self._low = self._height(self._counts[0]), -self._height(self._counts[1])

    def _height(self, n: float) -> float:
        return math.log10(1.0 + n) if self._log_y else float(n)

    def x(self, score: float) -> float:
        edges = np.log(self._bins.edges) if self._bins.log_x else self._bins.edges
        value = math.log(score) if self._bins.log_x else score
        share = (value - edges[0]) / (edges[-1] - edges[0])
        return float(_LEFT + share * (_WIDTH - _LEFT - _RIGHT))

    def y(self, n: float) -> float:
        height = math.copysign(self._height(abs(n)), n)
        return _TOP + (self._top - height) / ((self._top - self._low) or 1.0) * (_HEIGHT - _TOP - _BOTTOM)

    def bars(self, counts: Counts, kind: str, name: str, base: Counts | None = None) -> list[Markup]:
        edges = self._bins.edges
        start = np.zeros_like(counts) if base is None else base
        found = []
        for i in np.flatnonzero(counts):
            left, right = self.x(float(edges[i])), self.x(float(edges[i + 1]))
            y0, y1 = sorted((self.y(float(start[i])), self.y(float(start[i] + counts[i]))))
            side = "ng" if edges[i] >= np.float32(self._threshold) - 1e-9 * abs(self._threshold) else "ok"
            words = f"{abs(int(counts[i]))} {name}, score {edges[i]:.4g} to {edges[i + 1]:.4g}"
            found.append(
                element(
                    "rect",
                    element("title", words),
                    x=f"{left + 0.5:.1f}",
                    y=f"{y0:.1f}",
                    width=f"{max(right - left - 1, 0.8):.1f}",
                    height=f"{y1 - y0:.1f}",
                    class_=f"bar {kind} {side}",
                )
            )
        return found

    def y_axis(self) -> list[Markup]:
        top, low = self._counts
        ticks = _log_ticks(max(top, low)) if self._log_y else _linear_ticks(max(top, low))
        values = [n for n in ticks if n <= top] + [-n for n in ticks if 0 < n <= low]
        lines = [
            [
                element(
                    "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{self.y(n):.1f}", y2=f"{self.y(n):.1f}", class_="grid"
                ),
                element("text", f"{abs(n)}", x=_LEFT - 6, y=f"{self.y(n) + 4:.1f}", text_anchor="end"),
            ]
            for n in values
        ]
        base = element(
            "line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{self.y(0):.1f}", y2=f"{self.y(0):.1f}", class_="axis"
        )
        return [element("g", lines), base]

    def x_axis(self, unit: str) -> list[Markup]:
        edges = self._bins.edges
        bottom = _HEIGHT - _BOTTOM
        ticks = _decades(edges) if self._bins.log_x else round_steps(float(edges[0]), float(edges[-1]))
        labels = [
            element("text", f"{tick:.6g}", x=f"{self.x(tick):.1f}", y=bottom + 16, text_anchor="middle")
            for tick in ticks
        ]
        scale = " (logarithmic)" if self._bins.log_x else ""
        heights = "; heights logarithmic" if self._log_y else ""
        words = f"{unit}{scale}{heights}"
        return [*labels, element("text", words, x=(_LEFT + _WIDTH - _RIGHT) / 2, y=_HEIGHT - 6, text_anchor="middle")]

    def limit(self) -> list[Markup]:
        edges = self._bins.edges
        words = f"threshold {self._threshold:.4g}"
        if not edges[0] <= np.float32(self._threshold) <= edges[-1]:
            beyond = "right" if self._threshold > edges[-1] else "left"
            return [element("text", f"{words} lies far to the {beyond}", x=_LEFT, y=16, class_="limit")]
        return self._upright(words, self._threshold, 8, left=self.x(self._threshold) > 0.8 * _WIDTH)

    def further(self, name: str, value: float) -> list[Markup]:
        """A threshold of another kind, one line of text below that of NG."""
        edges = self._bins.edges
        if not edges[0] <= value <= edges[-1]:
            return []
        return self._upright(f"{name} {value:.4g}", value, 22, left=self.x(value) > 0.2 * _WIDTH)

    def _upright(self, words: str, value: float, top: int, *, left: bool) -> list[Markup]:
        """A line at a value, from `top` down, its words on the left or on the right of it."""
        x = self.x(value)
        return [
            element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=top, y2=_HEIGHT - _BOTTOM, class_="limit"),
            element(
                "text",
                words,
                x=f"{x - 6 if left else x + 6:.1f}",
                y=top + 8,
                text_anchor="end" if left else "start",
                class_="limit",
            ),
        ]


def _linear_ticks(top: int) -> list[int]:
    step = max(1, int(nice(top / 4)))
    return list(range(0, top + 1, step))


def _log_ticks(top: int) -> list[int]:
    return [0, *(10**power for power in range(0, int(math.log10(top)) + 1))]


def _decades(edges: npt.NDArray[np.float64]) -> list[float]:
    low, high = float(edges[0]), float(edges[-1])
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) < 5 else (1,)
    return [m * 10.0**p for p in powers for m in steps if low <= m * 10.0**p <= high]
