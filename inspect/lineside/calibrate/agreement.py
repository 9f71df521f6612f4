"""Agreement of verdicts beyond chance: Cohen's kappa of two raters, Fleiss' kappa of several, with intervals.

Kappa is 1 for full agreement and 0 for what chance alone gives. Intervals are bootstrap percentiles over parts (Efron
and Tibshirani, 1993, chapter 13): repeats of one part are not independent, and the large-sample formulas take them for
it. Cohen, Educational and Psychological Measurement 20 (1960); Fleiss, Psychological Bulletin 76 (1971). Written out:
scikit-learn has no Fleiss' kappa, and its Cohen's kappa took 6.6 s for the resamples of 150 shots instead of 0.3 s; a
test compares the two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError

Numbers = npt.NDArray[np.int64]

CONFIDENCE = 0.95
RESAMPLES = 2000
GOOD_KAPPA = 0.75
"""From which on AIAG (MSA, 4th edition, chapter III, section C) calls the agreement good; below 0.40 it is poor."""
POOR_KAPPA = 0.40
ROUNDING = 1e-9
"""Kappas that differ by less are the same."""


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance.

    Attributes
    ----------
    value : float
        Up to 1; 1 as well where everybody says the same of every part, which chance would explain too.
    interval : tuple of float, optional
        95 %, of other parts like these. None where every resample gives the same, as where nobody disagrees on any
        part: that such parts are few is not seen by resampling them.
    parts : int
    """

    value: float
    interval: tuple[float, float] | None
    parts: int

    @property
    def spread(self) -> str:
        """The interval in words, or why there is none."""
        if self.interval is not None:
            return f"{self.interval[0]:.3f} to {self.interval[1]:.3f}"
        parts = f"{self.parts} part{'s' if self.parts != 1 else ''}"
        return f"no disagreement in {parts}" if self.value > 1.0 - ROUNDING else f"no interval from {parts}"

    @property
    def verdict(self) -> str:
        """Good, marginal or poor, by AIAG's limits of 0.75 and 0.40."""
        return "good" if self.value >= GOOD_KAPPA else "marginal" if self.value >= POOR_KAPPA else "poor"


def cohen_kappa(first: Sequence[str], second: Sequence[str], parts: Sequence[str], seed: int = 0) -> Kappa:
    """Compare two raters.

    Parameters
    ----------
    first, second : sequence of str [n]
        What each said, in the same order.
    parts : sequence of str [n]
        Of which part; a part's answers are drawn together.
    seed : int
        Of the bootstrap.

    Raises
    ------
    UsageError
        When nothing was said.
    """
    names = sorted({*first, *second})
    pairs = np.array([[names.index(a), names.index(b)] for a, b in zip(first, second, strict=True)], np.int64)

    def kappa(rows: Numbers) -> float:
        table = np.zeros((len(names), len(names)))
        np.add.at(table, (pairs[rows, 0], pairs[rows, 1]), 1.0)
        table /= table.sum()
        return _beyond(float(np.trace(table)), float(table.sum(axis=1) @ table.sum(axis=0)))

    return _with_interval(kappa, parts, seed)


def fleiss_kappa(said: Sequence[Sequence[str]], seed: int = 0) -> Kappa:
    """Compare several answers on each part.

    Parameters
    ----------
    said : sequence of sequences of str [parts][answers]
        Equally many of each part, at least 2.
    seed : int
        Of the bootstrap.

    Raises
    ------
    UsageError
        When there are no parts, one answer a part, or not equally many.
    """
    sizes = {len(answers) for answers in said}
    if len(sizes) != 1 or min(sizes) < 2:
        found = ", ".join(map(str, sorted(sizes))) or "none"
        raise UsageError(f"Fleiss' kappa needs equally many answers on each part, at least 2; found {found}.")
    names, size = sorted({word for answers in said for word in answers}), sizes.pop()
    counts = np.array([[list(answers).count(name) for name in names] for answers in said], np.float64)

    def kappa(rows: Numbers) -> float:
        taken = counts[rows]
        agreed = (np.square(taken).sum(axis=1) - size) / (size * (size - 1))
        shares = taken.sum(axis=0) / taken.sum()
        return _beyond(float(agreed.mean()), float(np.square(shares).sum()))

    return _with_interval(kappa, [str(number) for number in range(len(said))], seed)


def _beyond(agreed: float, chance: float) -> float:
    return 1.0 if chance >= 1.0 - 1e-12 else (agreed - chance) / (1.0 - chance)


def _with_interval(kappa: Callable[[Numbers], float], parts: Sequence[str], seed: int) -> Kappa:
    if not parts:
        raise UsageError("Agreement needs at least one part that was judged.")
    names, of_row = np.unique(np.asarray(parts), return_inverse=True)
    rows = [np.flatnonzero(of_row == number) for number in range(len(names))]
    rng, tail = np.random.default_rng(seed), 50.0 * (1.0 - CONFIDENCE)
    drawn = [kappa(np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, (tail, 100.0 - tail)).tolist()
    return Kappa(kappa(np.arange(len(of_row))), (low, high) if high - low > ROUNDING else None, len(names))
