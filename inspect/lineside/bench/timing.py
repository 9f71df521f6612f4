"""Times of several ONNX models, taken in turns, and what may be said of them.

In turns, because a machine's clock and its other work drift over seconds: one after the other, the last model would be
compared with the first under other conditions. Each round runs every model once, in an order drawn anew.
"""

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.session import ort

Array = npt.NDArray[np.generic]
Times = npt.NDArray[np.float64]
MIN_ROUNDS = 5
CONFIDENCE = 0.95
_WARM_UP = 3  # runs before the clock: ONNX Runtime plans its memory during the first
_RESAMPLES = 2000  # the ends of a 95 % interval then move by less than its width / 20 from seed to seed


@dataclass(frozen=True)
class Candidate:
    """A model that is ready to run."""

    name: str
    session: ort.InferenceSession
    feed: Mapping[str, Array]


@dataclass(frozen=True)
class Timing:
    """The times of one model over all rounds."""

    name: str
    median_ms: float
    p95_ms: float
    p99_ms: float
    interval_ms: tuple[float, float]
    """95 % bootstrap interval of the median."""


@dataclass(frozen=True)
class Ratio:
    """A ratio of two medians."""

    value: float
    interval: tuple[float, float]
    """95 % bootstrap interval; a round keeps its two times together."""


def time_in_turns(candidates: Sequence[Candidate], rounds: int, seed: int = 0) -> dict[str, Times]:
    """Run every candidate once a round.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of different names.
    rounds : int
        `MIN_ROUNDS` or more.
    seed : int
        Draws the order within the rounds.

    Returns
    -------
    dict of str to ndarray of float64 [rounds]
        Milliseconds, by name.

    Raises
    ------
    UsageError
        When there are too few rounds to say anything.
    """
    if rounds < MIN_ROUNDS:
        raise UsageError(f"Expected at least {MIN_ROUNDS} rounds, found {rounds}.")
    for candidate in candidates:
        for _ in range(_WARM_UP):
            candidate.session.run(None, candidate.feed)
    times = {candidate.name: np.empty(rounds) for candidate in candidates}
    rng = np.random.default_rng(seed)
    collecting = gc.isenabled()
    gc.disable()  # a collection would fall on whichever model happens to run
    try:
        for number in range(rounds):
            for position in rng.permutation(len(candidates)):
                candidate = candidates[position]
                start = time.perf_counter_ns()
                candidate.session.run(None, candidate.feed)
                times[candidate.name][number] = (time.perf_counter_ns() - start) / 1e6
    finally:
        if collecting:
            gc.enable()
    return times


def summarise(name: str, times_ms: Times) -> Timing:
    """Return the median, its interval, and the percentiles of one model's times, ndarray [rounds]."""
    median, p95, p99 = (float(value) for value in np.percentile(times_ms, (50, 95, 99)))
    medians = np.median(times_ms[_draws(len(times_ms))], axis=1)
    return Timing(name, median, p95, p99, _interval(medians))


def ratio(times_ms: Times, base_ms: Times) -> Ratio:
    """Return the ratio of two medians, for times that were taken in the same rounds, ndarrays [rounds]."""
    rows = _draws(len(times_ms))
    drawn = np.median(times_ms[rows], axis=1) / np.median(base_ms[rows], axis=1)
    return Ratio(float(np.median(times_ms) / np.median(base_ms)), _interval(drawn))


def _draws(rounds: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, rounds, (_RESAMPLES, rounds))  # [resamples, rounds]


def _interval(drawn: Times) -> tuple[float, float]:
    tail = 50.0 * (1.0 - CONFIDENCE)
    low, high = np.percentile(drawn, (tail, 100.0 - tail))
    return float(low), float(high)
