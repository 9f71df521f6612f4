"""Work that torch's exporter does over and over, done once; the graphs are the same to the byte.

Its table of ONNX operators is built anew for every export, which takes half a second to one second, more than a small
head's export itself. And onnxscript tries every rewriting rule at every node, also where the node is not of the
operator that the rule begins with; its one rule with two outputs then looks through the whole graph: half a minute of a
front's export became a second or two. Neither is part of a public interface, so versions that keep them elsewhere
export as they always did. And Python looks for garbage among the million objects that an export makes and still needs:
a twelfth of its time.
"""

import contextlib
import copy
import gc
from collections.abc import Callable, Iterator
from typing import Any

_built: dict[str, Any] = {}
"""Registries as torch built them, by what they were built for."""


@contextlib.contextmanager
def shortcuts() -> Iterator[None]:
    """Take all shortcuts for as long as the block runs."""
    with one_registry(), quick_rules(), uncollected():
        yield


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Leave garbage lying for as long as the block runs: some 50 MB in the largest export."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def one_registry() -> Iterator[None]:
    """Hand torch's exporter copies of one table of operators."""
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


@contextlib.contextmanager
def quick_rules() -> Iterator[None]:
    """Let rules look no further where their first operator is not the node's."""
    try:
        from onnxscript import rewriter
        from onnxscript.rewriter import MatchResult

        matchers = [rule._matcher for rule in rewriter._DEFAULT_REWRITE_RULES]
        begins = [(matcher, matcher.pattern.output_nodes[0].op_identifier()) for matcher in matchers]
    except (ImportError, AttributeError):
        yield
        return
    for matcher, operator in begins:
        if operator is not None:
            matcher.match = _quick(matcher.match, operator, MatchResult)
    try:
        yield
    finally:
        for matcher, _ in begins:
            vars(matcher).pop("match", None)  # the class's own shows again


def _quick(match: Callable[..., Any], operator: object, none: Callable[[], Any]) -> Callable[..., Any]:
    def quick(model: Any, graph: Any, node: Any, **rest: Any) -> Any:
        if node.op_identifier() != operator:
            return none().fail("Another operator.")
        return match(model, graph, node, **rest)

    return quick
