"""What a model would do in the plant: at its share of defects rather than at that of the test images.

A test set with as many defects as good parts makes every NG look right. In a plant with 800 defects in a million most
of what is called NG is good, and that is what decides whether anybody still looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lineside.batch.labels import Rate, rate
from lineside.batch.row import UNREADABLE
from lineside.batch.summary import COUNTED
from lineside.contract import Verdict
from lineside.errors import UsageError

MILLION = 1_000_000.0
GOOD, DEFECTIVE = "good", "defective"
_EACH = 0.975
"""Confidence of each of two intervals, so that both hold together at 95 % or more (Bonferroni)."""
OK, NG = Verdict.OK.name, Verdict.NG.name
VERDICTS = tuple(name for name in COUNTED if name != UNREADABLE)


@dataclass(frozen=True)
class Bounded:
    """A number made of two shares, with an interval that holds at 95 % or more."""

    value: float | None
    """None where it is not defined, as the share right of no part at all."""
    interval: tuple[float, float]


@dataclass(frozen=True)
class Costs:
    """What a mistake costs, in any currency."""

    overkill: float
    """Of one good part called NG."""
    escape: float
    """Of one defective part called OK."""


@dataclass(frozen=True)
class Plant:
    """The confusion of a million parts of the plant."""

    defect_rate_ppm: float
    ppm: Mapping[str, Mapping[str, float]]
    """``good`` or ``defective`` -> verdict -> parts in a million; all together are a million."""
    ppv: Bounded
    """Share of the parts called NG that are defective."""
    npv: Bounded
    """Share of the parts called OK that are good."""
    first_pass_yield: Bounded
    """Share of all parts that is called OK."""
    cost_per_thousand: Bounded | None
    """Of overkill and escapes together, for a thousand parts; None without costs."""


def costs_of(overkill: float | None, escape: float | None) -> Costs | None:
    """Put two costs together; None where neither is given.

    Raises
    ------
    UsageError
        When only one is given.
    """
    if overkill is None and escape is None:
        return None
    if overkill is None or escape is None:
        missing = "--cost-overkill" if overkill is None else "--cost-escape"
        raise UsageError(f"A cost needs both, one for each mistake: {missing} is missing.")
    return Costs(overkill, escape)


def check_plant(defect_rate_ppm: float | None, costs: Costs | None) -> None:
    """Refuse what cannot be computed.

    Raises
    ------
    UsageError
        When the rate or a cost is out of range, or there are costs and no rate.
    """
    if defect_rate_ppm is not None and not 0.0 < defect_rate_ppm < MILLION:
        raise UsageError(
            f"--defect-rate-ppm must be between 0 and 1000000 defective parts in a million, found {defect_rate_ppm:g}."
        )
    if costs is None:
        return
    for name, cost in (("overkill", costs.overkill), ("escape", costs.escape)):
        if not 0.0 <= cost < float("inf"):
            raise UsageError(f"--cost-{name} must be 0 or more, found {cost:g}.")
    if defect_rate_ppm is None:
        raise UsageError(
            "Costs per thousand parts depend on how many parts are defective: name that with --defect-rate-ppm, such "
            "as 800 for 800 in a million."
        )


def in_the_plant(
    good: Mapping[str, int], defective: Mapping[str, int], defect_rate_ppm: float, costs: Costs | None
) -> Plant | None:
    """Weigh verdicts by the plant's share of defects; None where good or defective parts are missing.

    Parameters
    ----------
    good, defective : mapping of str to int
        Parts by verdict. Those without a call are part of the plant; unreadable files are not.
    defect_rate_ppm : float
        Defective parts in a million, above 0 and below a million.
    costs : Costs or None
    """
    n_good, n_defective = (sum(side.get(name, 0) for name in VERDICTS) for side in (good, defective))
    if not n_good or not n_defective:
        return None
    defects = defect_rate_ppm / MILLION
    shares = {
        (kind, name): rate(side.get(name, 0), n, _EACH)
        for kind, side, n in ((GOOD, good, n_good), (DEFECTIVE, defective, n_defective))
        for name in VERDICTS
    }
    weight = {GOOD: 1.0 - defects, DEFECTIVE: defects}
    ppm = {
        kind: {name: MILLION * weight[kind] * _of(shares[kind, name]) for name in VERDICTS}
        for kind in (GOOD, DEFECTIVE)
    }
    right_ng, wrong_ng = shares[DEFECTIVE, NG], shares[GOOD, NG]
    right_ok, wrong_ok = shares[GOOD, OK], shares[DEFECTIVE, OK]
    return Plant(
        defect_rate_ppm=defect_rate_ppm,
        ppm=ppm,
        ppv=_among(defects, right_ng, 1.0 - defects, wrong_ng),
        npv=_among(1.0 - defects, right_ok, defects, wrong_ok),
        first_pass_yield=_sum(1.0 - defects, right_ok, defects, wrong_ok),
        cost_per_thousand=_sum(
            1000 * (1.0 - defects) * costs.overkill, wrong_ng, 1000 * defects * costs.escape, wrong_ok
        )
        if costs
        else None,
    )


def _among(weight: float, share: Rate, other_weight: float, other: Rate) -> Bounded:
    """Of all that two kinds of parts bring together, the share that the first brings: it rises with the first."""
    (first_low, first_high), (second_low, second_high) = share.interval, other.interval

    def of(first: float, second: float) -> float | None:
        whole = weight * first + other_weight * second
        return weight * first / whole if whole > 0.0 else None

    low, high = of(first_low, second_high), of(first_high, second_low)
    return Bounded(of(_of(share), _of(other)), (0.0 if low is None else low, 1.0 if high is None else high))


def _sum(weight: float, share: Rate, other_weight: float, other: Rate) -> Bounded:
    low, high = (weight * a + other_weight * b for a, b in zip(share.interval, other.interval, strict=True))
    return Bounded(weight * _of(share) + other_weight * _of(other), (low, high))


def _of(counted: Rate) -> float:
    """Return a share that was counted on at least one part."""
    return counted.k / counted.n
