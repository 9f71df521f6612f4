"""Changing a deployed graph without exporting it anew: read inner values, replace fitted numbers, cut a piece out.

What was fitted stands in the graph as initialisers under names of their own (`lineside.export.assemble`), and the
values that parts hand to each other keep theirs. So a graph can be refitted where no recipe, no torch module and no
training image is at hand any more.
"""

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.errors import BundleError
from lineside.graph.join import STEP, widened

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[np.generic]


def read_model(content: bytes, where: str) -> "onnx.ModelProto":
    """Parse a model.

    Raises
    ------
    BundleError
        When the bytes are none.
    """
    import onnx

    try:
        model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError lives in one of several modules, by its implementation
        raise BundleError(f"{where}: no ONNX model ({error}).") from None
    return model


def constants(model: "onnx.ModelProto") -> dict[str, Array]:
    """Return what was fitted: the initialisers that belong to no part alone, by name; kept in fewer bytes, widened."""
    from onnx import numpy_helper

    found = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer if "/" not in w.name}
    steps = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer if w.name.endswith(STEP)}
    whole = {name: found[name].astype(np.float32) * steps[name + STEP] for name in widened(model)}
    return {**found, **whole}


def value_names(model: "onnx.ModelProto") -> frozenset[str]:
    """Names of all values that nodes compute."""
    return frozenset(name for node in model.graph.node for name in node.output if name)


def with_outputs(model: "onnx.ModelProto", names: Sequence[str]) -> "onnx.ModelProto":
    """Return a copy with further float32 values as outputs, after its own.

    Parameters
    ----------
    model : onnx.ModelProto
    names : sequence of str
        Of inner values; those that are outputs already are left as they are.

    Raises
    ------
    BundleError
        When no node computes such a value.
    """
    import onnx

    known, have = value_names(model), {item.name for item in model.graph.output}
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    for name in names:
        if name in have:
            continue
        if name not in known:
            raise BundleError(f"the graph computes no value {name!r}: it was not made by this version of lineside.")
        copy.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return copy


def piece(
    model: "onnx.ModelProto", inputs: Sequence[str], free: Sequence[str], outputs: Sequence[str]
) -> "onnx.ModelProto":
    """Cut a piece out: from some inner values to others, with some fitted numbers as inputs too.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : sequence of str
        Inner float32 values that the piece is given.
    free : sequence of str
        Fitted numbers that it is given as well; all others stay inside.
    outputs : sequence of str
        Inner float32 values that it computes.

    Raises
    ------
    BundleError
        When the outputs do not follow from these inputs alone.
    """
    import onnx

    given, needed = {*inputs, *free}, set(outputs)
    nodes: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):  # nodes stand in topological order
        if needed.intersection(node.output) - given:
            needed.update(name for name in node.input if name)
            nodes.append(node)
    weights = [w for w in model.graph.initializer if w.name in needed and w.name not in given]
    known = given | {w.name for w in weights} | {name for node in nodes for name in node.output}
    missing = sorted(needed - known)
    if missing:
        raise BundleError(f"the graph's piece also needs {missing[0]!r}: it was not made by this version of lineside.")

    small = widened(model)
    kinds = {w.name: w.data_type for w in model.graph.initializer if w.name not in small}
    weights = [_unstepped(w, free) for w in weights]

    def info(name: str) -> onnx.ValueInfoProto:
        return onnx.helper.make_tensor_value_info(name, kinds.get(name, onnx.TensorProto.FLOAT), None)

    graph = onnx.helper.make_graph(
        nodes[::-1], "piece", [info(n) for n in (*inputs, *free)], [info(n) for n in outputs], weights
    )
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _unstepped(weight: "onnx.TensorProto", given: Container[str]) -> "onnx.TensorProto":
    """Return an initialiser; 1 where it is the step of a number that is given in full."""
    from onnx import numpy_helper

    if not weight.name.endswith(STEP) or weight.name.removesuffix(STEP) not in given:
        return weight
    return numpy_helper.from_array(np.array(1, np.float32), weight.name)


def with_constants(model: "onnx.ModelProto", values: Mapping[str, Array]) -> "onnx.ModelProto":
    """Return a copy in which some fitted numbers are replaced; their shapes may differ where the graph allows it.

    Raises
    ------
    BundleError
        When the graph has no such numbers.
    """
    import onnx
    from onnx import numpy_helper

    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    left = dict(values)
    for weight in copy.graph.initializer:
        if weight.name in left:
            weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(left.pop(weight.name)), weight.name))
        elif weight.name.endswith(STEP):
            weight.CopyFrom(_unstepped(weight, values))
    if left:
        raise BundleError(f"the graph holds no numbers named {sorted(left)[0]!r}.")
    return copy
