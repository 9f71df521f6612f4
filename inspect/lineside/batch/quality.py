"""The numbers behind the gate over a whole run: whether the pictures are still like those that the limits came from."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lineside.batch.row import Row
from lineside.contract import Contract

QualityBounds = tuple[float | None, float | None]


@dataclass(frozen=True)
class QualityFound:
    """One number of `quality` over all images that were judged."""

    name: str
    limits: QualityBounds
    least: float
    median: float
    greatest: float
    beyond: int
    """Images outside the limits."""
    images: int


def quality_limits(contract: Contract) -> dict[str, QualityBounds]:
    """Return lower and upper limit of each number, in the contract's order."""
    return dict(zip(contract.quality_names, contract.quality_limits, strict=True))


class QualityTaker:
    """Takes rows; keeps 4 bytes of each number of each."""

    def __init__(self, limits: Mapping[str, QualityBounds]) -> None:
        self._limits = limits
        self._values = {name: array("f") for name in limits}

    def add(self, row: Row) -> None:
        """Take a row; one without numbers is passed over."""
        for name, value in row.opc.get("resultContent", {}).get("quality", {}).items():
            if name in self._values and value is not None:
                self._values[name].append(value)

    def found(self) -> tuple[QualityFound, ...]:
        """Return the numbers that occurred, in the contract's order."""
        return tuple(_found(name, self._limits[name], values) for name, values in self._values.items() if len(values))


def _found(name: str, limits: QualityBounds, values: "array[float]") -> QualityFound:
    low, high = limits
    numbers = np.asarray(values, np.float64)
    beyond = np.zeros(len(numbers), np.bool_)
    if low is not None:
        beyond |= numbers < np.float32(low)
    if high is not None:
        beyond |= numbers > np.float32(high)
    median = float(np.median(numbers))
    return QualityFound(
        name, limits, float(numbers.min()), median, float(numbers.max()), int(beyond.sum()), len(numbers)
    )
