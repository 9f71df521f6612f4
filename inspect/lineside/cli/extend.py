"""`lineside extend`: a bundle learns further good parts, or examples of defects, without being trained again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lineside.cli.train_view import TrainingView
    from lineside.train.line_write import LineRecord


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    good: Annotated[
        list[Path] | None,
        typer.Option("--good", help="Images of further good parts, or folders of them.", show_default=False),
    ] = None,
    defect: Annotated[
        list[str] | None,
        typer.Option(
            "--defect",
            metavar="CLASS=PATH",
            help="Images of a defect, or a folder of them, and the class that they show: one that the model tells, or "
            "a new one. May be given several times. Thresholds and scores stay.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new bundle.", show_default="MODEL, the old one as .previous")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Add good parts, or examples of defect classes, to a model without training again; nothing is forgotten."""
    from lineside.cli.line_view import print_line_result
    from lineside.cli.train import check_installed
    from lineside.errors import UsageError

    if bool(good) == bool(defect):
        raise UsageError("Expected either --good IMAGES or --defect CLASS=IMAGES; for both, extend twice.")
    defects = by_class(defect or ())
    check_installed()
    from lineside.cli.train_view import TrainingView

    with TrainingView() as view:
        record = _extended(model, good or (), defects, out, view)
    print_line_result(record, as_json=as_json)


def _extended(
    model: Path, good: Sequence[Path], defects: dict[str, list[Path]], out: Path | None, view: "TrainingView"
) -> "LineRecord":
    from lineside.report.line import line_pages
    from lineside.train.line import extend, extend_classes

    if defects:
        return extend_classes(model, defects, out, progress=view, pages=line_pages)
    return extend(model, good, out, progress=view, pages=line_pages)


def by_class(given: Sequence[str]) -> dict[str, list[Path]]:
    """Read CLASS=PATH; a class may come several times."""
    from lineside.errors import UsageError

    found: dict[str, list[Path]] = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--defect {one}: expected CLASS=PATH, such as scratch=images/scratch.")
        found.setdefault(name, []).append(Path(path))
    return found
