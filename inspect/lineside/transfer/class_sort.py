"""From classes to a score, where parts are sorted and not looked at for anomalies.

With a class of good parts the score is the probability of being none of them. Without one every class is a kind of good
part, and the score is how strange a part is for the class it is called: its distance, not one minus its p-value, which
takes few values and is the same for everything beyond the strangest example.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.transfer.head import HEAD_OUTPUTS

if TYPE_CHECKING:
    import onnx

CLASS_STRANGENESS = "class_strangeness"
DRIFT = "drift"
"""Name of the trunk's small embedding."""


class Drift(nn.Module):
    """The small embedding of a sorted part: the mean of the deepest tap over the frame."""

    def forward(self, tap: Tensor) -> Tensor:
        """Return means [N, C] of a tap [N, C, h, w]."""
        return tap.mean(dim=(2, 3))


class ClassScore(nn.Module):
    """Score, neutral map and embedding, as an anomaly head would give them.

    Parameters
    ----------
    has_good : bool
        Whether the last class is the good parts'.
    map_wh : tuple of int
        Size of the map.
    """

    def __init__(self, has_good: bool, map_wh: tuple[int, int]) -> None:
        super().__init__()
        self.has_good, self.map_wh = has_good, map_wh

    def forward(self, class_prob: Tensor, class_strangeness: Tensor, drift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score frames.

        Parameters
        ----------
        class_prob : Tensor [N, k]
        class_strangeness : Tensor [N]
        drift : Tensor [N, C]

        Returns
        -------
        score [N], anomaly_map [N, h, w] (0 everywhere), embedding [N, C]
        """
        score = class_prob[:, :-1].sum(dim=1) if self.has_good else class_strangeness
        width, height = self.map_wh
        return score, torch.zeros_like(score)[:, None, None].expand(-1, height, width), drift * 1.0


def export_drift(tap: str, channels: int, grid_hw: tuple[int, int]) -> "onnx.ModelProto":
    """Export the small embedding of the tap of this name."""
    return export_module(Drift(), {tap: torch.zeros(2, channels, *grid_hw)}, (DRIFT,), {tap: {0: "N"}}, key="drift")


def export_class_score(
    classes: int, drift: int, map_wh: tuple[int, int], *, has_good: bool, probability: str
) -> "onnx.ModelProto":
    """Export the score of a sorted part; `probability` is the name of the probabilities."""
    inputs = {
        probability: torch.zeros(2, classes),
        CLASS_STRANGENESS: torch.zeros(2),
        DRIFT: torch.zeros(2, drift),
    }
    dynamic = {name: {0: "N"} for name in inputs}
    return export_module(ClassScore(has_good, map_wh), inputs, HEAD_OUTPUTS, dynamic, key=repr((has_good, map_wh)))
