"""What an inspection returns, by the names of the contract, and by those of OPC 40100-1 on the wire."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.contract import Verdict

RESULT_STATE_COMPLETED = 1  # OPC 40100-1 (Machine Vision, Part 1), ResultStateDataType


@dataclass(frozen=True, eq=False)
class Result:
    """The verdict on one frame.

    The arrays are the graph's own outputs and are read-only.
    """

    verdict: Verdict
    score: float
    """Larger is worse; raw, never clamped, finite even under NO_CALL."""
    reasons: tuple[str, ...]
    """Why no call was made: names of the gate's bits; or under NG, names of the contract's findings. Often empty."""
    defect_class: str | None
    """Name of the class, ``"unknown"``, or None where no class was given."""
    anomaly_map: npt.NDArray[np.float32]
    """[h, w] over the whole frame at a reduced size, in the unit of distances, which `score` pools."""
    pose: npt.NDArray[np.float32]
    """[5]: angle_deg, dx_px, dy_px, scale, confidence."""
    transform: npt.NDArray[np.float32]
    """[3, 3] homogeneous, frame pixel (x, y, 1) -> golden pixel; pixel centres at whole numbers."""
    gate: int
    quality: dict[str, float]
    """The numbers behind the gate, unit in the name."""
    class_prob: dict[str, float]
    """Probability of each of the contract's classes, 0 to 1, if it is one of them; empty where none are told. What
    it may be believed for, the contract's `classes.statement` says."""
    class_p_value: float
    """Conformal p-value of belonging to the likeliest class: small is strange, ``unknown`` below the contract's
    `classes.unknown`; 1 where no classes are told."""
    embedding: npt.NDArray[np.float32]
    """[d] for watching drift."""
    duration_ms: float
    """Time in the graph, preprocessing included; reading the image is not."""
    frame_wh: tuple[int, int]
    created: datetime
    """When the graph had answered."""
    recipe_id: str
    """Part and hash of the recipe that the model was trained from."""

    @property
    def class_probability(self) -> float | None:
        """Probability of `defect_class`, 0 to 1; None where no class was told, and of ``"unknown"``."""
        return self.class_prob.get(self.defect_class) if self.defect_class else None

    def to_dict(self, *, result_id: str | None = None, part_id: str | None = None) -> dict[str, Any]:
        """Return what fits into JSON, with the names of OPC 40100-1 where it has them.

        Parameters
        ----------
        result_id, part_id : str, optional
            Identity given by the caller; null where he gives none.

        Returns
        -------
        dict
            Arrays are left out but for the pose and the quality numbers. The verdict is a field of ``resultContent``;
            ``resultState`` is the job's state, not the part's.
        """
        end = self.created.astimezone(UTC)
        start = end - timedelta(milliseconds=self.duration_ms)
        return {
            "resultId": result_id,
            "partId": part_id,
            "internalRecipeId": self.recipe_id,
            "creationTime": end.isoformat(timespec="milliseconds"),
            "processingTimes": {
                "startTime": start.isoformat(timespec="microseconds"),
                "endTime": end.isoformat(timespec="microseconds"),
                "processingDuration": round(self.duration_ms, 3),
            },
            "isPartial": False,
            "resultState": RESULT_STATE_COMPLETED,
            "resultContent": {
                "verdict": self.verdict.name,
                "score": self.score,
                "reasons": list(self.reasons),
                "defect_class": self.defect_class,
                "class_probability": self.class_probability,
                "class_prob": self.class_prob,
                "class_p_value": self.class_p_value,
                "pose": [float(value) for value in self.pose],
                "quality": self.quality,
            },
        }
