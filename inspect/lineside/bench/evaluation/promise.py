"""What the threshold promises beside what came of it: one sentence, and which of four cases it is."""

from dataclasses import dataclass
from typing import Literal

from lineside.batch.labels import Rate
from lineside.batch.table import percent
from lineside.contract_thresholds import Threshold

Kept = Literal["better", "agrees", "within", "exceeded", "unknown"]


@dataclass(frozen=True)
class Promise:
    """The overkill that the contract states, and that on the test parts."""

    stated: float
    """Share of good parts, 0 to 1."""
    stated_interval: tuple[float, float]
    """What the few calibration parts leave open of it."""
    kind: str
    """guaranteed or empirical."""
    found: Rate
    kept: Kept
    """better: the interval of what was found lies below what was stated; agrees: it contains it; within: it lies
    above, but not above what the calibration leaves open; exceeded: above that too; unknown: no good part got one."""
    sentence: str


def promise_of(threshold: Threshold, found: Rate) -> Promise:
    """Compare a threshold with what came of it.

    Parameters
    ----------
    threshold : Threshold
        Of the contract.
    found : Rate
        Good parts called NG, of the good parts that got a call; none of them known to the model.
    """
    kept = _kept(threshold, found)
    stated = threshold.supported_overkill
    return Promise(stated, threshold.interval, threshold.kind, found, kept, _sentence(threshold, found, kept))


def _kept(threshold: Threshold, found: Rate) -> Kept:
    low, high = found.interval
    if not found.n or not threshold.n:
        return "unknown"
    if high < threshold.supported_overkill:
        return "better"
    if low <= threshold.supported_overkill:
        return "agrees"
    return "within" if low <= threshold.interval[1] else "exceeded"


def _sentence(threshold: Threshold, found: Rate, kept: Kept) -> str:
    if kept == "unknown":
        reason = "no good test part got a call" if not found.n else "the model has no threshold to speak of"
        return f"Nothing can be said of the stated overkill: {reason}."
    word = "guaranteed" if threshold.kind == "guaranteed" else "stated"
    stated = percent(threshold.supported_overkill)
    low, high = (percent(end) for end in found.interval)
    seen = f"{percent(found.share)} ({found.k} of {found.n}), 95 % interval {low} to {high}"
    open_end = percent(threshold.interval[1])
    said = {
        "better": f"The realised overkill is below the {word} {stated}: {seen}.",
        "agrees": f"The realised overkill agrees with the {word} {stated}, which its interval contains: {seen}.",
        "within": (
            f"The realised overkill is above the {word} {stated}: {seen}; the {threshold.n_groups} calibration parts "
            f"leave up to {open_end} open."
        ),
        "exceeded": (
            f"The {word} overkill of {stated} is not kept: {seen}, above even the {open_end} that the "
            f"{threshold.n_groups} calibration parts leave open. These parts or pictures differ from those of the "
            "training."
        ),
    }
    return said[kept]
