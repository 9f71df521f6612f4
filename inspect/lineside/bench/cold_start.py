"""The cold start: from nothing to the first verdict, in a process of its own, as a line's service starts.

Import, checks of the bundle, the session and the first frame, which is slower than those after it, are all in it; so is
the interpreter's own start. The clock is the system's monotonic one, which all processes share.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.errors import LinesideError

_PROGRAM = """
import os, sys, time
import numpy
from lineside.runtime import Inspector
frame = numpy.load(sys.argv[2])
imported = time.monotonic_ns()
inspector = Inspector(sys.argv[1])
opened = time.monotonic_ns()
inspector.inspect(frame, reduced=True)
judged = time.monotonic_ns()
pages = open("/proc/self/statm").read().split()[1] if os.path.exists("/proc/self/statm") else None
print(imported, opened, judged, int(pages) * os.sysconf("SC_PAGE_SIZE") if pages else "")
"""


@dataclass(frozen=True)
class ColdStart:
    """A process from its start to its first verdict; in milliseconds."""

    import_ms: float
    """Interpreter, imports, and the reading of the frame."""
    open_ms: float
    """Checks of the bundle and the session."""
    verdict_ms: float
    """The first frame."""
    total_ms: float
    resident_mb: float | None
    """Memory of the process behind its verdict, the frame included; None where the system does not tell."""


def cold_starts(model: Path, frame: npt.NDArray[np.uint8], times: int) -> tuple[ColdStart, ...]:
    """Start a process that judges one frame, several times.

    Parameters
    ----------
    model : Path
        Bundle folder.
    frame : ndarray of uint8 [H, W, C]
        As the graph takes it.
    times : int
        How often.

    Raises
    ------
    LinesideError
        When a process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.npy"
        np.save(file, frame)
        return tuple(_once([sys.executable, "-c", _PROGRAM, str(model), str(file)]) for _ in range(times))


def _once(command: list[str]) -> ColdStart:
    start = time.monotonic_ns()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise LinesideError(f"the process that was to judge a frame failed ({done.stderr.strip().splitlines()[-1]}).")
    imported, opened, judged, *resident = map(int, done.stdout.split())
    return ColdStart(
        import_ms=(imported - start) / 1e6,
        open_ms=(opened - imported) / 1e6,
        verdict_ms=(judged - opened) / 1e6,
        total_ms=(judged - start) / 1e6,
        resident_mb=resident[0] / 1e6 if resident else None,
    )
