"""The one way in which a session is opened: which of ONNX Runtime's passes it leaves out, and that nothing changes."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from conftest import Trained
from lineside.contract import OUTPUTS
from lineside.session import NEEDLESS_PASSES, open_session
from tiny import tiny_contract, tiny_model


def with_operator(operator: str, constants: int) -> bytes:
    """The tiny model with another operator beside, which takes the embedding and constants of one per channel."""
    proto = onnx.load_from_string(tiny_model(tiny_contract()))
    names = [f"more{i}" for i in range(constants)]
    proto.graph.initializer.extend(helper.make_tensor(name, TensorProto.FLOAT, [3], [1.0] * 3) for name in names)
    proto.graph.node.append(helper.make_node(operator, ["embedding", *names], ["unused"]))
    return proto.SerializeToString()


@pytest.fixture
def skipped(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What sessions that are opened from now on leave out."""
    seen: list[set[str]] = []
    real = onnxruntime.InferenceSession

    def opened(*arguments: Any, disabled_optimizers: set[str], **options: Any) -> onnxruntime.InferenceSession:
        seen.append(disabled_optimizers)
        return real(*arguments, disabled_optimizers=disabled_optimizers, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    return seen


def test_threads_wait_without_spinning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle threads of one operator sleep, and as many as asked for are started: the line's other work has the cores."""
    seen: list[onnxruntime.SessionOptions] = []
    real = onnxruntime.InferenceSession

    def opened(model: bytes, options: onnxruntime.SessionOptions, **others: Any) -> onnxruntime.InferenceSession:
        seen.append(options)
        return real(model, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", opened)
    for threads in (1, 2):
        open_session(tiny_model(tiny_contract()), "here", threads)
    assert [options.get_session_config_entry("session.intra_op.allow_spinning") for options in seen] == ["0", "0"]
    assert [options.intra_op_num_threads for options in seen] == [1, 2]
    assert {options.inter_op_num_threads for options in seen} == {1}
    assert {options.execution_mode for options in seen} == {onnxruntime.ExecutionMode.ORT_SEQUENTIAL}


def test_what_has_a_use_for_a_pass_gets_it(skipped: list[set[str]]) -> None:
    """Attention is faster fused, batch normalisation is folded away; a graph without them opens faster."""
    open_session(tiny_model(tiny_contract()), "here")
    open_session(with_operator("LayerNormalization", 1), "here")
    open_session(with_operator("BatchNormalization", 4), "here")
    quantised = {name for name, users in NEEDLESS_PASSES.items() if b"Normalization" not in users}
    assert skipped == [set(NEEDLESS_PASSES), quantised, quantised]


def test_a_quantised_model_keeps_what_it_needs(skipped: list[set[str]]) -> None:
    """Clipping before a quantisation is part of it, and a product with a sum is quantised as one."""
    model = onnx.load_from_string(tiny_model(tiny_contract()))
    model.graph.initializer.append(helper.make_tensor("step", TensorProto.FLOAT, [], [1.0]))
    model.graph.node.append(helper.make_node("QuantizeLinear", ["embedding", "step"], ["unused"]))
    open_session(model.SerializeToString(), "here")
    assert skipped == [{name for name, users in NEEDLESS_PASSES.items() if b"QuantizeLinear" not in users}]


def test_left_out_passes_change_no_result(small: Trained) -> None:
    """On a trained graph every output is what a session with all passes returns, and whole numbers are the same."""
    model = (small.bundle / "model.onnx").read_bytes()
    whole = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    lean = open_session(model, "here")
    rng = np.random.default_rng(3)
    frame = np.fromfile(small.bundle / "vectors" / "ok.u8", np.uint8).reshape(1, 128, 128, 3)
    for noise in (0, 3, 60):
        noisy = np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).astype(np.uint8)
        outputs = [session.run(OUTPUTS, {"frame": noisy}) for session in (whole, lean)]
        for name, wanted, found in zip(OUTPUTS, *outputs, strict=True):
            if wanted.dtype == np.int64:
                assert np.array_equal(wanted, found), name
            else:
                np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3, err_msg=name)
