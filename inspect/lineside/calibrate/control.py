"""Control charts: whether a line stays as it was. A p-chart of shares, and an EWMA of means, in subgroups by time.

The limits come from the very images that are charted (phase I): a line that was never steady makes them wide. p-chart:
Montgomery, Introduction to Statistical Quality Control, section 7.2, but with limits from the binomial distribution
itself: with a small share the usual 3 sigma would call two bad parts in four an alarm. EWMA: Roberts (Technometrics 1,
1959); Montgomery, section 9.2, with the exact limits, which are narrower for the first subgroups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
SIGMAS = 3.0
TAIL = 0.00135
"""Probability beyond one side of 3 sigma of a normal distribution."""
WEIGHT = 0.2
"""Of the newest subgroup in the EWMA: 0.05 to 0.25 are usual (Montgomery, section 9.2)."""
SUBGROUPS, LEAST_SUBGROUPS, LEAST_IN_SUBGROUP = 25, 5, 4
"""Subgroups that are aimed at, and without which there is no chart: 20 to 25 are usual for limits in phase I."""


@dataclass(frozen=True)
class ChartPoint:
    """A subgroup."""

    first: int
    """Place of its first image in time, from 0."""
    n: int
    value: float
    lower: float
    upper: float

    @property
    def outside(self) -> bool:
        """Whether it lies beyond its limits."""
        return not self.lower - 1e-12 <= self.value <= self.upper + 1e-12


@dataclass(frozen=True)
class Chart:
    """A chart of all subgroups."""

    centre: float
    points: tuple[ChartPoint, ...]

    @property
    def outside(self) -> int:
        """Number of subgroups beyond their limits."""
        return sum(point.outside for point in self.points)


def subgroup_bounds(n: int) -> list[tuple[int, int]]:
    """Cut n images in time order into subgroups of nearly the same size: (first, after the last) of each.

    Empty where there are too few for a chart.
    """
    groups = min(SUBGROUPS, n // LEAST_IN_SUBGROUP)
    if groups < LEAST_SUBGROUPS:
        return []
    edges = [n * i // groups for i in range(groups + 1)]
    return list(pairwise(edges))


def p_chart(rejected: Sequence[bool]) -> Chart | None:
    """Chart the share of rejected parts; None where there are too few.

    Parameters
    ----------
    rejected : sequence of bool
        In time order.
    """
    values = np.asarray(rejected, np.float64)
    bounds = subgroup_bounds(len(values))
    if not bounds:
        return None
    centre = float(values.mean())
    points = []
    for first, end in bounds:
        lower, upper = binomial_limits(centre, end - first)
        points.append(ChartPoint(first, end - first, float(values[first:end].mean()), lower, upper))
    return Chart(centre, tuple(points))


def binomial_limits(share: float, n: int) -> tuple[float, float]:
    """Return the least and the greatest share of n parts that are not improbable: beyond each lies at most `TAIL`.

    Parameters
    ----------
    share : float
        Of the whole, 0 to 1.
    n : int
        1 or more.
    """
    if share <= 0.0 or share >= 1.0:
        return share, share
    k = np.arange(n + 1)
    log_choose = math.lgamma(n + 1) - np.array([math.lgamma(i + 1) + math.lgamma(n - i + 1) for i in range(n + 1)])
    density = np.exp(log_choose + k * math.log(share) + (n - k) * math.log1p(-share))
    up_to, from_on = np.cumsum(density), np.cumsum(density[::-1])[::-1]
    return float(k[up_to > TAIL][0]) / n, float(k[from_on > TAIL][-1]) / n


def ewma_chart(scores: Sequence[float]) -> Chart | None:
    """Chart the exponentially weighted mean of the subgroups' mean scores; None where there are too few.

    Parameters
    ----------
    scores : sequence of float
        In time order. Their spread is taken inside the subgroups, so that a drift does not widen the limits.
    """
    values = np.asarray(scores, np.float64)
    bounds = subgroup_bounds(len(values))
    if not bounds:
        return None
    centre = float(values.mean())
    groups = [values[first:end] for first, end in bounds]
    spread = math.sqrt(sum(float(((g - g.mean()) ** 2).sum()) for g in groups) / (len(values) - len(groups)))
    points, ewma, variance = [], centre, 0.0
    for (first, _), group in zip(bounds, groups, strict=True):
        ewma = WEIGHT * float(group.mean()) + (1.0 - WEIGHT) * ewma
        variance = WEIGHT**2 / len(group) + (1.0 - WEIGHT) ** 2 * variance
        half = SIGMAS * spread * math.sqrt(variance)
        points.append(ChartPoint(first, len(group), ewma, centre - half, centre + half))
    return Chart(centre, tuple(points))
