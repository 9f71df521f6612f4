"""From runs to what may be said of them: means over seeds with intervals, and paired differences.

A mean's interval (Student's t) tells how far the draw of training images moves it; the test images are the same in
every run, so it says nothing of other test images. A difference's interval does: the bootstrap (Efron and Tibshirani,
1993, chapter 13) draws seeds and test images anew, the same for both methods.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
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
    """A method's image AUROC less that of the first method, in runs on the same images."""

    part: str
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
    differences = tuple(d for part in parts for d in _differences([r for r in rows if r.part == part], resamples))
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


def _differences(rows: Sequence[Row], resamples: int) -> list[Difference]:
    labels = tuple(dict.fromkeys(row.label for row in rows))
    shots = tuple(dict.fromkeys(row.shots for row in rows))
    scored = {(row.label, row.shots, row.seed): row for row in rows if row.scores.good and row.scores.defective}
    found = []
    for label in labels[1:]:
        pairs = {
            n: [(scored[label, n, s], scored[labels[0], n, s]) for s in _seeds(scored, (label, labels[0]), n)]
            for n in shots
        }
        pairs = {n: both for n, both in pairs.items() if both}
        found += [_difference({n: both}, n, resamples) for n, both in pairs.items()]
        if len(pairs) > 1:
            found.append(_difference(pairs, None, resamples))
    return found


def _seeds(scored: Mapping[tuple[str, int, int], Row], labels: tuple[str, str], shots: int) -> list[int]:
    of_each = [{seed for label, n, seed in scored if (label, n) == (wanted, shots)} for wanted in labels]
    return sorted(of_each[0] & of_each[1])


def _difference(pairs: Mapping[int, Sequence[tuple[Row, Row]]], shots: int | None, resamples: int) -> Difference:
    """Difference of mean AUROC, over shots where there are several; the draws of test images are shared by all."""
    first = next(iter(pairs.values()))[0]
    good, bad = len(first[0].scores.good), len(first[0].scores.defective)
    rng = np.random.default_rng(0)
    weights = (rng.multinomial(n, np.full(n, 1.0 / n), resamples) / n for n in (good, bad))
    drawn_good, drawn_bad = weights  # [resamples, images]: share of each image in each draw
    values, drawn = [], []
    for both in pairs.values():
        apart = [_higher(mine) - _higher(other) for mine, other in both]
        values.append(np.mean([matrix.mean() for matrix in apart]))
        of_seed = np.stack([((drawn_good @ matrix) * drawn_bad).sum(axis=1) for matrix in apart])  # [seeds, resamples]
        seeds = rng.integers(0, len(both), (len(both), resamples))
        drawn.append(np.take_along_axis(of_seed, seeds, axis=0).mean(axis=0))
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(np.mean(drawn, axis=0), (tail, 100.0 - tail)).tolist()
    seeds_n = min(len(both) for both in pairs.values())
    return Difference(
        first[0].part, first[0].label, first[1].label, shots, float(np.mean(values)), (low, high), seeds_n
    )


def _higher(row: Row) -> Shares:
    """Whether a defective image scores higher than a good one, ties half: [good, defective]; the mean is the AUROC."""
    good, bad = np.array(row.scores.good)[:, None], np.array(row.scores.defective)[None]
    higher: Shares = (bad > good) + 0.5 * (bad == good)
    return higher
