"""The deployed graph cut behind an inner value, without the package onnx."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lineside.batch.working import cut
from lineside.graph.onnx_export import IR_VERSION, OPSET
from lineside.graph.run import Graph


def chain(weights: int) -> onnx.ModelProto:
    """A model x -> a -> b -> y that adds 1, 2 and a constant of so many numbers."""
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [weights])]
    numbers = {"one": np.ones(1), "two": np.full(1, 2.0), "many": np.zeros(weights)}
    held = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in numbers.items()]
    links = (("x", "one", "a"), ("a", "two", "b"), ("b", "many", "y"))
    nodes = [helper.make_node("Add", [first, second], [out]) for first, second, out in links]
    graph = helper.make_graph(nodes, "chain", *ends, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {"lineside": "kept"})
    return model


@given(st.one_of(st.integers(1, 200), st.sampled_from([4090, 4096, 5000, 600_000])))
def test_what_stands_behind_is_gone_and_the_rest_untouched(weights: int) -> None:
    """Of any size: nodes up to the value, its name as the only output, weights and metadata as they were."""
    model = chain(weights)
    made = onnx.load_from_string(cut(model.SerializeToString(), ("a", "b")) or b"")
    assert [node.output[0] for node in made.graph.node] == ["a", "b"]
    assert [output.name for output in made.graph.output] == ["a", "b"]
    assert list(made.graph.initializer) == list(model.graph.initializer)
    assert list(made.graph.input) == list(model.graph.input)
    assert made.metadata_props == model.metadata_props
    assert (made.ir_version, made.opset_import) == (model.ir_version, model.opset_import)


def test_the_cut_graph_gives_the_inner_values() -> None:
    """In ONNX Runtime, by hand."""
    made = cut(chain(3).SerializeToString(), ("b", "a", "two"))
    assert made is not None
    found = Graph(made)({"x": np.array([5.0], np.float32)})
    assert {name: value.tolist() for name, value in found.items()} == {"b": [8.0], "a": [6.0], "two": [2.0]}


@pytest.mark.parametrize("name", ["nowhere", "x"])
def test_what_no_node_makes_cannot_be_cut_behind(name: str) -> None:
    """Unknown values and inputs."""
    assert cut(chain(3).SerializeToString(), ("a", name)) is None
