"""The seam between the training run and the ways of scoring a part: lineside's own head, and anomalib's models.

A method is ready when it is made. `fit` takes positions of good frames and fits everything on them, the front
included, so that cross-fitting and the deployed fit are one and the same call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from lineside.contract import Component, Fitted
from lineside.train.front_fit import FittedFront
from lineside.transfer.adaptation_gate import Outcome

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Judged:
    """A good frame as a fitted head sees it."""

    patch_score: float
    novelty: float
    refused: bool
    """By the gate, novelty included: it gets no call, so it has no say in the threshold."""
    found: bool
    """Whether a finding raises its score."""


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
class FittedHead:
    """Front and head fitted on some good frames, ready to be assembled."""

    front: FittedFront
    words: tuple[str, ...]
    """What was decided about the head."""
    unit: str
    """Scores of heads with the same word here can be compared."""
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
    adaptation: Outcome | None
    """Adapted against frozen trunk; None where no adaptation was tried."""
    may_use_places: bool
    """Whether a head may compare patches with their place on the part; the training run takes that back where folds
    and deployed head would decide differently, since their scores have different units."""

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Fit everything that is fitted on images, on these good frames alone."""
