"""The `lineside` command: registers the commands and turns errors into one clear line and an exit code."""

import sys

import typer
from rich.console import Console

from lineside import __version__
from lineside.errors import LinesideError, StorageError

STOPPED = "stopped; an inspection goes on with the same command, a training leaves the old bundle as it was"
_STOPPED_CODE = 130  # what shells and typer give a command that Ctrl-C ended: 128 + SIGINT

app = typer.Typer(
    name="lineside",
    help="Defect inspection on a production line: a few good images in, one ONNX file out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lineside {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Defect inspection on a production line: a few good images in, one ONNX file out."""


def register(target: typer.Typer) -> None:
    """Add every command, in the order in which a user meets them."""
    from lineside.cli import (
        adapt,
        backbones,
        bench,
        calibrate,
        capture,
        check,
        compare,
        demo,
        evaluate,
        extend,
        flatfield,
        inspect,
        keygen,
        msa,
        new,
        preview,
        sign,
        stress,
        train,
        tune,
        verify,
    )

    later = (inspect, evaluate, verify, adapt, extend, calibrate, stress, msa, compare, bench, tune, backbones)
    for module in (new, capture, flatfield, check, preview, train, *later, keygen, sign, demo):
        target.command(module.__name__.rsplit(".", 1)[-1])(module.command)


def run() -> None:
    """Entry point of the console script."""
    try:
        register(app)
        app()
    except LinesideError as error:
        fail(error)
    except OSError as error:
        fail(StorageError(f"{error.filename or 'input/output'}: {error.strerror or error}."))
    except (KeyboardInterrupt, SystemExit) as ended:  # typer turns Ctrl-C in a command into the bare exit code
        if isinstance(ended, SystemExit) and ended.code != _STOPPED_CODE:
            raise
        Console(stderr=True, soft_wrap=True, highlight=False).print(STOPPED)
        sys.exit(_STOPPED_CODE)


def fail(error: LinesideError) -> None:
    """Print an error to stderr, without a traceback, and exit with its code."""
    Console(stderr=True, soft_wrap=True, highlight=False).print("[bold red]error:[/] ", end="")
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(error.message)
    sys.exit(error.exit_code)
