"""A whole inspection: walk, judge, write; then the table, the summary and the report from what was written.

The workers read, judge and draw (OpenCV and ONNX Runtime let go of Python's lock while they work); this thread alone
writes, in input order, from a window of bounded length. Processes were rejected: each would hold the model again.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from lineside import __version__
from lineside.batch.coco import write_coco
from lineside.batch.files import write_atomic, write_atomic_with
from lineside.batch.judge import Judge, OverlayMode
from lineside.batch.no_call import check_limit, count_no_calls, reason_words
from lineside.batch.plan import BOXES_FILE, Census, check_sources, plan_images, take_census
from lineside.batch.row import Row
from lineside.batch.store import REPORT_FILE, SUMMARY_FILE, RunHeader, RunStore, open_store
from lineside.batch.summary import Collector, Limits, Summary
from lineside.contract import Contract
from lineside.errors import UsageError
from lineside.runtime import Inspector

_WINDOW_PER_WORKER = 4  # enough that a slow image does not starve the others


@dataclass(frozen=True)
class InspectOptions:
    """How to inspect."""

    overlays: OverlayMode = "ng"
    """Heatmaps of all images, of whatever is not OK, or of none."""
    labels: bool = False
    """Take folder names as truth."""
    workers: int | None = None
    """Threads; None: one per processor."""
    fresh: bool = False
    """Remove the results that are there and start over."""
    max_no_call: float | None = None
    """Largest share of the readable images that may get no call, 0 to 1; None: any. It changes no result, so that a
    run may go on with another one."""
    boxes: bool = False
    """Write boxes and masks of the defects."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int
    """Images with a result, those of an earlier run included."""
    total: int
    row: Row | None
    """The latest; None at the start."""


def limits_of(inspector: Inspector) -> Limits:
    """Return the thresholds of a run."""
    return Limits(
        inspector.threshold_ng,
        inspector.threshold_review,
        overridden=inspector.overridden,
        contract=inspector.contract.threshold_ng,
    )


