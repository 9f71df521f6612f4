"""Where a graph is cut into stages."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lineside.bench.cuts import STAGES, front_ends, prefix, sections
from lineside.bench.stages import (
    bench_frame,
)
from lineside.errors import UsageError
from lineside.session import open_session

FRAME = bench_frame((6, 4), 3)[None]


def staged_model() -> onnx.ModelProto:
    """A graph with every stage: adds one at each, the last gate bit needs the trunk, and a branch looks back."""
    node = helper.make_node
    steps = [
        node("Cast", ["frame"], ["middle"], to=TensorProto.FLOAT),
        node("Add", ["middle", "one"], ["small"]),
        node("ReduceMean", ["small"], ["matrix"], keepdims=0),
        node("Shape", ["frame"], ["shape"]),
        node("Mul", ["middle", "matrix"], ["warped"]),
        node("Reshape", ["warped", "shape"], ["working"]),
        node("Greater", ["matrix", "one"], ["front_gate"]),
        node("Add", ["working", "one"], ["tap0"]),
        node("Mul", ["tap0", "one"], ["projected"]),
        node("ReduceMean", ["projected"], ["embedding"]),
        node("Add", ["projected", "small"], ["golden_map"]),
        node("ReduceMax", ["golden_map"], ["score"], keepdims=0),
        node("Greater", ["score", "one"], ["is_part"]),
        node("And", ["front_gate", "is_part"], ["gate"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        steps,
        "staged",
        [value("frame", TensorProto.UINT8, ["N", "H", "W", 3])],
        [value("score", TensorProto.FLOAT, []), value("gate", TensorProto.BOOL, [])],
        [numpy_helper.from_array(np.array(1.0, np.float32), "one")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def values(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a model."""
    session = open_session(model.SerializeToString(), "a test")
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feed), strict=True))


def test_sections_hold_every_node_once() -> None:
    """The stages share no node, and together they are the graph."""
    parts = sections(staged_model())
    names = [output for part in parts for node in part.model.graph.node for output in node.output]
    assert sorted(names) == sorted(output for node in staged_model().graph.node for output in node.output)
    assert [part.stage for part in parts] == [stage.name for stage in STAGES]


def test_sections_one_after_another_are_the_graph() -> None:
    """Fed with what those before it computed, each section computes what the whole graph does."""
    model = staged_model()
    inner = [name for node in model.graph.node for name in node.output]
    known = {"frame": FRAME, **values(prefix(model, inner), {"frame": FRAME})}
    for part in sections(model):
        for item in part.model.graph.input:
            if not item.HasField("type"):
                kind = helper.np_dtype_to_tensor_dtype(known[item.name].dtype)
                item.CopyFrom(helper.make_tensor_value_info(item.name, kind, [None] * known[item.name].ndim))
        found = values(part.model, {name: known[name] for name in part.inputs})
        assert set(found) == set(part.ends)
        for name, value in found.items():
            np.testing.assert_array_equal(value, known[name])


def test_a_gate_that_needs_the_trunk_is_no_end_of_the_front() -> None:
    """Otherwise the front would be said to cost what the trunk costs."""
    ends = front_ends(staged_model())
    assert "front_gate" in ends
    assert "gate" not in ends
    assert not {"tap0", "score"} & {name for node in prefix(staged_model(), ends).graph.node for name in node.output}


def test_an_embedding_is_told_where_taps_are_named() -> None:
    """What leads from the taps to it is a stage; without names for taps it is the head's, with its trunk."""
    stages = {part.stage: part for part in sections(staged_model())}
    assert [node.output[0] for node in stages["embedding"].model.graph.node] == ["projected", "embedding"]
    assert (stages["embedding"].inputs, stages["embedding"].ends) == (("tap0",), ("embedding",))
    unnamed = staged_model()
    for step in unnamed.graph.node:
        for names in (step.input, step.output):
            names[:] = ["features" if name == "tap0" else name for name in names]
    told = {part.stage: part for part in sections(unnamed)}
    assert not {"embedding", "trunk"} & told.keys()
    assert "embedding" in told["head"].ends


def test_a_value_that_is_absent_is_left_out() -> None:
    """A graph without a pose search has no such stage, and its nodes are in the others."""
    model = staged_model()
    model.graph.node[2].output[0] = "other"
    for node in model.graph.node:
        node.input[:] = ["other" if name == "matrix" else name for name in node.input]
    assert "pose search" not in [part.stage for part in sections(model)]
    assert sum(len(part.model.graph.node) for part in sections(model)) == len(model.graph.node)


def test_an_unknown_value_is_refused() -> None:
    """A prefix up to a value that the graph does not compute is an error, not an empty graph."""
    with pytest.raises(UsageError, match="nothing"):
        prefix(staged_model(), ["nothing"])
