"""An affine map of features behind the taps of a deployed graph: whatever stands behind the trunk reads mapped ones.

One 1x1 convolution a tap, in float32 whatever the trunk's precision, with its numbers among the fitted ones, so that a
further map replaces them. Folding a map into the projections of the score head was rejected: that is free at run time,
but a class head has no projections, it pools the taps themselves, and there would be two ways of following a line.
Measured, one core, median of 60 frames in turns: ball-screw drives 26.9 ms with and without, caps 27.1 without and 27.3
with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.errors import BundleError
from lineside.graph.rewrite import with_constants
from lineside.graph.trunk import TRUNK_PREFIX

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TapMap:
    """Features x [C] of a tap become matrix x + shift."""

    matrix: Floats
    """[C, C]."""
    shift: Floats
    """[C]."""


def raw_name(tap: str) -> str:
    """Name of a tap as the trunk gives it, where a map stands behind it."""
    return f"{tap}_raw"


def tap_maps(numbers: Mapping[str, Array], taps: Sequence[str]) -> dict[str, TapMap]:
    """Return the maps that a graph has, by tap.

    Parameters
    ----------
    numbers : mapping of name to ndarray
        The graph's fitted numbers (`lineside.graph.rewrite.constants`).
    taps : sequence of str
    """
    return {
        tap: TapMap(
            numbers[matrix_name(tap)].astype(np.float32)[:, :, 0, 0], numbers[shift_name(tap)].astype(np.float32)
        )
        for tap in taps
        if matrix_name(tap) in numbers
    }


def with_tap_maps(model: "onnx.ModelProto", maps: Mapping[str, TapMap]) -> "onnx.ModelProto":
    """Return a copy of a deployed graph with these maps behind its taps, in place of those that it has.

    Parameters
    ----------
    model : onnx.ModelProto
        As `lineside.export.assemble` makes it.
    maps : mapping of tap to TapMap

    Raises
    ------
    BundleError
        When the trunk computes no such tap.
    """
    import onnx

    known = {weight.name for weight in model.graph.initializer}
    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    for number, (tap, one) in enumerate(maps.items()):
        if matrix_name(tap) not in known:
            _insert(copy, tap, f"follow/{number}_Conv")
            added = _numbers(tap, one).items()
            copy.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in added)
    return with_constants(
        copy, {name: array for tap, one in maps.items() for name, array in _numbers(tap, one).items()}
    )


def _insert(model: "onnx.ModelProto", tap: str, name: str) -> None:
    """Put the convolution behind the trunk, which itself goes on with the tap as it was; in place."""
    import onnx

    nodes, raw = list(model.graph.node), raw_name(tap)
    trunk = [node for node in nodes if node.name.startswith(TRUNK_PREFIX)]
    made = next((node for node in trunk if tap in node.output), None)
    if made is None:
        raise BundleError(f"the graph computes no value {tap!r}: it was not made by this version of lineside.")
    for node in trunk:
        for names in (node.input, node.output):
            names[:] = [raw if value == tap else value for value in names]
    mapping = onnx.helper.make_node(
        "Conv", [raw, matrix_name(tap), shift_name(tap)], [tap], name=name, kernel_shape=[1, 1]
    )
    model.graph.node.insert(nodes.index(made) + 1, mapping)


def _numbers(tap: str, one: TapMap) -> dict[str, Array]:
    return {matrix_name(tap): np.ascontiguousarray(one.matrix[:, :, None, None]), shift_name(tap): one.shift}


def matrix_name(tap: str) -> str:
    """Name of a map's matrix [C, C, 1, 1] in the graph."""
    return f"{tap}_map"


def shift_name(tap: str) -> str:
    """Name of a map's shift [C] in the graph."""
    return f"{tap}_shift"
