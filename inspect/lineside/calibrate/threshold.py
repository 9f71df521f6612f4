"""From honest scores of good parts to a threshold, and to a sentence that claims no more than they allow.

The rule is the conformal quantile: of n scores (just above) the k-th smallest, k = ceil((n + 1)(1 - overkill)). Where
the scores were held out of everything that is deployed, a new good part is called NG with probability at most
1 - k / (n + 1) (Vovk et al., 2005, proposition 2.2; Lei et al., 2018, theorem 2.2), averaged over calibration sets; for
one calibration set the overkill follows Beta(n + 1 - k, k) (Vovk, 2012), or lies below it where scores are tied. So a
wish with a confidence takes the smallest k at which that law keeps the wish with this probability: the exact tolerance
limit (Wilks, Annals of Mathematical Statistics 12, 1941), the largest of 59 scores for 5 % at 95 %. Where the scores
come from cross-fitting, the deployed model is none of those that gave them and the theorem does not cover it: the
threshold is called empirical.

A finding makes a part NG whatever the threshold. Where so many have one that the k-th score is no number, the threshold
lies above the largest that is, and its rank was chosen by the parts: neither law holds. Then the overkill is that of
one part more than those with a finding, (m + 2) / (n + 1) and the exact binomial bound of m + 1 of n, and is called
empirical: in 2,000 simulated calibrations each, n = 8, 20, 59 and 100, the mean is kept and the bound at 95 % holds in
93.5 % at least; the law of that rank itself holds in 83.3 % (n = 8) to 92.7 %.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.binomial import beta_interval, beta_quantile, clopper_pearson, upper_bound
from lineside.calibrate.honest import just_above, largest_of_each
from lineside.contract_thresholds import Threshold, Wish
from lineside.evidence import parts_needed, parts_short

CONFIDENCE = 0.95
IF_OWN = "if cross-fitted scores were the deployed model's own."
ASSUMPTION = (
    "It holds where production is exchangeable with these: same part family, camera and light, and one shot of a part, "
    "or its shots grouped and the worst taken."
)


def overkill_threshold(
    scores: npt.NDArray[np.float32],
    groups: Sequence[str],
    overkill: float,
    *,
    crossfit: str,
    held_out: bool,
    confidence: float | None = None,
    kept_from: int | None = None,
) -> Threshold:
    """Find the threshold for a wished overkill.

    Parameters
    ----------
    scores : ndarray of float32 [n]
        Of good frames, each from a model that has not seen the frame's part. Infinite where the frame is NG whatever
        the threshold; not all may be.
    groups : sequence of str
        Physical part of each frame. Of a part with several frames the worst counts, so that parts are exchangeable.
    overkill : float
        Share of good parts that may be called NG, above 0 and below 1.
    crossfit : str
        How the scores were kept honest, in words, for the statement.
    held_out : bool
        True where the scores were given by the deployed model itself, which was fitted on none of these parts.
    confidence : float, optional
        With which the overkill is to be no larger, above 0 and below 1; None: on average over calibrations.
    kept_from : int, optional
        Good parts of the recipe that these were held out of; None: they were not.

    Returns
    -------
    Threshold
        With the strictest overkill that n parts support where they do not support the wish.
    """
    parts = largest_of_each(scores, groups)
    n = len(parts)
    always, sure = int(np.isinf(parts).sum()), confidence or CONFIDENCE
    rank = min(max(1, _rank(n, overkill, confidence)), n)
    k, chosen = min(rank, n - always), rank > n - always
    expected, interval, upper = _counted_law(n, n - k, sure) if chosen else _law(n, k, sure)
    wish = Wish("overkill", overkill, confidence=confidence)
    known = _Known(n, len(scores), always, chosen, wish, expected, interval, upper, sure, crossfit, held_out, kept_from)
    return Threshold(
        value=just_above(np.sort(parts), k),
        rule=f"just above score {k} of {n} in ascending order ({crossfit})",
        kind="guaranteed" if known.guaranteed else "empirical",
        wish=wish,
        supported=known.supported,
        supported_overkill=expected,
        n=len(scores),
        n_groups=n,
        n_defects=0,
        confidence=sure,
        interval=interval,
        upper=upper,
        statement=known.statement,
    )


def _law(n: int, k: int, sure: float) -> tuple[float, tuple[float, float], float]:
    """Return mean, interval and upper bound of the overkill above score k of n."""
    return 1.0 - k / (n + 1), beta_interval(n + 1 - k, k, sure), beta_quantile(sure, n + 1 - k, k)


def _counted_law(n: int, found: int, sure: float) -> tuple[float, tuple[float, float], float]:
    """Return the same above the largest score that is a number, as many parts having a finding: one more counts."""
    low, high = clopper_pearson(found, n, sure)[0], clopper_pearson(found + 1, n, sure)[1]
    return min(1.0, (found + 2) / (n + 1)), (low, high), upper_bound(found + 1, n, sure)


def _rank(n: int, overkill: float, confidence: float | None) -> int:
    """Return the smallest k, up to n, that keeps the wish above score k of n; n where none does."""
    if confidence is None:
        return math.ceil((n + 1) * (1.0 - overkill) - 1e-9)
    return 1 + bisect_left(range(1, n), True, key=lambda k: beta_quantile(confidence, n + 1 - k, k) <= overkill + 1e-9)


def no_threshold(score: float, wish: Wish) -> Threshold:
    """Return what stands for a threshold where a single good part leaves none to take one from.

    Parameters
    ----------
    score : float
        Of the very frame that everything was fitted on: only so that the number has the score's unit.
    wish : Wish
    """
    return Threshold(
        value=float(np.nextafter(np.float32(max(score, 0.0)), np.float32(np.inf))),
        rule="none: the only good part was fitted on",
        kind="empirical",
        wish=wish,
        supported=None,
        supported_overkill=1.0,
        n=0,
        n_groups=0,
        n_defects=0,
        confidence=CONFIDENCE,
        interval=(0.0, 1.0),
        upper=1.0,
        statement="No threshold: with one good part there is none that the model was not fitted on. Scores rank "
        "frames, verdicts mean nothing.",
    )


@dataclass(frozen=True)
class _Known:
    """What a threshold that was taken from good parts may be said to do."""

    n: int
    frames: int
    always: int
    """Parts that a finding makes NG."""
    chosen: bool
    """Whether they are so many that they decided the rank."""
    wish: Wish
    expected: float
    """Overkill on average over calibrations."""
    interval: tuple[float, float]
    upper: float
    sure: float
    """Confidence of both."""
    crossfit: str
    held_out: bool
    kept_from: int | None

    @property
    def guaranteed(self) -> bool:
        """Whether a theorem covers what is said."""
        return self.held_out and not self.chosen

    @property
    def supported(self) -> float:
        """What of the wish is kept."""
        return self.expected if self.wish.confidence is None else self.upper

    @property
    def statement(self) -> str:
        """Say it."""
        return f"{self._claim}{self._found}{self._short} {ASSUMPTION}"

    @property
    def _unit(self) -> str:
        more = f" ({self.frames} frames, the worst of each counts)" if self.frames != self.n else ""
        return f"{self.n} good part{'s' if self.n != 1 else ''}{more}"

    @property
    def _claim(self) -> str:
        low, high, upper, mean = (f"{100 * end:.1f} %" for end in (*self.interval, self.upper, self.expected))
        confident, ends = f"with {100 * self.sure:g} % confidence", f"({low} to {high}, two-sided)"
        wished = self.wish.confidence is not None
        if self.guaranteed and wished:
            return (
                f"From {self._unit} that the model was not fitted on: {confident} the overkill is at most {upper} "
                f"{ends}; averaged over such calibrations a new good part is called NG with probability at most {mean}."
            )
        if self.guaranteed:
            return (
                f"From {self._unit} that the model was not fitted on: a new good part is called NG with probability at "
                f"most {mean}, averaged over such calibrations; for this one the overkill is at most {upper} "
                f"{confident} {ends}."
            )
        begin, but = f"No guarantee: from {self._unit}, {self.crossfit},", "." if self.held_out else f" {IF_OWN}"
        if wished:
            comma = "" if self.held_out else ","
            return f"{begin} the overkill is at most {upper} {confident} {ends}, and {mean} is expected{comma}{but}"
        return f"{begin} the expected overkill is {mean}, and {confident} at most {upper} {ends}{but}"

    @property
    def _found(self) -> str:
        if not self.always:
            return ""
        are = "is" if self.always == 1 else "are"
        decided = ", and so many that they decided which score the threshold lies above" if self.chosen else ""
        return f" {self.always} of them {are} NG by a finding, whatever the threshold{decided}."

    @property
    def _short(self) -> str:
        share, confidence = self.wish.share or 0.0, self.wish.confidence
        if self.supported <= share + 1e-9:
            return ""
        sure = "" if confidence is None else f" with {100 * confidence:g} % confidence"
        without = ", and no finding among them" if self.chosen else ""
        needs = parts_short(parts_needed(share, confidence), self.n, self.kept_from)
        return (
            f" The wish was {100 * share:g} %{sure}, which needs {needs}{without};"
            f" {self.n} support{'s' if self.n == 1 else ''} {100 * self.supported:.1f} %, the strictest used here."
        )
