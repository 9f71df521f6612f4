"""Whether the probabilities of classes mean what they say: Brier score and expected calibration error, with intervals.

Both intervals hold at any number of parts. A bootstrap was rejected: where no part of twenty was told wrongly it gives
the Brier score an interval of nearly no width, although one part in seven may be wrong, and it puts that of the
calibration error above 0 even where probabilities are exact, for the error of few parts is too large on average.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.binomial import clopper_pearson
from lineside.calibrate.auroc_interval import edge

Doubles = npt.NDArray[np.float64]
BINS = 10
"""Equal steps of the confidence: Naeini, Cooper and Hauskrecht (AAAI 2015); Guo et al. (ICML 2017), equation 3."""
CONFIDENCE = 0.95
_MOST_BRIER = 2.0


@dataclass(frozen=True)
class Bin:
    """Parts whose highest probability lies in one step."""

    n: int
    confidence: float
    """Mean of their highest probabilities, 0 to 1."""
    right: float
    """Share of them whose most probable class is the true one."""
    interval: tuple[float, float]
    """Of that share; those of all steps hold together at 95 %."""


@dataclass(frozen=True)
class Calibration:
    """How probabilities and outcomes agree; each part is one draw."""

    n: int
    """Parts of a known class. With few of them the error is too large: each step has its own chance deviation."""
    brier: float
    """Mean over the parts of the sum over classes of (probability - truth)²: 0 to 2, 0 is perfect (Brier, 1950)."""
    brier_interval: tuple[float, float]
    """At 95 %, whatever the distribution: see `mean_interval`."""
    ece: float
    """Mean over the parts of |confidence - share right| of their step, 0 to 1."""
    ece_interval: tuple[float, float]
    """At 95 %, of parts with these confidences: the least and the most that the intervals of all steps leave open."""
    bins: tuple[Bin, ...]
    """Those that hold a part, rising."""


def class_calibration(probabilities: Doubles, truth: Sequence[int]) -> Calibration | None:
    """Compare probabilities with true classes; None where there is no part.

    Parameters
    ----------
    probabilities : ndarray of float64 [n, k]
        One row a part, for several images of one are not independent. Rows sum to 1.
    truth : sequence of int
        Column of each part's true class.
    """
    n = len(truth)
    if not n:
        return None
    columns = np.asarray(truth, np.int64)
    told = np.zeros_like(probabilities)
    told[np.arange(n), columns] = 1.0
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == columns
    steps = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)  # a step holds its upper end
    seen = np.unique(steps)
    each = 1.0 - (1.0 - CONFIDENCE) / len(seen)  # so that all steps hold together (Bonferroni)
    bins = tuple(_bin(confidence[steps == step], right[steps == step], each) for step in seen)
    brier = float(((probabilities - told) ** 2).sum(axis=1).mean())
    low, high = mean_interval(brier / _MOST_BRIER, n)
    return Calibration(
        n=n,
        brier=brier,
        brier_interval=(_MOST_BRIER * low, _MOST_BRIER * high),
        ece=float(sum(one.n * abs(one.confidence - one.right) for one in bins) / n),
        ece_interval=_error_interval(bins, n),
        bins=bins,
    )


def mean_interval(mean: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval of the mean of a quantity between 0 and 1, at any n and for any distribution.

    Where n · KL(mean, m) reaches log(2 / (1 - confidence)), m beyond the mean on either side: Hoeffding (Journal of
    the American Statistical Association 58, 1963), theorem 1, inequality 2.1. At a mean of 0 or 1 it is that of Clopper
    and Pearson; for a quantity that varies little it is too wide.

    Parameters
    ----------
    mean : float
        Of n independent values, 0 to 1.
    n : int
        1 or more.
    confidence : float
        Between 0 and 1.
    """
    most = math.log(2.0 / (1.0 - confidence)) / n

    def too_far(m: float) -> bool:
        return _divergence(mean, m) > most

    return edge(mean, 0.0, too_far), edge(mean, 1.0, too_far)


def _divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler divergence of two Bernoulli distributions."""
    return sum(a * math.log(a / b) if b > 0.0 else math.inf for a, b in ((p, q), (1.0 - p, 1.0 - q)) if a > 0.0)


def _bin(confidence: Doubles, right: npt.NDArray[np.bool_], sure: float) -> Bin:
    """Sum a step up. Parts differ in their chance of being right, which makes the exact interval rather too wide.

    Hoeffding, Annals of Mathematical Statistics 27 (1956): tails of such sums are lighter than those of the binomial.
    """
    n, k = len(confidence), int(right.sum())
    return Bin(n, float(confidence.mean()), k / n, clopper_pearson(k, n, sure))


def _error_interval(bins: Sequence[Bin], n: int) -> tuple[float, float]:
    """Return the least and the most calibration error that the intervals of the steps leave open."""
    low = sum(one.n * max(0.0, one.interval[0] - one.confidence, one.confidence - one.interval[1]) for one in bins)
    high = sum(one.n * max(one.confidence - one.interval[0], one.interval[1] - one.confidence) for one in bins)
    return float(low / n), float(high / n)