def inspect_images(
    inspector: Inspector,
    sources: Sequence[str | Path],
    out: str | Path,
    options: InspectOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Judge files and folders, and write results.jsonl, results.csv, summary.json, overlays and report.html.

    With boxes also coco.json and a folder of masks.

    A run that was stopped goes on where it was when it is called again with the same model, sources and options: an
    image that has a line in results.jsonl is not judged again, an unreadable one included.

    Parameters
    ----------
    inspector : Inspector
        The model, with the thresholds that it was opened with.
    sources : sequence of str or Path
        Files, and folders to be walked recursively.
    out : str or Path
        Folder of the results.
    options : InspectOptions, optional
        The defaults where none are given.
    progress : callable, optional
        Called after every image.

    Returns
    -------
    Summary
        Also where more images got no call than `max_no_call` allows: `Summary.no_call.too_many` says so.

    Raises
    ------
    UsageError
        When a source does not exist, `out` holds the results of another inspection, or an option is out of range.
    ImageError
        When there is no image at all. One that cannot be read is no error: it is counted as unreadable.
    StorageError
        When `out` cannot be written, or another process writes there.
    """
    options = options or InspectOptions()
    named, folder = [Path(source) for source in sources], Path(out)
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"Expected at least one worker, found {options.workers}.")
    check_limit(options.max_no_call)
    workers = options.workers or os.cpu_count() or 1
    check_sources(named)
    census = take_census(named, folder)
    limits = limits_of(inspector)
    with open_store(folder, _header(inspector, named, options, limits), fresh=options.fresh) as store:
        judge = Judge(
            inspector, folder, store.header.job_id, options.overlays, options.labels, limits.ng, options.boxes
        )
        start = time.perf_counter()
        judged = 0
        for row in _judged(judge, _pending(named, folder, store), store.n_resumed, workers):
            store.append(row)
            judged += 1
            if progress:
                progress(Progress(store.n_resumed + judged, census.images, row))
        pace = _Pace(judged, time.perf_counter() - start)
        return _finish(store, inspector, limits, census, pace, options, workers)


@dataclass(frozen=True)
class _Pace:
    judged: int
    elapsed_s: float


def _header(inspector: Inspector, sources: Sequence[Path], options: InspectOptions, limits: Limits) -> RunHeader:
    now = datetime.now(UTC)
    contract: Contract = inspector.contract
    return RunHeader(
        job_id=f"{contract.part}-{now:%Y%m%dT%H%M%SZ}-{uuid4().hex[:6]}",
        created=now.isoformat(timespec="seconds"),
        lineside_version=__version__,
        part=contract.part,
        model_sha256=inspector.model_sha256,
        recipe_sha256=contract.recipe_sha256,
        threshold_ng=limits.ng,
        threshold_review=limits.review,
        overlays=options.overlays,
        labels=options.labels,
        images=tuple(source.as_posix() for source in sources),
        images_resolved=tuple(source.resolve().as_posix() for source in sources),
        boxes=options.boxes,
    )


def _pending(sources: Sequence[Path], out: Path, store: RunStore) -> Iterator[Path]:
    return (path for path in plan_images(sources, out) if not store.done(path.as_posix()))


def _judged(judge: Judge, paths: Iterator[Path], n_before: int, workers: int) -> Iterator[Row]:
    """Judge in parallel, yield in order, hold no more than the window."""
    window: deque[Future[Row]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="inspect")
    try:
        for number, path in enumerate(paths, n_before + 1):
            window.append(pool.submit(judge, path, f"{judge.job_id}-{number:07d}"))
            if len(window) >= workers * _WINDOW_PER_WORKER:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _finish(
    store: RunStore,
    inspector: Inspector,
    limits: Limits,
    census: Census,
    pace: _Pace,
    options: InspectOptions,
    workers: int,
) -> Summary:
    """Write everything that is made from the rows."""
    from lineside.batch.gallery import take_pictures
    from lineside.batch.sheet import write_sheet
    from lineside.report.page import ReportInput, render_page

    collector = Collector(labels=store.header.labels, is_good=inspector.contract.is_good)
    words = reason_words(inspector.contract)
    write_sheet(store.folder, collector.tee(store.rows()), labels=store.header.labels, words=words)
    if store.header.boxes:
        write_atomic_with(store.folder / BOXES_FILE, lambda file: write_coco(file, store.rows, inspector.contract))
    summary = _summary(store, inspector, limits, census, pace, collector, options.max_no_call)
    shown = collector.shown()
    pictured = (*shown.worst, *shown.escapes, *shown.overkill, *shown.no_call)
    page = render_page(
        ReportInput(
            summary=summary,
            contract=inspector.contract,
            shown=shown,
            pictures=take_pictures(pictured, inspector, limits.ng, workers),
            good_scores=collector.scores(good=True),
            other_scores=collector.scores(good=False),
        )
    )
    write_atomic(store.folder / REPORT_FILE, page.encode("utf-8", "backslashreplace"))
    text = json.dumps(summary.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(store.folder / SUMMARY_FILE, text.encode("utf-8", "backslashreplace"))
    return summary


def _summary(
    store: RunStore,
    inspector: Inspector,
    limits: Limits,
    census: Census,
    pace: _Pace,
    collector: Collector,
    max_no_call: float | None,
) -> Summary:
    header, counts = store.header, collector.counts()
    no_call = count_no_calls(counts, collector.reasons(), reason_words(inspector.contract), max_no_call)
    return Summary(
        job_id=header.job_id,
        created=header.created,
        lineside_version=header.lineside_version,
        part=header.part,
        model=Path(inspector.path).as_posix(),
        model_sha256=header.model_sha256,
        recipe_sha256=header.recipe_sha256,
        images=header.images,
        out=store.folder.as_posix(),
        total=sum(counts.values()),
        counts=counts,
        first_pass_yield=counts["OK"] / no_call.readable if no_call.readable else None,
        no_call=no_call,
        threshold=limits,
        duration_ms=collector.percentiles(),
        judged_now=pace.judged,
        elapsed_s=round(pace.elapsed_s, 3),
        images_per_s=round(pace.judged / pace.elapsed_s, 1) if pace.judged else None,
        masks_left_out=census.masks,
        labels=collector.labels(),
        classes=collector.classes(inspector.contract.class_names),
    )
