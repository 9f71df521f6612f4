"""The class head: a linear map of the embedding, and how strange it is for the class it is called.

Every way of fitting ends here, so that one graph serves them all: nearest prototype, discriminant and logistic
regression are linear maps of the normalised embedding. "None of these" is asked of a distance, not of the
probabilities: those of a linear map grow the surer the farther a defect lies from everything known. The distance is
measured along the leading directions in which examples differ, whitened, with one variance for all other directions;
its conformal p-value (Vovk et al., 2005) is the share of examples, each measured by a head that never saw it, that are
as strange for their class.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.transfer.classes.pooling import CLASS_EMBEDDING

if TYPE_CHECKING:
    import onnx

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

UNKNOWN = -2
CLASS_OUTPUTS = ("class_prob", "class_index", "class_p_value", "class_strangeness")
CLASS_INPUTS = (
    "class_mean", "class_scale", "class_map", "class_bias",
    "class_centres", "class_directions", "class_weights", "class_calibration", "class_least",
)  # fmt: skip
"""Fitted tensors in the order in which `ClassHead.forward` takes them behind the embedding."""


@dataclass(frozen=True)
class ClassValues:
    """What was fitted: D dimensions of the embedding, k classes, r directions, m calibration scores; all float32."""

    mean: F32
    """[D]: subtracted from the embedding."""
    scale: F32
    """[D]: times what is left; the result is the normalised embedding."""
    map: F32
    """[k, D]: normalised embedding -> logits, the temperature in it (`lineside.transfer.classes.temperature`)."""
    bias: F32
    """[k]: added to the logits."""
    centres: F32
    """[k, D]: each class's mean of normalised embeddings."""
    directions: F32
    """[D, r]: orthonormal."""
    weights: F32
    """[r + 1]: of squared deviations along the directions, then of those across all of them."""
    calibration: F32
    """[m]: strangeness of examples for the class they were called, by heads that never saw them; [inf]: not known."""
    least: F32
    """[1]: where fewer calibration scores, one added, are as large, a defect is UNKNOWN. Half a count is off, so
    that no rounding decides."""

    def feed(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays under the names of the graph's inputs."""
        arrays = (
            self.mean, self.scale, self.map, self.bias,
            self.centres, self.directions, self.weights, self.calibration, self.least,
        )  # fmt: skip
        return dict(zip(CLASS_INPUTS, arrays, strict=True))


@dataclass(frozen=True)
class Classified:
    """What a head says of n embeddings."""

    prob: F64
    """[n, k]"""
    index: I64
    """[n]: class, or UNKNOWN."""
    p_value: F64
    """[n]"""
    strangeness: F64
    """[n]: distance to the centre of the class of the largest probability."""


class ClassHead(nn.Module):
    """The head as a torch module; it holds no numbers of its own."""

    def forward(
        self,
        embedding: Tensor,
        mean: Tensor,
        scale: Tensor,
        map: Tensor,
        bias: Tensor,
        centres: Tensor,
        directions: Tensor,
        weights: Tensor,
        calibration: Tensor,
        least: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Classify embeddings [N, D]; the other tensors are those of `ClassValues`.

        Returns
        -------
        prob [N, k], index int64 [N] (class, or -2 where the p-value is too small), p-value [N], strangeness [N] for the
        likeliest class
        """
        z = (embedding - mean) * scale
        prob = torch.softmax(torch.matmul(z, map.t()) + bias, dim=1)  # [N, k]
        called = prob.topk(1, dim=1).indices.flatten()  # [N]
        away = z - centres.index_select(0, called)  # [N, D]
        along = torch.matmul(away, directions)  # [N, r]
        rest = away - torch.matmul(along, directions.t())  # from |away|² - |along|² it would be rounding
        squares = torch.cat((along.square(), rest.square().sum(dim=1, keepdim=True)), dim=1)
        strangeness = torch.matmul(squares, weights).sqrt()  # [N]
        beyond = (calibration >= strangeness[:, None]).to(z.dtype).sum(dim=1) + 1.0
        p_value = beyond / (calibration.shape[0] + 1.0)
        index = torch.where(beyond < least, torch.full_like(called, UNKNOWN), called)
        return prob, index, p_value, strangeness


def class_logits(values: ClassValues, embeddings: npt.NDArray[np.generic]) -> F64:
    """Return the logits [n, k] of embeddings [n, D] in double precision."""
    z = (embeddings.astype(np.float64) - values.mean) * values.scale
    return np.asarray(z @ values.map.T.astype(np.float64) + values.bias, np.float64)


def classify_reference(values: ClassValues, embeddings: npt.NDArray[np.generic]) -> Classified:
    """Classify embeddings [n, D] in plain NumPy and double precision, as the head is defined."""
    z = (embeddings.astype(np.float64) - values.mean) * values.scale
    logits = class_logits(values, embeddings)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    prob = powers / powers.sum(axis=1, keepdims=True)
    called = prob.argmax(axis=1)
    away = z - values.centres[called]
    basis = values.directions.astype(np.float64)
    along = away @ basis
    rest = away - along @ basis.T
    squared = along**2 @ values.weights[:-1] + (rest**2).sum(axis=1) * values.weights[-1]
    strangeness = np.sqrt(squared)
    beyond = (values.calibration >= strangeness[:, None]).sum(axis=1) + 1.0
    p_value = beyond / (len(values.calibration) + 1.0)
    index = np.where(beyond < values.least, UNKNOWN, called).astype(np.int64)
    return Classified(prob, index, p_value, strangeness)


def export_class_head(values: ClassValues, embedding: str = CLASS_EMBEDDING) -> "onnx.ModelProto":
    """Export the head for values of these shapes, which are its inputs beside the embedding of this name.

    The number of calibration scores is dynamic, so that folds of any size share one export.
    """
    inputs = {embedding: torch.zeros(2, len(values.mean))}
    inputs |= {name: torch.from_numpy(np.array(value, np.float32)) for name, value in values.feed().items()}
    inputs["class_calibration"] = torch.zeros(3)
    dynamic = {embedding: {0: "N"}, "class_calibration": {0: "m"}}
    return export_module(ClassHead(), inputs, CLASS_OUTPUTS, dynamic, key="class head")
