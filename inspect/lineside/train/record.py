"""What a training run leaves behind for those who read: scores, decisions, times, evaluation."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from lineside.contract import Contract


@dataclass(frozen=True)
class ScoredImage:
    """One image of the recipe and what the deployed graph, or for calibration a cross-fitted one, said of it."""

    name: str
    path: Path
    label: str
    score: float
    verdict: str


@dataclass(frozen=True)
class Evaluation:
    """The deployed graph on the recipe's test images; nothing was fitted or calibrated on them."""

    good: int
    """Good images that got a call."""
    defective: int
    """Defective images that got a call."""
    overkill: int
    """Good images called NG."""
    escapes: int
    """Defective images called OK."""
    no_call: int
    auroc: float | None
    """Of the image scores; None where one of the sides is empty."""
    escapes_by_class: tuple[tuple[str, int, int], ...]
    """(class, escapes, images)."""


@dataclass(frozen=True)
class TrainingRecord:
    """Everything that cards and reports of a training run are written from."""

    contract: Contract
    out: Path
    model_sha256: str
    model_bytes: int
    calibration: tuple[ScoredImage, ...]
    """Good training images with the scores that the threshold was taken from."""
    tested: tuple[ScoredImage, ...]
    """All images that nothing was fitted on, defective training images included."""
    evaluation: Evaluation
    parity_frames: int
    parity_worst_rel: float
    swap_vector: bool
    """Whether the bundle's vectors tell swapped channels."""
    decisions: tuple[str, ...]
    stage_seconds: tuple[tuple[str, float], ...]
    model: bytes = field(repr=False)
    """model.onnx itself, for pictures of what it sees."""

    def to_json(self) -> str:
        """Return ``training.json``: decisions, times and evaluation."""
        document = {
            "decisions": list(self.decisions),
            "stage_seconds": {name: round(seconds, 3) for name, seconds in self.stage_seconds},
            "evaluation": dataclasses.asdict(self.evaluation),
            "calibration_scores": {image.name: image.score for image in self.calibration},
            "parity": {"frames": self.parity_frames, "worst_difference_rel": self.parity_worst_rel},
        }
        return json.dumps(document, indent=1) + "\n"
