"""torch's table of ONNX operators, built once a process.

torch's exporter builds it anew for every export, which takes half a second to one second: more than a small head's
export itself. It is no part of torch's public interface, so a torch that keeps it elsewhere exports as it always did.
"""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

_built: dict[str, Any] = {}
"""Registries as torch built them, by what they were built for."""


@contextlib.contextmanager
def one_registry() -> Iterator[None]:
    """Hand torch's exporter copies of one registry for as long as the block runs."""
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry
    except ImportError:
        yield
        return
    owner: Any = ONNXRegistry
    original = vars(owner).get("from_torchlib")
    if not isinstance(original, classmethod):
        yield
        return
    build = owner.from_torchlib

    def from_torchlib(*args: Any, **kwargs: Any) -> Any:
        asked = repr((args, kwargs))
        registry = _built[asked] if asked in _built else build(*args, **kwargs)
        if not isinstance(getattr(registry, "functions", None), dict):
            return registry
        _built[asked] = registry
        return _copied(registry)

    owner.from_torchlib = staticmethod(from_torchlib)
    try:
        yield
    finally:
        owner.from_torchlib = original


def _copied(registry: Any) -> Any:
    """Return a registry of its own: an export adds the operators of its translation table."""
    made = copy.copy(registry)
    made.functions = {target: list(known) for target, known in registry.functions.items()}
    return made
