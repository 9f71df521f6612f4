"""When a picture was taken, as far as its name or its sidecar tells.

The file's own date is not asked: a copy has another one, and a chart over copying times looks just as convincing. What
`lineside capture` had to take the file's date for says so in its sidecar, and is passed over too.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_NAMED = re.compile(
    r"(?<!\d)(?P<year>(?:20)?\d\d)(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"[T_ -]?(?P<hour>\d\d)[:.-]?(?P<minute>\d\d)[:.-]?(?P<second>\d\d)(?!\d)"
)
"""Year with two or four digits to second, the parts of the day set off or not: 20260301T071530, 2026-03-01_07-15-30."""
_TRUSTED = ("camera", "storing")


def taken_at(path: Path, sidecar: Mapping[str, Any]) -> float | None:
    """Return when a picture was taken, in seconds since 1970 (UTC), or None where nothing tells.

    The sidecar of `lineside capture` goes before the name. A time in a name is taken as it stands, without a time zone:
    only differences and order are used.

    Parameters
    ----------
    path : Path
        Of the picture; only its name is looked at.
    sidecar : mapping
        As `read_sidecar` returns it.
    """
    return _of_sidecar(sidecar) or _of_name(path.name)


def without_times(name: str) -> str:
    """Return a name with a space for each date and time."""
    return _NAMED.sub(" ", name)


def _of_sidecar(sidecar: Mapping[str, Any]) -> float | None:
    try:
        if sidecar["time_of"] not in _TRUSTED:
            return None
        return datetime.fromisoformat(sidecar["time"]).timestamp()
    except (ValueError, KeyError, TypeError):
        return None  # no sidecar, or one of another program


def _of_name(name: str) -> float | None:
    for match in _NAMED.finditer(name):
        year, month, day, hour, minute, second = (
            int(match[field]) for field in ("year", "month", "day", "hour", "minute", "second")
        )
        try:
            return datetime(year + 2000 * (year < 100), month, day, hour, minute, second, tzinfo=UTC).timestamp()
        except ValueError:
            continue  # digits that are no time
    return None
