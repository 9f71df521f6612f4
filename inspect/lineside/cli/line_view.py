"""What `lineside adapt`, `extend` and `calibrate` print."""

import json
from typing import TYPE_CHECKING

import typer
from rich.console import Console

if TYPE_CHECKING:
    from lineside.train.line_write import LineRecord


def print_line_result(record: "LineRecord", *, as_json: bool) -> None:
    """Print what was decided and what was made, to stdout."""
    if as_json:
        typer.echo(
            json.dumps({"out": str(record.out), "model_sha256": record.model_sha256, **json.loads(record.to_json())})
        )
        return
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print()
    for decision in record.decisions:
        console.print(f"• {decision}")
    seconds = sum(duration for _, duration in record.stage_seconds)
    console.print(
        f"{record.out}: {record.changed.how} from {record.parent} with {record.changed.frames} frames; model.onnx "
        f"SHA-256 {record.model_sha256[:12]}…; {seconds:.1f} s"
    )
