"""`lineside bench`: what a model costs on this machine."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lineside.bench.peers import PeerTimes
    from lineside.bench.stages import StageTimes


_ONE_FRAME = ("stages", "frame", "image", "threads", "repeat", "peer", "backbone", "images")
_MANY = ("workers", "rounds")
_REMEDY = "Make room, give write permission, or name another file with --out."


def command(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    stages: Annotated[bool, typer.Option("--stages", help="Time each stage of the graph as well.")] = False,
    frame: Annotated[
        str | None, typer.Option(help="Size of the frame.", metavar="WxH", show_default="1280x1024, or the image's own")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Image file to use as the frame, instead of a seeded one.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="ONNX Runtime's threads inside one operator.")] = 1,
    repeat: Annotated[int, typer.Option(min=5, help="Rounds; each model runs once a round.")] = 100,
    peer: Annotated[
        str | None,
        typer.Option(help="Models of anomalib to fit, export and time beside it.", metavar="anomalib.A,anomalib.B"),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Network of the peers: lite0, local-dir:FOLDER, or an architecture of timm with random weights.",
            show_default="each peer's own, with random weights",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Recipe whose good images the peers are fitted on.", show_default="50 seeded frames"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write the numbers to as well.")] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            help="Folder of images: instead, images per second of `inspect` with 1 to N workers, memory over a run.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --batch: N.", show_default="one per processor")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="With --batch: rounds.")] = 5,
) -> None:
    """Time a model on one frame, beside the resize alone or beside anomalib's models: median, 95th, 99th percentile.

    Without --peer and --batch also its size, its memory and its cold start: new processes up to their first verdict.

    A time is a measurement, no test: the exit code is 0 whether or not a promise is kept on this machine.
    """
    from rich.console import Console

    from lineside.batch.files import check_writable

    _refuse_unused(context, _MANY if batch is None else _ONE_FRAME, "without" if batch is None else "with")
    if out is not None:
        check_writable(out, _REMEDY)
    if batch is not None:
        _batch(model, batch, workers, rounds, out)
        return
    size_wh = frame_size(frame) if frame is not None else None
    times: StageTimes | PeerTimes
    if peer is None:
        if backbone is not None or images is not None:
            raise typer.BadParameter("--backbone and --images are for peers: name them with --peer.")
        from lineside.bench.stage_table import stage_table
        from lineside.bench.stages import time_stages

        times = time_stages(model, size_wh=size_wh, image=image, threads=threads, rounds=repeat, stages=stages)
        shown = stage_table(times)
    else:
        if stages:
            raise typer.BadParameter("--stages times the model by itself: leave it out, or --peer.")
        from lineside.bench.peer_table import peer_table
        from lineside.bench.peers import time_peers

        with Console(stderr=True).status("bench") as status:
            times = time_peers(
                model,
                peer.split(","),
                backbone=backbone,
                images=images,
                size_wh=size_wh,
                image=image,
                threads=threads,
                rounds=repeat,
                told=status.update,
            )
        shown = peer_table(times)
    Console(highlight=False, soft_wrap=True).print(shown)
    _write(times.to_dict(), out)


def _refuse_unused(context: typer.Context, names: tuple[str, ...], how: str) -> None:
    """Refuse options that were given and would be passed over."""
    sources = ((name, context.get_parameter_source(name)) for name in names)
    given = [name for name, source in sources if source is not None and source.name != "DEFAULT"]
    if given:
        raise typer.BadParameter(f"--{given[0]} says nothing {how} --batch: leave it out.")


def _batch(model: Path, folder: Path, workers: int | None, rounds: int, out: Path | None) -> None:
    from rich.console import Console

    from lineside.bench.throughput import measure_throughput
    from lineside.bench.throughput_table import throughput_table

    found = measure_throughput(model, folder, workers=workers, rounds=rounds)
    Console(highlight=False, soft_wrap=True).print(throughput_table(found))
    _write(found.to_dict(), out)


def _write(document: dict[str, Any], out: Path | None) -> None:
    from lineside.batch.files import write_atomic

    if out is not None:
        write_atomic(out, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode(), remedy=_REMEDY)


def frame_size(text: str) -> tuple[int, int]:
    """Read a size such as 1280x1024: width and height in px."""
    found = re.fullmatch(r"([0-9]{1,6})[xX×]([0-9]{1,6})", text.strip())
    if not found:
        raise typer.BadParameter(f"expected a width and a height such as 1280x1024, found {text!r}.")
    return int(found[1]), int(found[2])
