"""A backbone in int8: what its integers are, what the runtime makes of them, and what is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from lineside.errors import UsageError
from lineside.graph import quantise
from lineside.graph.onnx_export import IR_VERSION, OPSET
from lineside.graph.quantise import NotQuantisableError, opening, quantised, saturates
from lineside.graph.rounding import convolutions, on_grid, rounded
from lineside.graph.run import Graph
from lineside.graph.trunk import export_backbone
from lineside.session import ort

Floats = npt.NDArray[np.float32]
TAPS = ("tap0", "tap1")


class Network(nn.Module):
    """Two taps: a dense and a depthwise convolution that open it, then a block as EfficientNets have them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.first = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.expand, self.wise = nn.Conv2d(16, 64, 1), nn.Conv2d(64, 64, 5, 2, 2, groups=64)
        self.project, self.last = nn.Conv2d(64, 32, 1), nn.Conv2d(32, 32, 1)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return both taps."""
        six = nn.functional.relu6
        tap0 = self.project(six(self.wise(six(self.expand(six(self.first(six(self.stem(x)))))))))
        return [tap0, tap0 + self.last(tap0)]


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """The network, exported."""
    return export_backbone(Network().eval(), TAPS, (32, 32), "test: two taps")


@pytest.fixture(scope="module")
def images() -> Floats:
    """Smooth images [12, 3, 32, 32], about normalised."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.standard_normal((12, 3, 6, 6)).astype(np.float32))
    return nn.functional.interpolate(coarse, (32, 32), mode="bicubic").numpy()


@pytest.fixture(scope="module")
def small(network: onnx.ModelProto, images: Floats) -> onnx.ModelProto:
    """The network in int8, for any processor."""
    return quantised(network, images[:8], vnni=False)


def weights_of(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.int8]]:
    """Quantised convolution weights by the float name."""
    held = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    return {
        name.removesuffix("_quantized"): array
        for name, array in held.items()
        if array.dtype == np.int8 and array.ndim == 4
    }


def optimised(model: onnx.ModelProto, folder: Path) -> Counter[str]:
    """Operators of the graph as ONNX Runtime runs it."""
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(folder / "optimised.onnx"), 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


def test_convolutions_run_in_integers(small: onnx.ModelProto, tmp_path: Path) -> None:
    """ONNX Runtime fuses all but the opening's two into integer kernels, and the addition too."""
    kinds = optimised(small, tmp_path)
    assert (kinds["QLinearConv"], kinds["QLinearAdd"]) == (4, 1)
    assert kinds["Conv"] + kinds["FusedConv"] + kinds["NhwcFusedConv"] == 2


def test_the_file_stays_within_the_standard(small: onnx.ModelProto) -> None:
    """Opset, IR and operators are those that every runtime has; the outputs are float32 under their names."""
    assert small.opset_import[0].version <= 21
    assert small.ir_version <= 10
    assert {node.domain for node in small.graph.node} == {""}
    assert [(o.name, o.type.tensor_type.elem_type) for o in small.graph.output] == [
        (t, TensorProto.FLOAT) for t in TAPS
    ]
    assert not any(w.external_data for w in small.graph.initializer)


def test_dense_weights_have_seven_bits(small: onnx.ModelProto) -> None:
    """Two products of 255 and 64 fit into 16 bits; depthwise kernels widen first and use all 8."""
    sizes = {name: (int(np.abs(w.astype(int)).max()), w.shape[1] == 1) for name, w in weights_of(small).items()}
    assert sorted(sizes.values()) == [(64, False), (64, False), (64, False), (127, True)]


def test_weights_have_eight_bits_for_vnni(
    network: onnx.ModelProto, images: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the recipe promises VNNI, dense weights use all 8 bits."""
    monkeypatch.setattr(quantise, "saturates", lambda **_: False)
    made = weights_of(quantised(network, images[:2], vnni=True))
    assert {int(np.abs(w.astype(int)).max()) for w in made.values()} == {127}


def test_vnni_is_refused_where_products_saturate(
    network: onnx.ModelProto, images: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model for processors with VNNI cannot be fitted on a machine that computes something else."""
    monkeypatch.setattr(quantise, "saturates", lambda **_: True)
    with pytest.raises(NotQuantisableError, match="target: vnni, but products of 8 bits saturate") as caught:
        quantised(network, images[:2], vnni=True)
    assert caught.value.exit_code == UsageError.exit_code


def test_seven_bits_never_saturate() -> None:
    """The largest sums come out right on this machine, whatever it has."""
    assert not saturates(seven_bits=True)


def test_features_stay_near(network: onnx.ModelProto, small: onnx.ModelProto, images: Floats) -> None:
    """On images that gave no range, features are off by a few hundredths of their size."""
    for image in images[8:]:
        wanted, found = Graph(network)({"working": image[None]}), Graph(small)({"working": image[None]})
        for tap in TAPS:
            error = np.linalg.norm(found[tap].astype(float) - wanted[tap]) / np.linalg.norm(wanted[tap])
            assert 0 < error < 0.05


def test_the_model_is_left_alone(network: onnx.ModelProto, images: Floats) -> None:
    """Quantising gives the same bytes twice and never changes what it is given."""
    before = network.SerializeToString(deterministic=True)
    first, second = (quantised(network, images[:2], vnni=False).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert network.SerializeToString(deterministic=True) == before


def test_the_opening_ends_at_the_second_dense_convolution(network: onnx.ModelProto) -> None:
    """Stem and depthwise convolution with their activations; nothing where there is one dense convolution alone."""
    kinds = [node.op_type for node in network.graph.node if node.name in opening(network)]
    assert kinds == ["Conv", "Clip", "Conv", "Clip"]
    one = export_backbone(nn.Conv2d(3, 4, 3), ("tap0",), (8, 8), "test: one convolution")
    assert opening(one) == ()


def test_a_transformer_is_refused() -> None:
    """Matrix products are named, with what to do."""
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, [2, 2])], [value("y", TensorProto.FLOAT, [2, 2])]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "attention", *ends)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    with pytest.raises(NotQuantisableError, match=r"export\.precision: int8 is .* 1 matrix products"):
        quantised(model, np.zeros((1, 3, 2, 2), np.float32), vnni=False)


