"""The `lineside` command as a whole: what Ctrl-C prints, and which exit codes come through."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Trained
from tiny import write_tiny_bundle

# A shell that starts a test run in the background has it ignore SIGINT, and its children with it: undo that.
PRELUDE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from lineside.cli.main import run
"""
SLOW_INSPECT = (
    PRELUDE
    + """
from lineside.batch.store import RunStore
append = RunStore.append
RunStore.append = lambda store, row: (append(store, row), time.sleep(0.05))
run()
"""
)


def lineside(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    words = [sys.executable, "-c", PRELUDE + "run()", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def stopped(process: subprocess.Popen[str], ready: Path) -> tuple[int, str]:
    """Send Ctrl-C once a file has something in it; return the exit code and stderr."""
    while not (ready.exists() and (ready.is_dir() or ready.stat().st_size)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    return process.wait(60), process.communicate()[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_ctrl_c_says_that_an_inspection_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped inspection ends with 130 and one sentence, which is true: the same command judges only the rest."""
    monkeypatch.chdir(tmp_path)
    write_tiny_bundle(tmp_path / "model")
    Path("imgs").mkdir()
    for index in range(60):
        cv2.imwrite(f"imgs/{index:02}.png", np.full((16, 16, 3), (90, 60, 100), np.uint8))
    words = ("inspect", "model", "imgs", "--out", "out")
    process = subprocess.Popen([sys.executable, "-c", SLOW_INSPECT, *words], stderr=subprocess.PIPE, text=True)
    code, stderr = stopped(process, Path("out/results.jsonl"))
    assert code == 130
    assert [line for line in stderr.splitlines() if line] == [
        "stopped; an inspection goes on with the same command, a training leaves the old bundle as it was"
    ]
    assert 0 < Path("out/results.jsonl").read_bytes().count(b"\n") < 60
    again = lineside(*words)
    assert again.returncode == 0, again.stderr
    assert "judged now, the rest before" in again.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_ctrl_c_leaves_the_old_bundle(small: Trained, tmp_path: Path) -> None:
    """A stopped training ends with 130 and a sentence, which is true: nothing stands beside the old bundle."""
    out = write_tiny_bundle(tmp_path / "bundles" / "model")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    program = PRELUDE + (
        "from pathlib import Path\n"
        "import lineside.train.run as training\n"
        "def wait(*_): Path(sys.argv[-1], '../../ready').resolve().write_text('x'); time.sleep(60)\n"
        "training.assembled = wait\n"
        "run()\n"
    )
    words = ["train", str(small.recipe), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    code, stderr = stopped(process, tmp_path / "ready")
    assert code == 130
    assert stderr.splitlines()[-1].startswith("stopped; ")
    assert "Traceback" not in stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in out.parent.iterdir() if not path.name.startswith(".")] == ["model"]
    assert not list(out.parent.glob("*.part"))


def test_ctrl_c_before_any_command_is_no_traceback() -> None:
    """Stopped while the commands are still being loaded, it says the same."""
    program = PRELUDE + "import lineside.cli.main as m\ndef r(_): raise KeyboardInterrupt\nm.register = r\nrun()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.startswith("stopped; ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--version",), 0, ""),
        (("--help",), 0, ""),
        (("inspect",), 2, "Missing argument"),
        (("inspect", "a", "b", "--workers", "none"), 2, "Invalid value"),
        (("nothing",), 2, "No such command"),
        (("verify", "absent"), 2, "error: absent"),
    ],
)
def test_exit_codes_come_through(arguments: tuple[str, ...], code: int, words: str) -> None:
    """Help, usage errors and lineside's own errors end with their code, and nothing says that it was stopped."""
    done = lineside(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "stopped" not in done.stderr


def test_a_commands_own_exit_code_comes_through(tmp_path: Path) -> None:
    """An unreadable image among the others: exit code 3."""
    write_tiny_bundle(tmp_path / "model")
    (tmp_path / "broken.png").write_bytes(b"no image")
    done = lineside("inspect", tmp_path / "model", tmp_path / "broken.png", "--out", tmp_path / "out")
    assert done.returncode == 3, done.stderr
