"""The seam between the training run and the ways of scoring a part: lineside's own head, and anomalib's models.

A method is ready when it is made. `fit` takes positions of good frames and fits everything on them, the front
included, so that cross-fitting and the deployed fit are one and the same call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lineside.contract import Component, Fitted
from lineside.contract_thresholds import LeastDefect, RegionLimit
from lineside.dataset import GOOD
from lineside.export.parity import ClassAnswer
from lineside.train.front_fit import FittedFront
from lineside.transfer.adaptation_gate import Outcome
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import ClassFit

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
State = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Judged:
    """A good frame as a fitted head sees it."""

    patch_score: float
    novelty: float
    refused: bool
    """By the gate, novelty included: it gets no call, so it has no say in the threshold."""
    found: bool
    """Whether a finding raises its score."""
    map_peak: float = 0.0
    """Highest value of its anomaly map; 0 where the method gives none."""
    called: int | None = None
    """Column of the likeliest class; None where the score does not come from classes."""


@dataclass(frozen=True)
class Reference:
    """What another way than the graph's says of one frame, on the deployed front's outputs."""

    patch_score: float
    found: bool
    """Whether a finding raises the score."""

    def score(self, floor: float) -> float:
        """Return the score that the graph must give."""
        return max(self.patch_score, floor) if self.found else self.patch_score


@dataclass(frozen=True)
class FittedClasses:
    """A class head, fitted on training images of every class."""

    names: tuple[str, ...]
    """Columns of the probabilities; ``good``, where it is a class, is the last."""
    task: Literal["both", "classify"]
    fit: ClassFit
    answer: Callable[[Pixels], ClassAnswer]
    """What another way than the graph's says of any frame."""
    examples: Examples
    """What it was fitted on: embeddings (the deployed graph's inner value ``class_embedding``) by column of `names`."""
    goods: Floats
    """Embeddings [m, D] of good frames, which all others are normalised by; m may be 0."""

    @property
    def defects(self) -> int:
        """Columns that a part which is not OK can be called: the first so many."""
        return len(self.names) - (self.names[-1] == GOOD)

    @property
    def names_ok(self) -> bool:
        """Whether parts that are OK are called a class too: where every class is a kind of good part."""
        return self.task == "classify" and self.names[-1] != GOOD


@dataclass(frozen=True)
class FittedHead:
    """Front and head fitted on some good frames, ready to be assembled."""

    front: FittedFront
    words: tuple[str, ...]
    """What was decided about the head."""
    unit: tuple[str, ...]
    """What was chosen of each choice: scores of heads that chose alike can be compared."""
    parts: "tuple[tuple[str, onnx.ModelProto], ...]"
    """What stands behind the trunk, up to patch_score, anomaly_map, embedding and novelty."""
    constants: Mapping[str, npt.NDArray[np.generic]]
    """Fitted numbers, the front's included, by input name."""
    finding_limits: Floats
    """[k, 2], see `lineside.train.tail`."""
    judge: Callable[[Sequence[int]], list[Judged]]
    """Good frames by position, computed by ONNX Runtime."""
    reference: Callable[[Pixels], Reference]
    """Any frame."""
    classes: FittedClasses | None = None
    """None where no classes are told."""
    state: Callable[[], State] | None = None
    """What the bundle keeps so that it can follow the line later (`lineside.train.line_state`); None: it cannot."""


class Method(Protocol):
    """A way of scoring."""

    map_wh: tuple[int, int]
    embedding: str
    """What the embedding output is, for the contract."""
    components: tuple[Component, ...]
    fitted: tuple[Fitted, ...]
    neutral_outputs: Mapping[str, str]
    """Outputs that the head does not compute, known once it was fitted."""
    prefers_holdout: bool
    """Whether fitting again and again is too slow for folds."""
    seen: frozenset[int]
    """Positions of good frames that had a say in what all heads share, an adapted trunk: no threshold is taken from
    them."""
    least_defect: LeastDefect | None
    """The smallest defect that the head counts; None where every one does."""
    regions: tuple[RegionLimit, ...]
    """Regions of the part with thresholds of their own."""
    adaptation: Outcome | None
    """Adapted against frozen trunk; None where no adaptation was tried."""
    withheld: frozenset[int]
    """Numbers of the choices, in the order of `FittedHead.unit`, that a head may not make: the training run takes those
    back in which folds and deployed head would differ, since their scores would have different units."""

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Fit everything that is fitted on images, on these good frames alone."""

    def fit_each(self, many: Sequence[Sequence[int]]) -> Iterator[FittedHead]:
        """Fit a head on each of several choices of good frames, in their order, as `fit` would, maybe side by side.

        Heads are made as they are asked for, a few at a time, so that memory does not grow with their number.
        """