def test_the_quantiser_keeps_what_was_rounded(network: onnx.ModelProto, images: Floats, small: onnx.ModelProto) -> None:
    """Its integers times its scales are the weights that were put on the grid, none a step off."""
    steps = {c.weight: 127 if c.depthwise else 64 for c in convolutions(network) if c.node not in opening(network)}
    wanted = {w.name: numpy_helper.to_array(w) for w in rounded(network, images[:8], steps).graph.initializer}
    held = {w.name: numpy_helper.to_array(w) for w in small.graph.initializer}
    assert sorted(steps) == sorted(weights_of(small))
    for name, whole in weights_of(small).items():
        scale = held[f"{name}_scale"].reshape(-1, 1, 1, 1)
        np.testing.assert_allclose(whole * scale, wanted[name], rtol=1e-5, atol=1e-6)


def test_rounding_by_what_comes_in_beats_the_nearest_step(network: onnx.ModelProto, images: Floats) -> None:
    """On other images, features are off by less than half of what the nearest steps give."""
    steps = {c.weight: 15 for c in convolutions(network)}  # few steps: the error of the weights alone

    def error(model: onnx.ModelProto) -> float:
        off = []
        for image in images[8:]:
            wanted, found = Graph(network)({"working": image[None]}), Graph(model)({"working": image[None]})
            off += [np.linalg.norm(found[t].astype(float) - wanted[t]) / np.linalg.norm(wanted[t]) for t in TAPS]
        return float(np.mean(off))

    nearest = onnx.ModelProto.FromString(network.SerializeToString())
    for weight in nearest.graph.initializer:
        if weight.name in steps:
            array = numpy_helper.to_array(weight)
            scale = np.abs(array).max(axis=(1, 2, 3), keepdims=True) / steps[weight.name]
            weight.CopyFrom(numpy_helper.from_array((np.rint(array / scale) * scale).astype(np.float32), weight.name))
    assert error(rounded(network, images[:8], steps)) < 0.5 * error(nearest)


@given(st.integers(1, 6), st.integers(2, 9), st.integers(3, 127), st.booleans(), st.integers(0, 2**32 - 1))
def test_rounded_weights_are_no_worse_than_the_nearest(n: int, d: int, steps: int, shared: bool, seed: int) -> None:
    """They are multiples of the step, within one of the exact weight; the largest stays, and no row's error grows."""
    rng = np.random.default_rng(seed)
    weights, mixing = rng.standard_normal((n, d)), rng.standard_normal((1 if shared else n, d, d))
    covariance = mixing @ mixing.transpose(0, 2, 1)
    scale = np.abs(weights).max(axis=1, keepdims=True) / steps
    found = on_grid(weights, covariance, steps)
    whole = found / scale
    np.testing.assert_allclose(whole, np.rint(whole), atol=1e-9)
    assert (np.abs(found - weights) < scale * (1 + 1e-9)).all()
    np.testing.assert_allclose(np.abs(found).max(axis=1), np.abs(weights).max(axis=1))

    def cost(of: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.einsum("ni,nij,nj->n", of - weights, np.broadcast_to(covariance, (n, d, d)), of - weights)

    assert (cost(found) <= cost(np.rint(weights / scale) * scale) * (1 + 1e-9) + 1e-12).all()


def test_rounding_finds_the_best_choice_of_a_small_filter() -> None:
    """Where inputs are all alike, errors of a filter cancel: their sum is as near to nothing as single flips get it."""
    weights = np.array([[1.0, 0.36, 0.36, 0.36, 0.36]])
    alike = np.full((1, 5, 5), 1.0) + 1e-6 * np.eye(5)
    found = on_grid(weights, alike, 10)
    assert found.sum() == pytest.approx(2.4)  # 2.6 by the nearest steps, 2.44 exactly


def test_a_channel_of_zeros_stays_zero() -> None:
    """A dead channel has no largest weight, and no step."""
    found = on_grid(np.array([[0.0, 0.0], [1.0, 0.3]]), np.eye(2)[None], 10)
    np.testing.assert_allclose(found, [[0.0, 0.0], [1.0, 0.3]])
