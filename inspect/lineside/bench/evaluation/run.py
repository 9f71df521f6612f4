"""An evaluation as a whole: find the images, judge them as an inspection does, sum up by part, write the report."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.batch.files import write_text
from lineside.batch.judge import inspected, read_frame
from lineside.batch.labels import GOOD
from lineside.batch.parts import CALLS
from lineside.batch.plan import Census
from lineside.batch.row import Row, finite
from lineside.batch.run import (
    InspectOptions,
    JudgedRun,
    Progress,
    Work,
    check_options,
    check_takt,
    judged_images,
    summarised,
)
from lineside.batch.store import EVALUATION_FILE, REPORT_FILE, SUMMARY_FILE
from lineside.batch.summary import Collector, Summary
from lineside.bench.evaluation.copies import joined
from lineside.bench.evaluation.images import ALL_KNOWN, EvaluationImages, LabelledImage, challenge_images, find_images
from lineside.bench.evaluation.limits import Answer, Limits, judge_limits, refuse_impossible
from lineside.bench.evaluation.numbers import Conditions, Numbers, summed_up
from lineside.bench.evaluation.parts import Part, parts_of
from lineside.bench.evaluation.plant import Costs, check_plant
from lineside.bench.evaluation.rabbits import Rabbits, challenge
from lineside.calibrate.localisation import Localisation, Marked, localisation
from lineside.capture.truth import box_pixels, read_mask
from lineside.contract import Contract
from lineside.errors import ImageError, UsageError
from lineside.export.known_images import KnownImages, picture_of
from lineside.runtime import Inspector, Result

Maps = dict[str, tuple[npt.NDArray[np.float32], tuple[int, int]]]
"""Anomaly map [h, w] and the frame's height and width, by path."""
LEARNED = "training_image"
"""In a row's `resultContent`: the frame looks to the model as one that it learned from."""


@dataclass(frozen=True)
class EvaluateOptions:
    """How to evaluate."""

    pattern: str | None = None
    """Regular expression that names the part in file names; None: the recipe's `capture.group`."""
    limits: Limits | None = None
    red_rabbits: Path | None = None
    """Folder of challenge parts."""
    defect_rate_ppm: float | None = None
    """Defective parts in a million in the plant."""
    costs: Costs | None = None
    takt_s: float | None = None
    """Time per part on the line, in seconds."""
    workers: int = 1
    """Images at the same time. With one, times are those of a line, where frames come one by one."""
    fresh: bool = False
    """Remove the results that are there and start over."""
    parquet: bool = False
    """Write results.parquet beside results.csv; needs pyarrow."""


@dataclass(frozen=True)
class Evaluation:
    """What came of it."""

    summary: Summary
    """Of the images one by one, as an inspection sums up."""
    numbers: Numbers
    answers: tuple[Answer, ...]
    """To the limits; empty where none were set."""
    rabbits: Rabbits | None
    parts: tuple[Part, ...]
    pattern: str | None
    left_out: tuple[str, ...]
    """Files that the model learned from; they are counted nowhere."""
    twins: Mapping[str, str]
    """The training image that some of them are copies of."""
    known: KnownImages
    """How they were found."""
    copies: tuple[tuple[str, ...], ...]
    """Files that show one part although no name said so, a set for each part."""
    unsure: tuple[str, ...]
    """Files that may show one part with another, and are taken for parts of their own."""
    near_limit: float
    """Grey levels that they are closer than."""

    @property
    def broken(self) -> tuple[str, ...]:
        """Limits that are broken, and red rabbits that passed, in words."""
        said = [f"{one.name}: {one.words[1]}, {one.words[0]}" for one in self.answers if one.state == "broken"]
        if self.rabbits and self.rabbits.passed:
            said.append(f"{len(self.rabbits.passed)} of {len(self.rabbits.parts)} red rabbits were not NG")
        return tuple(said)

    @property
    def not_judged(self) -> tuple[str, ...]:
        """Limits that these images cannot answer, in words."""
        return tuple(f"{one.name}: {one.reason}" for one in self.answers if one.state == "not judged")

    @property
    def unreadable(self) -> int:
        """Files that could not be read, red rabbits among them."""
        return self.summary.counts["unreadable"] + (self.rabbits.unreadable if self.rabbits else 0)

    @property
    def exit_code(self) -> int:
        """0, or of what went wrong the first of: 2 a limit that cannot be judged, 3 unreadable, 1 broken."""
        return 2 if self.not_judged else 3 if self.unreadable else 1 if self.broken else 0


