"""`lineside train`: from a recipe folder to a bundle."""

import json
from pathlib import Path
from typing import Annotated

import typer

_PACKAGES = ("torch", "timm", "onnx", "onnxscript", "albumentations", "scipy")  # import names; anomalib only if named


def command(
    recipe: Annotated[Path, typer.Argument(help="Recipe folder, or its recipe.yaml.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of the bundle.", show_default="models/<part>")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Fit, export, prove parity and write the bundle."""
    from lineside.recipe import load_recipe

    loaded = load_recipe(recipe)
    check_installed()
    from lineside.cli.train_view import TrainingView, print_result

    target = out or Path("models") / loaded.recipe.part
    with TrainingView() as view:
        from lineside.report.training import pages
        from lineside.train import train

        record = train(loaded, target, progress=view, pages=pages)
    if as_json:
        typer.echo(
            json.dumps({"out": str(target), "model_sha256": record.model_sha256, **json.loads(record.to_json())})
        )
    else:
        print_result(record)


def check_installed() -> None:
    """Name the extra before anything is imported: a base installation inspects, and cannot train."""
    from lineside.errors import require

    for package in _PACKAGES:
        require(package, "train")
