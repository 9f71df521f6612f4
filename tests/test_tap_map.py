"""Maps behind the taps of a deployed graph: what stands behind the trunk reads them, the trunk itself does not."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lineside.errors import BundleError
from lineside.graph.rewrite import constants, with_outputs
from lineside.graph.run import Graph
from lineside.graph.tap_map import TapMap, raw_name, tap_maps, with_tap_maps
from lineside.train.line_taps import SlowTaps

RNG = np.random.default_rng(5)
TAPS = ("tap0", "tap1")


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """A trunk, frame -> tap0 = 2 frame -> tap1 = tap0², and a head that adds both."""
    node = helper.make_node
    nodes = [
        node("Add", ["frame", "frame"], ["tap0"], name="front/0_Add"),
        node("Mul", ["tap0", "tap0"], ["tap1"], name="front/1_Mul"),
        node("Add", ["tap0", "tap1"], ["score"], name="head/0_Add"),
    ]
    frame, score = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3, 2, 2]) for n in ("frame", "score"))
    graph = helper.make_graph(nodes, "g", [frame], [score])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def drawn() -> TapMap:
    """Return some map of three channels."""
    return TapMap(RNG.standard_normal((3, 3)).astype(np.float32), RNG.standard_normal(3).astype(np.float32))


def moved(one: TapMap, x: np.ndarray) -> np.ndarray:
    """Return mapped features."""
    return np.asarray(np.einsum("dc,nchw->ndhw", one.matrix, x) + one.shift[:, None, None])


def test_the_head_reads_mapped_features_and_the_trunk_goes_on_with_its_own(model: onnx.ModelProto) -> None:
    """The second tap is made of the first as it was; the score is the sum of both, mapped."""
    maps, x = {tap: drawn() for tap in TAPS}, RNG.standard_normal((4, 3, 2, 2)).astype(np.float32)
    made = with_tap_maps(model, maps)
    onnx.checker.check_model(made)
    out = Graph(with_outputs(made, (*TAPS, *map(raw_name, TAPS))))({"frame": x})
    np.testing.assert_allclose(out[raw_name("tap1")], 4 * x * x, rtol=1e-5)
    mapped = moved(maps["tap0"], 2 * x), moved(maps["tap1"], 4 * x * x)
    np.testing.assert_allclose(out["tap0"], mapped[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["score"], sum(mapped), rtol=1e-4, atol=1e-5)


def test_a_tap_without_a_map_stays(model: onnx.ModelProto) -> None:
    """One map alone leaves the other tap, and no map the whole graph."""
    x, one = RNG.standard_normal((1, 3, 2, 2)).astype(np.float32), drawn()
    out = Graph(with_tap_maps(model, {"tap1": one}))({"frame": x})["score"]
    np.testing.assert_allclose(out, 2 * x + moved(one, 4 * x * x), rtol=1e-4, atol=1e-5)
    assert with_tap_maps(model, {}) == model


def test_a_further_map_takes_the_place_of_the_first(model: onnx.ModelProto) -> None:
    """One convolution a tap, however often the line changes; the graph tells which map it has."""
    maps = {tap: drawn() for tap in TAPS}
    twice = with_tap_maps(with_tap_maps(model, {tap: drawn() for tap in TAPS}), maps)
    assert twice == with_tap_maps(model, maps)
    assert tap_maps(constants(model), TAPS) == {}
    for tap, one in tap_maps(constants(twice), TAPS).items():
        np.testing.assert_array_equal(one.matrix, maps[tap].matrix)
        np.testing.assert_array_equal(one.shift, maps[tap].shift)


def test_the_slow_twin_maps_what_the_trunk_gives(model: onnx.ModelProto) -> None:
    """It equals the graph's mapped taps, from the taps as they are; where there is no map, it takes the taps."""
    made, x = with_tap_maps(model, {"tap0": drawn()}), RNG.standard_normal((2, 3, 2, 2)).astype(np.float32)
    slow = SlowTaps(made, TAPS)
    assert slow.names == (raw_name("tap0"), "tap1")
    out = Graph(with_outputs(made, (*slow.names, "tap0")))({"frame": x})
    seen = slow(out)
    np.testing.assert_allclose(seen[0], out["tap0"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(seen[1], out["tap1"])


def test_a_graph_without_the_tap_is_refused(model: onnx.ModelProto) -> None:
    """As one that another version made."""
    with pytest.raises(BundleError, match="tap2"):
        with_tap_maps(model, {"tap2": drawn()})
