"""Scores that a threshold may be taken from: each by a model that had not seen the frame's part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
MARGIN_REL = 1e-3
"""The tolerance on scores between machines (contract: `score_tolerance_rel`)."""


@dataclass(frozen=True, eq=False)
class Honest:
    """Scores of good frames, or of defective ones.

    Attributes
    ----------
    scores : ndarray of float32 [n]
        Infinite where a finding makes the frame NG whatever the threshold. Frames without a call are left out.
    groups : tuple of str [n]
        Physical part of each frame.
    labels : tuple of str [n]
        ``good``, or the defect class.
    held_out : bool
        Whether the deployed model itself gave the scores, which was fitted on none of these parts.
    how : str
        How the scores were kept honest, in words.
    no_call : int
        Frames that got no call.
    tolerated : bool
        Whether the deployed graph divides scores of some classes, and these are not divided: they are rather too high.
    kept_from : int or None
        Parts of the recipe that these were held out of; None where they were not.
    """

    scores: Floats
    groups: tuple[str, ...]
    labels: tuple[str, ...]
    held_out: bool
    how: str
    no_call: int = 0
    tolerated: bool = False
    kept_from: int | None = None

    def parts(self, label: str | None = None) -> Floats:
        """Return a score for each part of a class, or of all, by the part's name: of several frames the highest.

        One frame that is NG makes a good part an overkill, and keeps a defective one from escaping.
        """
        at = [i for i, own in enumerate(self.labels) if label in (None, own)]
        return largest_of_each(self.scores[at], [self.groups[i] for i in at])


def largest_of_each(scores: Floats, groups: Sequence[str]) -> Floats:
    """Return the largest score [m] of each group, by the group's name, from scores [n]."""
    names = sorted(set(groups))
    position = {name: i for i, name in enumerate(names)}
    largest = np.full(len(names), -np.inf, np.float32)
    np.maximum.at(largest, [position[group] for group in groups], scores)
    return largest


def just_above(ascending: Floats, k: int) -> float:
    """Return a float32 above the k-th score: by a thousandth of it, and at most half-way to the next larger score.

    A bound on overkill holds for every threshold from the k-th score up. Exactly on it, rounding on another machine
    would turn the verdict of the very part that it was taken from.
    """
    score = float(ascending[k - 1])
    larger = ascending[(ascending > ascending[k - 1]) & np.isfinite(ascending)]
    step = MARGIN_REL * abs(score)
    if len(larger):
        step = min(step, 0.5 * (float(larger[0]) - score))
    return float(max(np.float32(score + step), np.nextafter(ascending[k - 1], np.float32(np.inf))))


def just_below(ascending: Floats, k: int) -> float:
    """Return a float32 below the k-th score, as `just_above` returns one above: it stays NG, and all above it."""
    return -just_above(-ascending[np.isfinite(ascending)][::-1], int(np.isfinite(ascending).sum()) + 1 - k)
