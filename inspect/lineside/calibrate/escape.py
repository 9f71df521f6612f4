"""From honest scores of defective parts to a threshold for a wished escape, and to what may be said of escapes.

The overkill's rule turned round. The threshold lies just below the r-th smallest of n scores, r = (n + 1) · escape
rounded down: a new defective part, exchangeable with these, scores below it with probability at most r / (n + 1),
averaged over calibration sets, and with 95 % confidence the escape is at most the 95 % point of Beta(r, n + 1 - r)
(Vovk et al., 2005, proposition 2.2; Wilks, 1941). That is Clopper and Pearson's bound for r - 1 missed of n, which
therefore holds although the threshold was taken from the same parts. With r = 0 nothing could be promised: the smallest
score is taken, and what it supports is said. What else is counted on parts that chose the threshold, a class of them or
all by cost, is bounded more widely, so that it holds at any they may choose (`lineside.binomial.chosen_confidence`).
"""

import math
from dataclasses import replace

import numpy as np

from lineside.binomial import chosen_confidence, upper_bound
from lineside.calibrate.counted import counted_overkill
from lineside.calibrate.honest import Honest, just_above, just_below
from lineside.calibrate.threshold import CONFIDENCE
from lineside.contract_thresholds import Escapes, EscapeStatement, Threshold, Wish
from lineside.evidence import parts_needed, parts_short

ASSUMPTION = (
    "It holds where production is exchangeable with these: same kinds of defects in the same shares, same part family, "
    "camera and light, and one shot of a part, or its shots grouped and the worst taken."
)
ALL = "all"
NOTHING_KNOWN = "Of escapes nothing is known: there was no defective image that the score had not learned from."


def escape_threshold(escape: float, goods: Honest, defects: Honest) -> Threshold:
    """Find the highest threshold that defective parts support for a wished escape.

    Parameters
    ----------
    escape : float
        Share of defective parts that may be called OK, above 0 and below 1.
    goods, defects : Honest
        At least one defective part. Of a part with several frames the worst counts, as on the line.
    """
    parts = np.sort(defects.parts())
    n, finite = len(parts), int(np.isfinite(parts).sum())
    r = max(1, min(math.floor((n + 1) * escape + 1e-9), n))
    value = just_below(parts, r) if r <= finite else _above_all(goods, defects)
    counted = counted_overkill(value, goods.parts())
    told = counted.claim(held_out=goods.held_out)
    return Threshold(
        value=value,
        rule=f"just below score {r} of {n} defective parts in ascending order ({defects.how})",
        kind="guaranteed" if defects.held_out else "empirical",
        wish=Wish("escape", escape),
        supported=r / (n + 1),
        supported_overkill=counted.supported,
        n=len(goods.scores),
        n_groups=counted.n,
        n_defects=n,
        confidence=CONFIDENCE,
        interval=counted.interval,
        upper=counted.upper,
        statement=f"{_claim(n, r, escape, defects)} {told} {ASSUMPTION}",
    )


def escape_statement(ng: Threshold, review: Threshold, defects: Honest) -> EscapeStatement:
    """Count the defective parts that are OK, per class and overall.

    Parameters
    ----------
    ng, review : Threshold
        A frame is OK up to that of REVIEW. What NG's was taken for decides which bounds hold.
    defects : Honest
    """
    if not len(defects.scores):
        return no_escapes(defects.no_call)
    chosen = ng.wish.kind in ("escape", "cost")
    overall = _counted(review.value, defects, None, chosen=chosen)
    if ng.wish.kind == "escape":
        overall = replace(overall, upper=_of_rank(ng))
    classes = tuple(_counted(review.value, defects, label, chosen=chosen) for label in sorted(set(defects.labels)))
    told = ", ".join(f"{one.label} {one.missed} of {one.n} (at most {100 * one.upper:.1f} %)" for one in classes)
    words = (
        f"{overall.missed} of {overall.n} defective parts {'is' if overall.missed == 1 else 'are'} OK: with "
        f"{100 * CONFIDENCE:g} % confidence at most {100 * overall.upper:.1f} % escape ({defects.how}). By class: "
        f"{told}."
    )
    if chosen:
        words += " The threshold was chosen by these parts, and the bounds hold although it was."
    if not defects.held_out:
        words += " No guarantee: cross-fitted scores are not the deployed model's own."
    if defects.no_call:
        words += f" {defects.no_call} more images got no call, which is not OK."
    return EscapeStatement(overall, classes, CONFIDENCE, f"{words} {ASSUMPTION}")


def no_escapes(no_call: int = 0) -> EscapeStatement:
    """Say that there was no defective part to count; `no_call` of them got no call."""
    none = f" All {no_call} of them got no call." if no_call else ""
    return EscapeStatement(Escapes(ALL, 0, 0, 1.0), (), CONFIDENCE, NOTHING_KNOWN + none)


def _counted(limit: float, defects: Honest, label: str | None, *, chosen: bool) -> Escapes:
    parts = defects.parts(label)
    missed, n = int((parts <= np.float32(limit)).sum()), len(parts)
    return Escapes(label or ALL, missed, n, upper_bound(missed, n, chosen_confidence(n) if chosen else CONFIDENCE))


def _of_rank(ng: Threshold) -> float:
    """Return the bound of a threshold below the r-th of n scores: r was fixed beforehand, how many a band adds not."""
    assert ng.supported is not None
    return upper_bound(round(ng.supported * (ng.n_defects + 1)) - 1, ng.n_defects, CONFIDENCE)


def _above_all(goods: Honest, defects: Honest) -> float:
    """Return a threshold above every score that has a number: findings alone make the defects NG."""
    known = np.sort(np.concatenate((goods.scores, defects.scores)))
    known = known[np.isfinite(known)]
    return just_above(known, len(known)) if len(known) else 1.0


def _claim(n: int, r: int, wish: float, defects: Honest) -> str:
    unit = f"{n} defective part{'s' if n != 1 else ''}"
    if len(defects.scores) != n:
        unit += f" ({len(defects.scores)} frames, the worst of each counts)"
    supported, upper = r / (n + 1), upper_bound(r - 1, n, CONFIDENCE)
    bound = f"at most {100 * supported:.1f} % of defective parts are called OK on average"
    confident = f"with {100 * CONFIDENCE:g} % confidence at most {100 * upper:.1f} %"
    if defects.held_out:
        claim = f"From {unit} that the score was not fitted on: {bound}, {confident}."
    else:
        claim = (
            f"No guarantee: from {unit}, {defects.how}, {bound}, {confident}, if these scores were the deployed "
            "model's own."
        )
    if supported > wish + 1e-9:
        claim += (
            f" The wish was {100 * wish:g} %, which needs {parts_short(parts_needed(wish), n, kind='defective')}; {n} "
            f"support{'s' if n == 1 else ''} {100 * supported:.1f} %, the strictest used here."
        )
    return claim
