"""From honest scores of good parts to a threshold, and to a sentence that claims no more than they allow.

The rule is the conformal quantile: of n scores (just above) the k-th smallest, k = ceil((n + 1)(1 - overkill)). Where
the scores were held out of everything that is deployed, a new good part is called NG with probability at most
1 - k / (n + 1) (Vovk et al., 2005, proposition 2.2; Lei et al., 2018, theorem 2.2), averaged over calibration sets; for
one calibration set the overkill follows Beta(n + 1 - k, k) (Vovk, 2012). Where the scores come from cross-fitting, the
deployed model is none of those that gave them and the theorem does not cover it: the threshold is called empirical.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lineside.contract import Threshold
from lineside.evidence import parts_needed

CONFIDENCE = 0.95
MARGIN_REL = 1e-3
"""The tolerance on scores between machines (contract: `score_tolerance_rel`)."""
ASSUMPTION = "It holds for parts like these: same part family, camera and light."


def overkill_threshold(
    scores: npt.NDArray[np.float32], groups: Sequence[str], overkill: float, *, crossfit: str, held_out: bool
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

    Returns
    -------
    Threshold
        With the strictest overkill that n parts support where they do not support the wish.
    """
    from scipy.stats import beta

    parts = _worst_of_each(scores, groups)
    n = len(parts)
    always = int(np.isinf(parts).sum())
    k = max(1, min(math.ceil((n + 1) * (1.0 - overkill) - 1e-9), n - always))
    supported = 1.0 - k / (n + 1)
    tail = (1.0 - CONFIDENCE) / 2.0
    interval = (float(beta.ppf(tail, n + 1 - k, k)), float(beta.ppf(1.0 - tail, n + 1 - k, k)))
    return Threshold(
        value=_just_above(np.sort(parts), k),
        rule=f"just above score {k} of {n} in ascending order ({crossfit})",
        kind="guaranteed" if held_out else "empirical",
        wish_overkill=overkill,
        supported_overkill=supported,
        n=len(scores),
        n_groups=n,
        confidence=CONFIDENCE,
        interval=interval,
        statement=_statement(n, len(scores), always, overkill, supported, interval, crossfit, held_out),
    )


def no_threshold(score: float, overkill: float) -> Threshold:
    """Return what stands for a threshold where a single good part leaves none to take one from.

    Parameters
    ----------
    score : float
        Of the very frame that everything was fitted on: only so that the number has the score's unit.
    overkill : float
        The wish.
    """
    return Threshold(
        value=float(np.nextafter(np.float32(max(score, 0.0)), np.float32(np.inf))),
        rule="none: the only good part was fitted on",
        kind="empirical",
        wish_overkill=overkill,
        supported_overkill=1.0,
        n=0,
        n_groups=0,
        confidence=CONFIDENCE,
        interval=(0.0, 1.0),
        statement="No threshold: with one good part there is none that the model was not fitted on. Scores rank "
        "frames, verdicts mean nothing.",
    )


def _just_above(ascending: npt.NDArray[np.float32], k: int) -> float:
    """Return a float32 above the k-th score: by a thousandth of it, and at most half-way to the next larger score.

    The rule's bound holds for every threshold from the k-th score up. Exactly on it, rounding on another machine would
    turn the verdict of the very part that it was taken from.
    """
    score = float(ascending[k - 1])
    larger = ascending[(ascending > ascending[k - 1]) & np.isfinite(ascending)]
    step = MARGIN_REL * abs(score)
    if len(larger):
        step = min(step, 0.5 * (float(larger[0]) - score))
    return float(max(np.float32(score + step), np.nextafter(ascending[k - 1], np.float32(np.inf))))


def _worst_of_each(scores: npt.NDArray[np.float32], groups: Sequence[str]) -> npt.NDArray[np.float32]:
    names = sorted(set(groups))
    position = {name: i for i, name in enumerate(names)}
    worst = np.full(len(names), -np.inf, np.float32)
    np.maximum.at(worst, [position[group] for group in groups], scores)
    return worst


def _statement(
    n: int,
    frames: int,
    always: int,
    wish: float,
    supported: float,
    interval: tuple[float, float],
    crossfit: str,
    held_out: bool,
) -> str:
    unit = f"{n} good part{'s' if n != 1 else ''}"
    if frames != n:
        unit += f" ({frames} frames, the worst of each counts)"
    low, high = (f"{100 * end:.1f} %" for end in interval)
    if held_out:
        claim = (
            f"From {unit} that the model was not fitted on: a new good part is called NG with probability at most "
            f"{100 * supported:.1f} %, averaged over such calibrations; for this one the overkill lies in "
            f"{low} to {high} with {100 * CONFIDENCE:g} % confidence."
        )
    else:
        claim = (
            f"No guarantee: from {unit}, {crossfit}, the expected overkill is {100 * supported:.1f} %, and "
            f"{low} to {high} at {100 * CONFIDENCE:g} % if cross-fitted scores were the deployed model's own."
        )
    short = ""
    if always:
        short = f" {always} of them {'is' if always == 1 else 'are'} NG by a finding, whatever the threshold."
    if supported > wish + 1e-9 and not always:
        short += (
            f" The wish was {100 * wish:g} %, which needs {parts_needed(wish)} good parts; "
            f"{n} support{'s' if n == 1 else ''} {100 * supported:.1f} %, the strictest used here."
        )
    return f"{claim}{short} {ASSUMPTION}"
