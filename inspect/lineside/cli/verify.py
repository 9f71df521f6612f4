"""`lineside verify`: proves a bundle on this machine."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from lineside.contract import SIGNATURE_FILE


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    key: Annotated[
        Path | None,
        typer.Option(
            help="Public key (PEM) that the bundle must be signed with.", show_default="no signature asked for"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")] = False,
) -> None:
    """Check every file, the contract, and that the vectors give their outputs on this machine."""
    from lineside.runtime import verify_bundle

    proven = verify_bundle(model, require_key=key)
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(proven), "path": str(proven.path)}))
        return
    swap = "one tells swapped channels" if proven.tells_swapped_channels else "none tells swapped channels"
    typer.echo(
        f"{model}: part {proven.part}, contract {proven.contract_version}: {proven.files} files as they were written; "
        f"{proven.vectors} vectors give their outputs here (scores within {proven.worst_score_rel:.0e}; {swap})"
        f"{_signature(model, proven.signed_by)}."
    )


def _signature(model: Path, signed_by: str | None) -> str:
    if signed_by:
        return f"; signed with the key {signed_by}"
    return "; its signature was not checked (--key)" if (model / SIGNATURE_FILE).exists() else ""
