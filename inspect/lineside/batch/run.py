"""A whole inspection: walk, judge, write; then the table, the summary and the report from what was written.

The workers read, judge, draw and write pictures (OpenCV and ONNX Runtime let go of Python's lock while they work); this
thread alone writes rows, in input order, and no worker outlives the run's hold on its folder. Processes were rejected:
each would hold the model again.
"""

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import BoundedSemaphore
from uuid import uuid4

from lineside import __version__
from lineside.batch.coco import write_coco
from lineside.batch.files import storage_errors, write_atomic_with, write_text
from lineside.batch.judge import Judge, OverlayMode, Seen
from lineside.batch.kept import KeptResults
from lineside.batch.labels import truth_of
from lineside.batch.no_call import check_limit, count_no_calls, reason_words
from lineside.batch.parquet import write_parquet
from lineside.batch.parts import part_names, refuse_two_labels, refuse_unfit
from lineside.batch.plan import BOXES_FILE, Census, check_sources, plan_images, take_census
from lineside.batch.quality import quality_limits
from lineside.batch.row import Row
from lineside.batch.store import PARQUET_FILE, REPORT_FILE, SUMMARY_FILE, RunHeader, RunStore, open_store
from lineside.batch.summary import Collector, Limits, Summary
from lineside.contract import Contract
from lineside.errors import UsageError, require
from lineside.export.known_images import recipe_group
from lineside.runtime import Inspector
from lineside.session import processors
from lineside.stream import in_order

_MAP = "anomaly_map"
_WINDOW_PER_WORKER = 4  # enough that a slow image does not starve the others
_THREADS_PER_WORKER = 2  # one computes while the other waits for the disk


@dataclass(frozen=True)
class InspectOptions:
    """How to inspect."""

    overlays: OverlayMode = "ng"
    """Heatmaps of all images, of whatever is not OK, or of none."""
    labels: bool = False
    """Take folder names as truth."""
    workers: int | None = None
    """Images judged at the same time, in threads; None: one per processor."""
    fresh: bool = False
    """Remove the results that are there and start over."""
    max_no_call: float | None = None
    """Largest share of the readable images that may get no call, 0 to 1; None: any. It changes no result, so that a
    run may go on with another one."""
    boxes: bool = False
    """Write boxes and masks of the defects."""
    group: str | None = None
    """Regular expression that tells the part in file names; None: the recipe's `capture.group`."""
    parquet: bool = False
    """Write results.parquet beside results.csv; needs pyarrow."""
    takt_s: float | None = None
    """Time per part on the line, in seconds, which the times are compared with. It changes no result."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int
    """Images with a result, those of an earlier run included."""
    total: int
    row: Row | None
    """The latest; None at the start."""


@dataclass(frozen=True)
class Work:
    """What is to be judged."""

    sources: tuple[Path, ...]
    """Files and folders as they were named."""
    paths: Iterable[Path]
    """Every image, gone through once."""
    census: Census
    purpose: str = "inspect"
    """Runs of another purpose do not go on with one another."""
    seen: Seen | None = None
    """Told every result while its anomaly map is there; from several threads."""


@dataclass(frozen=True)
class JudgedRun:
    """A run whose images all have a row; its folder is held."""

    store: RunStore
    inspector: Inspector
    options: InspectOptions
    limits: Limits
    census: Census
    workers: int
    judged: int
    """Images judged by this call; the others were judged before it was resumed."""
    elapsed_s: float
    results: KeptResults
    """Of those that the report may show."""


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
        When a source does not exist, boxes are asked of a model that gives no anomaly map, `out` holds the results of
        another inspection, an option is out of range, or with labels one part stands under two of them.
    ImageError
        When there is no image at all. One that cannot be read is no error: it is counted as unreadable.
    StorageError
        When `out` cannot be written, or another process writes there.
    """
    options = options or InspectOptions()
    named, folder = [Path(source) for source in sources], Path(out)
    check_options(options)
    if options.boxes:
        _refuse_boxes(inspector.contract)
    check_sources(named)
    refuse_unfit(options.group, plan_images(named, folder) if options.group else ())
    options = replace(options, group=options.group or recipe_group(Path(inspector.path)))
    check_options(options)
    if options.labels and options.group:
        part_of = part_names(options.group)
        paths = plan_images(named, folder)
        refuse_two_labels((part_of(path, path.as_posix()), truth_of(path), path) for path in paths)
    work = Work(tuple(named), plan_images(named, folder), take_census(named, folder))
    with judged_images(inspector, work, folder, options, progress) as run:
        return _finish(run)


def check_options(options: InspectOptions) -> None:
    """Raise UsageError when an option is out of range, or needs what is not installed."""
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"Expected at least one worker, found {options.workers}.")
    check_limit(options.max_no_call)
    check_takt(options.takt_s)
    part_names(options.group)
    if options.parquet:
        require("pyarrow", "parquet")


def _refuse_boxes(contract: Contract) -> None:
    """Refuse to look for places on a map that is always 0: empty annotations would say that there is no defect."""
    if _MAP in contract.neutral_outputs:
        raise UsageError(
            f"--boxes: this model shows no places of defects, its {_MAP} is {contract.neutral_outputs[_MAP]}. Leave "
            "--boxes out, or train one that gives a map, such as method: lineside with task: anomaly or both."
        )


def check_takt(takt_s: float | None) -> None:
    """Raise UsageError when it is no time."""
    if takt_s is not None and not 0.0 < takt_s < float("inf"):
        raise UsageError(f"--takt must be a time per part in seconds, above 0, found {takt_s:g}.")


