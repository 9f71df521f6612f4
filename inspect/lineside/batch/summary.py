"""What a run found, in numbers: made from the rows alone, so that a resumed run and a whole one say the same.

Rows stream through the `Collector`, which keeps some numbers of 4 or 8 bytes per image (score, times, the numbers
behind the gate: some 90 MB for a million images) and the few rows that the report shows.
"""

import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.batch.causes import Cause, Causes
from lineside.batch.classes import ToldClasses, told_classes
from lineside.batch.course import Course, CourseTaker
from lineside.batch.labels import LabelSummary, is_good_folder, summarise_labels
from lineside.batch.no_call import NoCalls
from lineside.batch.origins import Origin, OriginTaker
from lineside.batch.parts import PartCounts, PartTaker
from lineside.batch.quality import QualityBounds, QualityFound, QualityTaker
from lineside.batch.row import UNREADABLE, Row, finite
from lineside.batch.when import taken_at
from lineside.capture.sidecar import read_sidecar
from lineside.contract import Verdict
from lineside.contract_thresholds import Threshold

COUNTED = (*(verdict.name for verdict in Verdict), UNREADABLE)
WORST_SHOWN, OTHERS_SHOWN, UNREADABLE_SHOWN = 40, 200, 200
"""Rows that are kept for the report: the worst, and of escapes, overkill, review and no call each. Its pictures fill it
before that: with 40 kB an image, 10 MB are 250."""


@dataclass(frozen=True)
class Percentiles:
    """Of the time per image in the graph, in milliseconds."""

    p50: float
    p95: float
    p99: float


def percentiles(times_ms: Sequence[float]) -> Percentiles:
    """Return the percentiles of times, at least one, to a microsecond."""
    return Percentiles(*(round(float(value), 3) for value in np.percentile(times_ms, [50, 95, 99])))


@dataclass(frozen=True)
class Limits:
    """The thresholds that this run judged by, and what the model's contract says of them."""

    ng: float
    review: float
    overridden: bool
    """True where the user gave another threshold; then nothing that `contract` promises holds."""
    contract: Threshold
    """Of the model, whether it was used or not."""


@dataclass(frozen=True)
class Summary:
    """summary.json: one run, from its first image to its last."""

    job_id: str
    created: str
    lineside_version: str
    part: str
    model: str
    model_sha256: str
    recipe_sha256: str
    images: tuple[str, ...]
    """Files and folders as they were named."""
    out: str
    total: int
    counts: Mapping[str, int]
    """By verdict name, and ``unreadable``."""
    first_pass_yield: float | None
    """OK, of all images that could be read (0 to 1); NO_CALL and REVIEW are no pass. None where none could be read."""
    no_call: NoCalls
    """Images without a call, apart from NG: how many, for which reasons, and the share that is allowed."""
    threshold: Limits
    duration_ms: Percentiles | None
    """Of all images; reading the files is not in it."""
    part_duration_ms: Percentiles | None
    """Of all parts, the images of a part together; without a pattern for parts the same as of the images."""
    takt_ms: float | None
    """Time per part on the line; None where it was not given."""
    workers: int
    """Images judged at the same time; above 1 they slow one another down."""
    judged_now: int
    """Images judged by this call; the others were judged before it was resumed."""
    elapsed_s: float
    """Of this call, reading, judging and overlays together."""
    images_per_s: float | None
    """judged_now / elapsed_s; None where nothing was left to judge."""
    masks_left_out: int
    """Ground-truth masks found among the images; they are not judged."""
    labels: LabelSummary | None
    """Only where folder names are taken as truth."""
    classes: ToldClasses | None
    """Only where the model tells classes."""
    parts: PartCounts | None
    """Only where a pattern tells the part in file names."""

    @property
    def takt_share(self) -> float | None:
        """Share of the takt that the 99th percentile of the parts takes; None without a takt, or without a time."""
        return self.part_duration_ms.p99 / self.takt_ms if self.takt_ms and self.part_duration_ms else None

    def to_dict(self) -> dict[str, Any]:
        """Return what fits into JSON; every number in it is finite."""
        document: dict[str, Any] = finite(asdict(self))
        return document


@dataclass(frozen=True)
class Shown:
    """The rows that the report shows one by one."""

    worst: tuple[Row, ...]
    """Highest score first, of the images that got a call."""
    escapes: tuple[Row, ...]
    """Images of defective parts called OK, lowest score first."""
    overkill: tuple[Row, ...]
    """Images of good parts called NG, highest score first."""
    review: tuple[Row, ...]
    """For a person to decide, highest score first."""
    no_call: tuple[Row, ...]
    """Highest score first."""
    unreadable: tuple[Row, ...]
    n_escapes: int
    """How many there are, of which `escapes` are the first."""
    n_overkill: int


def _shown(row: Row) -> dict[str, Any]:
    """Keep of a row's OPC names what the report shows."""
    return {"resultContent": {"class_probability": row.class_probability}}


