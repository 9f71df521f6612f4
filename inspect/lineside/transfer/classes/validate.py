"""What a way of fitting is worth on examples that it never saw, and what a choice between several is worth.

The best of several cross-validated accuracies flatters itself: it was chosen for being high. So the accuracy of a
choice is estimated by BBC-CV (Tsamardinos, Greasidou and Borboudakis, Machine Learning 107, 2018): the choice is
repeated on resampled parts and judged on the parts left out, from the held-out answers already there. Nested
cross-validation would cost ten times the fits for the same answer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.binomial import beta_quantile

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

RESAMPLINGS = 200
MARGIN = 2.0
"""Standard errors by which another way must beat the first to be chosen. Few examples rank ways nearly by chance."""


@dataclass(frozen=True)
class Held:
    """What heads said of n examples that they never saw, in the same order for every way of fitting.

    Attributes
    ----------
    labels, called, groups : ndarray of int64 [n]
    """

    labels: I64
    called: I64
    groups: I64

    @property
    def right(self) -> Bools:
        """Which were called what they are [n]."""
        return np.asarray(self.labels == self.called, np.bool_)

    @property
    def confusion(self) -> I64:
        """True class down, called across [k, k]."""
        size = int(self.labels.max()) + 1
        counts = np.zeros((size, size), np.int64)
        np.add.at(counts, (self.labels, self.called), 1)
        return counts


@dataclass(frozen=True)
class Accuracy:
    """Share of held-out examples that were called what they are.

    Attributes
    ----------
    value : float
        Corrected for having been chosen.
    low, high : float
        95 % interval after Clopper and Pearson (1934), of as many draws as there are parts: several examples of a part
        are right or wrong together.
    n : int
        Examples held out, copies not counted.
    parts : int
        Physical parts that they show.
    """

    value: float
    low: float
    high: float
    n: int
    parts: int


def choice(right: F64, times: F64) -> int:
    """Return the way [number] that is chosen: the first, or the best where it beats the first by 2 standard errors.

    Parameters
    ----------
    right : ndarray of float64 [ways, n]
        1 where a way called a held-out example what it is; the way to prefer comes first.
    times : ndarray of float64 [n]
        How often each example counts.
    """
    shares = right @ times / times.sum()
    best = int(shares.argmax())
    difference = right[best] - right[0]
    gain = shares[best] - shares[0]
    spread = math.sqrt(max(float(np.square(difference - gain) @ times), 0.0)) / times.sum()
    return best if gain > MARGIN * spread else 0


def accuracy_of_choice(outcomes: Sequence[Held], seed: int) -> Accuracy:
    """Estimate how accurate the way is that `choice` takes from these.

    Parameters
    ----------
    outcomes : sequence of Held
        Of the same examples, the way to prefer first.
    seed : int
        Of the resampling.
    """
    n = len(outcomes[0].labels)
    value = _corrected(outcomes, seed) if len(outcomes) > 1 else float(outcomes[0].right.mean())
    parts = len(np.unique(outcomes[0].groups))
    return Accuracy(value, *interval(value, parts), n, parts)


def interval(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n after Clopper and Pearson."""
    hits = share * n
    low = beta_quantile(0.025, hits, n - hits + 1) if hits > 0 else 0.0
    high = beta_quantile(0.975, hits + 1, n - hits) if hits < n else 1.0
    return low, high


def _corrected(outcomes: Sequence[Held], seed: int) -> float:
    """Mean accuracy, over resamplings of the parts, on those left out, of the way chosen on those drawn."""
    right = np.stack([outcome.right for outcome in outcomes]).astype(np.float64)  # [ways, n]
    _, part = np.unique(outcomes[0].groups, return_inverse=True)
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(RESAMPLINGS):
        times = np.bincount(rng.integers(part.max() + 1, size=part.max() + 1), minlength=part.max() + 1)[part]  # [n]
        if (times == 0).any() and times.any():
            shares.append(float(right[choice(right, times.astype(np.float64))][times == 0].mean()))
    return float(np.mean(shares)) if shares else float(right[choice(right, np.ones(right.shape[1]))].mean())
