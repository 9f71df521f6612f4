"""Images per second of a whole inspection, beside what decoding and inference alone would allow.

In one process, in turns: each round decodes all images, judges ready frames, and inspects the folder as `lineside
inspect` does, report included, with 1 to N workers. A round with w workers is held to w processors (where the system
lets a process choose), so that one worker is one core. Inference alone runs on decoded frames that are kept, as many as
`_KEPT`; a year's images do not fit.

Beside time stands the processor time per image: other work on the machine stretches the one and hardly the other.
"""

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.batch import InspectOptions, inspect_images
from lineside.batch.judge import inspected, read_frame
from lineside.batch.plan import check_sources, plan_images
from lineside.bench.cold_start import cold_starts
from lineside.bench.machine import Machine, this_machine
from lineside.bench.process import MemoryWatch, held_to
from lineside.errors import ImageError, UsageError
from lineside.runtime import Inspector
from lineside.session import processors

ROUNDS = 5
TWO_WORKERS_LIMIT, ALLOWED_LIMIT = 1.7, 0.85
"""What the project promises of two workers on two cores: times one worker's rate, and share of what is allowed."""
_KEPT = 24


@dataclass(frozen=True)
class Spread:
    """A number over the rounds."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Rates:
    """What one number of workers did; rates in images per second."""

    workers: int
    decode: Spread
    """Reading and decoding alone."""
    infer: Spread
    """Inference alone, on decoded frames."""
    inspect: Spread
    """Whole inspection, its report included."""
    of_allowed: Spread
    """`inspect` over 1 / (1 / decode + 1 / infer) of the same round."""
    of_one: Spread
    """`inspect` over that of one worker in the same round."""
    decode_and_infer_cpu_ms: Spread
    """Processor time per image of the two alone."""
    inspect_cpu_ms: Spread
    """Processor time per image of the whole inspection."""


@dataclass(frozen=True)
class Throughput:
    """What `measure_throughput` found."""

    part: str
    model_sha256: str
    model_bytes: int
    images: int
    rounds: int
    pinned: bool
    """Whether w workers were held to w processors."""
    rates: tuple[Rates, ...]
    memory_mb: tuple[float, float] | None
    """Resident memory after the first quarter of the images and after the last, of the last inspection; None where the
    system does not tell."""
    cold_start_ms: Spread
    """From the start of a new process to its first verdict."""
    machine: Machine

    def to_dict(self) -> dict[str, Any]:
        """Return what fits into JSON, the promises included."""
        return {**asdict(self), "promised": {"of_one": TWO_WORKERS_LIMIT, "of_allowed": ALLOWED_LIMIT}}


@dataclass(frozen=True)
class _Run:
    images_per_s: float
    cpu_ms: float


def measure_throughput(
    model: str | Path, folder: Path, *, workers: int | None = None, rounds: int = ROUNDS
) -> Throughput:
    """Measure a bundle on a folder of images.

    Parameters
    ----------
    model : str or Path
        Bundle folder.
    folder : Path
        Images to inspect; all are taken.
    workers : int, optional
        The largest number of workers; by default one per processor.
    rounds : int
        How often everything is done.

    Raises
    ------
    UsageError
        When there is no bundle or folder, or a number is out of range.
    ImageError
        When there is no image, or one cannot be read.
    """
    most = processors() if workers is None else workers
    if most < 1 or rounds < 1:
        raise UsageError(f"Expected at least one worker and one round, found {most} and {rounds}.")
    check_sources([folder])
    inspector = Inspector(model, threads=1)
    images = tuple(plan_images([folder], Path(os.devnull)))
    if not images:
        raise ImageError("no image in it.", path=folder)
    machine, pinned = this_machine(), hasattr(os, "sched_setaffinity")
    frames = tuple(read_frame(path, inspector.contract.frame) for path in images[:_KEPT])
    cold = [start.total_ms for start in cold_starts(Path(model), frames[0], rounds)]
    bench = _Bench(inspector, folder, images, frames, MemoryWatch(len(images)))
    found = [bench.round(most) for _ in range(rounds)]
    return Throughput(
        part=inspector.contract.part,
        model_sha256=inspector.model_sha256,
        model_bytes=(Path(model) / "model.onnx").stat().st_size,
        images=len(images),
        rounds=rounds,
        pinned=pinned,
        rates=tuple(_rates(count, found) for count in range(1, most + 1)),
        memory_mb=bench.watch.mb,
        cold_start_ms=_spread(cold),
        machine=machine,
    )


_Round = dict[tuple[int, str], _Run]


@dataclass(frozen=True)
class _Bench:
    """What every round does."""

    inspector: Inspector
    folder: Path
    images: tuple[Path, ...]
    frames: tuple[npt.NDArray[np.uint8], ...]
    watch: MemoryWatch

    def round(self, most: int) -> _Round:
        """Do everything once with 1 to `most` workers."""
        found: _Round = {}
        for workers in range(1, most + 1):
            with held_to(workers):
                for name, one in (("decode", self.decode), ("infer", self.infer)):
                    found[workers, name] = _timed(len(self.images), partial(self.all, one, workers))
                found[workers, "inspect"] = _timed(len(self.images), partial(self.inspect, workers))
        return found

    def decode(self, number: int) -> None:
        read_frame(self.images[number], self.inspector.contract.frame)

    def infer(self, number: int) -> None:
        inspected(self.inspector, self.frames[number % len(self.frames)])

    def all(self, one: Callable[[int], None], workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            deque(pool.map(one, range(len(self.images))), maxlen=0)

    def inspect(self, workers: int) -> None:
        with tempfile.TemporaryDirectory() as out:
            inspect_images(
                self.inspector, [self.folder], Path(out) / "run", InspectOptions(workers=workers), self.watch
            )


def _timed(number: int, work: Callable[[], None]) -> _Run:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    seconds = time.perf_counter() - wall
    return _Run(number / seconds, 1000.0 * (time.process_time() - cpu) / number)


def _rates(workers: int, rounds: Sequence[_Round]) -> Rates:
    def of(name: str, count: int = workers) -> npt.NDArray[np.float64]:
        return np.array([found[count, name].images_per_s for found in rounds])

    def cpu(name: str) -> npt.NDArray[np.float64]:
        return np.array([found[workers, name].cpu_ms for found in rounds])

    decode, infer, inspect = of("decode"), of("infer"), of("inspect")
    return Rates(
        workers=workers,
        decode=_spread(decode),
        infer=_spread(infer),
        inspect=_spread(inspect),
        of_allowed=_spread(inspect * (1 / decode + 1 / infer)),
        of_one=_spread(inspect / of("inspect", 1)),
        decode_and_infer_cpu_ms=_spread(cpu("decode") + cpu("infer")),
        inspect_cpu_ms=_spread(cpu("inspect")),
    )


def _spread(values: Sequence[float] | npt.NDArray[np.float64]) -> Spread:
    least, median, most = np.percentile(values, (0, 50, 100)).tolist()
    return Spread(least, median, most)
