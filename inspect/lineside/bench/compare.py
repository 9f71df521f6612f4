"""Comparing methods: every run of the plan, in this process or several, each written down as soon as it is done."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from lineside.batch.files import storage_errors
from lineside.bench.compare_plan import Job
from lineside.bench.compare_row import Row
from lineside.bench.compare_run import run_job
from lineside.errors import LinesideError

RUNS_FILE = "runs.jsonl"


@dataclass(frozen=True)
class Step:
    """A run that is done."""

    done: int
    total: int
    job: Job
    row: Row


def compare(
    jobs: Sequence[Job],
    keys: Sequence[str],
    out: Path,
    *,
    workers: int = 1,
    fresh: bool = False,
    told: Callable[[Step], None] = lambda step: None,
) -> tuple[Row, ...]:
    """Run what is not yet written down in ``runs.jsonl``.

    Parameters
    ----------
    jobs, keys : sequence
        Runs, and the key of each (`lineside.bench.compare_run.keys_of`). A run with the same key is not repeated,
        unless it failed.
    out : Path
        Folder of ``runs.jsonl``.
    workers : int
        Processes; 1 is this one. Each uses one core.
    fresh : bool
        Forget what is written there.
    told : callable
        Told of every run, those that were done before first.

    Returns
    -------
    tuple of Row
        In the order of `jobs`.

    Raises
    ------
    StorageError
        When the file cannot be written.
    BundleError
        When it holds something else than runs.
    LinesideError
        When a process died.
    """
    file = out / RUNS_FILE
    with storage_errors(file):
        out.mkdir(parents=True, exist_ok=True)
        if fresh:
            file.unlink(missing_ok=True)
    found = {key: row for key, row in _written(file).items() if row.error is None}
    known = [(job, found[key]) for job, key in zip(jobs, keys, strict=True) if key in found]
    missing = [(job, key) for job, key in zip(jobs, keys, strict=True) if key not in found]
    for done, (job, row) in enumerate(known, 1):
        told(Step(done, len(jobs), job, row))
    for done, (job, row) in enumerate(_results(missing, workers), len(known) + 1):
        _append(file, row)
        found[row.key] = row
        told(Step(done, len(jobs), job, row))
    return tuple(found[key] for key in keys)


def _results(jobs: Sequence[tuple[Job, str]], workers: int) -> Iterator[tuple[Job, Row]]:
    if workers == 1 or len(jobs) < 2:
        for job, key in jobs:
            yield job, run_job(job, key)
        return
    # spawned, not forked: torch's and ONNX Runtime's threads do not survive a fork
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(run_job, job, key): job for job, key in jobs}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BrokenProcessPool:
            raise LinesideError(
                "A process of the comparison was ended from outside, most likely for want of memory. What was done is "
                "kept: run the same command again with fewer --jobs."
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _written(file: Path) -> dict[str, Row]:
    """Read the runs by key, the last of each; a line that was cut off at the end of the file is dropped."""
    if not file.is_file():
        return {}
    with storage_errors(file):
        text = file.read_text(encoding="utf-8")
    whole, _, cut_off = text.rpartition("\n")
    if cut_off:
        with storage_errors(file):
            file.write_text(whole + "\n" if whole else "", encoding="utf-8", newline="\n")
    rows = [Row.from_json(line, f"{file}:{number}") for number, line in enumerate(whole.split("\n"), 1) if line]
    return {row.key: row for row in rows}


def _append(file: Path, row: Row) -> None:
    with storage_errors(file), file.open("a", encoding="utf-8", newline="\n") as out:
        out.write(row.to_json() + "\n")
