"""What n good parts can support: how many of them are held out, and which overkill they allow to be claimed.

One place, because `lineside check` promises before the training what the calibration finds after it, and neither room
may import the other. Pure arithmetic, torch-free. The bound on average is the conformal quantile's (Vovk et al., 2005,
proposition 2.2): from n scores a new good part lies above the largest with probability at most 1 / (n + 1). With a
confidence it is that of the largest order statistic (Wilks, Annals of Mathematical Statistics 12, 1941): all n lie
below a threshold that a share p of the parts exceeds with probability (1 - p)^n.
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


def parts_needed(overkill: float, confidence: float | None = None) -> int:
    """Return the number of good parts that a wished overkill needs.

    Parameters
    ----------
    overkill : float
        Share of good parts that may be called NG, above 0 and below 1.
    confidence : float, optional
        With which it is to hold, above 0 and below 1: the smallest n with (1 - overkill)^n ≤ 1 - confidence. None: on
        average, the smallest n with 1 / (n + 1) ≤ overkill.
    """
    if confidence is None:
        return math.ceil(1.0 / overkill - 1e-9) - 1
    return max(1, math.ceil(math.log1p(-confidence) / math.log1p(-overkill) - 1e-9))


def supported_overkill(n: int, confidence: float | None = None) -> float:
    """Return the strictest overkill, a share of 1, that n ≥ 1 scored good parts support; see `parts_needed`."""
    if confidence is None:
        return 1.0 / (n + 1)
    return -math.expm1(math.log1p(-confidence) / n)


def parts_short(needed: int, n: int, kept_from: int | None = None, *, kind: str = "good") -> str:
    """Say how many parts a wish needs and how many more that is, in the recipe too where they were held out of it.

    Parameters
    ----------
    needed, n : int
        Scored parts that it needs, and those there are.
    kept_from : int, optional
        Number of parts that the n were held out of; None: they were not.
    kind : str
        ``good`` or ``defective``.
    """
    if kept_from is None:
        return f"{needed} {kind} parts" + (f", {needed - n} more than now" if needed > n else "")
    more = holdout_total(needed) - kept_from
    told = f"{needed} held-out {kind} parts, so {holdout_total(needed)} in the recipe"
    return f"{told}, {more} more than the {kept_from} now" if more > 0 else told
