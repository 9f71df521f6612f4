"""Changing a deployed graph without exporting it anew: read inner values, replace fitted numbers, cut a piece out.

What was fitted stands in the graph as initialisers under names of their own (`lineside.export.assemble`), and the
values that parts hand to each other keep theirs. So a graph can be refitted where no recipe, no torch module and no
training image is at hand any more.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.errors import BundleError

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
        return onnx.ModelProto.FromString(content)
    except Exception as error:  # protobuf's DecodeError lives in one of several modules, by its implementation
        raise BundleError(f"{where}: no ONNX model ({error}).") from None


def constants(model: "onnx.ModelProto") -> dict[str, Array]:
    """Return what was fitted: the initialisers that belong to no part alone, by name."""
    from onnx import numpy_helper

    return {w.name: numpy_helper.to_array(w) for w in model.graph.initializer if "/" not in w.name}


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
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for name in names:
        if name in have:
            continue
        if name not in known:
            raise BundleError(f"the graph computes no value {name!r}: it was not made by this version of lineside.")
        copy.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return copy


def with_constants(model: "onnx.ModelProto", values: Mapping[str, Array]) -> "onnx.ModelProto":
    """Return a copy in which some fitted numbers are replaced; their shapes may differ where the graph allows it.

    Raises
    ------
    BundleError
        When the graph has no such numbers.
    """
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto.FromString(model.SerializeToString())
    left = dict(values)
    for weight in copy.graph.initializer:
        if weight.name in left:
            weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(left.pop(weight.name)), weight.name))
    if left:
        raise BundleError(f"the graph holds no numbers named {sorted(left)[0]!r}.")
    return copy
