"""`lineside check` on the console: what it prints, what it returns, and what it leaves to the caller."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import images
from lineside.cli import check
from lineside.errors import ImageError, RecipeError

app = typer.Typer()
app.command()(check.command)


def run(*arguments: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_the_command_says_that_all_is_well(sound: Path) -> None:
    """A sound recipe: counts, and ready to train; exit code 0."""
    result = run(sound)
    assert result.exit_code == 0
    assert "Ready to train." in result.stdout
    assert "20" in result.stdout


def test_warnings_do_not_fail_the_command(sound: Path) -> None:
    """A warning is shown with its files, and the exit code stays 0."""
    (sound / "images/test/rust").mkdir()
    result = run(sound)
    assert result.exit_code == 0
    assert "warning: folders hold no images.\n  test/rust\n" in result.stdout
    assert "0 errors, 1 warning. Ready to train." in result.stdout


def test_long_lists_are_cut_on_the_console_and_whole_in_json(sound: Path) -> None:
    """Twelve files are shown and the rest counted; --json names all, alone on stdout."""
    for i in range(20):
        (sound / f"images/test/good/broken{i:02d}.png").write_bytes(b"")
    shown = run(sound)
    assert shown.exit_code == 3
    assert "… and 8 more; --json names all" in shown.stdout
    document = json.loads(run(sound, "--json").stdout)
    assert len(document["problems"][0]["files"]) == 20
    assert document["exit_code"] == 3


def test_wrong_recipes_and_folders_reach_the_caller(tmp_path: Path) -> None:
    """A wrong recipe is a recipe error (2), a folder without a layout an image error (3)."""
    with pytest.raises(RecipeError):
        run(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ImageError):
        run(images.write_recipe(tmp_path))
