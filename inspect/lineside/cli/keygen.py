"""`lineside keygen`: a pair of keys to sign bundles with."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(help="Folder for private.pem and public.pem.", show_default=False)],
) -> None:
    """Make a pair of Ed25519 keys to sign bundles with; never overwrites one."""
    from lineside.export.keys import key_id, read_public_key
    from lineside.export.signing import make_keys

    private, public = make_keys(folder)
    typer.echo(f"{private}: signs; keep it to yourself.")
    typer.echo(f"{public}: checks, give it to every line PC; its name is {key_id(read_public_key(public))}.")
