"""What a change of a deployed bundle consists of, whichever way it came about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.contract import Finding, Threshold
from lineside.train.line_state import LineState

Array = npt.NDArray[np.generic]
Limits = tuple[tuple[float | None, float | None], ...]


@dataclass(frozen=True)
class Changed:
    """New numbers for an old graph.

    Attributes
    ----------
    how : "adapted" or "extended"
    numbers : mapping of name to ndarray
        Fitted numbers that changed, by the graph's names; the thresholds left out.
    threshold : Threshold
    quality_limits : tuple
        As the contract has them, novelty's last.
    findings : tuple of Finding
    state : LineState
    frames : int
        That it was done with.
    counted : mapping of str to int
        What is added to the contract's counts of images.
    statement : str
        What was done, and what holds no longer.
    facts : mapping of str to float
        The numbers behind it.
    map_threshold : float or None
        From which on the map shows a defect; None: as before.
    """

    how: Literal["adapted", "extended"]
    numbers: Mapping[str, Array]
    threshold: Threshold
    quality_limits: Limits
    findings: tuple[Finding, ...]
    state: LineState
    frames: int
    counted: Mapping[str, int]
    statement: str
    facts: Mapping[str, float]
    map_threshold: float | None = None
