"""What the contract says of thresholds: what was wished, what the images support of it, and how many defects escape.

A piece of the document of `lineside.contract`, and plain dataclasses for the same reason.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lineside.errors import UsageError


@dataclass(frozen=True)
class Wish:
    """What a threshold was asked for; exactly the numbers of its kind are given."""

    kind: Literal["overkill", "escape", "cost", "fixed", "review"]
    """overkill, escape: a share that is allowed. cost: the cheapest. fixed: a score. review: a share for a person."""
    share: float | None = None
    """overkill: of good parts called NG. escape: of defective parts called OK. review: of good parts called REVIEW,
    beyond those called NG. 0 to 1."""
    overkill_cost: float | None = None
    """cost: of a good part called NG; any currency."""
    escape_cost: float | None = None
    """cost: of a defective part called OK; the same currency."""
    defect_rate_ppm: float | None = None
    """cost: defective parts in a million parts of production."""
    score: float | None = None
    """fixed: the threshold itself."""
    confidence: float | None = None
    """overkill: with this probability over calibrations it is to be at most `share`, 0 to 1; None: on average."""

    @property
    def in_words(self) -> str:
        """The wish as a plant would say it."""
        if self.kind == "fixed":
            return f"a threshold of {self.score:g}"
        if self.kind == "cost":
            return (
                f"the lowest cost at {self.overkill_cost:g} an overkill, {self.escape_cost:g} an escape and "
                f"{self.defect_rate_ppm:g} ppm of defective parts"
            )
        share = f"{100 * (self.share or 0.0):.4g} %"
        sure = "" if self.confidence is None else f" with {100 * self.confidence:.4g} % confidence"
        return {
            "overkill": f"an overkill of at most {share}{sure}",
            "escape": f"an escape of at most {share}",
            "review": f"at most {share} of the good parts in REVIEW",
        }[self.kind]


@dataclass(frozen=True)
class Threshold:
    """A decision limit on `score`, and what is known of it."""

    value: float
    """In the unit of `score`; a float32 value, the initialiser of the graph's optional input."""
    rule: str
    """How it was found, in words."""
    kind: Literal["guaranteed", "empirical"]
    """`guaranteed` only where a theorem covers the head that is deployed, for what was wished."""
    wish: Wish
    supported: float | None
    """What the images support of the wish, in its own unit: a share (with the wished confidence, where one was), or
    with a cost that of a part, each judged by a threshold that was chosen without it. None where nothing was asked that
    images could support: with a fixed threshold, and where no good part was to spare."""
    supported_overkill: float
    """Share of good parts above this threshold that is to be expected at most, 0 to 1; never below 1 / (n_groups + 1).
    With a cost by thresholds chosen without the parts that are counted."""
    n: int
    """Number of good scores that are known."""
    n_groups: int
    """Number of independent parts among them; one part may give several frames."""
    n_defects: int
    """Number of independent defective parts that it was taken from; 0 where good parts alone decided."""
    confidence: float
    """Confidence of `interval` and of `upper`, 0 to 1: as wished, else 0.95."""
    interval: tuple[float, float]
    """Interval of the overkill at this threshold (of `threshold_review`: of the share of good parts above it), both
    ends 0 to 1. It holds under what `statement` says, no further."""
    upper: float
    """One-sided: with this confidence the overkill is at most that, 0 to 1, under what `statement` says: that
    production is exchangeable with these parts, and where scores were cross-fitted, if they were the deployed model's
    own."""
    statement: str
    """What may be said of it, in a few sentences, assumptions included."""

    @property
    def wish_overkill(self) -> float:
        """Share of good parts that may be NG: as wished, or where the wish was another, as is to be expected."""
        return self.wish.share if self.wish.kind == "overkill" and self.wish.share else self.supported_overkill


@dataclass(frozen=True)
class LeastDefect:
    """The smallest region of the anomaly map that can make a part NG; a part of the graph."""

    area_mm2: float
    """As asked for."""
    px_per_mm: float
    """Pixels of the frame along a millimetre of the part, as stated."""
    patch_mm2: float
    """Area of a patch."""
    patches: int
    """What fewer neighbouring patches show is lowered before it is scored; 1: nothing is."""
    statement: str
    """What that means, in a few sentences."""


@dataclass(frozen=True)
class RegionLimit:
    """A region of the part with a threshold of its own; a part of the graph."""

    name: str
    factor: float
    """NG beyond so many thresholds; `score` and `anomaly_map` are divided by it."""
    share: float
    """Of the patches, 0 to 1."""
    statement: str
    """What that means, in a few sentences."""


@dataclass(frozen=True)
class Escapes:
    """Defective parts that were called OK."""

    label: str
    """Their class; ``all`` for all of them."""
    missed: int
    n: int
    """Number of independent parts."""
    upper: float
    """Exact binomial upper bound of the share that escapes, one-sided, 0 to 1. Where these parts chose the threshold,
    so wide that it holds at any that they may choose."""


@dataclass(frozen=True)
class EscapeStatement:
    """How many defective parts escape, from images that no score was fitted on."""

    overall: Escapes
    classes: tuple[Escapes, ...]
    confidence: float
    """Of each upper bound, 0 to 1."""
    statement: str
    """What may be said of it; where there is no such image, that nothing is known."""


def in_force(own_ng: float, own_review: float, ng: float | None, review: float | None) -> tuple[float, float]:
    """Return the thresholds that decide: those given in place of a contract's own, and what follows for the other.

    Where only `ng` is given, a contract without a band for review gets none, and one with a band keeps it up to `ng`.

    Raises
    ------
    UsageError
        When one that is given is no finite number.
    """
    for name, value in (("threshold_ng", ng), ("threshold_review", review)):
        if value is not None and not _is_finite_float32(value):
            raise UsageError(f"{name} must be a finite number (float32), found {value!r}.")
    if ng is None:
        return own_ng, own_review if review is None else review
    if review is None:
        review = ng if own_review >= own_ng else min(own_review, ng)
    return ng, review


def _is_finite_float32(value: object) -> bool:
    """Whether the graph would compare with this very number, not with an infinity made of it."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    largest = float(np.finfo(np.float32).max)
    return bool(-largest <= value <= largest)
