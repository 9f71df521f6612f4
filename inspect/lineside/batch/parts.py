"""Verdicts on parts: of several frames of one part the worst counts.

Which part a frame shows is told by its file's name (the recipe's `capture.group`, or another pattern). Only a run that
has such a pattern speaks of parts; it keeps a few words for each of them in memory. The folder does not tell parts
apart, for two cameras write pictures of one part into two folders; where the folders are lots that number their parts
alike, that joins different parts, so how many parts lie in several folders is said.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lineside.batch.labels import LabelSummary, summarise_labels
from lineside.batch.row import UNREADABLE, Row
from lineside.contract import Verdict
from lineside.errors import UsageError
from lineside.part_pattern import fits_none, grouping

WORSE = (Verdict.OK.name, Verdict.REVIEW.name, Verdict.NO_CALL.name, UNREADABLE, Verdict.NG.name)
"""From the best to the worst. One frame that says NG is enough; else a frame that nothing can be said of keeps the part
from being OK."""

CALLS = (Verdict.OK.name, Verdict.NG.name, Verdict.REVIEW.name)


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
    label: str
    """The truth by the folder's name; empty where it was not asked for."""
    called: float | None
    """Highest score of the frames that got a call; None where none did."""
    duration_ms: float | None
    """Time in the graph of its frames together; None where none could be read."""
    told: str = ""
    """Class, or ``unknown``, of that frame; its verdict where no class was told."""
    scattered: bool = False
    """Whether its images lie in several folders."""


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
    scattered: int = 0
    """Parts whose images lie in several folders: one part seen by several cameras, or several of one name."""

    @property
    def scattered_words(self) -> str | None:
        """What that may mean, in a sentence; None where every part lies in one folder."""
        if not self.scattered:
            return None
        have = "1 part has" if self.scattered == 1 else f"{self.scattered:,} parts have"
        return (
            f"{have} images in several folders and count{'s' if self.scattered == 1 else ''} once each: right for "
            "several cameras; for lots that number their parts alike, use a pattern or file names that differ."
        )


class PartTaker:
    """Takes rows one by one, answers for the parts that they show."""

    def __init__(self) -> None:
        self._seen: dict[str, SeenPart] = {}

    def add(self, row: Row) -> None:
        """Take one row."""
        verdict = verdict_of(row)
        called = row.score if verdict in CALLS else None
        told = row.defect_class or verdict
        one = SeenPart(row.part, verdict, row.score, 1, row.path, row.label or "", called, row.duration_ms, told)
        before = self._seen.get(one.name)
        if before is not None:
            scattered = before.scattered or _folder(before.path) != _folder(one.path)
            called = max((score for score in (before.called, called) if score is not None), default=None)
            worst_one = max(before, one, key=_badness)
            times = [time for time in (before.duration_ms, one.duration_ms) if time is not None]
            one = replace(
                worst_one,
                frames=before.frames + 1,
                scattered=scattered,
                called=called,
                duration_ms=sum(times) if times else None,
            )
        self._seen[one.name] = one

    def parts(self) -> tuple[SeenPart, ...]:
        """Return the parts, in the order of their first frame."""
        return tuple(self._seen.values())

    def durations_ms(self) -> list[float]:
        """Return the times per part, of those of which an image could be read."""
        return [one.duration_ms for one in self._seen.values() if one.duration_ms is not None]

    def labels(self, is_good: Callable[[str], bool]) -> LabelSummary:
        """Compare the parts' verdicts with their labels: each part is one draw for a rate and its interval."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        scores: dict[str, list[float]] = defaultdict(list)
        for one in self._seen.values():
            counts[one.label][one.verdict] += 1
            if one.verdict in CALLS and one.called is not None:
                scores[one.label].append(one.called)
        return replace(summarise_labels(counts, scores, is_good), unit="part")

    def told(self) -> Mapping[str, Counter[str]]:
        """Return what the parts that got a call were called, by label: the class of the worst image, or its verdict."""
        told: dict[str, Counter[str]] = defaultdict(Counter)
        for one in self._seen.values():
            if one.verdict in CALLS:
                told[one.label][one.told] += 1
        return told

    def counts(self, pattern: str) -> PartCounts:
        """Sum the parts up."""
        found = Counter(one.verdict for one in self._seen.values())
        counts = {name: found[name] for name in (*(verdict.name for verdict in Verdict), UNREADABLE)}
        readable = len(self._seen) - counts[UNREADABLE]
        share = counts[Verdict.OK.name] / readable if readable else None
        scattered = sum(one.scattered for one in self._seen.values())
        return PartCounts(pattern, len(self._seen), counts, share, scattered)


def verdict_of(row: Row) -> str:
    """Return a row's verdict, or ``unreadable``."""
    return row.verdict or UNREADABLE


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of verdicts, at least one."""
    return max(verdicts, key=WORSE.index)


def part_names(expression: str | None) -> Callable[[Path, str], str]:
    """Return the function from (path, name) to the part's name; see `lineside.part_pattern.grouping`.

    Raises
    ------
    UsageError
        When it is no regular expression.
    """
    try:
        return grouping(expression)
    except re.error as error:
        raise UsageError(f"--group {expression!r}: no regular expression ({error}).") from None


def refuse_unfit(expression: str | None, paths: Iterable[Path]) -> None:
    """Refuse a pattern that somebody gave and that names the part of no image: each would count as a part of its own.

    Raises
    ------
    UsageError
    """
    if expression and (name := fits_none(expression, paths)):
        raise UsageError(
            f"--group {expression!r} fits no file name, such as {name}: every image would count as a part of its own. "
            "Mend the pattern, or leave it out."
        )


def refuse_two_labels(images: Iterable[tuple[str, str, Path]]) -> None:
    """Refuse parts that stand under two labels, for they would be one part that is good and defective.

    Parameters
    ----------
    images : iterable of (str, str, Path)
        Part, label and file of each.

    Raises
    ------
    UsageError
        With both files.
    """
    first: dict[str, tuple[str, Path]] = {}
    for part, label, path in images:
        known, other = first.setdefault(part, (label, path))
        if known != label:
            raise UsageError(
                f"the part {part!r} stands under two labels: {other} and {path}. Move one of them, or change the "
                "pattern (--group, else capture.group of the recipe) so that different parts get different names."
            )


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _badness(part: SeenPart) -> tuple[int, float]:
    return WORSE.index(part.verdict), -float("inf") if part.score is None else part.score
