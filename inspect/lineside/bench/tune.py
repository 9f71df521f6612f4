"""How many workers, of how many threads each, judge most frames a second on this machine, and which judge one soonest.

Every plan runs for a slice of time in each round, in an order drawn anew, as other measurements here do. A plan with
more threads must be clearly faster: threads that win a hundredth are better left to whatever else the machine does.
A plan whose outputs differ from those of one thread is not measured.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.batch.files import check_writable, write_atomic
from lineside.bench.machine import Machine, this_machine
from lineside.bench.stages import FRAME_WH, bench_frame, read_bench_frame
from lineside.contract import INPUT_FRAME, OUTPUTS, Contract
from lineside.errors import UsageError
from lineside.export.load import load_bundle
from lineside.session import open_session, ort, processors
from lineside.tuning import Tuning, machine_for, tuning_path, tuning_text

Pixels = npt.NDArray[np.uint8]
SECONDS = 30.0
"""For all plans together, opening them aside."""
ROUNDS = 5
MARGIN = 0.05
"""A plan of fewer threads is taken where it is no more than this share slower than the fastest; a judgement, not a
measurement."""

_REMEDY = "Make room or give write permission there: the choice lies beside the bundle, or copy the bundle elsewhere."


@dataclass(frozen=True, order=True)
class Plan:
    """Frames at the same time, and ONNX Runtime's threads in each; plans are in order of preference among equals."""

    threads: int
    workers: int


@dataclass(frozen=True)
class Measured:
    """What a plan did."""

    plan: Plan
    frames_per_s: float
    """Median of the rounds."""
    least: float
    most: float

    @property
    def frame_ms(self) -> float:
        """How long one frame takes; of a plan with several workers, how long each of them takes for it."""
        return 1000.0 * self.plan.workers / self.frames_per_s


@dataclass(frozen=True)
class Tuned:
    """The choice and what it was taken from."""

    path: Path
    """File that was written."""
    part: str
    frame_wh: tuple[int, int]
    tuning: Tuning
    measured: tuple[Measured, ...]
    dropped: tuple[int, ...]
    """Numbers of threads whose outputs differ from those of one thread."""
    machine: Machine


def plans(count: int) -> tuple[Plan, ...]:
    """Return what is tried on so many processors: one frame, and as many as fill all or half of them, by threads."""
    threads = sorted({*(2**power for power in range(count.bit_length()) if 2**power <= count), count})
    pairs = {Plan(each, max(1, workers)) for each in threads for workers in (1, count // each, count // (2 * each))}
    return tuple(sorted(pairs))


def choose(measured: Sequence[Measured]) -> Tuning:
    """Return the tuning that measurements speak for."""
    frame = _preferred([one for one in measured if one.plan.workers == 1])
    batch = _preferred(measured)
    return Tuning(frame.threads, batch.workers, batch.threads)


def _preferred(measured: Sequence[Measured]) -> Plan:
    enough = (1.0 - MARGIN) * max(one.frames_per_s for one in measured)
    return min(one.plan for one in measured if one.frames_per_s >= enough)


def tune(
    model: Path, *, size_wh: tuple[int, int] | None = None, image: Path | None = None, seconds: float = SECONDS
) -> Tuned:
    """Measure a bundle on this machine and write the choice beside it.

    Parameters
    ----------
    model : Path
        Bundle folder.
    size_wh : (int, int), optional
        Width and height of the frame; by default `FRAME_WH`, or the image's own.
    image : Path, optional
        The frame; a seeded one where none is given.
    seconds : float
        For all plans together.

    Raises
    ------
    UsageError
        When `model` is no bundle folder, or the frame's size makes no sense.
    BundleError, ImageError, StorageError
        When the bundle, the image or the file cannot be read or written.
    """
    if not model.is_dir():
        raise UsageError(f"{model}: expected a bundle folder, as `lineside train` writes it.")
    path = tuning_path(model)
    check_writable(path, _REMEDY)
    bundle = load_bundle(model)
    tried = plans(processors())
    where = str(bundle.path)
    sessions = {each: open_session(bundle.model, where, each) for each in sorted({plan.threads for plan in tried})}
    contract = Contract.from_metadata(sessions[1].get_modelmeta().custom_metadata_map, where)
    frame = (
        bench_frame(size_wh or FRAME_WH, contract.frame.channels)
        if image is None
        else read_bench_frame(image, contract, size_wh)
    )
    dropped = _differing(sessions, frame, contract)
    machine = this_machine()
    kept = [plan for plan in tried if plan.threads not in dropped]
    measured = _measured(kept, sessions, frame, seconds)
    tuning = choose(measured)
    text = tuning_text(tuning, machine_for(bundle.model_sha256), [_row(one) for one in measured])
    write_atomic(path, text.encode(), remedy=_REMEDY)
    height, width = frame.shape[:2]
    return Tuned(path, contract.part, (width, height), tuning, measured, dropped, machine)


def _row(one: Measured) -> dict[str, Any]:
    numbers = asdict(one)
    return {**numbers.pop("plan"), **{name: round(value, 3) for name, value in numbers.items()}}


def _differing(sessions: dict[int, ort.InferenceSession], frame: Pixels, contract: Contract) -> tuple[int, ...]:
    """Run every session once, and compare with that of one thread: verdict, gate and class, and the score."""
    found = {each: _outputs(session, frame) for each, session in sessions.items()}
    return tuple(each for each, outputs in found.items() if not _agree(outputs, found[1], contract.score_tolerance_rel))


def _outputs(session: ort.InferenceSession, frame: Pixels) -> dict[str, npt.NDArray[np.generic]]:
    return dict(zip(OUTPUTS, session.run(OUTPUTS, {INPUT_FRAME: frame[None]}), strict=True))


def _agree(
    found: dict[str, npt.NDArray[np.generic]], one: dict[str, npt.NDArray[np.generic]], tolerance_rel: float
) -> bool:
    same = all(np.array_equal(found[name], one[name]) for name in ("verdict", "gate", "defect_class"))
    return same and bool(np.allclose(found["score"], one["score"], rtol=tolerance_rel, atol=0.0))


def _measured(
    tried: Sequence[Plan], sessions: dict[int, ort.InferenceSession], frame: Pixels, seconds: float
) -> tuple[Measured, ...]:
    rates = np.empty((len(tried), ROUNDS))
    rng, slice_s = np.random.default_rng(0), seconds / (len(tried) * ROUNDS)
    for number in range(ROUNDS):
        for position in rng.permutation(len(tried)):
            plan = tried[position]
            rates[position, number] = _rate(sessions[plan.threads], frame, plan.workers, slice_s)
    return tuple(
        Measured(plan, float(np.median(row)), float(row.min()), float(row.max()))
        for plan, row in zip(tried, rates, strict=True)
    )


def _rate(session: ort.InferenceSession, frame: Pixels, workers: int, seconds: float) -> float:
    """Judge a frame again and again in so many threads; return frames per second, the last ones counted whole."""
    feed, counts = {INPUT_FRAME: frame[None]}, [0] * workers
    start = time.perf_counter()

    def judge(worker: int) -> None:
        while counts[worker] == 0 or time.perf_counter() - start < seconds:
            session.run(OUTPUTS, feed)
            counts[worker] += 1

    threads = [threading.Thread(target=judge, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)
