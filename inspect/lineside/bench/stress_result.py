"""What a stress test found: counts by disturbance and level, and the strength at which it gets too much.

Counted as everywhere in lineside (`lineside.batch.labels`): overkill and escapes are shares of what got a call, and
a NO_CALL is neither. It is a share of all images instead, of good and of defective ones apart.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from lineside.batch.labels import Rate, rate
from lineside.contract import Verdict

CALLED = (Verdict.OK.name, Verdict.NG.name, Verdict.REVIEW.name)
TOO_MUCH = 2.0
"""Times the overkill that the model was trained for."""
Side = Literal["below", "above"]


@dataclass(frozen=True)
class LevelResult:
    """All images under one level of one disturbance."""

    level: float
    words: str
    """The level in plain units."""
    good: Mapping[str, int]
    """Verdict name -> good images."""
    defective: Mapping[str, int]
    """Verdict name -> defective images."""

    @property
    def overkill(self) -> Rate:
        """Good images called NG, of those that got a call."""
        return rate(self.good.get("NG", 0), _called(self.good))

    @property
    def escapes(self) -> Rate:
        """Defective images called OK, of those that got a call."""
        return rate(self.defective.get("OK", 0), _called(self.defective))

    @property
    def no_call(self) -> Rate:
        """Images without a call, of all images."""
        refused = self.good.get("NO_CALL", 0) + self.defective.get("NO_CALL", 0)
        return rate(refused, sum(self.good.values()) + sum(self.defective.values()))

    @property
    def good_no_call(self) -> Rate:
        """Good images without a call, of all good ones."""
        return rate(self.good.get("NO_CALL", 0), sum(self.good.values()))

    @property
    def defective_no_call(self) -> Rate:
        """Defective images without a call, of all defective ones."""
        return rate(self.defective.get("NO_CALL", 0), sum(self.defective.values()))


@dataclass(frozen=True)
class Crossing:
    """Where overkill first exceeds the limit, on one side of the neutral level."""

    side: Side
    first: LevelResult | None
    """None where it never does."""
    farthest: LevelResult
    """The strongest level that was tried on this side."""


@dataclass(frozen=True)
class Curve:
    """One disturbance from weak to strong."""

    name: str
    what: str
    neutral: float
    good_stays_good: bool
    levels: tuple[LevelResult, ...]
    """By level, rising; the neutral one is not among them."""
    limit: float
    """Overkill above this is too much, 0 to 1."""
    examples: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    """A good image under some levels: words and JPEG."""

    def crossings(self) -> tuple[Crossing, ...]:
        """Return for each side that has levels the first one, outward from the neutral level, above the limit."""
        below = [level for level in self.levels[::-1] if level.level < self.neutral]
        above = [level for level in self.levels if level.level > self.neutral]
        sides: tuple[tuple[Side, list[LevelResult]], ...] = (("below", below), ("above", above))
        return tuple(Crossing(side, _first(found, self.limit), found[-1]) for side, found in sides if found)


@dataclass(frozen=True)
class StressResult:
    """A whole stress test."""

    part: str
    model_sha256: str
    lineside_version: str
    wish_overkill: float
    """Share of good images called NG that the model was trained for."""
    threshold: float
    seed: int
    n_good: int
    n_defective: int
    n_left_out: int
    """Images that the draw left out."""
    unreadable: tuple[str, ...]
    undisturbed: LevelResult
    curves: tuple[Curve, ...]

    @property
    def limit(self) -> float:
        """Overkill above this is too much: twice the wish, 0 to 1."""
        return TOO_MUCH * self.wish_overkill

    def rows(self) -> Iterator[tuple[str, LevelResult]]:
        """Yield every level with its disturbance's name, the undisturbed images first."""
        yield "none", self.undisturbed
        for curve in self.curves:
            yield from ((curve.name, level) for level in curve.levels)


def _called(counts: Mapping[str, int]) -> int:
    return sum(counts.get(name, 0) for name in CALLED)


def _first(levels: list[LevelResult], limit: float) -> LevelResult | None:
    for level in levels:
        share = level.overkill.share
        if share is not None and share > limit:
            return level
    return None
