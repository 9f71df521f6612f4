"""From rows of images to verdicts on parts: a part is as its worst frame."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lineside.batch.parts import CALLS, verdict_of, worst
from lineside.batch.row import Row
from lineside.bench.evaluation.images import LabelledImage


@dataclass(frozen=True)
class Part:
    """One physical part and what was said of it."""

    name: str
    label: str
    verdict: str
    """Of the worst frame: a verdict's name, or ``unreadable``."""
    score: float | None
    """Highest of the frames that got a call; None where none did."""
    duration_ms: float | None
    """Time in the graph, all frames together; None where one could not be read."""
    worst: Row
    """Of the frames with that verdict the one with the highest score."""
    frames: int

    @property
    def called(self) -> bool:
        """Whether it got OK, NG or REVIEW."""
        return self.verdict in CALLS


def parts_of(rows: Iterable[Row], images: Mapping[str, LabelledImage]) -> tuple[Part, ...]:
    """Group rows by part, in the order of their first image.

    Parameters
    ----------
    rows : iterable of Row
        Of the images; others are passed over.
    images : mapping of str to LabelledImage
        By path as the rows have it.
    """
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.path in images:
            groups[images[row.path].part].append(row)
    return tuple(_part(name, frames, images[frames[0].path].label) for name, frames in groups.items())


def _part(name: str, frames: list[Row], label: str) -> Part:
    verdict = worst(map(verdict_of, frames))
    scores = [row.score for row in frames if row.verdict in CALLS and row.score is not None]
    times = [row.duration_ms for row in frames]
    shown = max((row for row in frames if verdict_of(row) == verdict), key=lambda row: row.score or 0.0)
    total = sum(time for time in times if time is not None) if None not in times else None
    return Part(name, label, verdict, max(scores, default=None), total, shown, len(frames))
