"""What a batch inspection leaves behind when it is killed, the disk is full, or two of them meet; and its memory.

Each runs in a process of its own, because it is the process that dies, hits a limit or grows.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineside.batch import InspectOptions, inspect_images
from lineside.errors import StorageError
from lineside.runtime import Inspector
from tiny import write_tiny_bundle

N_IMAGES = 60
HEADER = """
import sys, time
from lineside.batch import InspectOptions, inspect_images
from lineside.errors import LinesideError
from lineside.runtime import Inspector
"""
SLOW = (
    HEADER
    + """
inspect_images(Inspector("model"), ["imgs"], "out", InspectOptions(workers=2), lambda progress: time.sleep(0.05))
"""
)
LIMITED = (
    HEADER
    + """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
inspector, options = Inspector("model"), InspectOptions(overlays=sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
try:
    inspect_images(inspector, ["imgs"], "out", options)
except LinesideError as error:
    print(error.message)
    sys.exit(error.exit_code)
"""
)
GROWTH = (
    HEADER
    + """
import resource
options = InspectOptions(overlays="none")
inspect_images(Inspector("model"), ["warm"], "out_warm", options)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
summary = inspect_images(Inspector("model"), ["imgs"], "out", options)
print(summary.total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the tiny bundle and sixty images, every third of them NG."""
    monkeypatch.chdir(tmp_path)
    write_tiny_bundle(tmp_path / "model")
    (tmp_path / "imgs").mkdir()
    for index in range(N_IMAGES):
        red = 200 if index % 3 == 0 else 100
        cv2.imwrite(f"imgs/{index:03}.png", np.full((16, 16, 3), (90, 60, red), np.uint8))
    return tmp_path


def rows() -> list[dict]:
    """Read results.jsonl; fails where a line is not whole."""
    content = Path("out/results.jsonl").read_bytes()
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def wait_for_lines(n: int, process: subprocess.Popen) -> None:
    """Wait until results.jsonl has n lines."""
    results = Path("out/results.jsonl")
    while not (results.exists() and results.read_bytes().count(b"\n") >= n):
        assert process.poll() is None, "the inspection ended before it could be killed"
        time.sleep(0.01)


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_goes_on_where_it_was(place: Path) -> None:
    """After SIGKILL the same call judges what is missing: every image once, and what was written stays as it was."""
    process = subprocess.Popen([sys.executable, "-c", SLOW])
    wait_for_lines(7, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = Path("out/results.jsonl").read_bytes()
    n_before = before.count(b"\n")
    assert 7 <= n_before < N_IMAGES
    assert not Path("out/report.html").exists()

    summary = inspect_images(Inspector("model"), ["imgs"], "out", InspectOptions())

    assert summary.judged_now == N_IMAGES - n_before
    whole = before[: before.rindex(b"\n") + 1]
    assert Path("out/results.jsonl").read_bytes().startswith(whole)
    assert [row["path"] for row in rows()] == [f"imgs/{i:03}.png" for i in range(N_IMAGES)]
    assert len({row["resultId"] for row in rows()}) == N_IMAGES
    assert summary.counts["NG"] == 20
    assert all(Path("out", row["overlay"]).is_file() for row in rows() if row["verdict"] == "NG")
    assert not list(Path("out").rglob("*.partial"))


def test_two_runs_in_one_folder_are_kept_apart(place: Path) -> None:
    """While one writes the other is refused; once it died, killed or not, the folder is free."""
    process = subprocess.Popen([sys.executable, "-c", SLOW])
    try:
        wait_for_lines(2, process)
        with pytest.raises(StorageError, match="another inspection is writing here") as caught:
            inspect_images(Inspector("model"), ["imgs"], "out")
        with pytest.raises(StorageError, match="another inspection is writing here"):
            inspect_images(Inspector("model"), ["imgs"], "out", InspectOptions(fresh=True))
    finally:
        process.kill()
        process.wait()
    assert caught.value.exit_code == 4
    assert inspect_images(Inspector("model"), ["imgs"], "out").total == N_IMAGES


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_whole_lines(place: Path) -> None:
    """When a line cannot be written whole, it is taken back, the error says so, and the next run goes on."""
    done = python(LIMITED, "8000", "none")
    assert done.returncode == 4, done.stderr
    assert "results.jsonl: cannot be written" in done.stdout
    assert "it goes on where it stopped" in done.stdout
    assert 0 < len(rows()) < N_IMAGES
    assert {path.name for path in Path("out").iterdir()} == {".lock", "run.json", "results.jsonl"}

    assert inspect_images(Inspector("model"), ["imgs"], "out", InspectOptions(overlays="none")).total == N_IMAGES
    assert len({row["path"] for row in rows()}) == len(rows()) == N_IMAGES


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    ("limit", "overlays", "unwritten"), [(70_000, "none", "report.html"), (700, "all", "overlays/")]
)
def test_a_full_disk_leaves_no_half_file(place: Path, limit: int, overlays: str, unwritten: str) -> None:
    """A page or an overlay that does not fit stands neither under its own name nor under a temporary one."""
    done = python(LIMITED, str(limit), overlays)
    assert done.returncode == 4, done.stderr
    assert unwritten in done.stdout
    assert not Path("out/report.html").exists()
    assert not list(Path("out").rglob("*.jpg")) or overlays == "none"
    assert not list(Path("out").rglob("*.partial"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_a_storage_error(place: Path) -> None:
    """A folder without permission to write stops the run with its name."""
    Path("out").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="out"):
        inspect_images(Inspector("model"), ["imgs"], "out")


@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_memory_does_not_grow_with_the_number_of_images(place: Path) -> None:
    """Ten times the images, each 0.2 MB in memory: what 1,800 of them would take (350 MB) is nowhere near taken."""
    cv2.imwrite("one.png", np.full((256, 256, 3), (90, 60, 100), np.uint8))
    for folder, n in (("warm", 200), ("many", 2000)):
        Path(folder).mkdir()
        for index in range(n):
            os.link("one.png", f"{folder}/{index:04}.png")
    done = python(GROWTH.replace('"imgs"', '"many"'))
    assert done.returncode == 0, done.stderr
    total, growth_kb = (int(word) for word in done.stdout.split())
    assert total == 2000
    assert growth_kb < 12_000 * (1 if sys.platform != "darwin" else 1024)
