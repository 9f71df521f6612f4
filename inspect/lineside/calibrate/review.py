"""The band below NG that goes to a person: REVIEW, and what share of good parts is to be expected in it.

Of n honest scores of good parts, d lie in the band. Where NG's threshold is itself one of them, a new good part falls
between the two with probability d / (n + 1); where it is not (a fixed one, or one taken from defects), with at most
(d + 1) / (n + 1) on average: the spacings of n exchangeable scores (Vovk et al., 2005, proposition 2.2).

Of a threshold that was given nobody can know whether these parts chose it: its band is empirical, and what is above the
band's is bounded as at any that they may choose. Where they chose NG's threshold by what it costs, no theorem covers
the band, for a threshold is drawn to wide gaps between scores; what is above the band's is bounded in the same way. In
2,000 simulated calibrations each (normal, log-normal, heavy-tailed; 20 to 100 parts; classes near and far) the mean
share in the band was 0.04 to 0.095 where 0.095 to 0.1 was stated.

Where the score of tolerated classes is divided, a good part that is called so may go from NG to REVIEW: the band alone
is then bounded by nothing, NG and REVIEW together are. Of these one part more is counted where the rank of the band's
threshold was not fixed beforehand, as in `lineside.calibrate.threshold`.
"""

import math
from dataclasses import replace

import numpy as np

from lineside.binomial import beta_interval, chosen_confidence, clopper_pearson, upper_bound
from lineside.calibrate.honest import Honest, just_above
from lineside.calibrate.threshold import ASSUMPTION, CONFIDENCE, IF_OWN
from lineside.contract_thresholds import Threshold, Wish
from lineside.evidence import parts_needed, parts_short

UNREAD_NG = "That holds where the threshold of NG was not chosen by looking at these parts."


def review_threshold(ng: Threshold, share: float, goods: Honest) -> Threshold:
    """Find the threshold from which on a part goes to a person.

    Parameters
    ----------
    ng : Threshold
        Of NG.
    share : float
        Of good parts that may be in REVIEW, beyond those that are NG; above 0 and below 1.
    goods : Honest

    Returns
    -------
    Threshold
        Below `ng`; with its value where so few parts support no band, which the statement then says. Its `supported`
        is the share of good parts in the band, its `supported_overkill` that above it, NG included.
    """
    parts = np.sort(goods.parts())
    n, below = len(parts), int((parts <= np.float32(ng.value)).sum())
    own = ng.wish.kind == "overkill"
    steps = math.floor(share * (n + 1) + 1e-9)
    inside = min(steps if own else steps - 1, below - 1)
    wish = Wish("review", share)
    if steps < 1 or inside < (1 if own else 0):
        none = _none(n, below, share, goods.kept_from)
        return replace(ng, wish=wish, supported=0.0, rule="the threshold of NG: no band", statement=none)
    value = min(just_above(parts, below - inside), ng.value)
    band = (inside if own else inside + 1) / (n + 1)
    above, always, kind = n - below + inside, int(np.isinf(parts).sum()), ng.wish.kind
    costs, given = kind == "cost", kind == "fixed"
    counted = above if costs or (own and not (always and below == n - always)) else above + 1
    sure = chosen_confidence(n, CONFIDENCE) if costs or given else CONFIDENCE
    upper = upper_bound(counted, n, sure)
    mean = min(1.0, ng.supported_overkill + band if costs else (counted + 1) / (n + 1))
    whole = own or inside == steps - 1  # else how many parts lie below NG decided how many the band has
    free = not costs and not given and not (own and ng.kind == "empirical")  # nothing of these parts chose NG
    covered = goods.held_out and whole and free and not goods.tolerated
    said = _together(n, mean, upper, goods) if goods.tolerated else _statement(n, inside, band, ng, covered, goods)
    return Threshold(
        value=value,
        rule=f"just above score {below - inside} of {n} in ascending order ({goods.how})",
        kind="guaranteed" if covered else "empirical",
        wish=wish,
        supported=band,
        supported_overkill=mean,
        n=len(goods.scores),
        n_groups=n,
        n_defects=0,
        confidence=CONFIDENCE,
        interval=(clopper_pearson(above, n, sure)[0], clopper_pearson(counted, n, sure)[1]),
        upper=upper,
        statement=f"{said} {ASSUMPTION}",
    )


def _none(n: int, below: int, share: float, kept_from: int | None) -> str:
    told = f"No part goes to REVIEW: {100 * share:g} % of the good parts were wished"
    if n < parts_needed(share):
        return f"{told}, which needs {parts_short(parts_needed(share), n, kept_from)}; there were {n}."
    return f"{told}, and only {below} of {n} lie below the threshold of NG."


def _statement(n: int, inside: int, band: float, ng: Threshold, covered: bool, goods: Honest) -> str:
    d = inside if ng.wish.kind == "overkill" else inside + 1
    low, high = beta_interval(d, n + 1 - d, CONFIDENCE)
    spread = f"{100 * low:.1f} to {100 * high:.1f} % at {100 * CONFIDENCE:g} %"
    band_words = f"{100 * band:.1f} % of good parts are to be expected in REVIEW, beyond those that are NG"
    if covered:
        return f"From {n} good parts that the model was not fitted on: {band_words} ({spread})."
    but = "" if goods.held_out else ", if cross-fitted scores were the deployed model's own"
    chosen = {"cost": " The threshold of NG was chosen by the same parts.", "fixed": f" {UNREAD_NG}"}
    told = chosen.get(ng.wish.kind, "")
    return f"No guarantee: from {n} good parts, {goods.how}, {band_words} ({spread}{but}).{told}"


def _together(n: int, mean: float, upper: float, goods: Honest) -> str:
    """Say what is bounded where a class is tolerated: NG and REVIEW together."""
    words = (
        "No guarantee of REVIEW alone: a good part that is called by a tolerated class may go to REVIEW instead of NG. "
        f"From {n} good parts, {goods.how}: NG and REVIEW together get at most "
        f"{100 * mean:.1f} % of good parts on average, and with {100 * CONFIDENCE:g} % "
        f"confidence at most {100 * upper:.1f} %"
    )
    return f"{words}." if goods.held_out else f"{words}, {IF_OWN}"
