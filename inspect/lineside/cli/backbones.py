"""`lineside backbones`: known networks, their licences and what they cost."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from lineside.transfer.backbone_table import KnownBackbone


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List known backbones: licence, taps, parameters and multiplications up to the last tap at 256×256 px.

    Any other model of timm works as timm:<name>, and a folder that timm wrote as local-dir:<folder>.
    """
    from rich.console import Console

    from lineside.transfer.backbone_table import known_backbones

    rows = known_backbones()
    if as_json:
        typer.echo(json.dumps([{**asdict(row), "allowed": row.allowed} for row in rows], indent=1))
        return
    Console(highlight=False).print(_table(rows))
    typer.echo(
        "transfer.backbone takes these names, any other of timm's (timm:<name>), or local-dir:<folder>. lite0 is "
        "embedded, the others are fetched from timm's hub. * The licence must be added to transfer.licences first."
    )


def _table(rows: "tuple[KnownBackbone, ...]") -> "Table":
    from rich.table import Table

    table = Table("backbone", "licence", "taps: auto")
    table.add_column("parameters", justify="right")
    table.add_column("MACs at 256 px", justify="right")
    for row in rows:
        licence = row.licence if row.allowed else f"{row.licence} *"
        table.add_row(
            row.backbone, licence, _short(row.taps), f"{row.parameters / 1e6:.2f} M", f"{row.macs / 1e9:.2f} G"
        )
    return table


def _short(taps: tuple[str, ...]) -> str:
    """Return ``stride 8, 16`` for ``stride 8`` and ``stride 16``."""
    kind = taps[0].split()[0]
    return f"{kind} " + ", ".join(tap.removeprefix(f"{kind} ") for tap in taps)
