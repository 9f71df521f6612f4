"""`lineside msa`: does a model give the same part the same answer again?"""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    runs: Annotated[
        Path,
        typer.Argument(
            help="Folder station/part/picture or part/picture, or a CSV with the columns image, part, and if there are "
            "any operator, reference (OK or NG) and reference_score (what the part's score ought to be).",
            show_default=False,
        ),
    ],
    pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression on the paths below the folder, with groups (?P<part>...) and (?P<operator>...).",
            show_default="station/part/picture or part/picture",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the results.", show_default="msa/<part>")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")] = False,
) -> None:
    """Measurement system analysis: repeated pictures of the same parts, gauge R&R and bias of the score, kappa of the
    verdicts.

    Writes msa.csv and msa.json. The exit code is 1 when a limit of AIAG's is broken (%GRR over 30 %, fewer than 5
    distinct categories, a kappa below 0.75, a bias against reference scores,
    at 95 % for all stations together) or the pictures allow no gauge R&R, 3 when
    one could not be read.
    """
    from rich.console import Console
    from rich.progress import Progress

    from lineside.bench.msa import study
    from lineside.bench.msa_files import msa_document, write_msa
    from lineside.bench.msa_runs import shots_of
    from lineside.bench.msa_table import msa_table
    from lineside.runtime import Inspector

    shots = shots_of(runs, pattern)
    inspector = Inspector(model, threads=1)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("inspecting", total=len(shots))
        made = study(inspector, shots, lambda: bar.update(task, advance=1))
    written = write_msa(made, out or Path("msa") / made.part)
    if as_json:
        typer.echo(json.dumps(msa_document(made), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        console = Console(highlight=False)
        console.print(msa_table(made))
        console.print(f"written: {', '.join(map(str, written))}", markup=False, soft_wrap=True)
    if made.unreadable:
        raise typer.Exit(3)
    if made.broken:
        raise typer.Exit(1)
