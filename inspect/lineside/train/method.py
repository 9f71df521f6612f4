"""The seam between the training run and the ways of scoring a part: lineside's own head, and anomalib's models.

A method is ready when it is made: front and trunk are exported and levels are known. `fit` takes positions of good
frames, so that cross-fitting and the deployed fit are one and the same call.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from lineside.contract import Component, Fitted
from lineside.graph.trunk import Trunk

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FittedHead:
    """A head fitted on some good frames, ready to be put behind the trunk."""

    model: "onnx.ModelProto"
    """Takes outputs of the trunk, and inputs whose values are in `constants`."""
    constants: Mapping[str, npt.NDArray[np.generic]]
    """Fitted numbers, the front's included, by input name."""
    score: Callable[[Sequence[int]], Floats]
    """Scores of good frames by position, computed by ONNX Runtime."""
    refused: Callable[[int], bool]
    """Whether the front refuses a good frame, by position: it gets no call, so it has no say in the threshold."""
    reference: Callable[[Pixels], float]
    """Score of any frame, by another way than the graph's."""


class Method(Protocol):
    """A way of scoring."""

    trunk: Trunk
    map_wh: tuple[int, int]
    embedding: str
    """What the embedding output is, for the contract."""
    components: tuple[Component, ...]
    fitted: tuple[Fitted, ...]
    neutral_outputs: Mapping[str, str]
    """Outputs that the head does not compute, known once it was fitted."""
    prefers_holdout: bool
    """Whether fitting again and again is too slow for folds."""

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Fit everything that is fitted on images, on these good frames alone."""
