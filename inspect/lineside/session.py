"""The one way in which lineside opens an ONNX Runtime session, in training and on the line alike.

ONNX Runtime's Linux wheels carry a telemetry client that is on by default (seen in 1.31.1: it stores a device id and
reports). A line PC must not call home, so it is switched off before the library is first loaded, unless the environment
already says otherwise. Every module of lineside takes ONNX Runtime from here for that reason.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lineside.errors import BundleError, UsageError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["open_session", "ort", "processor_name", "processors"]

_NORMALISATION, _QUANTISATION = b"Normalization", b"QuantizeLinear"
_QUANTISED = (
    "DoubleQDQPairsRemover",
    "EnsureUniqueDQForNodeUnit",
    "QDQFinalCleanupTransformer",
    "QDQPropagationTransformer",
    "QDQS8ToU8Transformer",
    "QDQSelectorActionTransformer",
    "WeightBiasQuantization",
    "WhereDummyDq",
)
"""Passes that look for quantised values alone, each through the whole graph. Without them, and two dozen that look for
transformers, the graph of caps opens in 0.22 s instead of 0.26, with the same outputs to the last bit; without those
for transformers alone in 0.24 (process time, best of 8 in turns, busy machine, 2026-11): those are left in."""
NEEDLESS_PASSES: Mapping[str, frozenset[bytes]] = {
    "CommonSubexpressionElimination": frozenset({_NORMALISATION}),
    "ConstantSharing": frozenset({_NORMALISATION}),
    "GatherSliceToSplitFusion": frozenset({_NORMALISATION}),
    "Level1_RuleBasedTransformer": frozenset({_NORMALISATION, _QUANTISATION}),
    "MatMulAddFusion": frozenset({_NORMALISATION, _QUANTISATION}),
    "MatMulScaleFusion": frozenset({_NORMALISATION}),
    "MatmulTransposeFusion": frozenset({_NORMALISATION}),
    **dict.fromkeys(_QUANTISED, frozenset({_QUANTISATION})),
}
"""Passes of ONNX Runtime's graph optimiser, and what in a model has a use for them: the attention of a transformer,
which has layer normalisation, is faster fused; batch normalisation and clipping go into what they follow. Each pass
finds something to change in a lineside graph of 1,400 nodes, whereupon all shapes are inferred again. Without them a
session opens in 0.20 s instead of 0.38, and gives the same numbers to the last bit; it takes the same time for a frame,
also with Padim, PatchCore and sorted classes (measured: caps, one core of a busy machine, process time, best of 15 in
turns, 2026-11)."""
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
    holds = {word for word in (_NORMALISATION, _QUANTISATION) if word in model}
    needless = {name for name, users in NEEDLESS_PASSES.items() if not users & holds}
    try:
        return ort.InferenceSession(model, options, providers=[PROVIDER], disabled_optimizers=needless)
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
    import platform

    return platform.processor() or platform.machine()
