"""What the thresholds promise beside what came of them, for whatever they were wished: in one sentence each.

Of a wished overkill or escape the promise is the share that the images supported. A cost and a fixed threshold promise
no share at all: what was counted when the threshold was taken stands beside what was counted here. The share of REVIEW
and the bounds of escapes are held against the test parts wherever the contract states them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from lineside.batch.labels import LabelSummary, Rate, rate
from lineside.batch.table import number, percent, plural
from lineside.bench.evaluation.plant import Costs, Plant
from lineside.binomial import beta_interval, contradicting
from lineside.contract import Contract
from lineside.contract_thresholds import Escapes, EscapeStatement, Threshold, Wish

Kept = Literal["better", "open", "within", "exceeded", "unknown"]
What = Literal["overkill", "escape", "review", "together"]


@dataclass(frozen=True)
class Compared:
    """A share that the contract states, beside that on the test parts."""

    what: What
    """overkill: of good parts called NG. escape: of defective parts called OK. review: of good parts called REVIEW.
    together: of good parts called NG or REVIEW, where classes are tolerated and REVIEW alone is bounded by nothing."""
    promised: bool
    """Whether the threshold was taken for it; otherwise it was only counted."""
    stated: float
    """0 to 1."""
    stated_interval: tuple[float, float]
    """What the few parts that it was taken from leave open of it; nothing, where it is a bound with a confidence."""
    parts: int
    """Number of those."""
    found: Rate
    kept: Kept
    """better: the interval of what was found lies below what was stated; open: it contains it, so nothing contradicts
    it; within: it lies above, but not above what the calibration leaves open; exceeded: above that too; unknown: no
    part got a call, or nothing was stated."""
    sentence: str


@dataclass(frozen=True)
class EscapesBeside:
    """The bound that the contract states of the escapes of a class, beside those of the test."""

    label: str
    """The class; ``all`` for all of them."""
    missed: int
    n: int
    """Defective parts that the bound was taken from, and how many of them were OK."""
    bound: float
    """At most this share escapes, one-sided, 0 to 1."""
    found: Rate
    kept: Literal["kept", "above", "broken", "unknown"]
    """kept: the share that was found is no larger; above: it is larger, by chance perhaps; broken: so is the lower end
    of its interval; unknown: nothing was stated, or no part of the class got a call."""


@dataclass(frozen=True)
class Promise:
    """What the contract promises, and what came of it."""

    wish: Wish
    kind: Literal["guaranteed", "empirical"]
    sentence: str
    """Of the wish itself."""
    compared: tuple[Compared, ...]
    """The wished share first, where one was wished."""
    escapes: tuple[EscapesBeside, ...]
    """All defective parts, then each class of the contract or of the test; empty where nothing was stated."""
    escapes_sentence: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it, the wish first."""
        rest = tuple(one.sentence for one in self.compared if one.sentence != self.sentence)
        return (self.sentence, *rest, self.escapes_sentence)


def promise_of(contract: Contract, labels: LabelSummary, review: Rate, plant: Plant | None = None) -> Promise:
    """Compare what a contract states with what came of it.

    Parameters
    ----------
    contract : Contract
    labels : LabelSummary
        Of the test parts; none of them known to the model.
    review : Rate
        Good parts called REVIEW, of the good parts that got a call.
    plant : Plant or None
        At costs and rate of a wish for the lowest cost; None where it was another, or a kind of part is missing.
    """
    limit = contract.threshold_ng
    compared = tuple(_shares(contract, labels, review))
    promised = next((one for one in compared if one.promised and one.what != "review"), None)
    beside = _beside(contract.escapes, labels)
    return Promise(
        wish=limit.wish,
        kind=limit.kind,
        sentence=promised.sentence if promised else _of_no_share(limit, plant),
        compared=compared,
        escapes=beside,
        escapes_sentence=_escapes_sentence(contract.escapes, beside),
    )


def wished_costs(wish: Wish) -> tuple[float, Costs] | None:
    """Return rate in ppm and costs that a threshold was taken for; None where the wish was another."""
    if wish.kind != "cost" or wish.defect_rate_ppm is None or wish.overkill_cost is None or wish.escape_cost is None:
        return None
    return wish.defect_rate_ppm, Costs(wish.overkill_cost, wish.escape_cost)


