"""The one way in which lineside opens an ONNX Runtime session, in training and on the line alike.

ONNX Runtime's Linux wheels carry a telemetry client that is on by default (seen in 1.31.1: it stores a device id and
reports). A line PC must not call home, so it is switched off before the library is first loaded, unless the environment
already says otherwise. Every module of lineside takes ONNX Runtime from here for that reason.
"""

import os
import platform
from pathlib import Path

import numpy as np

from lineside.errors import BundleError, UsageError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["open_session", "ort", "processor_name", "processors"]

NEEDLESS_PASSES = (
    "CommonSubexpressionElimination",
    "ConstantSharing",
    "GatherSliceToSplitFusion",
    "MatMulScaleFusion",
    "MatmulTransposeFusion",
)
"""Of ONNX Runtime's graph optimisation. Each finds something to change in a lineside graph of 1,400 nodes, whereupon
all shapes are inferred again. Without them a session opens in 0.16 s instead of 0.24 and takes the same time for a
frame (measured: caps, one core, process time, best of 12 in turns, 2026-11)."""
_TRANSFORMER = b"LayerNormalization"
"""A model that holds this operator gets them: attention is faster fused."""
PROVIDER = "CPUExecutionProvider"
MAX_THREADS = 1024
"""More than a machine has cores: a slip of the hand, which ONNX Runtime would answer by starting them all."""


def open_session(model: bytes, where: str, threads: int = 1) -> ort.InferenceSession:
    """Open an ONNX Runtime session on the CPU.

    Parameters
    ----------
    model : bytes
        The serialised model.
    where : str
        Where it came from, for the error message.
    threads : int
        Threads inside one operator, 1 to `MAX_THREADS`.

    Raises
    ------
    BundleError
        When ONNX Runtime cannot load the bytes.
    UsageError
        When `threads` is none of these. ONNX Runtime takes 0 for one per core, which nobody asks for by it.
    """
    given: object = threads
    if not isinstance(given, int | np.integer) or isinstance(given, bool) or not 1 <= given <= MAX_THREADS:
        raise UsageError(f"threads must be a whole number from 1 to {MAX_THREADS}, found {threads!r}.")
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    needless = () if _TRANSFORMER in model else NEEDLESS_PASSES
    try:
        return ort.InferenceSession(model, options, providers=[PROVIDER], disabled_optimizers=set(needless))
    except Exception as error:  # ONNX Runtime raises one class of its own per status code, with no common root
        raise BundleError(f"{where}: ONNX Runtime cannot load the model ({str(error).splitlines()[0]}).") from None


def processors() -> int:
    """Return how many processors this process may use; in a container fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """Return the processor's name; `platform.processor` says only its architecture on most Linux systems."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
