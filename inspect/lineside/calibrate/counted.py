"""The overkill at a threshold that was not taken from good parts for it: counted on them.

(m + 1) / (n + 1) of m above it, and the exact binomial interval. Where good parts chose the threshold by what it does
to them, the interval is wider, so that it holds at whichever they choose (`lineside.binomial.chosen_confidence`): that
of m of n alone held in 86 % of 2,000 simulated calibrations of the lowest cost, with 100 good and 100 defective parts
whose scores overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.binomial import chosen_confidence, clopper_pearson, upper_bound
from lineside.calibrate.honest import largest_of_each
from lineside.calibrate.threshold import ASSUMPTION, CONFIDENCE, IF_OWN
from lineside.contract_thresholds import Threshold, Wish


@dataclass(frozen=True)
class Overkill:
    """What is known of the overkill at a threshold, by counting good parts.

    Attributes
    ----------
    above, n : int
        Good parts above it, and all.
    supported : float
        To be expected at most: (above + 1) / (n + 1), the mean of which is never below the overkill, where good parts
        had no say in the threshold.
    interval : tuple of float
        Clopper and Pearson, two-sided; where good parts chose the threshold, at any that they may choose.
    upper : float
        The same, one-sided.
    """

    above: int
    n: int
    supported: float
    interval: tuple[float, float]
    upper: float

    @property
    def words(self) -> str:
        """Say it."""
        if not self.n:
            return "Of overkill nothing is known: there were no good parts to count it on."
        return (
            f"Overkill there: {self.above} of {self.n} good parts, with {100 * CONFIDENCE:g} % confidence at most "
            f"{100 * self.upper:.1f} %."
        )

    def claim(self, *, held_out: bool) -> str:
        """Say it, with what is missing where the scores are not the deployed model's own."""
        return self.words + ("" if held_out or not self.n else f" That is {IF_OWN}")


def counted_overkill(value: float, parts: npt.NDArray[np.float32], *, chosen: bool = False) -> Overkill:
    """Count good parts [n], by their scores, above a threshold; `chosen` where these very parts decided on it."""
    n, above = len(parts), int((parts > np.float32(value)).sum())
    sure = chosen_confidence(n, CONFIDENCE) if chosen else CONFIDENCE
    return Overkill(above, n, (above + 1) / (n + 1), clopper_pearson(above, n, sure), upper_bound(above, n, sure))


def fixed_threshold(
    score: float, scores: npt.NDArray[np.float32], groups: Sequence[str], *, crossfit: str, held_out: bool
) -> Threshold:
    """Take a threshold as it was given, and count the overkill there.

    Nobody can know whether the score was read off these very parts, as from a report of them. So it is empirical, its
    bounds hold at whichever they may have chosen, and that of a score which was not read off them is said beside it.

    Parameters
    ----------
    score : float
        Finite.
    scores, groups, crossfit, held_out
        As `lineside.calibrate.threshold.overkill_threshold` takes them; there may be none.
    """
    value = float(np.float32(score))
    parts = largest_of_each(scores, groups)
    counted, unread = counted_overkill(value, parts, chosen=True), counted_overkill(value, parts)
    source = f" ({crossfit})" if counted.n else ""
    return Threshold(
        value=value,
        rule="as it was given",
        kind="empirical",
        wish=Wish("fixed", score=score),
        supported=None,
        supported_overkill=counted.supported,
        n=len(scores),
        n_groups=counted.n,
        n_defects=0,
        confidence=CONFIDENCE,
        interval=counted.interval,
        upper=counted.upper,
        statement=(
            f"No guarantee: the threshold was given, not learned{source}. {_however(counted, unread, held_out)} "
            f"{ASSUMPTION}"
        ),
    )


def _however(counted: Overkill, unread: Overkill, held_out: bool) -> str:
    """Say both bounds, and what is missing where the scores are not the deployed model's own."""
    if not counted.n:
        return counted.words
    least = f"{100 * unread.upper:.1f} % where it was not chosen by looking at these parts"
    end = "" if held_out else f" Both hold {IF_OWN}"
    return f"{counted.words.removesuffix('.')} however the score was chosen, and at most {least}.{end}"