def _shares(contract: Contract, labels: LabelSummary, in_review: Rate) -> Iterator[Compared]:
    limit, review = contract.threshold_ng, contract.threshold_review
    if limit.wish.kind == "escape" and limit.supported is not None:
        n = limit.n_defects
        spread = _spacing(limit.supported, n, limit.confidence)
        yield _compared("escape", limit, limit.supported, spread, n, labels.escapes)
    if limit.wish.confidence is not None:
        yield _compared("overkill", limit, limit.upper, (0.0, limit.upper), limit.n_groups, labels.overkill)
    else:
        yield _compared("overkill", limit, limit.supported_overkill, limit.interval, limit.n_groups, labels.overkill)
    if review.wish.kind == "review" and review.supported and contract.class_factors:
        both = rate(labels.overkill.k + in_review.k, in_review.n)
        yield _compared("together", review, review.supported_overkill, review.interval, review.n_groups, both)
    elif review.wish.kind == "review" and review.supported:
        n = review.n_groups
        spread = _spacing(review.supported, n, review.confidence)
        yield _compared("review", review, review.supported, spread, n, in_review)


def _spacing(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Two-sided interval of a share that d of n + 1 spacings of exchangeable scores make: Beta(d, n + 1 - d)."""
    d = round(share * (n + 1))
    if not 0 < d < n + 1:
        return float(d > 0), float(d > 0)
    return beta_interval(d, n + 1 - d, confidence)


def _compared(
    what: What, limit: Threshold, stated: float, spread: tuple[float, float], parts: int, found: Rate
) -> Compared:
    promised = limit.wish.kind == what
    kept = _kept(stated, spread[1], parts, found)
    if promised and limit.wish.confidence is not None and kept != "unknown":
        words = _bound_sentence(limit, found, kept)
    else:
        words = _sentence(what, _word(limit, what), stated, spread[1], parts, found, kept)
    return Compared(what, promised, stated, spread, parts, found, kept, words)


def _word(limit: Threshold, what: What) -> str:
    if what == "together":
        return "stated"
    if limit.wish.kind != what:
        return "counted"
    return "guaranteed" if limit.kind == "guaranteed" else "stated"


def _kept(stated: float, most: float, parts: int, found: Rate) -> Kept:
    low, high = found.interval
    if not found.n or not parts:
        return "unknown"
    if high < stated:
        return "better"
    if low <= stated:
        return "open"
    return "within" if low <= most else "exceeded"


_OF: Mapping[What, tuple[str, str]] = {
    "overkill": ("overkill", "good"),
    "escape": ("escape", "defective"),
    "review": ("share of good parts in REVIEW", "good"),
    "together": ("share of good parts in NG and REVIEW together", "good"),
}


def _sentence(what: What, word: str, stated: float, most: float, parts: int, found: Rate, kept: Kept) -> str:
    name, kind = _OF[what]
    if kept == "unknown":
        reason = f"no {kind} test part got a call" if not found.n else "the model has no threshold to speak of"
        return f"Nothing can be said of the {word} {name}: {reason}."
    share, open_end = percent(stated), percent(most)
    low, high = (percent(end) for end in found.interval)
    seen = f"{percent(found.share)} ({found.k} of {found.n}), 95 % interval {low} to {high}"
    said = {
        "better": f"The realised {name} is below the {word} {share}: {seen}.",
        "open": f"The realised {name} does not contradict the {word} {share}: {seen}. {_could(most, kind, found)}",
        "within": (
            f"The realised {name} is above the {word} {share}: {seen}; the {parts} calibration parts leave up to "
            f"{open_end} open."
        ),
        "exceeded": (
            f"The {word} {name} of {share} is not kept: {seen}, above even the {open_end} that the {parts} calibration "
            "parts leave open. These parts or pictures differ from those of the training."
        ),
    }
    return said[kept]


def _bound_sentence(limit: Threshold, found: Rate, kept: Kept) -> str:
    """Hold what was found against a bound that was wished with a confidence."""
    low, high = (percent(end) for end in found.interval)
    seen = f"{percent(found.share)} ({found.k} of {found.n}), 95 % interval {low} to {high}"
    bound = f"at most {percent(limit.upper)} with {100 * limit.confidence:g} % confidence"
    word = _word(limit, "overkill")
    said = {
        "better": f"The realised overkill keeps what was {word}, {bound}: {seen}.",
        "open": (
            f"The realised overkill does not contradict what was {word}, {bound}: {seen}. "
            f"{_could(limit.upper, 'good', found)}"
        ),
    }
    broken = (
        f"The {word} overkill, {bound}, is not kept: {seen}. Unless this is one of the calibrations that the "
        "confidence leaves out, these parts or pictures differ from those of the training."
    )
    return said.get(kept, broken)


def _could(stated: float, kind: str, found: Rate) -> str:
    """Say how much so many test parts could have contradicted: from which count on the interval lies above it."""
    least = contradicting(found.n, stated)
    parts = plural(found.n, f"{kind} test part")
    if least is None:
        return f"But {parts} {'is' if found.n == 1 else 'are'} too few to contradict it, whatever the verdicts."
    return f"With {parts} it is contradicted from {least} of {found.n} on."


def _of_no_share(limit: Threshold, plant: Plant | None) -> str:
    """Say what a threshold promises that was not taken for a share."""
    if limit.supported is None and limit.wish.kind != "fixed":
        return f"Nothing is promised of {limit.wish.in_words}: the model has no threshold to speak of."
    if limit.wish.kind != "cost":
        return f"No share was promised: {limit.wish.in_words} was given, whatever it does."
    begin = f"No share was promised, but {limit.wish.in_words}"
    if limit.supported is not None:
        begin += f": {number(1000.0 * limit.supported)} for 1,000 parts, each judged by a threshold chosen without it."
    if plant is None or plant.cost_per_thousand is None or plant.cost_per_thousand.value is None:
        return f"{begin} What it costs here cannot be said: it needs good and defective parts with a call."
    low, high = plant.cost_per_thousand.interval
    return (
        f"{begin} Here the same mistakes cost {number(plant.cost_per_thousand.value)} ({number(low)} to "
        f"{number(high)})."
    )


def _beside(stated: EscapeStatement, labels: LabelSummary) -> tuple[EscapesBeside, ...]:
    if not stated.overall.n:
        return ()
    here = {one.name: one.wrong for one in labels.classes if not one.is_good}
    bounds = {one.label: one for one in stated.classes}
    nothing = Rate(0, 0, None, (0.0, 1.0))
    named = [
        _one(bounds.get(name, Escapes(name, 0, 0, 1.0)), here.get(name, nothing)) for name in sorted({*here, *bounds})
    ]
    return (_one(stated.overall, labels.escapes), *named)


def _one(bound: Escapes, found: Rate) -> EscapesBeside:
    kept: Literal["kept", "above", "broken", "unknown"] = "unknown"
    if bound.n and found.n and found.share is not None:
        kept = "kept" if found.share <= bound.upper else "above" if found.interval[0] <= bound.upper else "broken"
    return EscapesBeside(bound.label, bound.missed, bound.n, bound.upper, found, kept)


def _escapes_sentence(stated: EscapeStatement, beside: tuple[EscapesBeside, ...]) -> str:
    if not beside:
        return "Of escapes the model states nothing: it was shown no defective part that its score was not fitted on."
    own = beside[0]
    bound = (
        f"The model states that at most {percent(own.bound)} escape ({100 * stated.confidence:g} % confidence, from "
        f"{own.missed} of {plural(own.n, 'defective part')})"
    )
    if own.kept == "unknown":
        return f"{bound}; here no defective part got a call."
    said = {
        "kept": "which does not contradict it",
        "above": "which is more, but may be chance",
        "broken": "which is more: the defects here differ from those, or their mix does",
    }
    end = "" if own.kept == "broken" else f" {_could(own.bound, 'defective', own.found)}"
    return f"{bound}; here {own.found.k} of {own.found.n} did ({percent(own.found.share)}), {said[own.kept]}.{end}"
