"""From runs to what may be said of them: means over seeds with intervals, and paired differences.

A mean's interval (Student's t) tells how far the draw of training images moves it; the test images are the same in
every run, so it says nothing of other test images. A difference's interval does: the bootstrap (Efron and Tibshirani,
1993, chapter 13) draws seeds and test images anew, the same for both methods.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.bench.compare_row import Measures, Row

Shares = npt.NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 2000
"""The ends of a 95 % interval then move by less than 5 % of its width from one seed of the bootstrap to another."""
MEASURES = tuple(field.name for field in dataclasses.fields(Measures))


@dataclass(frozen=True)
class Mean:
    """Mean over seeds."""

    value: float
    interval: tuple[float, float] | None
    """95 %; None where one seed is all there is."""
    n: int
    """Seeds that gave the number."""


@dataclass(frozen=True)
class Cell:
    """A method at a number of shots."""

    part: str
    label: str
    shots: int
    runs: int
    """That succeeded."""
    errors: tuple[str, ...]
    """Of those that failed, each once."""
    means: Mapping[str, Mean]
    """By name of the measure; a measure that no run gave is missing."""


@dataclass(frozen=True)
class Difference:
    """A method's measure less that of the first method, in runs on the same images."""

    part: str
    measure: str
    label: str
    against: str
    shots: int | None
    """None: the mean over all numbers of shots."""
    value: float
    interval: tuple[float, float]
    """95 %, of seeds and test images together."""
    seeds: int


@dataclass(frozen=True)
class Summary:
    """A comparison."""

    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    differences: tuple[Difference, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """In their order."""
        return tuple(dict.fromkeys(row.part for row in self.rows))

    @property
    def programs(self) -> tuple[str, ...]:
        """Versions of lineside's sources that the rows come from."""
        return tuple(dict.fromkeys(row.program for row in self.rows))


def summarise(rows: Sequence[Row], resamples: int = RESAMPLES) -> Summary:
    """Sum up runs; the first method of each part is what the others are held against."""
    places = dict.fromkeys((row.part, row.shots, row.label) for row in rows)
    parts = tuple(dict.fromkeys(row.part for row in rows))
    cells = tuple(_cell(part, label, shots, rows) for part, shots, label in places)
    differences = tuple(
        difference
        for part in parts
        for measure in PAIRED
        for difference in _differences([row for row in rows if row.part == part], measure, resamples)
    )
    return Summary(tuple(rows), cells, differences)


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of some numbers, with Student's interval."""
    from scipy.special import stdtrit  # Student's t by its quantile; scipy.stats takes ten times as long to import

    n, middle = len(values), float(np.mean(values))
    if n < 2:
        return Mean(middle, None, n)
    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Mean(middle, (middle - half, middle + half), n)


def _cell(part: str, label: str, shots: int, rows: Iterable[Row]) -> Cell:
    mine = [row for row in rows if (row.part, row.label, row.shots) == (part, label, shots)]
    measures = [row.measures for row in mine if row.measures is not None]
    means = {}
    for name in MEASURES:
        values = [value for one in measures if (value := getattr(one, name)) is not None]
        if values:
            means[name] = mean_of(values)
    errors = tuple(dict.fromkeys(row.error for row in mine if row.error is not None))
    return Cell(part, label, shots, len(measures), errors, means)


def _differences(rows: Sequence[Row], measure: str, resamples: int) -> list[Difference]:
    """Hold every method against the first, at each number of shots and over all of them."""
    labels = tuple(dict.fromkeys(row.label for row in rows))
    shots = tuple(dict.fromkeys(row.shots for row in rows))
    runs = {(row.label, row.shots, row.seed): row for row in rows if PAIRED[measure](row).size}
    found = []
    for label in labels[1:]:
        pairs = {
            n: [(runs[label, n, seed], runs[labels[0], n, seed]) for seed in _seeds(runs, (label, labels[0]), n)]
            for n in shots
        }
        pairs = {n: both for n, both in pairs.items() if both}
        found += [_difference({n: both}, measure, n, resamples) for n, both in pairs.items()]
        if len(pairs) > 1:
            found.append(_difference(pairs, measure, None, resamples))
    return found


def _seeds(runs: Mapping[tuple[str, int, int], Row], labels: tuple[str, str], shots: int) -> list[int]:
    of_each = [{seed for label, n, seed in runs if (label, n) == (wanted, shots)} for wanted in labels]
    return sorted(of_each[0] & of_each[1])


def _difference(
    pairs: Mapping[int, Sequence[tuple[Row, Row]]], measure: str, shots: int | None, resamples: int
) -> Difference:
    """Difference of means, over shots where there are several; the draws of test images are shared by all."""
    apart = [[PAIRED[measure](mine) - PAIRED[measure](other) for mine, other in both] for both in pairs.values()]
    rng = np.random.default_rng(0)
    sides = (rng.multinomial(n, np.full(n, 1.0 / n), resamples) / n for n in apart[0][0].shape)
    drawn_down, drawn_across = sides  # [resamples, images]: share of each image in each draw
    drawn = []
    for matrices in apart:
        of_seed = np.stack([((drawn_down @ m) * drawn_across).sum(axis=1) for m in matrices])  # [seeds, resamples]
        seeds = rng.integers(0, len(matrices), of_seed.shape)
        drawn.append(np.take_along_axis(of_seed, seeds, axis=0).mean(axis=0))
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(np.mean(drawn, axis=0), (tail, 100.0 - tail)).tolist()
    value = float(np.mean([np.mean([m.mean() for m in matrices]) for matrices in apart]))
    mine, other = next(iter(pairs.values()))[0]
    seeds_n = min(len(both) for both in pairs.values())
    return Difference(mine.part, measure, mine.label, other.label, shots, value, (low, high), seeds_n)


def _higher(row: Row) -> Shares:
    """Whether a defective image scores higher than a good one, ties half: [good, defective]; the mean is the AUROC."""
    good, bad = np.array(row.scores.good)[:, None], np.array(row.scores.defective)[None]
    higher: Shares = (bad > good) + 0.5 * (bad == good)
    return higher


def _right(row: Row) -> Shares:
    """Whether an image's class is the right one: [1, images]; the mean is the accuracy."""
    return np.array(row.scores.class_right, np.float64)[None]


PAIRED: Mapping[str, Callable[[Row], Shares]] = {"auroc": _higher, "class_accuracy": _right}
"""Measures that differences are drawn of: a matrix of test images whose mean is the measure."""
