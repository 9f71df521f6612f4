"""A tiny bundle that follows the contract and needs no training: what tests of the runtime and of batches run on.

Its score is the share of the frame's mean that red has over blue, plus the mean level: simple enough to compute by hand
in a test: ``score = mean(red) - mean(blue)`` in grey levels (0 for a grey camera plus the mean level over 255).
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lineside.bit_depth import depth_rule
from lineside.contract import CONTRACT_VERSION, METADATA_KEY, OUTPUTS, Contract, FrameSpec, Precision
from lineside.contract_thresholds import Escapes, EscapeStatement, Threshold, Wish

Edit = Callable[[dict[str, Any]], object]


def tiny_contract(
    threshold: float = 20.0, bit_depth: int = 8, part: str = "tiny", map_threshold: float = 100.0
) -> Contract:
    """Return a contract for the tiny graph."""
    limit = Threshold(
        value=threshold, rule="fixed by the test", kind="empirical", wish=Wish("overkill", 0.05), supported=0.05,
        supported_overkill=0.05, n=20, n_groups=20, n_defects=0, confidence=0.95, interval=(0.0, 0.2), upper=0.15,
        statement="A test's threshold: it promises nothing.",
    )  # fmt: skip
    return Contract(
        contract_version=CONTRACT_VERSION,
        part=part,
        frame=FrameSpec(3, bit_depth, depth_rule(bit_depth)),
        working_wh=(8, 8),
        map_wh=(8, 8),
        threshold_ng=limit,
        threshold_review=limit,
        escapes=EscapeStatement(Escapes("all", 0, 0, 1.0), (), 0.95, "Of escapes nothing is known."),
        map_threshold=map_threshold,
        map_rule="fixed by the test",
        least_defect=None,
        regions=(),
        class_factors={},
        class_names=(),
        classes=None,
        gate_bits=("exposure",),
        gate_words=("the frame is too dark or too bright",),
        quality_names=("mean_level",),
        quality_limits=((5.0, None),),
        findings=(),
        normalisation={},
        neutral_outputs={
            "pose": "0, 0, 0, 1, 0",
            "defect_class": "-1",
            "class_prob": "no columns",
            "class_p_value": "1",
        },
        embedding="mean of each channel",
        score_tolerance_rel=1e-3,
        precision=Precision("fp32", 32, "The network computes in float32."),
        components=(),
        fitted=(),
        image_counts={"train/good": 20},
        recipe_sha256="0" * 64,
        data_sha256="1" * 64,
        software={"lineside": "test"},
        lineage=(),
    )


def tiny_model(contract: Contract) -> bytes:
    """Return the tiny graph: score = mean(red) - mean(blue) in grey levels; NO_CALL when the mean level is below 5."""
    constants = {
        "axes_hw": np.array([1, 2], np.int64),
        "axis_c": np.array([1], np.int64),
        "weights": np.array([[1.0], [0.0], [-1.0]], np.float32),
        "flat": np.array([-1], np.int64),
        "dark": np.array(5.0, np.float32),
        "map_sizes": np.array([8, 8], np.int64),
        "pose_row": np.array([[0, 0, 0, 1, 0]], np.float32),
        "eye": np.eye(3, dtype=np.float32)[None],
        "one": np.array([1], np.int64),
        "zero": np.array([0], np.int64),
        "minus": np.array(-1, np.int64),
        "two": np.array(2, np.int64),
        "three": np.array(3, np.int64),
        "threshold_ng": np.array([contract.threshold_ng.value], np.float32),
        "threshold_review": np.array([contract.threshold_review.value], np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["frame"], ["x"], to=TensorProto.FLOAT),
        node("ReduceMean", ["x", "axes_hw"], ["embedding"], keepdims=0),
        node("MatMul", ["embedding", "weights"], ["score2"]),
        node("Reshape", ["score2", "flat"], ["score"]),
        node("ReduceMean", ["embedding", "axis_c"], ["quality"], keepdims=1),
        node("Reshape", ["quality", "flat"], ["level"]),
        node("Less", ["level", "dark"], ["is_dark"]),
        node("Cast", ["is_dark"], ["gate"], to=TensorProto.INT64),
        node("Greater", ["score", "threshold_ng"], ["is_ng"]),
        node("Greater", ["score", "threshold_review"], ["is_review"]),
        node("Cast", ["is_ng"], ["ng"], to=TensorProto.INT64),
        node("Cast", ["is_review"], ["review"], to=TensorProto.INT64),
        node("Mul", ["review", "two"], ["review2"]),
        node("Where", ["is_ng", "ng", "review2"], ["call"]),
        node("Where", ["is_dark", "three", "call"], ["verdict"]),
        node("ReduceMean", ["x", "minus_axis"], ["grey"], keepdims=0),
        node("Unsqueeze", ["grey", "one"], ["grey4"]),
        node("Resize", ["grey4", "", "", "map_sizes"], ["map4"], mode="linear", axes=[2, 3]),
        node("Squeeze", ["map4", "one"], ["anomaly_map"]),
        node("Shape", ["frame"], ["n"], end=1),
        node("Concat", ["n", "one"], ["n1"], axis=0),
        node("Concat", ["n", "one", "one"], ["n11"], axis=0),
        node("Concat", ["n", "zero"], ["n0"], axis=0),
        node("Expand", ["pose_row", "n1"], ["pose"]),
        node("Expand", ["eye", "n11"], ["transform"]),
        node("Expand", ["minus", "n"], ["defect_class"]),
        node("ConstantOfShape", ["n"], ["class_p_value"], value=numpy_helper.from_array(np.ones(1, np.float32))),
        node("ConstantOfShape", ["n0"], ["class_prob"], value=numpy_helper.from_array(np.zeros(1, np.float32))),
    ]
    constants["minus_axis"] = np.array([3], np.int64)
    integer = {"verdict", "gate", "defect_class"}
    shapes = {
        "score": ["N"], "verdict": ["N"], "anomaly_map": ["N", 8, 8], "pose": ["N", 5], "transform": ["N", 3, 3],
        "gate": ["N"], "quality": ["N", 1], "defect_class": ["N"], "class_prob": ["N", 0], "class_p_value": ["N"],
        "embedding": ["N", 3],
    }  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            value("frame", TensorProto.UINT8, ["N", "H", "W", 3]),
            value("threshold_ng", TensorProto.FLOAT, [1]),
            value("threshold_review", TensorProto.FLOAT, [1]),
        ],
        [value(n, TensorProto.INT64 if n in integer else TensorProto.FLOAT, shapes[n]) for n in OUTPUTS],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: contract.to_json()})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def seal(bundle: Path) -> None:
    """Make SHA256SUMS fit every file: what a forger, or a careless copy, would do."""
    files = sorted(path for path in bundle.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(bundle).as_posix()}\n" for f in files]
    (bundle / "SHA256SUMS").write_text("".join(sums))


def write_bundle(folder: Path, contract: Contract, model: bytes | None = None) -> Path:
    """Write a bundle (model, contract, sums) into `folder` and return it; without a model it gets the tiny graph."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(tiny_model(contract) if model is None else model)
    (folder / "contract.json").write_bytes(contract.to_json().encode())
    seal(folder)
    return folder


def write_tiny_bundle(folder: Path, threshold: float = 20.0, bit_depth: int = 8, part: str = "tiny") -> Path:
    """Write the tiny bundle into `folder` and return it."""
    return write_bundle(folder, tiny_contract(threshold, bit_depth, part))


def rewrite(bundle: Path, edit: Edit) -> None:
    """Edit vectors.json and make the sums fit."""
    file = bundle / "vectors" / "vectors.json"
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))
    seal(bundle)
