"""`lineside check`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from lineside.capture.findings import CheckReport

_FILES_SHOWN = 12


def command(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe folder, or its recipe.yaml.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, every file named.")] = False,
) -> None:
    """Check a recipe and its images before any training. Exit code: 0 fine or warnings, 2 recipe, 3 images."""
    from lineside.capture.check import check_recipe
    from lineside.recipe import load_recipe
    from lineside.transfer.method_check import check_method

    loaded = load_recipe(recipe)
    check_method(loaded)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("looking at images", total=None)
        report = check_recipe(loaded, lambda done, total: progress.update(task, completed=done, total=total))
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        _show(report, Console(highlight=False))
    raise typer.Exit(report.exit_code)


def _show(report: "CheckReport", console: Console) -> None:
    console.print(_counts(report))
    for name, value in _facts(report):
        console.print(Text.assemble((f"{name:<18}", "bold"), value), soft_wrap=True)
    for problem in report.problems:
        style = "bold red" if problem.severity == "error" else "bold yellow"
        console.print()
        console.print(Text.assemble((f"{problem.severity}: ", style), f"{problem.text}."), soft_wrap=True)
        for line in problem.files[:_FILES_SHOWN]:
            console.print(Text(f"  {line}"), soft_wrap=True)
        if len(problem.files) > _FILES_SHOWN:
            console.print(Text(f"  … and {len(problem.files) - _FILES_SHOWN} more; --json names all"))
    console.print()
    console.print(_summary(report))


def _counts(report: "CheckReport") -> Table:
    table = Table("class", title=f"{report.part}: images", title_justify="left")
    for column in ("train", "test", "masks"):
        table.add_column(column, justify="right")
    labels = list(dict.fromkeys(name.split("/", 1)[1] for name in report.counts))
    for label in sorted(labels, key=lambda name: (name != "good", name)):
        train, test = (report.counts.get(f"{side}/{label}", 0) for side in ("train", "test"))
        masks = sum(report.masks.get(f"{side}/{label}", 0) for side in ("train", "test"))
        table.add_row(label, str(train), str(test), "" if label == "good" else str(masks))
    return table


def _facts(report: "CheckReport") -> list[tuple[str, str]]:
    layout = "MVTec AD" if report.layout == "mvtec" else "a folder per class; the test images are drawn by the seed"
    sizes = [f"{size} ({count})" for size, count in report.sizes.items()]
    files = [f"{count} {'grey' if kind == 'mono' else 'colour'}" for kind, count in report.file_channels.items()]
    frame = "grey (1 channel)" if report.frame_channels == 1 else "red, green, blue (3 channels)"
    facts = [
        ("layout", layout),
        ("sizes", ", ".join(sizes[:6]) + (f" and {len(sizes) - 6} more" if len(sizes) > 6 else "")),
        ("frame", f"{frame}, {report.bit_depth} bit; files: {', '.join(files)}"),
        ("good parts", f"{report.groups} to train on"),
    ]
    if report.likeness:
        alike = report.likeness
        facts.append(("camera noise", f"{alike.noise_sigma:.2f} grey levels (median of the good training images)"))
        near = f"{len(alike.near)} closer than {alike.near_limit:.2f} grey levels on 64x64 thumbnails"
        if alike.alike:
            near += f"; {len(alike.alike)} images as close do not stand out"
        if alike.typical_distance is not None:
            near += f"; good images are typically {alike.typical_distance:.2f} apart"
        facts.append(("near duplicates", near))
    return facts


def _summary(report: "CheckReport") -> Text:
    errors = sum(p.severity == "error" for p in report.problems)
    warnings = len(report.problems) - errors
    if not report.problems:
        return Text("Ready to train.", style="green")
    counted = f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}."
    if errors:
        return Text(f"{counted} Not ready to train.", style="red")
    return Text(f"{counted} Ready to train.", style="yellow")
