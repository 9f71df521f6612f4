"""`lineside tune`: how many workers and threads are fastest on this machine, kept beside the bundle."""

from pathlib import Path
from typing import Annotated

import typer

from lineside.cli.bench import frame_size


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    frame: Annotated[
        str | None, typer.Option(help="Size of the frame.", metavar="WxH", show_default="1280x1024, or the image's own")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Image file to use as the frame, instead of a seeded one.")] = None,
) -> None:
    """Find in half a minute how many workers and threads are fastest here; write MODEL.tune.json beside MODEL.

    `inspect` and `Inspector` then use it, for this model on this machine; verdicts stay. Remove the file to undo it.
    Precision is no part of it: a bundle holds one, chosen in training (`export: {precision: auto}`).
    """
    from rich.console import Console

    from lineside.bench.tune import tune
    from lineside.bench.tune_table import tune_table

    found = tune(model, size_wh=frame_size(frame) if frame is not None else None, image=image)
    Console(highlight=False, soft_wrap=True).print(tune_table(found))
