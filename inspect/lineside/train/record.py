"""What a training run leaves behind for those who read: scores, decisions, times, evaluation."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.capture.copies import Copies
from lineside.contract import Contract
from lineside.train.recipe_regions import DrawnRegion
from lineside.transfer.adaptation_gate import Outcome


@dataclass(frozen=True)
class ScoredImage:
    """One image of the recipe and what the deployed graph, or for calibration a cross-fitted one, said of it."""

    name: str
    path: Path
    label: str
    score: float
    verdict: str
    reasons: tuple[str, ...] = ()
    """Bits of the gate that are set, by name."""
    defect_class: str | None = None
    """Name of the class that was told, or unknown; None where none was."""


@dataclass(frozen=True)
class FrontRecord:
    """What was decided of light and pose, and what the good frames showed of it.

    Attributes
    ----------
    words : tuple of str
        What was decided and why, a sentence or two for each step.
    numbers : mapping of str to mapping of str to float
        The numbers behind each step.
    golden : ndarray of uint8 [h, w, 1 or 3]
        The middle of the aligned good frames at the working size, light as it was.
    good_ranges : mapping of str to (least, greatest)
        Of each number of `quality` over the good training frames, by the deployed front.
    regions : tuple of DrawnRegion
        What the recipe draws on the golden part.
    """

    words: tuple[str, ...]
    numbers: Mapping[str, Mapping[str, float]]
    golden: npt.NDArray[np.uint8] = field(repr=False)
    good_ranges: Mapping[str, tuple[float, float]]
    regions: tuple[DrawnRegion, ...] = ()


@dataclass(frozen=True)
class ClassEvaluation:
    """The deployed graph's classes on the recipe's test images."""

    right: int
    """Parts of a class of the training that were called by its name."""
    named: int
    """Parts of such a class that were called any class, or unknown; those called OK are escapes, counted there."""
    interval: tuple[float, float]
    """Exact 95 % interval (Clopper-Pearson) of the share that is right, 0 to 1."""
    confusion: tuple[tuple[str, str, int], ...]
    """(folder, what it was called: a class, unknown, or a verdict where no class was told; parts), of every part that
    got a call."""

    @property
    def accuracy(self) -> float | None:
        """Share that is right; None where nothing was named."""
        return self.right / self.named if self.named else None


@dataclass(frozen=True)
class Evaluation:
    """The deployed graph on the recipe's test images; nothing was fitted or calibrated on them.

    Parts are counted, each as its worst image; an image that nothing joins to others is a part.
    """

    good: int
    """Good parts that got a call."""
    defective: int
    """Defective parts that got a call."""
    overkill: int
    """Good parts called NG."""
    escapes: int
    """Defective parts called OK."""
    no_call: int
    auroc: float | None
    """Of their scores; None where one of the sides is empty."""
    escapes_by_class: tuple[tuple[str, int, int], ...]
    """(class, escapes, parts)."""
    classes: ClassEvaluation | None = None
    """None where no classes are told."""
    auroc_interval: tuple[float, float] | None = None
    """95 %, see `lineside.calibrate.auroc_interval`; None where `auroc` is."""
    unit: Literal["image", "part"] = "image"
    """``part`` where some part has several images; else both are the same."""


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
    """All images that no score was fitted on, defective training images included unless parts are sorted."""
    evaluation: Evaluation
    parity_frames: int
    parity_worst_rel: float
    swap_vector: bool
    """Whether the bundle's vectors tell swapped channels."""
    front: FrontRecord
    adaptation: Outcome | None
    """Adapted against frozen backbone; None where no adaptation was tried."""
    copies: Copies
    """Images of one part that nobody had told."""
    decisions: tuple[str, ...]
    """In the order in which they were taken; those of `front` are among them."""
    stage_seconds: tuple[tuple[str, float], ...]
    model: bytes = field(repr=False)
    """model.onnx itself, for pictures of what it sees."""

    @property
    def other_decisions(self) -> tuple[str, ...]:
        """Decisions on anything but light and pose."""
        return tuple(words for words in self.decisions if words not in self.front.words)

    def to_json(self) -> str:
        """Return ``training.json``: decisions, times and evaluation."""
        document = {
            "decisions": list(self.decisions),
            "light_and_pose": {
                "steps": dict(self.contract.normalisation),
                "words": list(self.front.words),
                "numbers": {step: _finite(numbers) for step, numbers in self.front.numbers.items()},
                "quality_of_good_images": {name: list(ends) for name, ends in self.front.good_ranges.items()},
            },
            "stage_seconds": {name: round(seconds, 3) for name, seconds in self.stage_seconds},
            "evaluation": dataclasses.asdict(self.evaluation),
            "calibration_scores": {image.name: image.score for image in self.calibration},
            "adaptation": _contest(self.adaptation),
            "copies": _copies(self.copies),
            "parity": {"frames": self.parity_frames, "worst_difference_rel": self.parity_worst_rel},
        }
        return json.dumps(document, indent=1) + "\n"


def _copies(copies: Copies) -> dict[str, object]:
    """Return the pairs by name, what followed from each, and the images that were left apart."""
    pairs = [
        {
            "images": [pair.first.name, pair.second.name],
            "same_pixels": pair.exact,
            "distance": pair.distance,
            "on_both_sides": pair.across,
            "counts_in_evaluation": pair.second.split == "test" and pair.second.copy_of is None,
        }
        for pair in copies.pairs
    ]
    return {"limit": round(copies.limit, 4), "pairs": pairs, "alike_by_nature": list(copies.unsure)}


def _contest(outcome: Outcome | None) -> dict[str, object] | None:
    """Return the numbers of the contest; None where there was none."""
    if outcome is None:
        return None
    decided = {"needed": outcome.needed, "worse": list(outcome.worse), "kept": outcome.kept}
    return {**dataclasses.asdict(outcome), **decided}


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    """Leave out what was not measured, which JSON cannot say."""
    return {name: value for name, value in numbers.items() if math.isfinite(value)}
