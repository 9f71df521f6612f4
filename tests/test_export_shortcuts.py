"""Shortcuts through torch's exporter: less work, the same bytes."""

import contextlib
import gc

import pytest
import torch
from torch import Tensor, nn

from lineside.graph import onnx_export
from lineside.graph.export_shortcuts import one_registry, quick_rules, uncollected
from lineside.graph.onnx_export import export_module


class Halves(nn.Module):
    """Two slices, what the rule with two outputs begins with, and a few nodes around them."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the difference of the halves."""
        x = torch.relu(x) * 2.0
        return (x[:, :4] - x[:, 4:]).abs()


def test_shortcuts_change_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the rule is tried whose search is cut short."""
    arguments = (Halves(), {"x": torch.zeros(2, 8)}, ("y",), {"x": {0: "N"}})
    short = export_module(*arguments)
    monkeypatch.setattr(onnx_export, "shortcuts", contextlib.nullcontext)
    assert export_module(*arguments).SerializeToString() == short.SerializeToString()
    assert [node.op_type for node in short.graph.node].count("Slice") == 2


def test_torch_builds_its_operators_once() -> None:
    """Two exports share one table of operators, and what one adds to it the other does not see."""
    registration = pytest.importorskip("torch.onnx._internal.exporter._registration")
    built = registration.ONNXRegistry.from_torchlib
    with one_registry():
        first, second = (registration.ONNXRegistry.from_torchlib(opset_version=18) for _ in range(2))
        assert registration.ONNXRegistry.from_torchlib is not built
    assert registration.ONNXRegistry.from_torchlib == built
    name = next(iter(first.functions))
    assert first.functions[name][0] is second.functions[name][0]
    first.functions[name].clear()
    assert second.functions[name]


def test_rules_are_as_they_were_behind_the_block() -> None:
    """onnxscript belongs to others too."""
    rewriter = pytest.importorskip("onnxscript.rewriter")
    with quick_rules():
        assert [rule for rule in rewriter._DEFAULT_REWRITE_RULES if "match" in vars(rule._matcher)]
    assert not [rule for rule in rewriter._DEFAULT_REWRITE_RULES if "match" in vars(rule._matcher)]


@pytest.mark.parametrize("on", [True, False])
def test_garbage_is_collected_behind_the_block_as_before(on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On where it was on, off where it was off."""
    state = {"on": on}
    monkeypatch.setattr(gc, "isenabled", lambda: state["on"])
    monkeypatch.setattr(gc, "disable", lambda: state.update(on=False))
    monkeypatch.setattr(gc, "enable", lambda: state.update(on=True))
    with uncollected():
        assert not state["on"]
    assert state["on"] == on
