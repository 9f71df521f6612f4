"""Whether frames come from a line that changed: by their light, sharpness, contrast and noise, not by their score.

A camera that changed and parts that are all defective both raise every score. A camera changes what the gate measures
of a picture; a defect hardly does. So where none of these numbers moved, scores are held against the threshold as it
is; else against a threshold that moves with the frames' median.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.normalise.gate_limits import LEAST, qn_spread
from lineside.normalise.gate_rules import RULES

Floats = npt.NDArray[np.float32]

CHANGED = 2.5
"""Robust standard deviations of the training's good frames by which a median must have moved. Measured on ball-screw
drives, 20 frames: same camera 0.5 (goods) and 1.8 (defective ones alone), a little more exposure 2.5 to 3.8, another
camera (colours, gamma, blur) 6.1 to 7.7."""
FLOORS = 6.0
"""A spread is at least this part of the rule's floor: frames of one minute vary less than those of a year."""


@dataclass(frozen=True)
class Shift:
    """The quality number that moved farthest.

    Attributes
    ----------
    name : str
        Of it; empty where no number could move.
    spreads : float
        By how many robust standard deviations of the old frames the median moved, its sign dropped.
    """

    name: str
    spreads: float

    @property
    def changed(self) -> bool:
        """Whether the pictures are others than those of the training."""
        return self.spreads >= CHANGED


def quality_shift(old: Floats, new: Floats, names: Sequence[str]) -> Shift:
    """Find the quality number that moved farthest between two sets of frames.

    Parameters
    ----------
    old, new : ndarray of float32 [n, q], [m, q]
        Quality numbers of the training's good frames, and of the new ones.
    names : sequence of str [q]
        Of the columns; those that the gate never refuses for are only told, and have no say.
    """
    moved = [(_moved(old[:, i], new[:, i], name), name) for i, name in enumerate(names) if RULES[name].bit is not None]
    spreads, name = max(moved, default=(0.0, ""))
    return Shift(name, spreads)


def _moved(old: Floats, new: Floats, name: str) -> float:
    rule = RULES[name]
    before, after = (
        np.log(np.maximum(values.astype(np.float64), LEAST)) if rule.log else values.astype(np.float64)
        for values in (old, new)
    )
    if len(before) < 2:
        return 0.0
    spread = max(qn_spread(before), rule.floor / FLOORS, LEAST)
    return float(abs(np.median(after) - np.median(before)) / spread)
