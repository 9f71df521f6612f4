"""What a frame costs in memory: its outputs, and nothing that stays; and frames that are judged where they lie."""

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest

from lineside.runtime import Inspector
from tiny import write_tiny_bundle

SHAPE = (900, 1200, 3)
"""3.2 MB of samples: a copy of them would be seen."""
SMALL_BYTES = 60_000
"""Far less than a frame, and room for a result, its arrays, and whatever Python keeps of a call."""


def taken_bytes(work: Callable[[], object]) -> int:
    """Return the most memory that Python and numpy held at once beyond what they held before."""
    work()  # buffers are made with the first frame
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def cropped(frame: np.ndarray) -> np.ndarray:
    """A view whose rows do not lie in one piece."""
    return frame[:, 1:]


def mirrored(frame: np.ndarray) -> np.ndarray:
    """A view that runs backwards."""
    return frame[::-1, ::-1]


@pytest.mark.parametrize("view", [np.asarray, cropped, mirrored])
@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_a_frame_takes_no_memory_beyond_its_outputs(bundle: Path, color: str, view: Callable[..., np.ndarray]) -> None:
    """Blue first, cropped or mirrored: what has to be copied goes where the frame before it went."""
    inspector = Inspector(bundle, color=color)  # type: ignore[arg-type]
    frame = view(np.full(SHAPE, 100, np.uint8))
    assert taken_bytes(lambda: inspector.inspect(frame)) < SMALL_BYTES


def test_a_deep_frame_takes_a_few_rows(tmp_path: Path) -> None:
    """16-bit samples are reduced in strips: a whole frame would take 13 MB and more."""
    inspector = Inspector(write_tiny_bundle(tmp_path / "deep", bit_depth=12))
    frame = np.full(SHAPE, 1000, np.uint16)
    assert taken_bytes(lambda: inspector.inspect(frame)) < 1_000_000


def test_the_measure_sees_a_copy(bundle: Path) -> None:
    """The same measure finds the copy that a caller makes."""
    inspector = Inspector(bundle)
    frame = np.full(SHAPE, 100, np.uint8)
    assert taken_bytes(lambda: inspector.inspect(frame.copy())) > frame.nbytes


def test_ten_thousand_frames_leave_nothing_behind(bundle: Path) -> None:
    """In a process of its own, 10,000 frames of two sizes in turns let it grow by less than 100 bytes a frame."""
    program = """
import os, sys, numpy as np
from lineside.runtime import Inspector

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

inspector = Inspector(sys.argv[1], color="bgr")
frames = [np.full((h, 64, 3), 100, np.uint8) for h in (48, 80)]
def judge(n):
    for i in range(n):
        inspector.inspect(frames[i % 2])
judge(1000)
before = resident()
judge(10000)
print(resident() - before)
kept = [inspector.inspect(frames[0]) for _ in range(3000)]
print(resident() - before)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")
    done = subprocess.run([sys.executable, "-c", program, str(bundle)], capture_output=True, text=True, check=True)
    grown, with_results_kept = map(int, done.stdout.split())
    assert grown < 1_000_000
    assert with_results_kept > 3_000_000  # the measure would see results that are not let go


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_a_large_run_gives_its_memory_back(bundle: Path, color: str) -> None:
    """What one giant frame, or many frames together, took goes with the next usual frame; a usual one keeps its own."""
    program = """
import os, sys, numpy as np
from lineside.runtime import Inspector

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

inspector = Inspector(sys.argv[1], color=sys.argv[2])
usual, giant = np.full((480, 640, 3), 100, np.uint8), np.full((3000, 4000, 3), 100, np.uint8)
def judge():
    for _ in range(3):
        inspector.inspect(usual)
judge()
before = resident()
inspector.inspect(giant)
during = resident()
judge()
print(during - before, resident() - before)
inspector.inspect_many([usual] * 16, together=16)
during = resident()
judge()
print(during - before, resident() - before)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("resident memory is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle), color], capture_output=True, text=True, check=True
    )
    for line in done.stdout.splitlines():
        during, after = map(float, line.split())
        assert during > 40
        assert after < 10


# ---- frames of another process


WRITER = """
import sys, numpy as np
from multiprocessing import resource_tracker, shared_memory
memory = shared_memory.SharedMemory(name=sys.argv[1])
resource_tracker.unregister(memory._name, "shared_memory")  # it belongs to the other process
frame = np.ndarray((900, 1200, 3), np.uint8, buffer=memory.buf)
for level in map(int, sys.stdin):
    frame[:] = (level, 50, 90)
    print("written", flush=True)
"""


def test_a_frame_is_judged_in_shared_memory(inspector: Inspector) -> None:
    """Another process writes each frame, this one judges it where it was written; afterwards the memory is let go."""
    memory = SharedMemory(create=True, size=int(np.prod(SHAPE)))
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, memory.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdin
    assert writer.stdout
    try:
        frame = np.ndarray(SHAPE, np.uint8, buffer=memory.buf)
        for level in (120, 30, 250):
            writer.stdin.write(f"{level}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "written\n"
            assert inspector.inspect(frame).score == pytest.approx(level - 90, abs=5)  # float32 means of a million
        assert taken_bytes(partial(inspector.inspect, frame)) < SMALL_BYTES
        del frame
    finally:
        writer.stdin.close()
        writer.wait(30)
        memory.close()  # raises where anything still points into it
        memory.unlink()


def test_any_buffer_is_judged_where_it_lies(inspector: Inspector) -> None:
    """Bytes that a driver filled, read-only or not, need no copy."""
    for raw in (bytes([130, 50, 90]) * 1_080_000, bytearray([130, 50, 90]) * 1_080_000):
        frame = np.frombuffer(raw, np.uint8).reshape(SHAPE)
        assert inspector.inspect(frame).score == pytest.approx(40, abs=2)
        assert taken_bytes(partial(inspector.inspect, frame)) < SMALL_BYTES
