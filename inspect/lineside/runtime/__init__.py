"""Inspecting frames with an exported bundle: numpy and onnxruntime, nothing more.

>>> from lineside.runtime import Inspector
>>> result = Inspector("models/caps").inspect(frame)  # frame: uint8 [H, W, 3]
>>> result.verdict.name, result.score
"""

from lineside.contract import Contract, Verdict
from lineside.errors import BundleError, FrameError, LinesideError, StorageError, UsageError
from lineside.export.load import Bundle, load_bundle
from lineside.runtime.inspector import Inspector
from lineside.runtime.result import Result
from lineside.runtime.verify import Verification, verify_bundle

__all__ = [
    "Bundle",
    "BundleError",
    "Contract",
    "FrameError",
    "Inspector",
    "LinesideError",
    "Result",
    "StorageError",
    "UsageError",
    "Verdict",
    "Verification",
    "load_bundle",
    "verify_bundle",
]
