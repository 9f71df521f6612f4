"""Whether the probabilities of classes mean what they say: Brier score and expected calibration error."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
BINS = 10
"""Equal steps of the confidence: Naeini, Cooper and Hauskrecht (AAAI 2015); Guo et al. (ICML 2017), equation 3."""


@dataclass(frozen=True)
class Bin:
    """Images whose highest probability lies in one step."""

    n: int
    confidence: float
    """Mean of their highest probabilities, 0 to 1."""
    right: float
    """Share of them whose most probable class is the true one."""


@dataclass(frozen=True)
class Calibration:
    """How probabilities and outcomes agree."""

    n: int
    """Images of a known class. With few of them the error is too large: each step has its own chance deviation."""
    brier: float
    """Mean over the images of the sum over classes of (probability - truth)²: 0 to 2, 0 is perfect (Brier, 1950)."""
    ece: float
    """Mean over the images of |confidence - share right| of their step, 0 to 1."""
    bins: tuple[Bin, ...]
    """Those that hold an image, rising."""


def class_calibration(probabilities: Doubles, truth: Sequence[int]) -> Calibration | None:
    """Compare probabilities with true classes; None where there is no image.

    Parameters
    ----------
    probabilities : ndarray of float64 [n, k]
        Rows sum to 1.
    truth : sequence of int
        Column of each image's true class.
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
    bins = tuple(_bin(confidence[steps == step], right[steps == step]) for step in np.unique(steps))
    ece = sum(one.n * abs(one.confidence - one.right) for one in bins) / n
    return Calibration(n, float(((probabilities - told) ** 2).sum(axis=1).mean()), float(ece), bins)


def _bin(confidence: Doubles, right: npt.NDArray[np.bool_]) -> Bin:
    return Bin(len(confidence), float(confidence.mean()), float(right.mean()))
