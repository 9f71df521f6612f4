"""`lineside capture`: from a source into a folder."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ImageFormat(StrEnum):
    """How pictures are stored; both without loss."""

    png = "png"
    tiff = "tiff"


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, an image, a pattern, a list of paths (.txt), a video, camera:0, or rtsp://...",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the pictures; those that it holds stay.")],
    count: Annotated[
        int | None, typer.Option(min=1, help="Pictures at most.", show_default="until the source ends")
    ] = None,
    step: Annotated[int, typer.Option(min=1, help="Take every n-th picture.")] = 1,
    watch: Annotated[bool, typer.Option("--watch", help="Stay at a folder, and take the files that come.")] = False,
    idle_s: Annotated[
        float | None, typer.Option(min=0, help="With --watch: end after so many seconds without a new file.")
    ] = None,
    image_format: Annotated[ImageFormat, typer.Option("--format", help="Both without loss.")] = ImageFormat.png,
) -> None:
    """Store pictures without loss, each with a JSON file of where it comes from. Ctrl-C ends it.

    16-bit pictures stay 16-bit. A second run into the same folder goes on with the next number. The exit code is 3 when
    a file could not be used, 4 when a camera or stream broke off; what was stored is kept.
    """
    from rich.console import Console

    from lineside.capture.record import describe, record
    from lineside.capture.source import SourceOptions

    console = Console(stderr=True)
    options = SourceOptions(step=step, watch=watch, idle_s=idle_s)
    with console.status("capturing (Ctrl-C ends it)") as status:
        recording = record(
            source,
            out,
            options,
            count=count,
            image_format=image_format.value,
            progress=lambda n: status.update(f"{n} stored (Ctrl-C ends it)"),
        )
    for line in describe(recording):
        typer.echo(line)
    if recording.error:
        raise recording.error
    raise typer.Exit(recording.exit_code)
