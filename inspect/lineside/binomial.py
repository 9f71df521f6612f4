"""Exact intervals for a share that was counted, k of n, and the quantiles of the beta distribution behind them.

Clopper and Pearson (Biometrika 26, 1934): each end is the share at which a binomial tail reaches alpha / 2, one-sided
alpha. It never covers less than it says, also at k = 0 and at small n, where the normal approximation gives nonsense
(0 of 20: an interval of width nothing). Written out because scipy is no dependency of the base install, which counts
too; a test compares the two.
"""

import math
from bisect import bisect_left
from functools import lru_cache

_ITERATIONS = 300  # of the continued fraction: about sqrt(max(a, b)) are needed; larger n converge by symmetry
_TINY = 1e-300


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a binomial share.

    Parameters
    ----------
    k, n : int
        Successes and trials, 0 ≤ k ≤ n. With n = 0 nothing is known: (0, 1).
    confidence : float
        Between 0 and 1.

    Returns
    -------
    (float, float)
        Lower and upper end, 0 to 1.
    """
    _check(k, n)
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if k == 0 else beta_quantile(tail, k, n - k + 1)
    high = 1.0 if k == n else 1.0 - beta_quantile(tail, n - k, k + 1)
    return low, high


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided bound: with this confidence the share of successes is at most that.

    Parameters
    ----------
    k, n : int
        Successes and trials, 0 ≤ k ≤ n. With n = 0 nothing is known: 1.
    confidence : float
        Between 0 and 1.
    """
    _check(k, n)
    return 1.0 if k == n else 1.0 - beta_quantile(1.0 - confidence, n - k, k + 1)


def contradicting(n: int, share: float, confidence: float = 0.95) -> int | None:
    """Return the smallest k of n at which the two-sided interval lies above a share; None where it never does."""
    k = bisect_left(range(n + 1), True, key=lambda k: clopper_pearson(k, n, confidence)[0] > share)
    return k if k <= n else None


def chosen_confidence(n: int, confidence: float = 0.95) -> float:
    """Return the confidence at which bounds hold at any threshold that n parts may choose, by whatever rule.

    A threshold between two of n scores is beaten by no smaller a share than the next score above it and by no larger
    one than the next below it, and the share beyond each of the n scores follows its own law, which Clopper and
    Pearson's bounds turn round. So bounds at 1 - (1 - confidence) / n hold at all n together (Bonferroni), and with
    them at the one that was chosen.
    """
    return 1.0 - (1.0 - confidence) / max(n, 1)


@lru_cache(maxsize=4096)
def beta_quantile(p: float, a: float, b: float) -> float:
    """Return the share at which Beta(a, b), a and b above 0, reaches the probability p.

    By bisection: 100 halvings, to the last bit.
    """
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2.0
        if _beta_regularised(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def beta_interval(a: float, b: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval of a share that follows Beta(a, b), with equal tails."""
    tail = (1.0 - confidence) / 2.0
    return beta_quantile(tail, a, b), beta_quantile(1.0 - tail, a, b)


def _check(k: int, n: int) -> None:
    if not 0 <= k <= n:
        raise ValueError(f"Expected 0 <= k <= n, found k={k}, n={n}.")


def _beta_regularised(x: float, a: float, b: float) -> float:
    """I_x(a, b) by its continued fraction (DLMF 8.17.22), on the side of the mean where it converges fast."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta_regularised(1.0 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / a * _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d1 / (1 + d2 / (1 + …))) by the modified Lentz algorithm."""
    c, d = 1.0, 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    limit = _ITERATIONS + int(5 * math.sqrt(max(a, b)))
    for m in range(1, limit):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away_from_zero(1.0 + numerator * d)
            c = _away_from_zero(1.0 + numerator / c)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
