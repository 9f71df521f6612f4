"""The gate's limits, learned from good frames, and the gate's rule in NumPy, the slow twin of the graph's.

A limit lies `margin` robust standard deviations from the good frames' median, on the scale that the number's rule
names; with few good frames further, because their spread is itself a guess; never nearer than the rule's floor, because
good frames taken within one minute vary less than those of a year; never inside of what a good frame showed. Limits at
the smallest and the largest good value were rejected: the next good frame lies outside of one of n with probability
1/(n + 1) a side and number, some 80 % over all numbers at n = 10.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from lineside.normalise.gate_rules import GATE_BITS, RANGE_NAMES, RULES, SIZE_NAMES, GateSettings, Rule

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

NO_LIMIT = 1e30
"""Stands where there is no limit: finite, so that it can be written in JSON."""
LEAST_GOODS = 3
"""With fewer nothing can be said of a spread: only what the recipe states is a limit."""
COVERAGE, CONFIDENCE = 0.999, 0.95
"""Share of the good frames that a limit is to let pass, with what confidence: the least that any margin gives."""
QN_EFFICIENCY = 0.82
"""Of Qn at the normal distribution, against the standard deviation (Rousseeuw and Croux, JASA 88, 1993, table 1)."""
_QN_SMALL = (0.399, 0.994, 0.512, 0.844, 0.611, 0.857, 0.669, 0.872)
"""Factors that make Qn unbiased for n = 2 to 9 (Croux and Rousseeuw, COMPSTAT 1992)."""
MOST_PAIRED = 1000
"""Values that are compared in pairs; more of them say nothing new of a spread."""
LEAST = 1e-3
"""Smaller numbers than this are this where logarithms are taken."""
HAIR = 1e-3
"""Relative width that a limit is moved outwards, so that rounding never refuses the frame that set it."""


def fit_limits(quality: F32, settings: GateSettings, margin: float) -> F32:
    """Learn the limits of each quality number.

    Parameters
    ----------
    quality : ndarray of float32 [n, q]
        Of good frames, columns as the settings name them.
    settings : GateSettings
        What it states is taken as it stands, whatever the good frames show.
    margin : float
        Robust standard deviations from the median to a limit; the normal tolerance factor of n where that is larger
        (`tolerance_factor`: 6.8 at n = 8, 6.1 at 10, 4.1 at 50). Simulated at margin 6, without floors: a number
        refuses 0.09 % of the next good frames after 8, 0.05 % after 10, below 0.01 % after 50; with tails of Student's
        t with 4 degrees of freedom 0.30 %, 0.28 % and 0.11 %.

    Returns
    -------
    ndarray of float32 [q, 2]
        Lower and upper limits; ±1e30 where there is none.
    """
    return learned_limits(quality, settings.quality_names, _stated(settings), margin)


def learned_limits(
    quality: F32,
    names: Sequence[str],
    stated: Mapping[str, tuple[float, float]],
    margin: float,
    *,
    trusted: bool = True,
) -> F32:
    """Learn limits [q, 2] for named columns; see `fit_limits`.

    Parameters
    ----------
    quality : ndarray of float32 [n, q]
    names : sequence of str [q]
    stated : mapping of name to (lower, upper)
        Limits that are taken as they stand.
    margin : float
    trusted : bool
        Whether all frames are known to be good: then no limit lies inside of what one of them showed.
    """
    rows = []
    for column, name in enumerate(names):
        values, rule = quality[:, column].astype(np.float64), RULES[name]
        learned = rule.bit is not None and len(values) >= LEAST_GOODS
        unlimited = (-NO_LIMIT, NO_LIMIT)
        rows.append(stated.get(name) or (_learned(values, rule, margin, trusted) if learned else unlimited))
    return np.array(rows, np.float32).reshape(-1, 2)


def gate_of(quality: F32, limits: F32, settings: GateSettings) -> npt.NDArray[np.int64]:
    """Return the gate's bits of quality numbers [n, q], int64 [n]: what the graph says, another way."""
    gate = np.zeros(len(quality), np.int64)
    for column, bit in enumerate(settings.bits):
        if bit is None:
            continue
        values = quality[:, column]
        passes = (values >= limits[column, 0]) & (values <= limits[column, 1])
        gate |= np.where(passes, 0, 1 << bit)
    return gate


def reasons(gate: int) -> tuple[str, ...]:
    """Return the names of the bits that are set."""
    return tuple(name for bit, name in enumerate(GATE_BITS) if gate >> bit & 1)


@cache
def tolerance_factor(n: int) -> float:
    """Return the two-sided normal tolerance factor for a median and a Qn of n values.

    Howe's approximation (JASA 64, 1969): z √(ν (1 + 1/n) / χ²(1 - confidence; ν)), for 99.9 % of the good frames with a
    confidence of 95 %; ν = 0.82 (n - 1) degrees of freedom, since Qn uses that share of the information.
    """
    from scipy.special import gammaincinv, ndtri  # the quantiles; scipy.stats takes ten times as long to import

    freedom = QN_EFFICIENCY * (n - 1)
    z, chi2 = ndtri(0.5 * (1.0 + COVERAGE)), 2.0 * gammaincinv(0.5 * freedom, 1.0 - CONFIDENCE)
    return float(z * np.sqrt(freedom * (1.0 + 1.0 / n) / chi2))


def qn_spread(values: F64) -> float:
    """Return Qn, the robust standard deviation of Rousseeuw and Croux: the first quartile of all distances.

    The median absolute deviation was rejected: it uses 37 % of the information, so that at n = 10 limits would have to
    lie twice as far off.
    """
    count = len(values)
    if count > MOST_PAIRED:
        values = np.sort(values)[np.linspace(0, count - 1, MOST_PAIRED).astype(np.int64)]
        count = MOST_PAIRED
    first, second = np.triu_indices(count, 1)
    half = count // 2 + 1
    quartile = np.partition(np.abs(values[first] - values[second]), half * (half - 1) // 2 - 1)
    small = _QN_SMALL[count - 2] if count < 10 else count / (count + (1.4 if count % 2 else 3.8))
    return float(2.2219 * small * quartile[half * (half - 1) // 2 - 1])


def _learned(values: F64, rule: Rule, margin: float, trusted: bool) -> tuple[float, float]:
    scaled = np.log(np.maximum(values, LEAST)) if rule.log else values
    middle, factor = float(np.median(scaled)), max(margin, tolerance_factor(len(values)))
    half = min(max(factor * qn_spread(scaled), rule.floor), rule.widest)
    ends = np.array([middle - half, middle + half])
    low, high = np.exp(ends) if rule.log else ends
    if trusted:
        low, high = min(low, values.min()), max(high, values.max())
    below = low - HAIR * abs(low) if rule.side != "high" else -NO_LIMIT
    above = high + HAIR * abs(high) if rule.side != "low" else NO_LIMIT
    return float(below), float(above)


def _stated(settings: GateSettings) -> dict[str, tuple[float, float]]:
    """Limits that no good frame has a say in."""
    limits = {name: (low, high) for name, low, high in settings.stated}
    if settings.pose_range is not None:
        for name, largest in zip(RANGE_NAMES, settings.pose_range, strict=True):
            limits[name] = (-NO_LIMIT, largest * (1.0 + HAIR) + HAIR)
    if settings.frame_wh is not None:
        for name, side in zip(SIZE_NAMES, settings.frame_wh, strict=True):
            limits[name] = (side - 0.5, side + 0.5)
    return limits
