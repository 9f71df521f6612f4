"""The tiny bundle with two classes in it: what is NG is called dull or green by its green level."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lineside.contract import METADATA_KEY, ClassStatement, Contract
from tiny import tiny_contract, tiny_model, write_bundle

NAMES = ("dull", "green")


def classed_contract(names: tuple[str, ...] = NAMES, task: str = "both") -> Contract:
    """Return the tiny contract with these classes."""
    statement = ClassStatement(
        task=task,  # type: ignore[arg-type]
        method="lda", images=dict.fromkeys(names, 5), accuracy=0.8, n=10, confidence=0.95, interval=(0.44, 0.97),
        temperature=None, unknown=0.05, statement="A test's classes.",
    )  # fmt: skip
    return replace(tiny_contract(), class_names=names, classes=statement)


def classed_model(contract: Contract) -> bytes:
    """Return the tiny graph with classes: the probability of green is green / 255; NG below 0.1 of it is unknown."""
    model = onnx.load_model_from_string(tiny_model(contract))
    graph = model.graph
    kept = [node for node in graph.node if not {"defect_class", "class_prob", "class_p_value"} & set(node.output)]
    node = helper.make_node
    kept += [
        node("Gather", ["embedding", "green"], ["green_level"], axis=1),
        node("Div", ["green_level", "full"], ["p"]),
        node("Sub", ["unit", "p"], ["q"]),
        node("Concat", ["q", "p"], ["class_prob"], axis=1),
        node("ArgMax", ["class_prob"], ["likeliest"], axis=1, keepdims=0),
        node("Squeeze", ["p", "axis"], ["class_p_value"]),
        node("Less", ["class_p_value", "least"], ["strange"]),
        node("Where", ["strange", "unknown", "likeliest"], ["called"]),
        node("Where", ["is_ng", "called", "minus"], ["defect_class"]),
    ]
    constants = {
        "green": np.array([1], np.int64), "full": np.array(255.0, np.float32), "unit": np.array(1.0, np.float32),
        "axis": np.array([1], np.int64), "least": np.array(0.1, np.float32), "unknown": np.array(-2, np.int64),
    }  # fmt: skip
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    for output in graph.output:
        if output.name == "class_prob":
            output.type.tensor_type.shape.dim[1].dim_value = len(NAMES)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_classed_bundle(folder: Path) -> Path:
    """Write model, contract and sums into `folder`, and return it."""
    contract = classed_contract()
    return write_bundle(folder, contract, classed_model(contract))
