"""Where pictures come from, as far as names, folders or sidecars tell: by lot, camera, station and hour, what passed.

A name tells by a word and a value: ``lot-4711``, ``cam2``, ``station_left``; a folder in the same way; a sidecar by
keys of these names, and that of `lineside capture` by its source. Nothing is guessed: what no word names is no lot. A
word before a running number (``cam_000123``) is told from a camera by its values: where most of them occur once, they
are none.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lineside.batch.row import Row
from lineside.batch.when import without_times
from lineside.contract import Verdict

KINDS: Mapping[str, tuple[str, ...]] = {
    "lot": ("lot", "batch", "charge"),
    "camera": ("camera", "cam"),
    "station": ("station", "line"),
}
HOUR, DAY = "hour", "day"
MOST_HOURS = 48
"""With more of them days are told apart instead."""
LEAST_IMAGES = 2
"""On average in a group; with fewer it is a running number."""
_NG, _NO_CALL = Verdict.NG.name, Verdict.NO_CALL.name
_KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}
_NAMED = re.compile(
    rf"(?<![A-Za-z0-9])(?P<word>{'|'.join(_KIND_OF)})(?:[-_=](?P<set_off>[A-Za-z0-9]+)|(?P<joined>\d[A-Za-z0-9]*))"
    r"(?![A-Za-z0-9])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Group:
    """Images of one origin."""

    name: str
    images: int
    """That could be read."""
    called: int
    """That got a call."""
    passed: int
    """OK."""
    rejected: int
    """NG."""


@dataclass(frozen=True)
class Origin:
    """Images by one kind of origin; at least two groups."""

    kind: str
    """One of `KINDS`, `HOUR` or `DAY`."""
    how: tuple[str, ...]
    """What told it: ``file name``, ``folder``, ``sidecar``."""
    groups: tuple[Group, ...]
    """In the order of their names, numbers by value."""
    untold: int
    """Images of which nothing tells this origin; they are in no group."""


class OriginTaker:
    """Takes rows in any order; keeps numbers of each origin, not of each image."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self._how: dict[str, set[str]] = defaultdict(set)
        self._images = 0

    def add(self, row: Row, sidecar: Mapping[str, Any], time: float | None) -> None:
        """Take the row of an image that could be read, its sidecar, and when it was taken, as `taken_at` tells."""
        self._images += 1
        for kind, (value, how) in told(Path(row.path), sidecar).items():
            self._found[kind][value][row.verdict or ""] += 1
            self._how[kind].add(how)
        if time is not None:
            moment = datetime.fromtimestamp(time, UTC)
            self._found[HOUR][f"{moment:%Y-%m-%d %H}:00"][row.verdict or ""] += 1

    def origins(self) -> tuple[Origin, ...]:
        """Return what there is to compare, in the order of `KINDS`, time last."""
        return tuple(origin for kind in (*KINDS, HOUR) for origin in self._origin(kind))

    def _origin(self, kind: str) -> Iterator[Origin]:
        found, how = self._found.get(kind, {}), tuple(sorted(self._how[kind]))
        if kind == HOUR:
            how = ("file name or sidecar",)
            if len(found) > MOST_HOURS:
                kind, found = DAY, _by_day(found)
        groups = tuple(
            Group(name, counts.total(), counts.total() - counts[_NO_CALL], counts[Verdict.OK.name], counts[_NG])
            for name, counts in sorted(found.items(), key=lambda item: _natural(item[0]))
        )
        images = sum(group.images for group in groups)
        if len(groups) >= 2 and images >= LEAST_IMAGES * len(groups):
            yield Origin(kind, how, groups, self._images - images)


def told(path: Path, sidecar: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what is known of a picture: value, and what told it, by kind. The sidecar goes before name and folders."""
    found: dict[str, tuple[str, str]] = {}
    for folder in path.parent.parts:
        found |= {kind: (value, "folder") for kind, value in _words(folder)}
    found |= {kind: (value, "file name") for kind, value in _words(path.stem)}
    known = {"camera": sidecar.get("source"), **{_KIND_OF[k]: v for k, v in sidecar.items() if k in _KIND_OF}}
    return found | {
        kind: (str(value), "sidecar") for kind, value in known.items() if isinstance(value, str | int) and str(value)
    }


def _words(text: str) -> Iterator[tuple[str, str]]:
    for match in _NAMED.finditer(without_times(text)):
        yield _KIND_OF[match["word"].lower()], match["set_off"] or match["joined"]


def _by_day(hours: Mapping[str, Counter[str]]) -> dict[str, Counter[str]]:
    days: dict[str, Counter[str]] = defaultdict(Counter)
    for hour, counts in hours.items():
        days[hour[:10]] += counts
    return days


def _natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort ``cam2`` before ``cam10``."""
    pieces = re.findall(r"\d+|\D+", name)
    return tuple((0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces)
