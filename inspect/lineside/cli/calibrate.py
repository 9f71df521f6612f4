"""`lineside calibrate`: other thresholds for a bundle, by new images, without training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lineside.contract_thresholds import Wish


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    good: Annotated[
        list[Path],
        typer.Option("--good", help="New images of good parts, or folders of them.", show_default=False),
    ],
    defect: Annotated[
        list[str] | None,
        typer.Option(
            "--defect",
            metavar="CLASS=PATH",
            help="New images of a defect, or a folder of them, and its class. May be given several times.",
            show_default=False,
        ),
    ] = None,
    overkill: Annotated[
        float | None, typer.Option(help="Share of good parts that may be NG.", show_default="the model's wish")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(help="With it: how surely, such as 0.95; else on average.", show_default=False),
    ] = None,
    escape: Annotated[
        float | None, typer.Option(help="Instead: share of defective parts that may be OK.", show_default=False)
    ] = None,
    cost_overkill: Annotated[
        float | None, typer.Option(help="Instead: what a good part called NG costs.", show_default=False)
    ] = None,
    cost_escape: Annotated[
        float | None, typer.Option(help="With it: what a defective part called OK costs.", show_default=False)
    ] = None,
    defect_rate_ppm: Annotated[
        float | None, typer.Option(help="With it: defective parts in a million of production.", show_default=False)
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Instead: NG above this score.", show_default=False)] = None,
    review: Annotated[
        float | None,
        typer.Option(help="Share of good parts that may be REVIEW, 0 for none.", show_default="as the model has it"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new bundle.", show_default="MODEL, the old one as .previous")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Take a model's thresholds from new images, for another wish or another line; scores stay."""
    from lineside.cli.extend import by_class
    from lineside.cli.line_view import print_line_result
    from lineside.cli.train import check_installed

    wish = _wish(
        {
            "overkill": overkill,
            "confidence": confidence,
            "escape": escape,
            "cost_overkill": cost_overkill,
            "cost_escape": cost_escape,
            "defect_rate_ppm": defect_rate_ppm,
            "threshold": threshold,
            "review": review or None,
        }
    )
    defects = by_class(defect or ())
    check_installed()
    from lineside.cli.train_view import TrainingView

    with TrainingView() as view:
        from lineside.report.line import line_pages
        from lineside.train.line import calibrate

        record = calibrate(model, good, defects, out, wish=wish, review=review, progress=view, pages=line_pages)
    print_line_result(record, as_json=as_json)


def _wish(given: "dict[str, float | None]") -> "Wish | None":
    """Read the options as the recipe's block is read; None where none is a wish."""
    from lineside.recipe_calibrate import wish_of

    return wish_of({name: value for name, value in given.items() if value is not None})
