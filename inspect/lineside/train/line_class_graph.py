"""The class part of a deployed graph: exchanged for one of other examples or classes, and its slow twin.

The class head and the decision behind it are exported anew, because the number of classes is part of their shapes; all
that stands before them, and with it score and map, stays node by node.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.contract import INPUT_FRAME, OUTPUTS, Contract
from lineside.export.assemble import assemble
from lineside.export.decision import (
    DECISION_OUTPUTS,
    FINDING_FLOOR,
    FINDING_LIMITS,
    UNFAMILIAR_LIMIT,
    DecisionSettings,
    export_decision,
)
from lineside.export.parity import ClassAnswer, ClassProof
from lineside.graph.join import select_outputs
from lineside.graph.rewrite import constants, with_outputs
from lineside.graph.run import Graph
from lineside.normalise.gate_rules import UNFAMILIAR
from lineside.train.classes import class_answer, class_part
from lineside.train.line_taps import SlowTaps
from lineside.transfer.class_weight import weight_reference
from lineside.transfer.classes.fit import ClassFit
from lineside.transfer.classes.head import CLASS_INPUTS, ClassValues
from lineside.transfer.classes.pooling import CLASS_EMBEDDING, PoolShape, pool_reference
from lineside.transfer.head import PATCH_DISTANCE, REGION, HeadShape, tap_name

if TYPE_CHECKING:
    import onnx

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.generic]

TUNED = "finetune"
"""Method whose graphs hold a tuned tail of the trunk before the class head."""
LIMITS = (UNFAMILIAR_LIMIT, FINDING_LIMITS, FINDING_FLOOR)


def with_class_part(model: "onnx.ModelProto", contract: Contract, fit: ClassFit) -> "onnx.ModelProto":
    """Return a deployed graph with another class head in it.

    Parameters
    ----------
    model : onnx.ModelProto
        Of lineside's own method, with a class head.
    contract : Contract
        The new one: its classes, and the thresholds and findings that the graph had.
    fit : ClassFit

    Raises
    ------
    BundleError
        When the graph holds no class head.
    """
    before = _before(model, len(contract.quality_names) - 1, len(fit.values.mean))
    parts = (("classes", class_part(fit)), ("decision", export_decision(decision_of(contract))))
    old = constants(model)
    numbers: dict[str, Array] = {name: old[name] for name in LIMITS if name in old}
    return assemble(before, parts, {**numbers, **fit.values.feed()}, contract)


def _before(model: "onnx.ModelProto", quality: int, dimensions: int) -> "onnx.ModelProto":
    """Return all that stands before class head and decision, with what they take among its outputs."""
    import onnx

    taken: dict[str, tuple[int, list[str | int]]] = {
        CLASS_EMBEDDING: (onnx.TensorProto.FLOAT, ["N", dimensions]),
        "patch_score": (onnx.TensorProto.FLOAT, ["N"]),
        "front_gate": (onnx.TensorProto.INT64, ["N"]),
        "front_quality": (onnx.TensorProto.FLOAT, ["N", quality]),
        "novelty": (onnx.TensorProto.FLOAT, ["N"]),
    }
    open_ended = with_outputs(model, tuple(taken))
    for item in open_ended.graph.output:
        if item.name in taken:
            item.CopyFrom(onnx.helper.make_tensor_value_info(item.name, *taken[item.name]))
    return select_outputs(open_ended, (*taken, *(name for name in OUTPUTS if name not in DECISION_OUTPUTS)))


def decision_of(contract: Contract) -> DecisionSettings:
    """Return what the end of the graph is made from, as the contract tells it; every class is one of defects."""
    names = contract.quality_names[:-1]  # the last is the embedding's novelty
    columns = tuple(tuple(names.index(limit.quality) for limit in one.limits) for one in contract.findings)
    count = len(contract.class_names)
    return DecisionSettings(len(names), UNFAMILIAR, columns, count, count, tolerances=contract.tolerances)


def class_values(numbers: Mapping[str, Array]) -> ClassValues:
    """Return a class head's fitted numbers, as the graph holds them."""
    return ClassValues(*(numbers[name].astype(np.float32) for name in CLASS_INPUTS))


def class_proof(model: "onnx.ModelProto", contract: Contract, shape: HeadShape) -> ClassProof | None:
    """Return the slow twin of a graph's classes, on features of the same graph; None where it tells none.

    A tail that was tuned has no slow twin outside training: of such a graph scores alone are proven again.
    """
    if contract.classes is None or contract.classes.method == TUNED:
        return None
    return ClassProof(_answer(model, shape), len(contract.class_names), names_ok=False)


def _answer(model: "onnx.ModelProto", shape: HeadShape) -> Callable[[Pixels], ClassAnswer]:
    taps = SlowTaps(model, [tap_name(number) for number in range(len(shape.channels))])
    wanted = (*taps.names, PATCH_DISTANCE, REGION)
    graph, values = Graph(with_outputs(model, wanted)), class_values(constants(model))
    pool = PoolShape(shape.channels, shape.grids_hw, shape.grid_hw)

    def answer(frame: Pixels) -> ClassAnswer:
        out = graph({INPUT_FRAME: frame[None]}, wanted)
        weight = weight_reference(out[PATCH_DISTANCE][0], out[REGION][0, 0])
        return class_answer(values, pool_reference(pool, taps(out), weight[None, None]))

    return answer
