"""What n good parts can support: how many of them are held out, and which overkill they allow to be claimed.

One place, because `lineside check` promises before the training what the calibration finds after it, and neither room
may import the other. Pure arithmetic, torch-free. The bound is the conformal quantile's (Vovk et al., 2005,
proposition 2.2): from n scores a new good part lies above the largest with probability at most 1 / (n + 1).
"""

import math

HOLDOUT_SHARE = 0.2
"""Share of the good parts that `calibrate.crossfit: holdout` keeps out."""


def holdout_parts(n: int) -> int:
    """Return how many of n good parts are kept out for scoring alone: a fifth, at least one."""
    return max(1, round(HOLDOUT_SHARE * n))


def holdout_total(held: int) -> int:
    """Return the smallest number of good parts, at least 2, of which `held` are kept out: undoes the rounding."""
    return 2 if held <= 1 else math.ceil((held - 0.5) / HOLDOUT_SHARE)


def parts_needed(overkill: float) -> int:
    """Return the number of good parts that a wished overkill needs: the smallest n with 1 / (n + 1) ≤ overkill.

    Parameters
    ----------
    overkill : float
        Share of good parts that may be called NG, above 0 and below 1.
    """
    return math.ceil(1.0 / overkill - 1e-9) - 1


def supported_overkill(n: int) -> float:
    """Return the strictest overkill, a share of 1, that n scored good parts support."""
    return 1.0 / (n + 1)
