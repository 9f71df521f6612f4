"""Running the command line inside a test: one command by itself, or all of `lineside`. Neither touches main's app."""

from collections.abc import Callable

import typer
from typer.testing import CliRunner, Result

from lineside.cli.main import register
from lineside.errors import LinesideError


def run(name: str, command: Callable[..., None], *arguments: object) -> tuple[int, str, str]:
    """Run one command: exit code, stdout, stderr; a LinesideError as main shows it."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command(name)(command)
    app.command("other")(lambda: None)  # with a single command typer would take its name for an argument
    result = CliRunner().invoke(app, [name, *map(str, arguments)])
    if isinstance(result.exception, LinesideError):
        return result.exception.exit_code, result.stdout, result.exception.message
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def invoke(*arguments: object) -> Result:
    """Run `lineside` with these words; a LinesideError stays in the result."""
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, [*map(str, arguments)])
