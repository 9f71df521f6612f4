"""`lineside sign`: vouch for a bundle."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Bundle folder.", show_default=False)],
    key: Annotated[Path, typer.Option(help="Private key (PEM) from `lineside keygen`.", show_default=False)],
) -> None:
    """Sign a bundle, so that a line PC can refuse any other."""
    from lineside.export.signing import sign_bundle

    name = sign_bundle(model, key)
    typer.echo(f"{model}: signed with the key {name}. Check it with: lineside verify {model} --key public.pem")
