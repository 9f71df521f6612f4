"""The end of the graph: patch score, gate and thresholds to a verdict, and what may be called by a class."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lineside.contract import NO_DEFECT_CLASS, UNKNOWN_DEFECT_CLASS, Verdict
from lineside.graph.onnx_export import export_module

if TYPE_CHECKING:
    import onnx

DECISION_OUTPUTS = ("score", "verdict", "gate", "quality", "defect_class", "class_prob", "class_p_value")
CLASS_PROBABILITY, CLASS_CALLED, CLASS_LIKENESS = "class_probability", "class_called", "class_likeness"
"""What the decision takes from a class head: [N, k], the class [N], -2 where it is unknown, and its p-value [N]."""
UNFAMILIAR_LIMIT, FINDING_LIMITS, FINDING_FLOOR = "unfamiliar_limit", "finding_limits", "finding_floor"


@dataclass(frozen=True)
class DecisionSettings:
    """What decides the structure of the end.

    Attributes
    ----------
    quality_count : int
        Numbers that the front gives; the embedding's novelty becomes one more.
    unfamiliar_bit : int
        Bit of the gate that a novelty beyond its limit sets.
    findings : tuple of tuple of int
        For each finding, the columns of the front's quality that must all lie outside their limits for it.
    classes : int
        Columns of the class head's probabilities; 0: there is no class head.
    defects : int
        The first so many of them are what a part that is not OK can be called.
    names_ok : bool
        Whether a part that is OK is called a class too.
    tolerances : tuple of float
        For each of the defects, how many thresholds a part that is called so may reach; none: one for all.
    """

    quality_count: int
    unfamiliar_bit: int
    findings: tuple[tuple[int, ...], ...]
    classes: int = 0
    defects: int = 0
    names_ok: bool = False
    tolerances: tuple[float, ...] = ()

    @property
    def finding_columns(self) -> tuple[int, ...]:
        """Columns of all findings, one after another: the rows of the limits."""
        return tuple(column for columns in self.findings for column in columns)


class Decision(nn.Module):
    """NG when score > threshold_ng, else REVIEW when score > threshold_review, else OK; NO_CALL when the gate spoke.

    Findings are defects that no patch shows: a part whose rotation cannot be found lacks what it is found by (print,
    mark), and a shading that no lamp explains was evened out of the patches. They raise the score to `finding_floor`,
    so that every reader of the score sees the NG.

    A class that is tolerated has the score divided by its factor, rather than both thresholds multiplied: so score and
    verdict agree for every reader, at an overridden threshold too. Neither findings nor what is unknown is tolerated.
    """

    def __init__(self, settings: DecisionSettings) -> None:
        super().__init__()
        self.settings = settings

    def forward(
        self,
        patch_score: Tensor,
        front_gate: Tensor,
        front_quality: Tensor,
        novelty: Tensor,
        threshold_ng: Tensor,
        threshold_review: Tensor,
        unfamiliar_limit: Tensor,
        finding_limits: Tensor,
        finding_floor: Tensor,
        class_probability: Tensor | None = None,
        class_called: Tensor | None = None,
        class_likeness: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Decide.

        Parameters
        ----------
        patch_score, novelty : Tensor [N]
        front_gate : Tensor of int64 [N]
        front_quality : Tensor [N, q]
        threshold_ng, threshold_review, unfamiliar_limit, finding_floor : Tensor [1]
        finding_limits : Tensor [k, 2]
            Least and largest value of each finding's column.
        class_probability, class_called, class_likeness : Tensor [N, k], Tensor of int64 [N], Tensor [N]
            Only where there is a class head.

        Returns
        -------
        score [N], verdict int64 [N], gate int64 [N], quality [N, q + 1], defect_class int64 [N], class_prob [N, k],
        class_p_value [N]
        """
        score = patch_score
        if self.settings.tolerances and class_probability is not None and class_called is not None:
            score = patch_score / self._tolerance(class_probability, class_called)
        if self.settings.findings:
            found = self._found(front_quality, finding_limits)
            floor = torch.maximum(finding_floor, 2.0 * threshold_ng)  # a finding is NG at an overridden threshold too
            score = torch.where(found, torch.maximum(patch_score, floor), score)
        strange = (novelty > unfamiliar_limit).to(torch.int64)
        gate = front_gate + strange * (1 << self.settings.unfamiliar_bit)
        review = (score > threshold_review).to(torch.int64) * int(Verdict.REVIEW)
        called = torch.where(score > threshold_ng, torch.full_like(gate, int(Verdict.NG)), review)
        verdict = torch.where(gate != 0, torch.full_like(gate, int(Verdict.NO_CALL)), called)
        quality = torch.cat((front_quality, novelty[:, None]), dim=1)
        none = torch.full_like(gate, NO_DEFECT_CLASS)
        if class_probability is None or class_called is None or class_likeness is None:
            return score, verdict, gate, quality, none, score[:, None][:, :0], torch.ones_like(score)
        named = (verdict == int(Verdict.NG)) | (verdict == int(Verdict.REVIEW))
        if self.settings.names_ok:
            named = verdict != int(Verdict.NO_CALL)
        likeliest = class_probability[:, : self.settings.defects].argmax(dim=1)
        called = torch.where(class_called == UNKNOWN_DEFECT_CLASS, class_called, likeliest)
        return score, verdict, gate, quality, torch.where(named, called, none), class_probability, class_likeness

    def _tolerance(self, probability: Tensor, called: Tensor) -> Tensor:
        """How many thresholds each part [N] may reach by its class; one, where that is unknown."""
        allowed = torch.tensor(self.settings.tolerances, dtype=probability.dtype)
        factor = allowed.index_select(0, probability[:, : self.settings.defects].argmax(dim=1))
        return torch.where(called == UNKNOWN_DEFECT_CLASS, torch.ones_like(factor), factor)

    def _found(self, quality: Tensor, limits: Tensor) -> Tensor:
        """Whether any finding holds [N]: all of its columns lie beyond their limits."""
        values = quality[:, list(self.settings.finding_columns)]  # [N, k]
        beyond = (values < limits[:, 0]) | (values > limits[:, 1])
        found, start = torch.zeros_like(beyond[:, 0]), 0
        for columns in self.settings.findings:
            found = found | beyond[:, start : start + len(columns)].all(dim=1)
            start += len(columns)
        return found


def export_decision(settings: DecisionSettings) -> "onnx.ModelProto":
    """Export the decision; scores, gate and limits are inputs."""
    inputs = {
        "patch_score": torch.zeros(2),
        "front_gate": torch.zeros(2, dtype=torch.int64),
        "front_quality": torch.zeros(2, settings.quality_count),
        "novelty": torch.zeros(2),
        "threshold_ng": torch.zeros(1),
        "threshold_review": torch.zeros(1),
        UNFAMILIAR_LIMIT: torch.zeros(1),
        FINDING_LIMITS: torch.zeros(max(1, len(settings.finding_columns)), 2),
        FINDING_FLOOR: torch.zeros(1),
    }
    dynamic = {name: {0: "N"} for name in ("patch_score", "front_gate", "front_quality", "novelty")}
    if settings.classes:
        inputs[CLASS_PROBABILITY] = torch.zeros(2, settings.classes)
        inputs[CLASS_CALLED] = torch.zeros(2, dtype=torch.int64)
        inputs[CLASS_LIKENESS] = torch.zeros(2)
        dynamic |= {name: {0: "N"} for name in (CLASS_PROBABILITY, CLASS_CALLED, CLASS_LIKENESS)}
    return export_module(Decision(settings), inputs, DECISION_OUTPUTS, dynamic, key=repr(settings))
