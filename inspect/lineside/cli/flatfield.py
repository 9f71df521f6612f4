"""`lineside flatfield`: the flat-field image of a camera and its light."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Pictures of an empty, evenly lit target: a folder, a pattern, a list, a video, camera:0, rtsp://...",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="PNG", help="The flat-field image, 16-bit.")] = Path("flat.png"),
    dark: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Pictures with the lens covered; go to <out>_dark.png.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Pictures at most.", show_default="all; 16 of a camera")
    ] = None,
    bit_depth: Annotated[int, typer.Option(help="Bits per sample of the camera: 8, 10, 12, 14 or 16.")] = 8,
    force: Annotated[bool, typer.Option("--force", help="Replace the image that is there.")] = False,
) -> None:
    """Average pictures of an empty target into a flat-field image, and say whether it is even enough.

    The image is written in any case; the exit code is 1 when it is not even enough.
    """
    from lineside.capture.flat_image import FlatRequest, describe, make_flat
    from lineside.errors import LimitError
    from lineside.normalise.evenness import evenness

    report = make_flat(FlatRequest(source, out, dark, count, bit_depth, force), evenness)
    for line in describe(report):
        typer.echo(line)
    if not report.even_enough:
        raise LimitError(f"{out}: was written, and is not even enough for a flat field; see above.")
