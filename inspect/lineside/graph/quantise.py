"""The backbone in int8: uint8 activations, int8 weights by output channel, written as QuantizeLinear/DequantizeLinear.

ONNX Runtime fuses these pairs into its integer kernels when it opens the graph, and any other runtime may; what leaves
the backbone is float32 again. Its own quantiser does the work; what is decided here is which tensors get how many bits.

Without VNNI, x86 multiplies uint8 by int8 in pairs whose sum saturates at 16 bits (``vpmaddubsw``): two products of 255
and 127 do not fit, two of 255 and 64 do. So weights of dense convolutions have 7 bits unless the target has VNNI: then
every integer is exact on every machine. Depthwise convolutions go through kernels that widen first, and keep 8 bits.
Everything before the second dense convolution stays in float32: an even surface differs by less than a step of 8 bits
from place to place, and few channels at a high resolution take no less time in integers.

Measured on ball-screw drives (lite0, AVX2 without VNNI, ranges from 8 images), relative error of the two taps on 4
others: 8 bits throughout 0.44 and 0.50, since products saturate; 7 bits 0.23 and 0.26; 8 in the depthwise ones 0.17 and
0.18; weights rounded by `lineside.graph.rounding` 0.10 and 0.10; the opening in float32 0.06 and 0.07, the trunk taking
0.71 of its time in float32 with and without that.

Ranges are the least and greatest values seen. Percentiles and entropy were rejected: they gave the same error to two
digits in twice the time, and cut off what a defect may be seen by.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.graph.onnx_export import IR_VERSION, OPSET, clean
from lineside.graph.rounding import convolutions, rounded
from lineside.graph.run import Graph

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]

QUANTISED_OPS = ("Conv", "Clip", "Relu", "Add", "MaxPool", "AveragePool", "Concat")
"""What ONNX Runtime has integer kernels for; everything else stays in float32."""
PRODUCTS = ("MatMul", "Gemm", "Einsum")
"""Where a transformer's work lies."""
WIDE, NARROW = 127, 64
"""Steps of the largest weight of a channel: with 8 bits, and with 7 as ONNX Runtime counts them."""
CHANNELS, SEEN_REL = 16, 0.1
"""Of the trial of `saturates`, and the error from which on it counts; saturation halves the sum."""


class NotQuantisableError(UsageError):
    """A backbone, its images or this machine do not allow int8."""


def check_quantisable(model: "onnx.ModelProto") -> None:
    """Refuse a backbone whose work does not lie in convolutions.

    Raises
    ------
    NotQuantisableError
        When it holds matrix products, as transformers do, or no convolution at all.
    """
    kinds = [node.op_type for node in model.graph.node]
    products = sum(kinds.count(kind) for kind in PRODUCTS)
    if products or "Conv" not in kinds:
        raise NotQuantisableError(
            f"export.precision: int8 is for convolutional networks, and this backbone has {products} matrix products, "
            "as transformers have: their attention needs float32. Use a network such as lite0, or precision: fp32."
        )


def quantised(model: "onnx.ModelProto", images: Floats, *, vnni: bool) -> "onnx.ModelProto":
    """Return a backbone in int8.

    Parameters
    ----------
    model : onnx.ModelProto
        With one input; never changed itself.
    images : ndarray of float32 [m, 3, h, w]
        What the ranges of its activations are taken from.
    vnni : bool
        Whether every machine that will run it has VNNI: then all weights have 8 bits, else those of dense convolutions
        have 7.

    Raises
    ------
    NotQuantisableError
        See `check_quantisable` and `check_vnni`.
    """
    check_quantisable(model)
    if vnni:
        check_vnni()
    kept = opening(model)
    steps = {
        one.weight: WIDE if vnni or one.depthwise else NARROW for one in convolutions(model) if one.node not in kept
    }
    return _in_int8(rounded(model, images, steps), images, kept, reduce_range=not vnni)


def opening(model: "onnx.ModelProto") -> tuple[str, ...]:
    """Names of the nodes that stay in float32: all before the second dense convolution."""
    dense = [one.node for one in convolutions(model) if not one.depthwise]
    names = [node.name for node in model.graph.node]
    return tuple(names[: names.index(dense[1])]) if len(dense) > 1 else ()


def check_vnni() -> None:
    """Refuse to train for VNNI on a processor whose 8-bit products saturate: heads would be fitted on wrong features.

    Raises
    ------
    NotQuantisableError
    """
    if saturates(seven_bits=False):
        raise NotQuantisableError(
            "export.target: vnni, but products of 8 bits saturate on this machine, so that it computes other features "
            "than the line's. Train on a machine with VNNI, or write target: any."
        )


def saturates(*, seven_bits: bool) -> bool:
    """Whether the largest products of a quantised convolution come out wrong on this machine."""
    from onnx import TensorProto, helper, numpy_helper

    value = helper.make_tensor_value_info
    shape: list[str | int | None] = ["N", CHANNELS, 4, 4]
    ones = numpy_helper.from_array(np.ones((CHANNELS, CHANNELS, 1, 1), np.float32), "w")
    ends = [value("x", TensorProto.FLOAT, shape)], [value("y", TensorProto.FLOAT, shape)]
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "sums", *ends, [ones])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    full = np.full((1, CHANNELS, 4, 4), 255.0, np.float32)
    found = Graph(_in_int8(model, full, (), reduce_range=seven_bits))({"x": full})["y"].astype(np.float64)
    return bool(np.abs(found / (255.0 * CHANNELS) - 1.0).max() > SEEN_REL)


def _in_int8(model: "onnx.ModelProto", images: Floats, kept: Sequence[str], *, reduce_range: bool) -> "onnx.ModelProto":
    """Have ONNX Runtime quantise a model."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    copy: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())  # the quantiser changes what it gets
    add_pre_process_metadata(copy)  # torch's exporter has folded and inlined everything already
    wide: dict[str, list[dict[str, Any]]] = {
        one.weight: [{"axis": 0, "quant_type": QuantType.QInt8, "symmetric": True, "reduce_range": False}]
        for one in convolutions(model)
        if one.depthwise
    }
    with TemporaryDirectory(prefix="lineside-") as folder:
        file = Path(folder) / "int8.onnx"
        quantize_static(
            copy,
            file,
            _reader(model.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED_OPS),
            nodes_to_exclude=list(kept),
            per_channel=True,
            reduce_range=reduce_range,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"TensorQuantOverrides": wide} if reduce_range else {},
        )
        return clean(onnx.load(file))


def _reader(name: str, images: Floats) -> Any:
    """Images as ONNX Runtime's quantiser reads them, one at a time."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._each: Iterator[Floats] = (image[None] for image in images)

        def get_next(self) -> dict[str, Floats] | None:
            image = next(self._each, None)
            return None if image is None else {name: image}

    return Reader()
