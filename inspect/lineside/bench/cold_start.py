"""The cold start: from nothing to the first verdict, in a process of its own, as a line's service starts.

Import, checks of the bundle, the session and the first frame, which is slower than those after it, are all in it; so is
the interpreter's own start.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.errors import LinesideError

_PROGRAM = """
import sys
import numpy
from lineside.runtime import Inspector
Inspector(sys.argv[1]).inspect(numpy.load(sys.argv[2]), reduced=True)
"""


def cold_start_ms(model: Path, frame: npt.NDArray[np.uint8], times: int) -> list[float]:
    """Start a process that judges one frame, several times.

    Parameters
    ----------
    model : Path
        Bundle folder.
    frame : ndarray of uint8 [H, W, C]
        As the graph takes it.
    times : int
        How often.

    Returns
    -------
    list of float
        Milliseconds from the start of the process to its end, which follows the verdict at once.

    Raises
    ------
    LinesideError
        When a process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.npy"
        np.save(file, frame)
        return [_once([sys.executable, "-c", _PROGRAM, str(model), str(file)]) for _ in range(times)]


def _once(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise LinesideError(f"the process that was to judge a frame failed ({done.stderr.strip().splitlines()[-1]}).")
    return 1000.0 * seconds
