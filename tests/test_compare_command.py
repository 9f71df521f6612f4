"""The `lineside compare` command: what it writes, what it goes on with, and its exit code."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from images import write_folder, write_recipe
from lineside.bench.compare_plan import Job
from lineside.bench.compare_row import Measures, Row, Scores
from lineside.cli import compare
from lineside.errors import UsageError


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe whose runs are made up: the method broken fails, every other one ranks perfectly."""

    def run(job: Job, key: str) -> Row:
        broken = job.variant.label == "broken"
        measures = None if broken else Measures(1.0, None, None, 0.0, 0.0, 0.0, None, 3.0, 7.0, 3.0)
        scores = Scores() if broken else Scores((0.1, 0.2), (0.8, 0.9))
        error = "no luck" if broken else None
        return Row(key, job.part, job.variant.label, "x", job.shots, None, job.seed, "abc", error, measures, scores)

    monkeypatch.setattr("lineside.bench.compare.run_job", run)
    write_folder(tmp_path / "images", {"train/good": 4, "test/good": 2, "test/dent": 2})
    return write_recipe(tmp_path)


def invoke(recipe: Path, *options: str) -> Result:
    """Run the command on a recipe, results beside it."""
    app = typer.Typer()
    app.command()(compare.command)
    return CliRunner().invoke(app, [str(recipe), "--out", str(recipe / "out"), *options])


def test_the_command_writes_table_runs_and_page(recipe: Path) -> None:
    """Every run is a line; the second method is held against the first; run again, nothing is added."""
    words = ("--methods", "lineside small=lineside,transfer.memory=64", "--shots", "2,all", "--seeds", "2")
    for _ in range(2):
        done = invoke(recipe, *words)
        assert done.exit_code == 0, done.output
        assert "image AUROC of small less that of lineside, mean over all shots: +0.0000" in done.stdout
        assert len((recipe / "out" / "runs.jsonl").read_text().splitlines()) == 8
    assert len((recipe / "out" / "compare.csv").read_text().splitlines()) == 5
    assert "<svg" in (recipe / "out" / "compare.html").read_text()


def test_a_failed_run_is_said_and_ends_with_1(recipe: Path) -> None:
    """The others are reported all the same."""
    done = invoke(recipe, "--methods", "lineside", "--methods", "broken=anomalib.Padim", "--shots", "2", "--seeds", "1")
    assert done.exit_code == 1
    assert "2 shots, broken: failed: no luck" in done.stdout


def test_two_recipes_of_one_part_are_refused(recipe: Path) -> None:
    """Their rows could not be told apart."""
    done = invoke(recipe, str(recipe / "recipe.yaml"), "--shots", "2", "--seeds", "1")
    assert isinstance(done.exception, UsageError)
    assert "one part's name, 'p'" in done.exception.message
