"""`lineside stress`: how far light, optics and pose may go before a model fails."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images of known class: good/ beside a folder per defect, or test/ with these in it.",
            show_default="the test images of the model's recipe",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.", show_default="stress/<part>")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every draw.")] = 0,
    per_level: Annotated[
        int, typer.Option(min=1, help="At most so many good and so many defective images, the same under every level.")
    ] = 50,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Images at the same time.", show_default="one per processor")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")] = False,
) -> None:
    """Judge images of known class while they get worse: light, blur, noise, pose, glare and more, in graded strength.

    Writes stress.csv, stress.json and stress.html. The exit code is 3 when an image could not be read.
    """
    from rich.console import Console

    from lineside.bench.stress import stress
    from lineside.bench.stress_bar import progress_bar
    from lineside.bench.stress_files import stress_document, write_stress
    from lineside.bench.stress_images import images_in, images_of_recipe
    from lineside.bench.stress_table import stress_table
    from lineside.runtime import Inspector

    inspector = Inspector(model, threads=1)
    labelled = images_in(images) if images is not None else images_of_recipe(model)
    with progress_bar() as progress:
        result = stress(inspector, labelled, per_level=per_level, seed=seed, workers=workers, progress=progress)
    written = write_stress(result, out or Path("stress") / result.part)
    if as_json:
        typer.echo(json.dumps(stress_document(result), indent=2, allow_nan=False))
    else:
        console = Console(highlight=False)
        console.print(stress_table(result))
        console.print(f"report: {written[-1]}", markup=False, soft_wrap=True)
    if result.unreadable:
        raise typer.Exit(3)
