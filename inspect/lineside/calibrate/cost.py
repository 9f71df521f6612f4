"""The cheapest threshold: what an overkill and an escape cost, over honest scores of good and defective parts.

A part costs (1 - p) · overkill · its cost + p · escape · its cost, p the share of defective parts in production (not in
the images). The shares are counted, and the threshold was chosen by what was counted, so the cost that is stated is
that of the images: nothing of it is guaranteed.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.calibrate.honest import Honest, just_above, just_below
from lineside.calibrate.threshold import CONFIDENCE, counted_overkill
from lineside.contract_thresholds import Threshold, Wish

ASSUMPTION = (
    "It holds where production is exchangeable with these: same kinds of defects in the same shares, same part family, "
    "camera and light, and one shot of a part, or its shots grouped and the worst taken."
)


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
    good, bad = np.sort(goods.parts()), np.sort(defects.parts())
    best = _cheapest(wish, good, bad)
    counted = counted_overkill(best.value, good)
    note = ""
    if best.missed == len(bad) and not best.rejected:
        note = " At these costs it is cheapest to call every part OK: the inspection saves nothing."
    if best.rejected == len(good) and not best.missed:
        note = " At these costs it is cheapest to call every part NG: the inspection saves nothing."
    return Threshold(
        value=best.value,
        rule=f"lowest cost over {len(good)} good and {len(bad)} defective parts, half-way between two scores",
        kind="empirical",
        wish=wish,
        supported=best.cost,
        supported_overkill=counted.supported,
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
            "of defective parts. It was chosen by these parts, so others will cost more rather than less."
            f"{note} {ASSUMPTION}"
        ),
    )


def _cheapest(wish: Wish, good: npt.NDArray[np.float32], bad: npt.NDArray[np.float32]) -> _Best:
    assert wish.overkill_cost is not None
    assert wish.escape_cost is not None
    assert wish.defect_rate_ppm is not None
    values, p = _between(np.concatenate((good, bad))), wish.defect_rate_ppm * 1e-6
    rejected = len(good) - np.searchsorted(good, values, side="right")  # [t]
    missed = np.searchsorted(bad, values, side="right")  # [t]
    costs = (1.0 - p) * wish.overkill_cost * rejected / len(good) + p * wish.escape_cost * missed / len(bad)
    at = int(np.argmin(costs))  # the lowest of several: an escape is worse than it looks
    return _Best(float(values[at]), float(costs[at]), int(rejected[at]), int(missed[at]))


def _between(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return thresholds [t], ascending: below all scores, half-way between each two, above all."""
    known = np.unique(scores[np.isfinite(scores)])
    if not len(known):
        return np.ones(1, np.float32)
    middle = 0.5 * (known[:-1].astype(np.float64) + known[1:])
    return np.array([just_below(known, 1), *middle, just_above(known, len(known))], np.float32)
