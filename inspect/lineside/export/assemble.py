"""Front, trunk, head and decision become one graph, with the contract inside."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.contract import METADATA_KEY, OUTPUTS, Contract
from lineside.graph.join import fix_input, join, select_outputs, set_metadata
from lineside.graph.onnx_export import clean

if TYPE_CHECKING:
    import onnx

Constants = Mapping[str, npt.NDArray[np.generic]]


def assemble(
    trunk: "onnx.ModelProto", parts: "Sequence[tuple[str, onnx.ModelProto]]", constants: Constants, contract: Contract
) -> "onnx.ModelProto":
    """Join the parts, write the fitted numbers in, and attach the contract.

    Parameters
    ----------
    trunk : onnx.ModelProto
        Reduction and front, with the backbone where the head needs one.
    parts : sequence of (name, onnx.ModelProto)
        In their order; inputs that are named like an output of what stands before are fed by it. The last ones give
        the contract's outputs.
    constants : mapping of input name to array
        Values of all inputs that are neither the frame nor a threshold.
    contract : Contract
        Its thresholds become the defaults of the optional inputs.

    Returns
    -------
    onnx.ModelProto
        Input ``frame``, optional inputs ``threshold_ng`` and ``threshold_review``, and the contract's outputs.
    """
    model = trunk
    for name, part in parts:
        model = join(model, part, f"{name}/")
    model = select_outputs(model, OUTPUTS)
    taken = {item.name for item in model.graph.input}
    for name, value in constants.items():
        if name in taken:
            fix_input(model, name, value)
    for name, threshold in (("threshold_ng", contract.threshold_ng), ("threshold_review", contract.threshold_review)):
        fix_input(model, name, np.array([threshold.value], np.float32), optional=True)
    model = clean(model)
    set_metadata(model, {METADATA_KEY: contract.to_json()})
    return model
