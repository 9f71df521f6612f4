"""`lineside bench`: what the command takes, prints and refuses."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from images import write
from lineside.bench.stages import (
    bench_frame,
    time_stages,
)
from lineside.cli import bench as command_module
from lineside.errors import LinesideError, StorageError, UsageError


@pytest.fixture
def run() -> CliRunner:
    """A runner whose `invoke` takes the command's own app."""
    return CliRunner()


def app() -> typer.Typer:
    """The command alone."""
    made = typer.Typer()
    made.command()(command_module.command)
    return made


def test_the_command_prints_and_writes(bundle: Path, tmp_path: Path, run: CliRunner) -> None:
    """Table and promises on stdout, the numbers as JSON where asked for."""
    out = tmp_path / "bench.json"
    words = [str(bundle), "--stages", "--frame", "40x30", "--repeat", "5", "--out", str(out)]
    done = run.invoke(app(), words)
    assert done.exit_code == 0, done.output
    assert "one frame of 40x30" in done.output
    assert "2.6" in done.output
    written = json.loads(out.read_text())
    assert written["frame_whc"] == [40, 30, 3]
    assert written["promised"] == {"front_to_floor": 2.6, "pose_and_gate_to_trunk": 0.65, "whole_to_trunk": None}


@pytest.mark.parametrize("words", [[], ["--peer", "anomalib.Padim"], ["--batch", "."]])
def test_what_cannot_be_written_is_said_before_it_is_measured(
    bundle: Path, run: CliRunner, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is even opened where the numbers would have no place."""
    for name in ("stages.time_stages", "peers.time_peers", "throughput.measure_throughput"):
        monkeypatch.setattr(f"lineside.bench.{name}", lambda *_, **__: pytest.fail("measured"))
    done = run.invoke(app(), [str(bundle), *words, "--out", str(tmp_path / "absent" / "bench.json")])
    assert isinstance(done.exception, StorageError)
    assert "name another file with --out" in done.exception.message


def test_an_image_is_the_frame(bundle: Path, images: Path, run: CliRunner) -> None:
    """An image keeps its own size, or takes the one asked for."""
    image = str(images / "good/0.png")
    assert "12x12" in run.invoke(app(), [str(bundle), "--image", image, "--repeat", "5"]).output
    words = [str(bundle), "--image", image, "--frame", "20x10", "--repeat", "5"]
    assert "20x10" in run.invoke(app(), words).output


@pytest.mark.parametrize("size", ["", "12", "12x", "-3x4", "axb", "1e3x2", "12x34x5"])
def test_a_frame_that_is_no_size_is_a_usage_error(bundle: Path, run: CliRunner, size: str) -> None:
    """Exit code 2, and what was expected."""
    done = run.invoke(app(), [str(bundle), "--frame", size])
    assert done.exit_code == 2
    assert "1280x1024" in done.output


@pytest.mark.parametrize(
    "words",
    [
        ["--frame", "0x5"],
        ["--frame", "999999x999999"],
        ["--frame", "20000x10001"],
        ["--image", "absent.png"],
        ["--image", "a.png", "--frame", "0x0"],
    ],
)
def test_a_frame_that_cannot_be_is_refused(
    bundle: Path, run: CliRunner, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory is filled and nothing is timed."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.png", bench_frame((4, 4), 3))
    done = run.invoke(app(), [str(bundle), *words])
    assert isinstance(done.exception, LinesideError)


def test_no_bundle_is_a_usage_error(tmp_path: Path) -> None:
    """Nothing there, nothing timed."""
    with pytest.raises(UsageError):
        time_stages(tmp_path / "absent")
