"""A model is one file: whatever of it refers to another is refused, wherever in the graph it stands."""

import contextlib
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lineside.errors import BundleError, FrameError
from lineside.export.onnx_file import refuse_external_data
from lineside.runtime import Inspector, load_bundle
from tiny import seal, tiny_contract, tiny_model, write_tiny_bundle

Model = onnx.ModelProto
MODEL = tiny_model(tiny_contract())


def outside(name: str = "w", location: str = "../../secret.bin") -> TensorProto:
    """A tensor that lies in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3, 1], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def as_initializer(model: Model) -> None:
    """As a weight of the graph."""
    model.graph.initializer.append(outside())


def as_constant(model: Model) -> None:
    """As the value of a Constant."""
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=outside()))


def among_tensors(model: Model) -> None:
    """In an attribute that is a list of tensors, not the first of them."""
    inside = numpy_helper.from_array(np.zeros(1, np.float32))
    model.graph.node.append(helper.make_node("Custom", [], ["c"], values=[inside, outside()]))


def in_a_branch(model: Model) -> None:
    """As a weight of a branch of If."""
    branch = helper.make_graph([], "branch", [], [], [outside()])
    model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=branch))


def in_a_function(model: Model) -> None:
    """As a Constant inside a function."""
    node = helper.make_node("Constant", [], ["c"], value=outside())
    model.functions.append(helper.make_function("own", "f", [], ["c"], [node], [helper.make_opsetid("", 20)]))


def sparse(model: Model) -> None:
    """As the values of a sparse weight."""
    model.graph.sparse_initializer.add().values.CopyFrom(outside())


def by_location_alone(model: Model) -> None:
    """Said to be external, without saying where."""
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


PLACES = (as_initializer, as_constant, among_tensors, in_a_branch, in_a_function, sparse, by_location_alone)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_a_tensor_in_another_file_is_refused(place: Callable[[Model], None], tmp_path: Path) -> None:
    """Wherever it stands, and although the sums fit, the bundle is not loaded."""
    bundle = write_tiny_bundle(tmp_path / "tiny")
    model = onnx.load_from_string(MODEL)
    place(model)
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    seal(bundle)
    for path in (bundle, bundle / "model.onnx"):
        with pytest.raises(BundleError, match=r"model\.onnx: a tensor of the model lies in another file"):
            load_bundle(path, unverified=True)


def test_a_model_in_one_file_passes() -> None:
    """Neither the tiny graph nor one that says of a tensor that it lies inside is refused."""
    model = onnx.load_from_string(MODEL)
    model.graph.initializer[0].data_location = TensorProto.DEFAULT
    assert model.graph.initializer[0].HasField("data_location")
    refuse_external_data(model.SerializeToString(), "here")
    refuse_external_data(MODEL, "here")


def test_a_model_that_was_cut_off_is_refused_wherever_onnx_refuses_it() -> None:
    """Cut off anywhere, a model passes only where the cut is between two fields and onnx reads it too."""
    passed = 0
    for size in range(1, len(MODEL), 23):
        try:
            refuse_external_data(MODEL[:size], "here")
        except BundleError:
            continue
        onnx.load_from_string(MODEL[:size])
        passed += 1
    assert passed < 5


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """No bytes make the reader fail with anything but its own error."""
    with contextlib.suppress(BundleError):
        refuse_external_data(content, "here")


def test_graphs_within_graphs_without_end_are_refused() -> None:
    """A file that nests graphs to exhaust the reader is refused."""
    nested = b""
    for _ in range(1000):
        for field in (6, 5, 1):  # an attribute's graph, a node's attribute, a graph's node
            nested = bytes([field << 3 | 2]) + _length(len(nested)) + nested
    with pytest.raises(BundleError, match="cut off, or no ONNX file"):
        refuse_external_data(b"\x3a" + _length(len(nested)) + nested, "here")


def test_a_field_number_with_too_many_bits_is_refused() -> None:
    """A reader that drops the bits above 32 would see a tensor in another file here."""
    hidden = bytes([5 << 3 | 2 | 0x80, 0x80, 0x80, 0x80, 0x10])  # a graph's initializer, and bit 32
    tensor = outside().SerializeToString()
    graph = hidden + _length(len(tensor)) + tensor
    with pytest.raises(BundleError, match="cut off, or no ONNX file"):
        refuse_external_data(b"\x3a" + _length(len(graph)) + graph, "here")


def _length(size: int) -> bytes:
    """A protobuf length."""
    groups = [size >> shift & 0x7F for shift in range(0, max(size.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def test_a_giant_model_is_refused_before_it_is_read(bundle: Path) -> None:
    """The limit is the caller's, and one that the model just meets lets it pass."""
    size = (bundle / "model.onnx").stat().st_size
    assert load_bundle(bundle, max_model_bytes=size).model
    for load in (load_bundle, Inspector):
        with pytest.raises(BundleError, match=rf"model\.onnx: larger than {size - 1} bytes.*max_model_bytes"):
            load(bundle, max_model_bytes=size - 1)


def test_a_giant_model_takes_no_memory(tmp_path: Path) -> None:
    """What is refused for its size was not read, a bare file as little as a bundle's."""
    bundle = write_tiny_bundle(tmp_path / "tiny")
    os.truncate(bundle / "model.onnx", 3 * 2**30)  # sparse: takes no room on the disk either
    tracemalloc.start()
    try:
        for path, bare in ((bundle, False), (bundle / "model.onnx", True)):
            with pytest.raises(BundleError, match=rf"model\.onnx: larger than {2**30} bytes"):
                load_bundle(path, unverified=bare)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_a_giant_frame_is_refused(bundle: Path) -> None:
    """A frame of more pixels than allowed is no frame; one of just as many is judged."""
    inspector = Inspector(bundle, max_frame_pixels=12)
    assert inspector.inspect(np.full((3, 4, 3), 90, np.uint8)).verdict.name == "OK"
    with pytest.raises(FrameError, match=r"3 × 5 pixels, the limit is 12.*max_frame_pixels"):
        inspector.inspect(np.full((3, 5, 3), 90, np.uint8))


@pytest.mark.parametrize("name", ["..\\model.onnx", "C:x", "/etc/passwd", "vectors/../../x", "model.onnx\0"])
def test_sums_that_lead_out_of_the_bundle_are_refused(name: str, tmp_path: Path) -> None:
    """On no platform may a listed path leave the bundle."""
    bundle = write_tiny_bundle(tmp_path / "tiny")
    with (bundle / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(BundleError, match="SHA256SUMS:3: expected"):
        load_bundle(bundle)


def test_a_model_that_is_a_link_out_of_the_bundle_is_refused(tmp_path: Path) -> None:
    """A link to the very same bytes elsewhere is not the bundle's own file."""
    bundle = write_tiny_bundle(tmp_path / "tiny")
    (bundle / "model.onnx").rename(tmp_path / "elsewhere.onnx")
    (bundle / "model.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx: a link that leads out"):
        load_bundle(bundle)
