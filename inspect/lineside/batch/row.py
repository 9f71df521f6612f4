"""One image's line in results.jsonl: what was judged, or why it was not.

The flat names come first because people grep for them; the names of OPC 40100-1 follow for machines. A line is written
once and never changed, so everything else (table, CSV, report) can be made from the file alone, after a restart too.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lineside.batch.regions import Region
from lineside.errors import StorageError

UNREADABLE = "unreadable"
"""Stands for the verdict of an image that could not be read."""
RESULT_STATE_FAILED = 4  # OPC 40100-1 (Machine Vision, Part 1), ResultStateDataType
_FLAT = ("path", "verdict", "score", "reasons", "defect_class", "duration_ms", "error", "label", "overlay")


@dataclass(frozen=True)
class Row:
    """One image. Either `verdict` and `score` are there, or `error` is."""

    path: str
    """As given on the command line, folder and file joined, with forward slashes. Unique within a run."""
    verdict: str | None
    score: float | None
    reasons: tuple[str, ...]
    """Why no call was made."""
    defect_class: str | None
    duration_ms: float | None
    """Time in the graph; reading the file is `processingTimes.acquisitionDuration` in `opc`."""
    error: str | None
    label: str | None = None
    """The truth by the folder's name; only where it was asked for."""
    overlay: str | None = None
    """Path of the heatmap overlay, relative to the run's folder, with forward slashes."""
    regions: tuple[Region, ...] | None = None
    """The defects' places, only where they were asked for and the image could be read."""
    frame_wh: tuple[int, int] | None = None
    """Width and height in px of the frame, with the regions."""
    opc: Mapping[str, Any] = field(default_factory=dict)
    """Names of OPC 40100-1."""

    @property
    def part(self) -> str:
        """Name of the physical part; where no pattern tells parts apart, the file's name without its suffix."""
        return str(self.opc["partId"])

    @property
    def class_probability(self) -> float | None:
        """Probability of the class, 0 to 1; None where none was told, or it is unknown."""
        value = self.opc.get("resultContent", {}).get("class_probability")
        return float(value) if value is not None else None

    @property
    def class_p_value(self) -> float | None:
        """Conformal p-value of belonging to a class, 0 to 1; None where there is no result."""
        value = self.opc.get("resultContent", {}).get("class_p_value")
        return float(value) if value is not None else None

    def to_line(self) -> bytes:
        """Return the row as one line of JSON in UTF-8, newline included. Every number in it is finite."""
        flat = {name: getattr(self, name) for name in _FLAT}
        if self.label is None:
            del flat["label"]
        if self.regions is not None:
            flat |= {"frame_wh": self.frame_wh, "regions": [region.to_dict() for region in self.regions]}
        document = finite({**flat, "reasons": list(self.reasons), **self.opc})
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "backslashreplace") + b"\n"  # a lone surrogate (odd file name) becomes its \uXXXX

    @classmethod
    def from_line(cls, line: bytes, where: str) -> "Row":
        """Read one line.

        Raises
        ------
        StorageError
            When it is no JSON object or lacks a field.
        """
        try:
            document = json.loads(line)
            flat = {name: document.pop(name) for name in _FLAT if name != "label" or name in document}
            if "regions" in document:
                flat["frame_wh"] = tuple(document.pop("frame_wh"))
                flat["regions"] = tuple(Region.from_dict(region) for region in document.pop("regions"))
        except (ValueError, KeyError, AttributeError, TypeError):
            raise StorageError(
                f"{where}: expected one result as a JSON object, found something else: the file was altered. "
                "Restore it, or start over with --fresh."
            ) from None
        return cls(**{**flat, "reasons": tuple(flat["reasons"])}, opc=document)


def failed_row(path: str, error: str, *, recipe_id: str, label: str | None, opc: Mapping[str, Any]) -> Row:
    """Return the row of an image without a verdict.

    Parameters
    ----------
    path, error : str
        Which image, and what was wrong with it.
    recipe_id : str
        Part and recipe of the model that was to judge it.
    label : str or None
        The folder's name, where it is taken as truth.
    opc : mapping
        resultId, partId, measId and jobId.
    """
    state = {
        "internalRecipeId": recipe_id,
        "creationTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "processingTimes": {},
        "isPartial": False,
        "resultState": RESULT_STATE_FAILED,
        "resultContent": {},
    }
    return Row(path, None, None, (), None, None, error, label, opc={**opc, **state})


def finite(value: Any) -> Any:
    """Return a JSON value in which every number that is not finite has become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