class Top:
    """The k rows with the largest keys; among equals, the earliest."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.offered = 0
        self._heap: list[tuple[float, int, Row]] = []
        self._order = count(0, -1)

    def add(self, key: float, row: Row) -> None:
        """Offer a row."""
        self.offered += 1
        entry = (key, next(self._order), replace(row, opc=_shown(row)))
        if len(self._heap) < self._k:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def rows(self) -> tuple[Row, ...]:
        """Return the rows, largest key first."""
        return tuple(row for _, _, row in sorted(self._heap, key=lambda entry: entry[:2], reverse=True))


class Collector:
    """Takes rows one by one, answers for all of them."""

    def __init__(
        self,
        *,
        labels: bool,
        is_good: Callable[[str], bool] = is_good_folder,
        limits: Mapping[str, QualityBounds] | None = None,
        grouped: bool = False,
    ) -> None:
        self._labels, self._is_good = labels, is_good
        self._course, self._quality, self._causes = CourseTaker(), QualityTaker(limits or {}), Causes()
        self._origins = OriginTaker()
        self.parts = PartTaker() if grouped else None
        self._told: dict[str, Counter[str]] = defaultdict(Counter)
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._scores: dict[str, array[float]] = defaultdict(lambda: array("f"))  # of images that got a call
        self._durations = array("f")
        self._reasons: Counter[str] = Counter()
        self._worst, self._overkill, self._escapes = Top(WORST_SHOWN), Top(OTHERS_SHOWN), Top(OTHERS_SHOWN)
        self._review, self._no_call = Top(OTHERS_SHOWN), Top(OTHERS_SHOWN)
        self._unreadable = Top(UNREADABLE_SHOWN)

    def tee(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Take every row and pass it on."""
        for row in rows:
            self.add(row)
            yield row

    def add(self, row: Row) -> None:
        """Take one row."""
        label = row.label or ""
        self._counts[label][row.verdict or UNREADABLE] += 1
        if row.duration_ms is not None:
            self._durations.append(row.duration_ms)
        charted = row.verdict is not None and self._charted(label)
        self._quality.add(row, self._chart(row) if charted else None)
        self._causes.add(row)
        if self.parts is not None:
            self.parts.add(row)
        if row.verdict is None or row.score is None:
            self._unreadable.add(0.0, row)
        elif row.verdict == Verdict.NO_CALL.name:
            self._no_call.add(row.score, row)
            self._reasons.update(row.reasons)
        else:
            self._add_called(row, row.score, label)

    def _add_called(self, row: Row, score: float, label: str) -> None:
        self._scores[label].append(score)
        self._told[label][row.defect_class or row.verdict or ""] += 1
        self._worst.add(score, row)
        if row.verdict == Verdict.REVIEW.name:
            self._review.add(score, row)
        if self._labels and self._is_good(label) and row.verdict == Verdict.NG.name:
            self._overkill.add(score, row)
        if self._labels and not self._is_good(label) and row.verdict == Verdict.OK.name:
            self._escapes.add(-score, row)

    def _chart(self, row: Row) -> float | None:
        """Take the row of an image that says something of the line, return its time; the sidecar is read here, once."""
        path = Path(row.path)
        sidecar = read_sidecar(path)
        time = taken_at(path, sidecar)
        self._origins.add(row, sidecar, time)
        if row.score is not None and row.verdict != Verdict.NO_CALL.name:
            self._course.add(row, row.score, time)
        return time

    def _charted(self, label: str) -> bool:
        """Whether an image says something of the line: with labels, of good parts alone."""
        return not self._labels or self._is_good(label)

    def counts(self) -> dict[str, int]:
        """Return the number of images by verdict name, and ``unreadable``."""
        return {name: sum(counter[name] for counter in self._counts.values()) for name in COUNTED}

    def reasons(self) -> dict[str, int]:
        """Return the number of images without a call by reason; one image may have several."""
        return dict(self._reasons)

    def percentiles(self) -> Percentiles | None:
        """Return the times per image, or None where no image was judged."""
        return percentiles(self._durations) if self._durations else None

    def part_percentiles(self) -> Percentiles | None:
        """Return the times per part; where no pattern tells parts apart, per image."""
        if self.parts is None:
            return self.percentiles()
        times = self.parts.durations_ms()
        return percentiles(times) if times else None

    def labels(self) -> LabelSummary | None:
        """Return verdicts against truth, of parts where a pattern tells them; None where truth was not asked for."""
        if not self._labels:
            return None
        if self.parts is not None:
            return self.parts.labels(self._is_good)
        return summarise_labels(self._counts, self._scores, self._is_good)

    def classes(self, names: Sequence[str]) -> ToldClasses | None:
        """Return what was called which of the model's classes; None where it has none."""
        return told_classes(self._told, names, labels=self._labels)

    def scores(self, *, good: bool) -> npt.NDArray[np.float32]:
        """Return the scores that got a call: of the good parts, or of all others (without labels, of all)."""
        chosen = [scores for label, scores in self._scores.items() if self._is_good(label) == good]
        return np.fromiter(chain.from_iterable(chosen), np.float32)

    def course(self) -> Course:
        """Return the images that got a call, in time order: of the good parts, or without labels of all."""
        return self._course.course(of_good=self._labels)

    def origins(self) -> tuple[Origin, ...]:
        """Return the images by lot, camera, station and hour: of the good parts, or without labels of all."""
        return self._origins.origins()

    def quality(self) -> tuple[QualityFound, ...]:
        """Return what the numbers behind the gate were."""
        return self._quality.found()

    def causes(self) -> tuple[Cause, ...]:
        """Return why images did not pass, the most frequent first."""
        return self._causes.ordered()

    def shown(self) -> Shown:
        """Return the rows that the report shows."""
        return Shown(
            worst=self._worst.rows(),
            escapes=self._escapes.rows(),
            overkill=self._overkill.rows(),
            review=self._review.rows(),
            no_call=self._no_call.rows(),
            unreadable=self._unreadable.rows(),
            n_escapes=self._escapes.offered,
            n_overkill=self._overkill.offered,
        )
