"""`lineside demo`: trains the recipe of the sample part, inspects its test images, prints the verdicts."""

import os
from pathlib import Path
from typing import Annotated

import typer


def command(
    recipe: Annotated[Path, typer.Argument(help="Recipe folder.")] = Path("recipes/caps"),
    models: Annotated[Path, typer.Option(help="Folder for the bundle.")] = Path("models"),
    inspections: Annotated[Path, typer.Option(help="Folder for the inspection's results.")] = Path("inspections"),
) -> None:
    """Train a recipe, inspect its test images, and print what came out."""
    from lineside.cli import inspect, train
    from lineside.errors import UsageError
    from lineside.recipe import load_recipe

    if not recipe.exists():
        raise UsageError(f"{recipe}: no recipe there. Run the demo in a checkout of lineside, or name a recipe folder.")
    loaded = load_recipe(recipe)
    bundle = models / loaded.recipe.part
    images = Path(os.path.relpath(loaded.images_dir / "test"))  # as a user would name it from here
    train.command(recipe, out=bundle)
    inspect.command(bundle, [images], out=inspections / loaded.recipe.part, labels=True, fresh=True)
