"""Which strides of a network are read: chosen without torch, so that a check can refuse one that is not there."""

from collections.abc import Sequence
from typing import Literal

from lineside.errors import UsageError

TapNumbers = Sequence[int] | Literal["auto"]
AUTO_STRIDES = (8, 16)
"""Of the strides there are; fine enough for a scratch, deep enough to tell a pattern (PatchCore, Roth et al., 2022)."""


def choose_strides(strides: Sequence[int], taps: TapNumbers) -> tuple[int, ...]:
    """Return the strides that are asked for, of those there are.

    Raises
    ------
    UsageError
        When there is no such stride.
    """
    there = sorted(set(strides))
    if taps == "auto":
        return tuple(stride for stride in AUTO_STRIDES if stride in there) or tuple(there[-2:])
    for stride in taps:
        if stride not in there:
            named = ", ".join(map(str, there))
            raise UsageError(f"transfer.taps: this backbone has the strides {named}; found {stride}.")
    return tuple(taps)


def stride_words(strides: Sequence[int]) -> tuple[str, ...]:
    """Return strides as people say them."""
    return tuple(f"stride {stride}" for stride in strides)
