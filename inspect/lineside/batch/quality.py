"""The numbers behind the gate over a whole run: whether the pictures are still like those that the limits came from."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.batch.row import Row
from lineside.calibrate.control import subgroup_bounds
from lineside.contract import Contract

QualityBounds = tuple[float | None, float | None]


Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class QualityCourse:
    """One number of `quality` over time, in subgroups of images."""

    times: tuple[float, ...]
    """Of the first image of each subgroup, seconds since 1970."""
    medians: tuple[float, ...]


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
    course: QualityCourse | None
    """None where too few images tell when they were taken."""


def quality_limits(contract: Contract) -> dict[str, QualityBounds]:
    """Return lower and upper limit of each number, in the contract's order."""
    return dict(zip(contract.quality_names, contract.quality_limits, strict=True))


class QualityTaker:
    """Takes rows; keeps 4 bytes of each number of each, and 8 of its time."""

    def __init__(self, limits: Mapping[str, QualityBounds]) -> None:
        self._limits = limits
        self._values = {name: array("f") for name in limits}
        self._times = array("d")

    def add(self, row: Row, time: float | None) -> None:
        """Take a row, and when its picture was taken, if that is known; one without numbers is passed over."""
        numbers = row.opc.get("resultContent", {}).get("quality", {})
        if not numbers:
            return
        self._times.append(np.nan if time is None else time)
        for name, values in self._values.items():
            value = numbers.get(name)
            values.append(np.nan if value is None else value)

    def found(self) -> tuple[QualityFound, ...]:
        """Return the numbers that occurred, in the contract's order."""
        times = np.asarray(self._times, np.float64)
        taken = ((name, np.asarray(values, np.float64)) for name, values in self._values.items())
        return tuple(
            _found(name, self._limits[name], values, times) for name, values in taken if not np.isnan(values).all()
        )


def _found(name: str, limits: QualityBounds, values: Doubles, times: Doubles) -> QualityFound:
    low, high = limits
    there = ~np.isnan(values)
    numbers = values[there]
    beyond = np.zeros(len(numbers), np.bool_)
    if low is not None:
        beyond |= numbers < np.float32(low)
    if high is not None:
        beyond |= numbers > np.float32(high)
    median = float(np.median(numbers))
    ends = float(numbers.min()), median, float(numbers.max())
    return QualityFound(name, limits, *ends, int(beyond.sum()), len(numbers), _course(numbers, times[there]))


def _course(numbers: Doubles, times: Doubles) -> QualityCourse | None:
    order = np.argsort(times, kind="stable")[: int((~np.isnan(times)).sum())]  # those without a time come last
    bounds = subgroup_bounds(len(order))
    if not bounds:
        return None
    medians = [float(np.median(numbers[order[first:after]])) for first, after in bounds]
    return QualityCourse(tuple(float(times[order[first]]) for first, _ in bounds), tuple(medians))
