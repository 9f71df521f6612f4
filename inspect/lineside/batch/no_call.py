"""Images without a call: how many, for which reasons, and whether that is more than the user allows.

They are reported apart from NG: NG says something of the part, no call says something of the picture, and a camera that
got out of focus must not look like a bad day of production.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lineside.contract import Contract
from lineside.errors import UsageError


@dataclass(frozen=True)
class Reason:
    """One reason for which no call was made."""

    name: str
    """Of the gate's bit."""
    words: str
    """The same as the contract says it."""
    count: int
    """Images without a call for this reason; one image may have several."""


@dataclass(frozen=True)
class NoCalls:
    """The images of a run that got no call."""

    count: int
    readable: int
    """Images that could be read."""
    share: float | None
    """count / readable, 0 to 1; None where none could be read."""
    limit: float | None
    """Largest share that the user allows; None: any."""
    reasons: tuple[Reason, ...]
    """Most frequent first; only those that occurred."""

    @property
    def too_many(self) -> bool:
        """Whether the share is above the limit."""
        return self.share is not None and self.limit is not None and self.share > self.limit

    @property
    def complaint(self) -> str:
        """What to say when there are too many."""
        share = 0.0 if self.share is None else self.share
        limit = 1.0 if self.limit is None else self.limit
        most = f" Most frequent: {self.reasons[0].words} ({self.reasons[0].count})." if self.reasons else ""
        return (
            f"{share:.2%} of the readable images got no call ({self.count} of {self.readable}), and at most "
            f"{limit:.2%} is allowed by --max-no-call.{most}"
        )


def reason_words(contract: Contract) -> dict[str, str]:
    """Return the contract's sentence for every reason, by name."""
    return dict(zip(contract.gate_bits, contract.gate_words, strict=True))


def count_no_calls(
    counts: Mapping[str, int], by_reason: Mapping[str, int], words: Mapping[str, str], limit: float | None
) -> NoCalls:
    """Sum up a run.

    Parameters
    ----------
    counts : mapping of str to int
        Images by verdict name, and ``unreadable``.
    by_reason : mapping of str to int
        Images without a call by reason.
    words : mapping of str to str
        The contract's sentences; a reason that has none is called by its name.
    limit : float or None
        Largest share that is allowed.
    """
    readable = sum(counts.values()) - counts["unreadable"]
    n = counts["NO_CALL"]
    order = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    reasons = tuple(Reason(name, words.get(name, name), count) for name, count in order)
    return NoCalls(n, readable, n / readable if readable else None, limit, reasons)


def check_limit(limit: float | None) -> None:
    """Raise UsageError when a limit is no share from 0 to 1."""
    if limit is not None and not 0.0 <= limit <= 1.0:
        raise UsageError(f"The largest share without a call must be a number from 0 to 1, found {limit}.")
