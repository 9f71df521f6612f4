"""Why images did not pass, for a Pareto: the class that was told, a finding, what the map showed, or no call."""

from collections import Counter
from dataclasses import dataclass

from lineside.batch.row import Row
from lineside.contract import Verdict

ANOMALY, REVIEW = "anomaly without a name", "to be reviewed"


@dataclass(frozen=True)
class Cause:
    """One reason."""

    name: str
    verdict: str
    """NG, REVIEW or NO_CALL."""
    count: int
    """Images; one with several findings, or several reasons for no call, counts to the first."""


class Causes:
    """Takes rows, counts reasons."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, row: Row) -> None:
        """Take a row; one that passed or was not judged counts nowhere."""
        if row.verdict not in (None, Verdict.OK.name):
            self._counts[_name(row), row.verdict or ""] += 1

    def ordered(self) -> tuple[Cause, ...]:
        """Return the reasons, the most frequent first."""
        order = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Cause(name, verdict, count) for (name, verdict), count in order)


def _name(row: Row) -> str:
    if row.verdict == Verdict.REVIEW.name:
        return REVIEW
    if row.reasons:
        return row.reasons[0].replace("_", " ")
    return row.defect_class or ANOMALY
