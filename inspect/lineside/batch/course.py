"""How a run went over time: verdicts and scores in the order in which the pictures were taken.

The limits of the charts hold for draws that are independent, so that several images of a part count once: by the first
of its times, NG where one of them is, with its highest score.
"""

from array import array
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lineside.batch.row import Row
from lineside.calibrate.control import Chart, ewma_chart, p_chart
from lineside.contract import Verdict


@dataclass(frozen=True)
class Course:
    """Charts over time, of the images that got a call, or of the parts where a pattern tells them."""

    images: int
    timed: int
    """Those whose name or sidecar tells when they were taken; only these are charted."""
    of_good: bool
    """Whether only parts that are known to be good are in it."""
    first: float | None
    """Seconds since 1970; None where nothing tells a time."""
    last: float | None
    times: tuple[float, ...]
    """Of the first image of each subgroup."""
    rejects: Chart | None
    """p-chart of the share that was NG; None where there are too few."""
    scores: Chart | None
    """EWMA of the mean score."""
    unit: Literal["image", "part"] = "image"
    """What is counted."""


class CourseTaker:
    """Takes rows in any order; keeps 13 bytes of each image, or of each part and its name."""

    def __init__(self, *, grouped: bool = False) -> None:
        self._times, self._scores, self._rejected = array("d"), array("f"), array("b")
        self._images = 0
        self._rows: dict[str, int] | None = {} if grouped else None
        self._parts: set[str] = set()

    def add(self, row: Row, score: float, time: float | None) -> None:
        """Take the row of an image that got a call, and when it was taken, as `taken_at` tells."""
        if self._rows is None:
            self._images += 1
        else:
            self._parts.add(row.part)
            self._images = len(self._parts)
        if time is not None:
            self._put(row, score, time)

    def _put(self, row: Row, score: float, time: float) -> None:
        rejected = row.verdict == Verdict.NG.name
        at = None if self._rows is None else self._rows.get(row.part)
        if at is not None:
            self._times[at], self._scores[at] = min(self._times[at], time), max(self._scores[at], score)
            self._rejected[at] |= rejected
            return
        if self._rows is not None:
            self._rows[row.part] = len(self._times)
        self._times.append(time)
        self._scores.append(score)
        self._rejected.append(rejected)

    def course(self, *, of_good: bool) -> Course:
        """Sort by time and chart; `of_good` says which images were given."""
        order = np.argsort(np.asarray(self._times), kind="stable")
        times = np.asarray(self._times)[order]
        rejects = p_chart((np.asarray(self._rejected)[order] > 0).tolist())
        starts = tuple(float(times[point.first]) for point in rejects.points) if rejects else ()
        return Course(
            images=self._images,
            timed=len(times),
            of_good=of_good,
            first=float(times[0]) if len(times) else None,
            last=float(times[-1]) if len(times) else None,
            times=starts,
            rejects=rejects,
            scores=ewma_chart(np.asarray(self._scores, np.float64)[order].tolist()),
            unit="image" if self._rows is None else "part",
        )
