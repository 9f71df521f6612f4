"""`lineside evaluate`: what a model is worth on images of known class, and whether it keeps the limits."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Folder with test/, or with good/ beside a folder for each defect class; masks in ground_truth/, or "
            "boxes in boxes.csv or coco.json.",
            show_default=False,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the results.", show_default="evaluations/<part>")] = None,
    limits: Annotated[
        Path | None,
        typer.Option(help="File of limits (overkill: 0.05, escape_bound: 0.15 …): exit code 1 when one is broken."),
    ] = None,
    red_rabbits: Annotated[
        Path | None, typer.Option(help="Folder of challenge parts: exit code 1 when one of them is not NG.")
    ] = None,
    takt: Annotated[float | None, typer.Option(metavar="SECONDS", help="Time per part on the line.")] = None,
    defect_rate_ppm: Annotated[
        float | None, typer.Option(metavar="PPM", help="Defective parts in a million in the plant.")
    ] = None,
    cost_overkill: Annotated[float | None, typer.Option(help="Cost of one good part called NG.")] = None,
    cost_escape: Annotated[float | None, typer.Option(help="Cost of one defective part called OK.")] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="What file names of one physical part share; the worst frame counts.",
            show_default="the recipe's capture.group",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Images at the same time; with more than one the times are not a line's.")
    ] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove the results that are there first, and start over.")
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write results.parquet beside results.csv; needs lineside[parquet].")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")] = False,
) -> None:
    """Evaluate a model on images that it was not trained on: overkill, escapes, AUROC, AUPRO, times, with intervals.

    Writes evaluation.json, results.jsonl, results.csv, overlays and report.html. The exit code is 2 when a limit cannot
    be judged with these images, else 3 when an image could not be read, else 1 when a limit is broken or a red rabbit
    passed; everything is written before.
    """
    from rich.console import Console

    from lineside.batch.bar import progress_bar
    from lineside.bench.evaluation.limits import load_limits
    from lineside.bench.evaluation.plant import costs_of
    from lineside.bench.evaluation.run import EvaluateOptions, evaluate_images, evaluation_document
    from lineside.bench.evaluation.table import evaluation_table
    from lineside.runtime import Inspector

    options = EvaluateOptions(
        pattern=group,
        limits=load_limits(limits) if limits else None,
        red_rabbits=red_rabbits,
        defect_rate_ppm=defect_rate_ppm,
        costs=costs_of(cost_overkill, cost_escape),
        takt_s=takt,
        workers=workers,
        fresh=fresh,
        parquet=parquet,
    )
    inspector = Inspector(model, threads=1)
    with progress_bar() as progress:
        made = evaluate_images(
            inspector, images, out or Path("evaluations") / inspector.contract.part, options, progress
        )
    if as_json:
        typer.echo(json.dumps(evaluation_document(made), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        Console(highlight=False).print(evaluation_table(made))
    said = [f"broken: {words}" for words in made.broken] + [f"not judged: {words}" for words in made.not_judged]
    for words in said if as_json else ():
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(words)
    if made.exit_code:
        raise typer.Exit(made.exit_code)
