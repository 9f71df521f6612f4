"""Exported graphs: clean, joined as meant, dynamic."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from lineside.errors import ParityError
from lineside.graph.join import fix_input, join, select_outputs
from lineside.graph.onnx_export import IR_VERSION, OPSET, clean, export_module
from lineside.graph.rewrite import constants, piece, with_constants
from lineside.graph.run import Graph, parallel
from lineside.sixteen_bits import in_16_bits


class Affine(nn.Module):
    """x -> (2x + 1, x's sum)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        return 2.0 * x + 1.0, x.sum(dim=1)


class Shift(nn.Module):
    """y, s -> y + s."""

    def forward(self, y: Tensor, s: Tensor) -> Tensor:
        """Return the sum."""
        return y + s


@pytest.fixture(scope="module")
def parts() -> SimpleNamespace:
    """Two exported modules, the second takes an output of the first and an input of its own."""
    first = export_module(Affine(), {"x": torch.zeros(2, 3)}, ("y", "total"), {"x": {0: "N"}})
    second = export_module(Shift(), {"y": torch.zeros(2, 3), "s": torch.zeros(1)}, ("z",), {"y": {0: "N"}})
    return SimpleNamespace(first=first, second=second)


def test_an_export_says_nothing_of_where_it_was_made(parts: SimpleNamespace) -> None:
    """No path, no time, no stack trace; the opset and IR that every ONNX Runtime since 2024 reads."""
    content = parts.first.SerializeToString()
    assert b".py" not in content
    assert b"stack_trace" not in content
    assert (parts.first.opset_import[0].version, parts.first.ir_version) == (OPSET, IR_VERSION)
    assert OPSET <= 21
    assert IR_VERSION <= 10


def test_the_same_module_gives_the_same_bytes(parts: SimpleNamespace) -> None:
    """Exporting twice is exporting once."""
    again = export_module(Affine(), {"x": torch.zeros(2, 3)}, ("y", "total"), {"x": {0: "N"}})
    assert again.SerializeToString() == parts.first.SerializeToString()


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_a_joined_graph_computes_both_in_any_batch(parts: SimpleNamespace, batch: int) -> None:
    """Outputs of the first stay outputs, and feed the second under their names."""
    x = np.random.default_rng(0).standard_normal((batch, 3)).astype(np.float32)
    out = Graph(join(parts.first, parts.second, "b/"))({"x": x, "s": np.array([5], np.float32)})
    assert np.allclose(out["z"], 2 * x + 6)
    assert np.allclose(out["y"], 2 * x + 1)
    assert np.allclose(out["total"], x.sum(axis=1))


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        (np.tile(np.array([0, 1, 255], np.float32), 6000), TensorProto.UINT8),
        (np.tile(np.array([0.5, -2.25, 3e-4], np.float32), 6000), TensorProto.FLOAT),
        (in_16_bits(np.random.default_rng(1).standard_normal(17_000)), TensorProto.INT16),
        (np.tile(np.array([0.1, 1e5, -1], np.float32), 6000), TensorProto.FLOAT),
        (np.array([0, 1], np.float32), TensorProto.FLOAT),
    ],
)
def test_a_large_constant_takes_as_few_bytes_as_hold_it(numbers: np.ndarray, kind: int) -> None:
    """The graph computes with the same numbers, readers get them in full, and they may be replaced by any others."""
    value = helper.make_tensor_value_info
    ends = [value(name, TensorProto.FLOAT, ["n"]) for name in ("x", "s")], [value("y", TensorProto.FLOAT, ["n"])]
    graph = helper.make_graph([helper.make_node("Add", ["x", "s"], ["y"])], "sum", *ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    fix_input(model, "s", numbers)
    assert model.graph.initializer[0].data_type == kind
    onnx.checker.check_model(model)
    assert np.array_equal(Graph(model)({"x": np.zeros_like(numbers)})["y"], numbers)
    assert constants(model)["s"].dtype == np.float32
    assert np.array_equal(constants(model)["s"], numbers)
    others = np.random.default_rng(0).standard_normal(len(numbers)).astype(np.float32)
    changed = with_constants(model, {"s": others})
    assert np.array_equal(Graph(changed)({"x": np.zeros_like(others)})["y"], others)
    assert np.array_equal(Graph(piece(model, ("x",), ("s",), ("y",)))({"x": others, "s": others})["y"], 2 * others)


def test_a_fixed_input_is_a_constant_and_an_optional_one_a_default(parts: SimpleNamespace) -> None:
    """A constant is no input any more; a default may be overridden."""
    x = np.ones((1, 3), np.float32)
    fixed = join(parts.first, parts.second, "b/")
    fix_input(fixed, "s", np.array([1], np.float32))
    assert [i.name for i in fixed.graph.input] == ["x"]
    optional = join(parts.first, parts.second, "b/")
    fix_input(optional, "s", np.array([1], np.float32), optional=True)
    graph = Graph(optional)
    assert graph({"x": x})["z"][0, 0] == 4.0
    assert graph({"x": x, "s": np.array([10], np.float32)})["z"][0, 0] == 13.0


def test_selecting_outputs_drops_what_they_do_not_need(parts: SimpleNamespace) -> None:
    """Nodes and inputs that only served other outputs are gone."""
    model = select_outputs(join(parts.first, parts.second, "b/"), ("total",))
    assert [o.name for o in model.graph.output] == ["total"]
    assert [i.name for i in model.graph.input] == ["x"]
    assert {n.op_type for n in model.graph.node} == {"ReduceSum"}


def test_operators_outside_the_standard_are_refused(parts: SimpleNamespace) -> None:
    """A graph that only one runtime could run is not exported."""
    model = onnx.ModelProto.FromString(parts.first.SerializeToString())
    model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(ParityError, match=r"com\.microsoft"):
        clean(model)


def test_parallel_keeps_the_order_and_passes_errors_on() -> None:
    """Results come in the order of the items; an exception in one of them reaches the caller."""
    assert list(parallel(lambda i: i * i, range(50), workers=4)) == [i * i for i in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(parallel(lambda i: 1 // i, [1, 0], workers=2))
