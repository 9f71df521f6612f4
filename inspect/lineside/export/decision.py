"""The end of the graph: score, gate and thresholds to a verdict."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lineside.contract import NO_DEFECT_CLASS, Verdict
from lineside.graph.onnx_export import export_module

if TYPE_CHECKING:
    import onnx

DECISION_OUTPUTS = ("verdict", "defect_class", "class_prob")


class Decision(nn.Module):
    """NG when score > threshold_ng, else REVIEW when score > threshold_review, else OK; NO_CALL when the gate spoke."""

    def forward(
        self, score: Tensor, gate: Tensor, threshold_ng: Tensor, threshold_review: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decide.

        Parameters
        ----------
        score : Tensor [N]
        gate : Tensor of int64 [N]
        threshold_ng, threshold_review : Tensor [1]

        Returns
        -------
        verdict int64 [N], defect_class int64 [N], class_prob [N, 0]
        """
        review = (score > threshold_review).to(torch.int64) * int(Verdict.REVIEW)
        called = torch.where(score > threshold_ng, torch.full_like(gate, int(Verdict.NG)), review)
        verdict = torch.where(gate != 0, torch.full_like(gate, int(Verdict.NO_CALL)), called)
        return verdict, torch.full_like(gate, NO_DEFECT_CLASS), score[:, None][:, :0]


def export_decision() -> "onnx.ModelProto":
    """Export the decision with score, gate and both thresholds as inputs."""
    inputs = {
        "score": torch.zeros(2),
        "gate": torch.zeros(2, dtype=torch.int64),
        "threshold_ng": torch.zeros(1),
        "threshold_review": torch.zeros(1),
    }
    return export_module(Decision(), inputs, DECISION_OUTPUTS, {"score": {0: "N"}, "gate": {0: "N"}})
