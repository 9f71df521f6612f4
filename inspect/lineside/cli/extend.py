"""`lineside extend`: a bundle learns further good parts without being trained again."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    good: Annotated[
        list[Path], typer.Option("--good", help="Images of further good parts, or folders of them.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new bundle.", show_default="MODEL, the old one as .previous")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Add good parts to a model without training again; older parts are not forgotten."""
    from lineside.cli.line_view import print_line_result
    from lineside.cli.train import check_installed

    check_installed()
    from lineside.cli.train_view import TrainingView

    with TrainingView() as view:
        from lineside.report.line import line_pages
        from lineside.train.line import extend

        record = extend(model, good, out, progress=view, pages=line_pages)
    print_line_result(record, as_json=as_json)