@contextmanager
def judged_images(
    inspector: Inspector,
    work: Work,
    folder: Path,
    options: InspectOptions,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[JudgedRun]:
    """Judge every image that has no row yet, then hold the folder for as long as the block makes files of the rows.

    Raises
    ------
    UsageError, StorageError
        As `inspect_images`.
    """
    workers = options.workers or processors()
    limits = limits_of(inspector)
    with open_store(folder, _header(inspector, work, options, limits), fresh=options.fresh) as store:
        kept = KeptResults()
        judge = Judge(
            inspector,
            folder,
            store.header.job_id,
            options.overlays,
            options.labels,
            limits.ng,
            part_names(options.group) if options.group else None,
            options.boxes,
            work.seen,
            kept,
            BoundedSemaphore(workers),
        )
        start = time.perf_counter()
        judged = 0
        pending = (path for path in work.paths if not store.done(path.as_posix()))
        with closing(_judged(judge, pending, store.n_resumed, workers)) as rows:
            for row in rows:
                store.append(row)
                judged += 1
                if progress:
                    progress(Progress(store.n_resumed + judged, work.census.images, row))
        elapsed_s = time.perf_counter() - start
        yield JudgedRun(store, inspector, options, limits, work.census, workers, judged, elapsed_s, kept)


def _header(inspector: Inspector, work: Work, options: InspectOptions, limits: Limits) -> RunHeader:
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
        images=tuple(source.as_posix() for source in work.sources),
        images_resolved=tuple(source.resolve().as_posix() for source in work.sources),
        boxes=options.boxes,
        group=options.group,
        purpose=work.purpose,
    )


def _judged(judge: Judge, paths: Iterable[Path], n_before: int, workers: int) -> Generator[Row, None, None]:
    """Judge in parallel, yield in order, hold no more than the window; the judge lets `workers` threads compute."""

    def row(numbered: tuple[int, Path]) -> Row:
        number, path = numbered
        return judge(path, f"{judge.job_id}-{number:07d}")

    threads, ahead = workers * _THREADS_PER_WORKER, workers * _WINDOW_PER_WORKER
    return in_order(enumerate(paths, n_before + 1), row, workers=threads, ahead=ahead)


def _finish(run: JudgedRun) -> Summary:
    """Write everything that is made from the rows."""
    from lineside.batch.gallery import take_pictures
    from lineside.report.gallery import in_turn
    from lineside.report.page import ReportInput, render_page

    summary, collector = summarised(run, run.store.rows)
    shown = collector.shown()
    pictured = in_turn(shown.worst, shown.escapes, shown.overkill, shown.review, shown.no_call)
    page = render_page(
        ReportInput(
            summary=summary,
            contract=run.inspector.contract,
            shown=shown,
            pictures=take_pictures(pictured, run.inspector, run.workers, run.results),
            good_scores=collector.scores(good=True),
            other_scores=collector.scores(good=False),
            course=collector.course(),
            quality=collector.quality(),
            causes=collector.causes(),
            origins=collector.origins(),
        )
    )
    write_text(run.store.folder / REPORT_FILE, page)
    text = json.dumps(summary.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(run.store.folder / SUMMARY_FILE, text)
    return summary


def summarised(run: JudgedRun, rows: Callable[[], Iterator[Row]]) -> tuple[Summary, Collector]:
    """Sum up rows, and write the sheet, and boxes and Parquet where they were asked for.

    Parameters
    ----------
    run : JudgedRun
    rows : callable
        Gives the rows that count, as often as it is called.
    """
    from lineside.batch.sheet import write_parts, write_sheet

    store, contract = run.store, run.inspector.contract
    grouped = store.header.group is not None
    collector = Collector(
        labels=store.header.labels, is_good=contract.is_good, limits=quality_limits(contract), grouped=grouped
    )
    words = reason_words(contract)
    write_sheet(store.folder, collector.tee(rows()), labels=store.header.labels, grouped=grouped, words=words)
    write_parts(store.folder, collector.parts)
    with storage_errors(store.folder / PARQUET_FILE):
        (store.folder / PARQUET_FILE).unlink(missing_ok=True)
    if run.options.parquet:
        write_parquet(store.folder, rows(), labels=store.header.labels, quality_names=contract.quality_names)
    if store.header.boxes:
        write_atomic_with(store.folder / BOXES_FILE, lambda file: write_coco(file, rows, contract))
    return _summary(run, collector), collector


def _summary(run: JudgedRun, collector: Collector) -> Summary:
    header, counts, contract = run.store.header, collector.counts(), run.inspector.contract
    no_call = count_no_calls(counts, collector.reasons(), reason_words(contract), run.options.max_no_call)
    return Summary(
        job_id=header.job_id,
        created=header.created,
        lineside_version=header.lineside_version,
        part=header.part,
        model=Path(run.inspector.path).as_posix(),
        model_sha256=header.model_sha256,
        recipe_sha256=header.recipe_sha256,
        images=header.images,
        out=run.store.folder.as_posix(),
        total=sum(counts.values()),
        counts=counts,
        first_pass_yield=counts["OK"] / no_call.readable if no_call.readable else None,
        no_call=no_call,
        threshold=run.limits,
        duration_ms=collector.percentiles(),
        part_duration_ms=collector.part_percentiles(),
        takt_ms=None if run.options.takt_s is None else 1000.0 * run.options.takt_s,
        workers=run.workers,
        judged_now=run.judged,
        elapsed_s=round(run.elapsed_s, 3),
        images_per_s=round(run.judged / run.elapsed_s, 1) if run.judged else None,
        masks_left_out=run.census.masks,
        labels=collector.labels(),
        classes=collector.classes(contract.class_names),
        parts=collector.parts.counts(header.group) if collector.parts and header.group else None,
    )
