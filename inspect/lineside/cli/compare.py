"""`lineside compare`: methods against each other, on the same images."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lineside.cli.train import check_installed

_FILE_WIDTH = 140  # of the table where no console says how wide it is


def command(
    recipes: Annotated[list[Path], typer.Argument(help="Recipe folders with test images.", show_default=False)],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Methods, parted by spaces; repeatable. A name such as anomalib.Padim, or a variation of the recipe: "
            "label=method,key=value with dotted keys. The others are held against the first.",
            show_default="lineside anomalib.Patchcore anomalib.Padim",
        ),
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(
            help="Good parts to train on, drawn by seed, such as 8,50,all; for a recipe that sorts: images per class.",
            show_default="1,2,4,8,16,50, as far as there are",
        ),
    ] = None,
    class_shots: Annotated[
        int | None, typer.Option(min=1, help="Images of each defect class.", show_default="all")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Draws at each number of shots.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, one core and about 2 GB of memory each.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the results; the same command goes on there.")] = Path("compare"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the runs that are written there.")] = False,
) -> None:
    """Train methods on the same few images and judge the same test images: AUROC, overlap, overkill, escapes, time.

    Every number is the assembled graph's; its proof, vectors and report are left to `lineside train`. Writes
    runs.jsonl, compare.csv and compare.html. The exit code is 1 when a run failed.
    """
    from rich.console import Console

    check_installed()
    from lineside.bench.compare import compare
    from lineside.bench.compare_bar import compare_bar
    from lineside.bench.compare_files import write_comparison
    from lineside.bench.compare_plan import DEFAULT_METHODS, parse_shots, parse_variants
    from lineside.bench.compare_run import planned
    from lineside.bench.compare_summary import summarise
    from lineside.bench.compare_table import compare_table

    variants = parse_variants(methods or DEFAULT_METHODS)
    listed, keys = planned(recipes, variants, parse_shots(shots) if shots is not None else None, seeds, class_shots)
    with compare_bar() as told:
        rows = compare(listed, keys, out, workers=jobs, fresh=fresh, told=told)
    summary = summarise(rows)
    written = write_comparison(summary, out)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
    console.print(compare_table(summary))
    console.print(f"written: {', '.join(map(str, written))}", markup=False, soft_wrap=True)
    if any(row.error is not None for row in rows):
        raise typer.Exit(1)
