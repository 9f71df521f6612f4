"""Bias of a score: how far its mean lies from a reference, or that of one station from another's, with a t interval.

AIAG, Measurement Systems Analysis, 4th edition (2010), chapter III, section B, independent sample method: the mean of n
readings less the reference value, its standard deviation the readings' own over the root of n, and Student's t with
n - 1 degrees of freedom. A bias is acceptable there where the interval holds 0. Readings of one part are independent of
each other, but several of each of several parts are not: there the parts' means are the n readings.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
CONFIDENCE = 0.95
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Bias:
    """A mean difference.

    Attributes
    ----------
    value : float
        In the score's unit.
    sd : float or None
        Standard deviation of the differences; None of a single one.
    interval : tuple of float, optional
        95 %. None where there is a single difference, or all are equal: that few may be so by chance is not seen.
    n : int
    unit : str
        What was counted: ``part`` or ``shot``.
    """

    value: float
    sd: float | None
    interval: tuple[float, float] | None
    n: int
    unit: str = "part"

    @property
    def found(self) -> bool:
        """Whether the interval leaves 0 out: a bias, by AIAG's rule."""
        return self.interval is not None and not self.interval[0] <= 0.0 <= self.interval[1]

    @property
    def spread(self) -> str:
        """The interval in words, or why there is none."""
        counted = f"{self.n} {self.unit}{'s' if self.n != 1 else ''}"
        if self.interval is None:
            return f"no interval from {counted}" if self.n < 2 else f"no difference between {counted}"
        return f"{self.interval[0]:.4g} to {self.interval[1]:.4g} ({counted})"


def bias_of(differences: Doubles, unit: str = "part") -> Bias:
    """Return the mean of independent differences [n], n at least 1, with its t interval."""
    from scipy.special import stdtrit

    n, value = len(differences), float(differences.mean())
    if n < 2:
        return Bias(value, None, None, n, unit)
    sd = float(differences.std(ddof=1))
    if sd <= _NO_SPREAD * float(np.abs(differences).max()):
        return Bias(value, 0.0, None, n, unit)
    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2.0)) * sd / math.sqrt(n)
    return Bias(value, sd, (value - half, value + half), n, unit)
