"""Scores of good parts moved to a line that changed, where nobody has said which of its parts are good.

Median and spread of the new line's scores, robust against the defective parts among them, replace those of the old
calibration; the form of the tail, which a few unlabelled frames cannot show, is kept from it. A quantile of the new
scores was rejected: it would call a fixed share of the frames NG, however many of them are defective.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.normalise.gate_limits import qn_spread

Doubles = npt.NDArray[np.float64]

PRIOR_SCORES = 20
"""Scores that a spread in proportion to the median counts for: the spread of few scores is itself a guess."""
LARGEST_STRETCH = 2.0
"""The spread is taken to grow by this factor at most, over the median's; and never to grow less than that: a narrower
spread of a few frames taken within minutes would put the threshold among good parts."""


@dataclass(frozen=True)
class Move:
    """score -> new_middle + stretch (score - old_middle)."""

    old_middle: float
    new_middle: float
    stretch: float

    def __call__(self, scores: npt.NDArray[np.floating]) -> Doubles:
        """Move scores; infinite ones stay."""
        return np.asarray(self.new_middle + self.stretch * (scores.astype(np.float64) - self.old_middle), np.float64)


def score_move(old: npt.NDArray[np.floating], new: npt.NDArray[np.floating]) -> Move:
    """Find how scores moved.

    Parameters
    ----------
    old : ndarray [n]
        Of good parts; infinite ones (findings) are left out.
    new : ndarray [m]
        Of the new line's parts, defective ones perhaps among them, less than half.
    """
    before, after = old[np.isfinite(old)].astype(np.float64), new[np.isfinite(new)].astype(np.float64)
    middles = float(np.median(before)), float(np.median(after))
    level = max(middles[1], 1e-9) / max(middles[0], 1e-9)
    if len(before) < 2 or len(after) < 2:
        return Move(*middles, level)
    change = np.log(max(qn_spread(after), 1e-9) / max(qn_spread(before) * level, 1e-9))
    shrunk = change * len(after) / (len(after) + PRIOR_SCORES)
    return Move(*middles, level * float(np.exp(np.clip(shrunk, 0.0, np.log(LARGEST_STRETCH)))))
