"""`lineside preview`: what light, pose and gate make of the good images, as one page."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    recipe: Annotated[Path, typer.Argument(help="Recipe folder, or its recipe.yaml.", show_default=False)],
    image: Annotated[
        Path | None, typer.Option(help="Show this image instead of the good ones.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The page.", show_default="previews/<part>.html")] = None,
) -> None:
    """Show every good image after light and pose, before anything is trained."""
    from lineside.cli.train import check_installed
    from lineside.recipe import load_recipe

    loaded = load_recipe(recipe)
    check_installed()
    from lineside.batch.files import write_atomic
    from lineside.batch.table import plural
    from lineside.cli.train_view import TrainingView
    from lineside.report.preview import preview_page
    from lineside.train.preview import preview

    target = out or Path("previews") / f"{loaded.recipe.part}.html"
    with TrainingView() as view:
        shown = preview(loaded, image, view)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, preview_page(shown), begun=False)
    for words in shown.decision.words:
        typer.echo(f"• {words}")
    refused = sum(bool(row.reasons) for row in shown.rows)
    typer.echo(f"{target}: {plural(len(shown.rows), 'image')}, {refused} outside the gate's limits")
