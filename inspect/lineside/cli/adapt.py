"""`lineside adapt`: a bundle follows a line that changed, by unlabelled frames."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    images: Annotated[
        list[Path],
        typer.Option(
            "--images", help="Unlabelled frames of the changed line: images or folders, 8 and more.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new bundle.", show_default="MODEL, the old one as .previous")
    ] = None,
    known_good: Annotated[
        bool, typer.Option("--known-good", help="Somebody looked: nearly all frames show good parts.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Refit a model to a new camera, lamp or lens by unlabelled frames; voids the old guarantee."""
    from lineside.cli.line_view import print_line_result
    from lineside.cli.train import check_installed

    check_installed()
    from lineside.cli.train_view import TrainingView

    with TrainingView() as view:
        from lineside.report.line import line_pages
        from lineside.train.line import adapt

        record = adapt(model, images, out, known_good=known_good, progress=view, pages=line_pages)
    print_line_result(record, as_json=as_json)
