"""What a change of a deployed bundle consists of, whichever way it came about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.contract import ClassStatement, Finding
from lineside.contract_thresholds import EscapeStatement, Threshold
from lineside.export.threshold_images import ThresholdImages
from lineside.graph.tap_map import TapMap
from lineside.train.line_state import LineState
from lineside.transfer.classes.fit import ClassFit

Array = npt.NDArray[np.generic]
Limits = tuple[tuple[float | None, float | None], ...]


@dataclass(frozen=True)
class ClassChange:
    """Another class head for an old graph.

    Attributes
    ----------
    names : tuple of str
        Columns.
    statement : ClassStatement
    fit : ClassFit
    arrays : mapping of name to ndarray
        What ``state.npz`` keeps of it.
    """

    names: tuple[str, ...]
    statement: ClassStatement
    fit: ClassFit
    arrays: Mapping[str, Array]


@dataclass(frozen=True)
class Changed:
    """New numbers for an old graph.

    Attributes
    ----------
    how : "adapted", "extended" or "calibrated"
    numbers : mapping of name to ndarray
        Fitted numbers that changed, by the graph's names; the thresholds left out.
    threshold : Threshold
        Of NG.
    review : Threshold or None
        Of REVIEW; None: no band.
    escapes : EscapeStatement
    quality_limits : tuple
        As the contract has them, novelty's last.
    findings : tuple of Finding
    state : LineState or None
        None: the bundle keeps none.
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
    classes : ClassChange or None
        None: classes, where there are any, are told as before. Else they are all that changed.
    maps : mapping of tap to TapMap
        That features go through behind the taps, in place of those of before; none: as before.
    taken_from : ThresholdImages or None
        What the thresholds were taken from; None: what the parent names still had a say in them.
    """

    how: Literal["adapted", "extended", "calibrated"]
    numbers: Mapping[str, Array]
    threshold: Threshold
    review: Threshold | None
    escapes: EscapeStatement
    quality_limits: Limits
    findings: tuple[Finding, ...]
    state: LineState | None
    frames: int
    counted: Mapping[str, int]
    statement: str
    facts: Mapping[str, float]
    map_threshold: float | None = None
    classes: ClassChange | None = None
    maps: Mapping[str, TapMap] = field(default_factory=dict)
    taken_from: ThresholdImages | None = None
