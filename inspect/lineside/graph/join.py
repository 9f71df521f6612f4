"""Joining graphs: outputs of one to inputs of the next, constants in place of inputs, dead nodes away.

`onnx.compose` merges and `onnx.utils.Extractor` cuts; this module adds only what they lack.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.sixteen_bits import step_of

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[np.generic]

LEAST_BYTES = 65_536
"""Of a constant for which fewer bytes are looked for."""
NUMBER, STEP, WHOLE = "/number", "/step", "/whole"
"""End the names of a constant's whole numbers as float32, of their step, and of their product, which the graph uses."""


def join(first: "onnx.ModelProto", second: "onnx.ModelProto", prefix: str) -> "onnx.ModelProto":
    """Append `second` to `first`; inputs of `second` that are named like outputs of `first` are fed by them.

    Parameters
    ----------
    first, second : onnx.ModelProto
        Of the same opset and IR version.
    prefix : str
        Set before the names of the inner values of `second`, so that none clashes.

    Returns
    -------
    onnx.ModelProto
        With all outputs of both.
    """
    import onnx

    second = onnx.ModelProto.FromString(second.SerializeToString())
    outer = [value.name for value in (*second.graph.input, *second.graph.output)]
    _rename_inner(second.graph, prefix, set(outer))
    links = [(o.name, o.name) for o in first.graph.output if o.name in {i.name for i in second.graph.input}]
    merged = onnx.compose.merge_models(first, second, io_map=links)
    have = {o.name for o in merged.graph.output}
    merged.graph.output.extend(o for o in first.graph.output if o.name not in have)
    return merged


def fix_input(model: "onnx.ModelProto", name: str, value: Array, *, optional: bool = False) -> None:
    """Give an input its value, in place: as a constant, or with `optional` as a default that a caller may override.

    A large constant is kept in as few bytes as hold it without loss; the graph widens it once, when it is opened.
    Measured: 0.7 of the 1.3 MB of masks, pose and places of caps are saved.
    """
    import onnx

    inputs = model.graph.input
    position = next(i for i, item in enumerate(inputs) if item.name == name)
    kept, step = (value, 1.0) if optional else smallest(value)
    if not optional:
        del inputs[position]
    model.graph.initializer.append(onnx.numpy_helper.from_array(kept, name))
    if kept.dtype != value.dtype:
        _widen(model, name, step)


def smallest(value: Array) -> tuple[Array, float]:
    """Return whole numbers of fewer bytes and the step they count; the array itself where it is small, or none are.

    The step times the numbers are the array's, to the last bit.
    """
    if value.dtype != np.float32 or value.nbytes < LEAST_BYTES or not np.isfinite(value).all():
        return value, 1.0
    step = step_of(value.astype(np.float64))
    for kind, unit in ((np.uint8, 1.0), (np.int16, step)):
        with np.errstate(invalid="ignore", over="ignore"):
            small = (value.astype(np.float64) / unit).astype(kind)
        if np.array_equal(small.astype(np.float32) * np.float32(unit), value):
            return small, unit
    return value, 1.0


def widened(model: "onnx.ModelProto") -> frozenset[str]:
    """Names of the constants that are kept in fewer bytes than the graph computes with."""
    return frozenset(w.name.removesuffix(STEP) for w in model.graph.initializer if w.name.endswith(STEP))


def _widen(model: "onnx.ModelProto", name: str, step: float) -> None:
    """Let the graph compute with the constant's whole numbers, as float32, times the step."""
    import onnx

    whole, number = name + WHOLE, name + NUMBER
    for node in model.graph.node:
        for position, taken in enumerate(node.input):
            if taken == name:
                node.input[position] = whole
    cast = onnx.helper.make_node("Cast", [name], [number], name=number, to=onnx.TensorProto.FLOAT)
    model.graph.node.insert(0, onnx.helper.make_node("Mul", [number, name + STEP], [whole], name=whole))
    model.graph.node.insert(0, cast)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(step, np.float32), name + STEP))


def fixed(model: "onnx.ModelProto", values: Mapping[str, Array]) -> "onnx.ModelProto":
    """Return a copy of the model with these inputs' values written in: what follows from them is computed once."""
    import onnx

    model = onnx.ModelProto.FromString(model.SerializeToString())
    for name, value in values.items():
        fix_input(model, name, value)
    return model


def rename_output(model: "onnx.ModelProto", old: str, new: str) -> "onnx.ModelProto":
    """Return a copy of the model with one output under another name."""
    import onnx

    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for item in graph.output:
        item.name = new if item.name == old else item.name
    return model


def map_outputs(model: "onnx.ModelProto", matrices: "Mapping[str, npt.NDArray[np.float32]]") -> "onnx.ModelProto":
    """Return a copy of the model with a linear map of the channels behind some outputs, which keep their names.

    Parameters
    ----------
    model : onnx.ModelProto
    matrices : mapping of output name to ndarray of float32 [D, C]
        New features (rows) from those of an output [N, C, h, w]; D = C.
    """
    import onnx

    for name, matrix in matrices.items():
        inner, weight = f"{name}/plain", f"{name}/map"
        model = rename_output(model, name, inner)
        model.graph.initializer.append(onnx.numpy_helper.from_array(matrix[:, :, None, None], weight))
        model.graph.node.append(onnx.helper.make_node("Conv", [inner, weight], [name], kernel_shape=[1, 1]))
        next(item for item in model.graph.output if item.name == inner).name = name
    return model


def select_outputs(model: "onnx.ModelProto", outputs: Sequence[str]) -> "onnx.ModelProto":
    """Return the model with these outputs alone, in this order; what they do not need is gone."""
    import onnx

    by_name = {o.name: o for o in model.graph.output}
    wanted = [by_name[name] for name in outputs]
    needed = set(outputs)
    nodes: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):  # nodes stand in topological order
        if needed.intersection(node.output):
            needed.update(name for name in node.input if name)
            nodes.append(node)
    graph = onnx.helper.make_graph(
        nodes[::-1],
        "lineside",
        [i for i in model.graph.input if i.name in needed],
        wanted,
        [w for w in model.graph.initializer if w.name in needed],
    )
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def set_metadata(model: "onnx.ModelProto", properties: Mapping[str, str]) -> None:
    """Replace the model's metadata, in place."""
    import onnx

    onnx.helper.set_model_props(model, dict(properties))


def _rename_inner(graph: "onnx.GraphProto", prefix: str, outer: set[str]) -> None:
    def renamed(name: str) -> str:
        return name if not name or name in outer else prefix + name

    for number, node in enumerate(graph.node):
        node.name = f"{prefix}{number}_{node.op_type}"
        for names in (node.input, node.output):
            names[:] = [renamed(name) for name in names]
    for weight in graph.initializer:
        weight.name = renamed(weight.name)
