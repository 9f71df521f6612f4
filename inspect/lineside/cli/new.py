"""`lineside new`."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write recipe.yaml into.")],
    images: Annotated[Path, typer.Option("--from", metavar="IMAGES", help="Folder of images.")],
) -> None:
    """Write a first recipe for a folder of images, whose layout, sizes and classes are found. Never overwrites."""
    from lineside.capture.survey import describe, new_recipe

    file, survey = new_recipe(folder, images)
    for line in describe(survey):
        typer.echo(line)
    typer.echo(f"Wrote {file}. Next: lineside check {folder}")