def evaluate_images(
    inspector: Inspector,
    sources: Sequence[str | Path],
    out: str | Path,
    options: EvaluateOptions | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Evaluation:
    """Judge images of known class and write evaluation.json, report.html, results.jsonl, results.csv and overlays.

    A run that was stopped goes on where it was; see `lineside.batch.inspect_images`.

    Parameters
    ----------
    inspector : Inspector
        The model, with its own thresholds: what is evaluated is what is deployed.
    sources : sequence of str or Path
        Folders as `find_images` takes them.
    out : str or Path
        Folder of the results.
    options : EvaluateOptions, optional
        The defaults where none are given.
    progress : callable, optional
        Called after every image.

    Raises
    ------
    UsageError
        When an option cannot be, a source does not exist, or `out` holds the results of another run.
    ImageError
        When there is no image, folders tell no truth, or a mask does not fit.
    StorageError
        When `out` cannot be written, or another process writes there.
    """
    options = options or EvaluateOptions()
    _check(inspector, options)
    folder, named = Path(out), [Path(source) for source in sources]
    found = find_images(Path(inspector.path), inspector.contract, named, folder, options.pattern)
    _refuse_impossible(options, found, inspector.contract)
    copies = joined(found.images, inspector.contract, options.workers, found.known.looks)
    _refuse_known(copies.images, found.images, named)
    by_path = {image.path.as_posix(): image for image in copies.images}
    rabbits = challenge_images(options.red_rabbits, found.pattern) if options.red_rabbits else ()
    maps: Maps = {}
    keep = partial(_keep, by_path if found.marked else {}, maps, found.known)
    paths = [image.path for image in copies.images]
    masks = sum(image.mask is not None for image in copies.images)
    work = Work(found.sources, paths, Census(len(paths), masks), "evaluate", keep)
    how = InspectOptions(
        "ng",
        labels=True,
        workers=options.workers,
        fresh=options.fresh,
        parquet=options.parquet,
        group=found.pattern,
        takt_s=options.takt_s,
    )
    check_options(how)
    with judged_images(inspector, work, folder, how, progress) as run:
        every = tuple(run.store.rows())
        _refuse_gone(every, by_path)
        learned = {row.path: row for row in every if _learned(row)}
        rows = tuple(row for row in every if row.path not in learned)
        _refuse_known(rows, every, named)
        summary, collector = summarised(run, lambda: iter(rows))
        parts = parts_of(rows, by_path)
        where = _localised(inspector, rows, by_path, maps)
        numbers = summed_up(parts, rows, by_path, inspector.contract, summary, where, _conditions(options))
        made = Evaluation(
            summary=summary,
            numbers=numbers,
            answers=judge_limits(options.limits, numbers) if options.limits else (),
            rabbits=challenge(inspector, options.red_rabbits, rabbits) if options.red_rabbits else None,
            parts=parts,
            pattern=found.pattern,
            left_out=(*found.left_out, *copies.copy_of, *learned),
            twins={**found.twins, **copies.copy_of},
            known=found.known,
            copies=copies.sets,
            unsure=copies.unsure,
            near_limit=copies.limit,
        )
        _write(run, made, collector)
    return made


def evaluation_document(made: Evaluation) -> dict[str, object]:
    """Return what fits into JSON; every number in it is finite. Parts stand in results.jsonl, frame by frame."""
    rabbits = made.rabbits
    document = {
        **made.summary.to_dict(),
        "part_pattern": made.pattern,
        "training_images_left_out": list(made.left_out),
        "training_images_they_copy": dict(sorted(made.twins.items())),
        "images_of_one_part": [list(one) for one in made.copies],
        "images_that_may_be_of_one_part": list(made.unsure),
        "training_images_compared": made.known.compared,
        "evaluation": asdict(made.numbers),
        "limits": [asdict(one) for one in made.answers],
        "broken": list(made.broken),
        "not_judged": list(made.not_judged),
        "red_rabbits": None
        if rabbits is None
        else {
            "folder": rabbits.folder,
            "parts": len(rabbits.parts),
            "passed": [
                {"part": one.name, "verdict": one.verdict, "score": one.score, "worst": one.worst.path}
                for one in rabbits.passed
            ],
        },
        "exit_code": made.exit_code,
    }
    cleaned: dict[str, object] = finite(document)
    return cleaned


def _check(inspector: Inspector, options: EvaluateOptions) -> None:
    check_plant(options.defect_rate_ppm, options.costs)
    check_takt(options.takt_s)
    if inspector.overridden:
        raise UsageError("An evaluation judges by the model's own thresholds: open it without others.")


def _refuse_impossible(options: EvaluateOptions, found: EvaluationImages, contract: Contract) -> None:
    if options.limits is None:
        return
    labels = {image.label for image in found.images}
    given = {"takt": options.takt_s, "rate": options.defect_rate_ppm, "costs": options.costs}
    refuse_impossible(
        options.limits,
        good=any(contract.is_good(label) for label in labels),
        defective=frozenset(label for label in labels if not contract.is_good(label)),
        masks=found.marked > 0,
        classes=bool(contract.class_names),
        given=frozenset(name for name, value in given.items() if value is not None),
    )


def _refuse_gone(rows: Sequence[Row], images: Mapping[str, LabelledImage]) -> None:
    """Refuse results of images that are no longer among those that are evaluated."""
    gone = [row.path for row in rows if row.path not in images]
    if gone:
        raise UsageError(
            f"{len(gone)} of the results are of images that are no longer among these, the first {gone[0]}. Add "
            "--fresh to start over."
        )


def _conditions(options: EvaluateOptions) -> Conditions:
    takt_ms = None if options.takt_s is None else 1000.0 * options.takt_s
    return Conditions(options.defect_rate_ppm, options.costs, takt_ms, options.workers)


def _keep(
    images: Mapping[str, LabelledImage],
    maps: Maps,
    known: KnownImages,
    path: Path,
    frame: npt.NDArray[np.uint8],
    result: Result,
) -> Mapping[str, object]:
    """Keep a map that can be compared, of a marked defect or a part without one; say whether model or thresholds were
    made from the frame."""
    name = path.as_posix()
    picture = picture_of(frame)
    if known.looks_learned(result.embedding, picture) or known.picture_decided(picture):
        return {LEARNED: True}
    if name in images and result.verdict.name in CALLS and _compared(images[name]):
        maps[name] = (result.anomaly_map, result.frame_wh[::-1])
    return {}


def _learned(row: Row) -> bool:
    """Whether a frame was known again as one that model or thresholds were made from."""
    return LEARNED in row.opc.get("resultContent", {})


def _refuse_known(rows: Sequence[object], every: Sequence[object], sources: Sequence[Path]) -> None:
    if every and not rows:
        where = ", ".join(map(str, sources))
        raise ImageError(f"{ALL_KNOWN.format(len(every))} Name others.", path=where)


def _compared(image: LabelledImage) -> bool:
    """Whether it is known of every pixel what it should be."""
    return image.marked or image.label == GOOD


def _localised(
    inspector: Inspector, rows: Sequence[Row], images: Mapping[str, LabelledImage], maps: Maps
) -> Localisation:
    """Compare maps with masks. A run that was resumed looks again at what an earlier call judged."""
    if not any(image.marked for image in images.values()):
        return Localisation(None, None)
    wanted = [row.path for row in rows if row.verdict in CALLS and _compared(images[row.path])]
    for name in wanted:
        if name not in maps:
            result = inspected(inspector, read_frame(Path(name), inspector.contract.frame))
            maps[name] = (result.anomaly_map, result.frame_wh[::-1])
    return localisation([Marked(maps[name][0], partial(_truth, images[name], maps[name][1])) for name in wanted])


def _truth(image: LabelledImage, size_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    return box_pixels(image.boxes, size_hw[::-1]) if image.mask is None else read_mask(image.mask, size_hw)


def _write(run: JudgedRun, made: Evaluation, collector: Collector) -> None:
    from lineside.report.evaluation import evaluation_page

    page = evaluation_page(made, run.inspector, collector, run.workers)
    write_text(run.store.folder / REPORT_FILE, page)
    for name, document in ((SUMMARY_FILE, made.summary.to_dict()), (EVALUATION_FILE, evaluation_document(made))):
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_text(run.store.folder / name, text)
