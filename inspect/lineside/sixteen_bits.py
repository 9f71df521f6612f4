"""Numbers rounded to whole steps, so that a bundle keeps two bytes of each without loss.

A step is a power of two, so that steps times their number are the very float32 numbers that everything was fitted with.
Half precision was rejected: it is off by a share of each number, 16 times as much where numbers are large, and patches
of parts that are all alike differ by less; a part that looks the same six times in a turn was no longer known as such.
"""

import math

import numpy as np
import numpy.typing as npt

MOST_STEPS = 32_767


def step_of(values: npt.NDArray[np.floating]) -> float:
    """Return the least power of two of which 32,767 reach the largest number; 1 where all are 0."""
    largest = float(np.abs(values).max(initial=0.0))
    return 2.0 ** math.ceil(math.log2(largest / MOST_STEPS)) if largest > 0 else 1.0


def in_16_bits(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Round to whole steps: off by at most a 32,767th of the largest number."""
    step = step_of(values)
    return np.asarray(np.rint(values / step) * step, np.float32)
