"""`lineside inspect`: judge files and folders with a model, write results and a report."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lineside.contract import MAX_FRAME_PIXELS
from lineside.export.load import MAX_MODEL_BYTES


class Overlays(StrEnum):
    """Which images get a heatmap overlay."""

    all = "all"
    ng = "ng"
    none = "none"


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder, as `lineside train` writes it.")],
    images: Annotated[list[Path], typer.Argument(help="Images, and folders that are searched recursively.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results.", show_default="inspections/<part>")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove the results that are there first, and start over.")
    ] = False,
    overlays: Annotated[
        Overlays, typer.Option(help="Heatmaps of all images, of whatever is not OK (ng), or of none.")
    ] = Overlays.ng,
    labels: Annotated[
        bool, typer.Option("--labels", help="Take folder names as truth: good, or the defect's name.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="NG above this score, instead of the model's own; voids what the model guarantees."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Images judged at the same time.", show_default="as tuned, else one per processor"),
    ] = None,
    max_no_call: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Exit code 1 when a larger share (0 to 1) of the readable images gets no call."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Regular expression that finds the part's name in file names; of several images of a part the worst "
            "counts (parts.csv).",
            show_default="the recipe's capture.group",
        ),
    ] = None,
    boxes: Annotated[
        bool, typer.Option("--boxes", help="Write the defects' boxes (coco.json, COCO format) and masks (masks/).")
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write results.parquet beside results.csv; needs lineside[parquet].")
    ] = False,
    takt: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Time per part on the line, to hold the times against.")
    ] = None,
    require_key: Annotated[
        Path | None,
        typer.Option(
            help="Public key (PEM) that the model must be signed with.", show_default="no signature asked for"
        ),
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Images of more pixels are not read: a small file can claim any size.")
    ] = MAX_FRAME_PIXELS,
    max_model_bytes: Annotated[
        int, typer.Option(min=1, help="A larger model.onnx is refused before it is read.")
    ] = MAX_MODEL_BYTES,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, and nothing else.")] = False,
) -> None:
    """Judge images: OK, NG, REVIEW or NO_CALL for each, a table, and a report to read.

    Stopped half-way, the same command goes on where it was. The exit code is 3 when an image could not be read, else 1
    when more images got no call than --max-no-call allows; everything is written before.
    """
    from rich.console import Console

    from lineside.batch import InspectOptions, inspect_images, verdict_table
    from lineside.batch.bar import progress_bar
    from lineside.batch.no_call import check_limit
    from lineside.batch.plan import check_sources
    from lineside.batch.run import check_takt
    from lineside.batch.table import plural
    from lineside.runtime import Inspector
    from lineside.tuning import tuning_path

    check_sources(images)
    check_limit(max_no_call)
    check_takt(takt)
    threads = None if workers is None else 1
    inspector = Inspector(
        model,
        threads=threads,
        tuned="batch",
        threshold_ng=threshold,
        require_key=require_key,
        max_model_bytes=max_model_bytes,
        max_frame_pixels=max_pixels,
    )
    if inspector.tuning:
        workers = inspector.tuning.batch_workers
        said = f"{tuning_path(model)}: {plural(workers, 'worker')} of {plural(inspector.threads, 'thread')}"
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(said)
    options = InspectOptions(overlays.value, labels, workers, fresh, max_no_call, boxes, group, parquet, takt)
    folder = out or Path("inspections") / inspector.contract.part
    with progress_bar() as progress:
        summary = inspect_images(inspector, images, folder, options, progress)
    if as_json:
        typer.echo(json.dumps(summary.to_dict(), indent=2, allow_nan=False))
    else:
        Console().print(verdict_table(summary))
    if summary.no_call.too_many:
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(summary.no_call.complaint)
    if summary.counts["unreadable"]:
        raise typer.Exit(3)
    if summary.no_call.too_many:
        raise typer.Exit(1)
