"""What the front learns from good frames: so far, their mean level.

The level is rounded to a coarse step on purpose. A fold of the cross-fitting refits it without its own frames, and on
the coarse scale nearly always finds the same value: then the fold may use the features that were computed once, and is
honest all the same. Where it finds another value, its features are computed again with that one.
"""

from collections.abc import Sequence

import numpy as np

LEVEL_STEP = 8.0
"""Grey levels. Any step serves the correction, since a common gain of all frames changes nothing between them."""


def golden_level(levels: Sequence[float]) -> float:
    """Return the mean level that every frame is brought to.

    Parameters
    ----------
    levels : sequence of float
        Mean grey level of each good frame, 0 to 255.

    Returns
    -------
    float
        Their median, rounded to a multiple of 8 grey levels, at least 8.
    """
    return max(LEVEL_STEP, LEVEL_STEP * round(float(np.median(levels)) / LEVEL_STEP))
