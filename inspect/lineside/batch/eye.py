"""What a model sees in a frame, for pictures in a report: its map, the places of defects, and the working image.

Map and class come from what a run kept of the image, else from one more pass through the graph; the working image from
the graph's beginning (`lineside.batch.working`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.batch.kept import KeptResults
from lineside.batch.regions import DEFECT, Region, find_regions, regions_of
from lineside.batch.working import WorkingImages
from lineside.contract import INPUT_FRAME, INPUT_THRESHOLDS, Contract, Verdict
from lineside.session import open_session

Pixels = npt.NDArray[np.uint8]

_TOLD = ("anomaly_map", "verdict", "defect_class")


@dataclass(frozen=True)
class Seen:
    """What a model makes of a frame."""

    anomaly_map: npt.NDArray[np.float32]
    """[h, w]"""
    regions: tuple[Region, ...] = ()
    """Defects to draw a box around; none on a frame that is OK or got no call."""
    working: Pixels | None = None
    """The working image [h, w, 3], where the model tells it."""


class Eye:
    """Looks at frames with one model. Safe to share between threads.

    Parameters
    ----------
    model : bytes
        model.onnx.
    contract : Contract
        Its own.
    thresholds : (float, float)
        By which it judges: NG and REVIEW above.
    where : str
        Where it came from, for an error message.
    results : KeptResults, optional
        Of the images that need no further pass.
    """

    def __init__(
        self,
        model: bytes,
        contract: Contract,
        thresholds: tuple[float, float],
        where: str,
        results: KeptResults | None = None,
    ) -> None:
        self._contract, self._results = contract, results
        self._given = {
            name: np.array([value], np.float32) for name, value in zip(INPUT_THRESHOLDS, thresholds, strict=True)
        }
        self._session, self._working = open_session(model, where), WorkingImages(model, where)

    def __call__(self, path: Path, frame: Pixels) -> Seen:
        """Look at a frame [H, W, C] as the graph takes it, and as it was read from a file."""
        known = self._results.get(path.as_posix()) if self._results else None
        if known is None:
            return self._judged(frame)
        return Seen(known.anomaly_map, regions_of(known, self._contract.map_threshold), self._working(frame))

    def _judged(self, frame: Pixels) -> Seen:
        told = self._session.run(_TOLD, {INPUT_FRAME: frame[None], **self._given})
        anomaly_map, verdict, defect_class = (value[0] for value in told)
        regions: tuple[Region, ...] = ()
        if Verdict(int(verdict)) not in (Verdict.OK, Verdict.NO_CALL):
            category = self._contract.class_name(int(defect_class)) or DEFECT
            size_wh = (frame.shape[1], frame.shape[0])
            regions = find_regions(anomaly_map, self._contract.map_threshold, size_wh, category)
        return Seen(anomaly_map, regions, self._working(frame))
