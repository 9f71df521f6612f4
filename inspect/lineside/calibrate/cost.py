"""The cheapest threshold: what an overkill and an escape cost, over honest scores of good and defective parts.

A part costs (1 - p) · overkill · its cost + p · escape · its cost, p the share of defective parts in production (not in
the images). The shares are counted, and the threshold was chosen by what was counted, so its cost on these very parts
is too low. Beside it stands the cost where each part is judged by a threshold that was chosen without it and its
neighbours by name (cross-validation; Stone, Journal of the Royal Statistical Society B 36, 1974), and a bound of the
overkill that holds at any threshold the parts may choose. That this one is the cheapest is guaranteed by nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lineside.calibrate.counted import counted_overkill
from lineside.calibrate.honest import Honest, just_above, just_below
from lineside.calibrate.threshold import CONFIDENCE, IF_OWN
from lineside.contract_thresholds import Threshold, Wish

ASSUMPTION = (
    "It holds where production is exchangeable with these: same kinds of defects in the same shares, same part family, "
    "camera and light, and one shot of a part, or its shots grouped and the worst taken."
)
BLOCKS = 10
"""Of parts that are left out together, at most: ten-fold is usual. The threshold then rests on a tenth fewer parts."""
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Best:
    value: float
    cost: float
    rejected: int
    missed: int


def cost_threshold(wish: Wish, goods: Honest, defects: Honest) -> Threshold:
    """Find the threshold at which a part costs least.

    Parameters
    ----------
    wish : Wish
        Of kind cost.
    goods, defects : Honest
        At least one part each. Of several frames of a part the worst counts, as on the line.
    """
    good, bad = goods.parts(), defects.parts()
    best = _cheapest(wish, good, bad)
    rejected, missed = _left_out(wish, good, bad)
    counted = counted_overkill(best.value, good, chosen=True)
    others = _cost(wish, rejected / len(good), missed / len(bad))
    sure = f"with {100 * CONFIDENCE:g} % confidence the overkill is at most {100 * counted.upper:.1f} %"
    return Threshold(
        value=best.value,
        rule=f"lowest cost over {len(good)} good and {len(bad)} defective parts, half-way between two scores",
        kind="empirical",
        wish=wish,
        supported=others,
        supported_overkill=(rejected + 1) / (len(good) + 1),
        n=len(goods.scores),
        n_groups=len(good),
        n_defects=len(bad),
        confidence=CONFIDENCE,
        interval=counted.interval,
        upper=counted.upper,
        statement=(
            f"No guarantee: of {len(good)} good parts ({goods.how}) and {len(bad)} defective ones ({defects.how}) this "
            f"threshold rejects {best.rejected} and misses {best.missed}, which is cheapest: {best.cost:.4g} a part, "
            f"with {wish.overkill_cost:g} an overkill, {wish.escape_cost:g} an escape and {wish.defect_rate_ppm:g} ppm "
            "of defective parts. It was chosen by these parts, so others will cost more rather than less: judged by "
            f"thresholds that were chosen without them, {rejected} are rejected and {missed} missed, {others:.4g} a "
            f"part. Whichever threshold such parts choose, {sure}{'.' if goods.held_out else f', {IF_OWN}'}"
            f"{_saves_nothing(best, len(good), len(bad))} {ASSUMPTION}"
        ),
    )


def _saves_nothing(best: _Best, good: int, bad: int) -> str:
    every = "OK" if best.missed == bad and not best.rejected else "NG" if best.rejected == good else ""
    if not every or (every == "NG" and best.missed):
        return ""
    return f" At these costs it is cheapest to call every part {every}: the inspection saves nothing."


def _left_out(wish: Wish, good: Floats, bad: Floats) -> tuple[int, int]:
    """Return how many good parts are rejected and how many defective ones missed by thresholds chosen without them.

    A block of each kind, of neighbours by name, is left out at a time. Where nothing of a kind is left to choose by,
    all of the blocks count as mistakes.
    """
    count = min(BLOCKS, max(len(good), len(bad)))
    rejected = missed = 0
    for (held_good, fewer_good), (held_bad, fewer_bad) in zip(_apart(good, count), _apart(bad, count), strict=True):
        if not len(fewer_good) or not len(fewer_bad):
            rejected, missed = rejected + len(held_good), missed + len(held_bad)
            continue
        limit = np.float32(_cheapest(wish, fewer_good, fewer_bad).value)
        rejected += int((held_good > limit).sum())
        missed += int((held_bad <= limit).sum())
    return rejected, missed


def _apart(scores: Floats, count: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield blocks of neighbours, each with all the others; some are empty where there are fewer scores than blocks."""
    edges = [len(scores) * k // count for k in range(count + 1)]
    for first, end in pairwise(edges):
        yield scores[first:end], np.concatenate((scores[:first], scores[end:]))


def _cheapest(wish: Wish, good: Floats, bad: Floats) -> _Best:
    both = np.concatenate((good, bad))
    known = np.sort(both[np.isfinite(both)])  # [t]: a threshold lies below the first, between two, or above the last
    rejected = len(good) - np.append(np.searchsorted(np.sort(good), known), np.isfinite(good).sum())  # [t + 1]
    missed = np.append(np.searchsorted(np.sort(bad), known), np.isfinite(bad).sum())
    of_overkill, of_escape = _weights(wish)
    costs = of_overkill * rejected / len(good) + of_escape * missed / len(bad)
    at = int(np.argmin(costs))  # the lowest of several: an escape is worse than it looks
    return _Best(_between(known, at), float(costs[at]), int(rejected[at]), int(missed[at]))


def _cost(wish: Wish, overkill: float, escape: float) -> float:
    """Return what a part costs at these shares."""
    of_overkill, of_escape = _weights(wish)
    return of_overkill * overkill + of_escape * escape


def _weights(wish: Wish) -> tuple[float, float]:
    """Return what a part of production costs if every good one is rejected, and if every defective one is missed."""
    assert wish.overkill_cost is not None
    assert wish.escape_cost is not None
    assert wish.defect_rate_ppm is not None
    p = wish.defect_rate_ppm * 1e-6
    return (1.0 - p) * wish.overkill_cost, p * wish.escape_cost


def _between(ascending: Floats, k: int) -> float:
    """Return a threshold below the k-th score, counted from 0, half-way to the one before; with k of all above them."""
    n = len(ascending)
    if not n:
        return 1.0
    if k in (0, n):
        return just_below(ascending, 1) if k == 0 else just_above(ascending, n)
    middle = np.float32(0.5 * (float(ascending[k - 1]) + float(ascending[k])))
    return float(min(middle, np.nextafter(ascending[k], np.float32(-np.inf))))
