"""Verdicts on parts: of several frames of one part the worst counts.

Which part a frame shows is told by its file's name (the recipe's `capture.group`, or another pattern). Only a run that
has such a pattern speaks of parts; it keeps a few words for each of them in memory.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lineside.batch.row import UNREADABLE, Row
from lineside.contract import Verdict
from lineside.dataset import grouping
from lineside.errors import UsageError

WORSE = (Verdict.OK.name, Verdict.REVIEW.name, Verdict.NO_CALL.name, UNREADABLE, Verdict.NG.name)
"""From the best to the worst. One frame that says NG is enough; else a frame that nothing can be said of keeps the part
from being OK."""


@dataclass(frozen=True)
class SeenPart:
    """One part and what was said of it."""

    name: str
    verdict: str
    """Of the worst frame: a verdict's name, or ``unreadable``."""
    score: float | None
    """Of that frame; of several with that verdict the highest."""
    frames: int
    path: str
    """Of that frame."""


@dataclass(frozen=True)
class PartCounts:
    """What a run says of parts."""

    pattern: str
    """By which the part is read from file names."""
    total: int
    counts: Mapping[str, int]
    """By verdict name, and ``unreadable``."""
    first_pass_yield: float | None
    """OK, of all parts but those that are unreadable (0 to 1); None where there is none."""


class PartTaker:
    """Takes rows one by one, answers for the parts that they show."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenPart] = {}

    def add(self, row: Row) -> None:
        """Take one row."""
        one = SeenPart(row.part, verdict_of(row), row.score, 1, row.path)
        before = self._seen.get(one.name)
        if before is not None:
            one = replace(max(before, one, key=_badness), frames=before.frames + 1)
        self._seen[one.name] = one

    def parts(self) -> tuple[SeenPart, ...]:
        """Return the parts, in the order of their first frame."""
        return tuple(self._seen.values())

    def counts(self, pattern: str) -> PartCounts:
        """Sum the parts up."""
        found = Counter(one.verdict for one in self._seen.values())
        counts = {name: found[name] for name in (*(verdict.name for verdict in Verdict), UNREADABLE)}
        readable = len(self._seen) - counts[UNREADABLE]
        share = counts[Verdict.OK.name] / readable if readable else None
        return PartCounts(pattern, len(self._seen), counts, share)


def verdict_of(row: Row) -> str:
    """Return a row's verdict, or ``unreadable``."""
    return row.verdict or UNREADABLE


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of verdicts, at least one."""
    return max(verdicts, key=WORSE.index)


def part_names(expression: str | None) -> Callable[[Path, str], str]:
    """Return the function from (path, name) to the part's name; see `lineside.dataset.grouping`.

    Raises
    ------
    UsageError
        When it is no regular expression.
    """
    try:
        return grouping(expression)
    except re.error as error:
        raise UsageError(f"--group {expression!r}: no regular expression ({error}).") from None


def _badness(part: SeenPart) -> tuple[int, float]:
    return WORSE.index(part.verdict), -float("inf") if part.score is None else part.score
