"""state.npz: what a bundle remembers beyond its graph."""

import io
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lineside.errors import BundleError
from lineside.export import state
from lineside.export.state import pack_state, unpack_state
from lineside.graph.rewrite import constants, piece, value_names, with_constants, with_outputs
from lineside.graph.run import Graph

ARRAYS = {"scores": np.arange(4, dtype=np.float32), "groups": np.array(["a", "bc"]), "margin": np.array(6.0)}


def test_arrays_come_back_as_they_were() -> None:
    """Numbers, text and scalars survive, with their types."""
    back = unpack_state(pack_state(ARRAYS), "here")
    assert back.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(back[name], value)
        assert back[name].dtype == value.dtype


def test_the_same_arrays_give_the_same_bytes() -> None:
    """A bundle is reproducible: neither order nor time shows in the file."""
    assert pack_state(ARRAYS) == pack_state(dict(reversed(ARRAYS.items())))


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_cut_file_is_refused(cut: int) -> None:
    """What was cut off is no state, and the error names the file."""
    with pytest.raises(BundleError, match="here"):
        unpack_state(pack_state(ARRAYS)[:cut], "here")


def test_a_changed_byte_is_refused_or_changes_nothing() -> None:
    """Whichever it is: the archive's own times and comments are nobody's, all else has a checksum."""
    content, whole = pack_state(ARRAYS), {name: value.tolist() for name, value in ARRAYS.items()}
    refused = 0
    for place in range(len(content)):
        for mask in (1, 69, 134, 255):
            changed = bytearray(content)
            changed[place] ^= mask
            try:
                back = unpack_state(bytes(changed), "here")
            except BundleError:
                refused += 1
            else:
                assert {name: value.tolist() for name, value in back.items()}.items() <= whole.items()
    assert refused > 2 * len(content)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to more than the limit is refused by the sizes that it declares."""
    content = pack_state({"zeros": np.zeros(10**7, np.uint8)})
    assert len(content) < 10**5
    monkeypatch.setattr(state, "MAX_UNPACKED_BYTES", 10**6)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=r"here: .* unpacks to 10000128 bytes, the limit is 1000000"):
            unpack_state(content, "here")
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_nothing_is_unpickled() -> None:
    """An array of objects is neither written nor read."""
    objects = np.array([{}], dtype=object)
    with pytest.raises(ValueError, match="objects"):
        pack_state({"bad": objects})
    content = io.BytesIO()
    np.savez(content, bad=objects)
    with pytest.raises(BundleError):
        unpack_state(content.getvalue(), "here")


def model() -> onnx.ModelProto:
    """Return y = (x · weight) + 1, with the product named `inner`."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "weight"], ["inner"]), helper.make_node("Add", ["inner", "part/one"], ["y"])],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(np.array([2.0], np.float32), "weight"),
         numpy_helper.from_array(np.array([1.0], np.float32), "part/one")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


X = np.array([1.0, 3.0], np.float32)


def test_only_numbers_with_a_name_of_their_own_are_fitted_ones() -> None:
    """What belongs to the inside of a part is no fitted number."""
    assert constants(model()).keys() == {"weight"}
    assert value_names(model()) == {"inner", "y"}


def test_numbers_are_replaced_in_a_copy() -> None:
    """The new graph computes with the new number, the old one as before."""
    old = model()
    new = with_constants(old, {"weight": np.array([5.0], np.float32)})
    np.testing.assert_array_equal(Graph(new)({"x": X})["y"], 5 * X + 1)
    np.testing.assert_array_equal(Graph(old)({"x": X})["y"], 2 * X + 1)


def test_an_inner_value_becomes_an_output() -> None:
    """What a part hands on can be read without exporting again."""
    np.testing.assert_array_equal(Graph(with_outputs(model(), ("inner",)))({"x": X})["inner"], 2 * X)


def test_a_piece_takes_an_inner_value_and_free_numbers() -> None:
    """The end of a graph runs by itself, on what its beginning gave."""
    end = piece(model(), ("inner",), (), ("y",))
    np.testing.assert_array_equal(Graph(end)({"inner": X})["y"], X + 1)
    freed = piece(model(), ("x",), ("weight",), ("y",))
    np.testing.assert_array_equal(Graph(freed)({"x": X, "weight": np.array([7.0], np.float32)})["y"], 7 * X + 1)


def test_what_a_graph_lacks_is_named() -> None:
    """A value or number that is not there is an error of the bundle, by name."""
    with pytest.raises(BundleError, match="'tap9'"):
        with_outputs(model(), ("tap9",))
    with pytest.raises(BundleError, match="'memory'"):
        with_constants(model(), {"memory": X})
    with pytest.raises(BundleError, match="'x'"):
        piece(model(), (), (), ("y",))
