"""Loading a bundle: one that is not what it claims to be is refused, and the error names the file."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from lineside.contract import CONTRACT_VERSION, Contract
from lineside.runtime import BundleError, Inspector, LinesideError, StorageError, load_bundle
from tiny import seal, tiny_contract, tiny_model, write_bundle, write_tiny_bundle


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """A copy of the tiny bundle, to spoil."""
    return Path(shutil.copytree(bundle, tmp_path / "tiny"))


def cut_model(bundle: Path) -> None:
    """Leave half of the model."""
    model = bundle / "model.onnx"
    model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])


def flip_bit(bundle: Path) -> None:
    """Change one bit of the model."""
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(content)


def swap_model(bundle: Path) -> None:
    """Put another bundle's model in."""
    other = write_tiny_bundle(bundle.parent / "other", threshold=99.0)
    shutil.copy(other / "model.onnx", bundle / "model.onnx")


def swap_model_and_reseal(bundle: Path) -> None:
    """Put another bundle's model in, and sums that fit it."""
    swap_model(bundle)
    seal(bundle)


def cut_model_and_reseal(bundle: Path) -> None:
    """Leave half of the model, and sums that fit it."""
    cut_model(bundle)
    seal(bundle)


def edit_contract(bundle: Path) -> None:
    """Raise the threshold that the contract states, and the sums with it."""
    path = bundle / "contract.json"
    document = json.loads(path.read_text())
    document["threshold_ng"]["value"] = 99.0
    path.write_text(json.dumps(document))
    seal(bundle)


def contract_without(field: str):
    """Remove a field of the contract."""

    def spoil(bundle: Path) -> None:
        path = bundle / "contract.json"
        document = json.loads(path.read_text())
        del document[field]
        path.write_text(json.dumps(document))
        seal(bundle)

    return spoil


def write_file(name: str, content: bytes, *, sealed: bool = True):
    """Replace a file."""

    def spoil(bundle: Path) -> None:
        (bundle / name).write_bytes(content)
        if sealed:
            seal(bundle)

    return spoil


def remove(name: str):
    """Remove a file."""
    return lambda bundle: (bundle / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(cut_model, r"model\.onnx: SHA-256 is .*the file was altered", id="model cut off"),
        pytest.param(flip_bit, r"model\.onnx: SHA-256 is .*the file was altered", id="one bit flipped"),
        pytest.param(swap_model, r"model\.onnx: SHA-256 is .*the file was altered", id="model swapped"),
        pytest.param(swap_model_and_reseal, r"contract\.json and the contract inside", id="swapped and resealed"),
        pytest.param(cut_model_and_reseal, r"model\.onnx: cut off, or no ONNX file", id="cut off and resealed"),
        pytest.param(edit_contract, r"contract\.json and the contract inside", id="contract edited"),
        pytest.param(contract_without("threshold_ng"), "lacks the field 'threshold_ng'", id="contract lacks a field"),
        pytest.param(contract_without("contract_version"), "contract version None", id="contract without version"),
        pytest.param(write_file("contract.json", b"{"), "no JSON document", id="contract cut off"),
        pytest.param(write_file("contract.json", b"[]"), "must be a JSON object", id="contract a list"),
        pytest.param(write_file("contract.json", b"\xff\xfe"), "not a text file", id="contract no text"),
        pytest.param(write_file("SHA256SUMS", b"", sealed=False), "no entry for model.onnx", id="sums empty"),
        pytest.param(write_file("SHA256SUMS", b"abc  model.onnx\n", sealed=False), "SHA256SUMS:1", id="sums malformed"),
        pytest.param(
            write_file("SHA256SUMS", b"0" * 64 + b"  ../model.onnx\n", sealed=False),
            "inside the bundle",
            id="sums outside",
        ),
        pytest.param(write_file("SHA256SUMS", b"\xff", sealed=False), "not a text file", id="sums no text"),
        pytest.param(remove("model.onnx"), r"model\.onnx: missing", id="no model"),
        pytest.param(remove("contract.json"), r"contract\.json: missing", id="no contract"),
        pytest.param(remove("SHA256SUMS"), r"SHA256SUMS: missing", id="no sums"),
    ],
)
def test_a_spoilt_bundle_is_refused(copy: Path, spoil, words: str) -> None:
    """Whatever is wrong with a bundle, no frame is judged with it, and the error names the file."""
    spoil(copy)
    with pytest.raises(BundleError, match=words) as caught:
        Inspector(copy)
    assert caught.value.exit_code == 1


def test_a_contract_of_another_version_is_refused(bundle: Path) -> None:
    """A later major version cannot be read, and the error says what to do."""
    text = (bundle / "contract.json").read_text().replace(f'"{CONTRACT_VERSION}"', '"9.0"')
    with pytest.raises(BundleError, match=r"contract version '9\.0' cannot be read.*Install"):
        Contract.from_json(text, "here")


def test_the_contract_survives_its_file(inspector: Inspector) -> None:
    """Written and read, the contract is the same."""
    assert Contract.from_json(inspector.contract.to_json(), "here") == inspector.contract


def test_there_is_no_bundle(tmp_path: Path) -> None:
    """A path that does not exist is a usage error."""
    with pytest.raises(LinesideError, match="absent") as caught:
        Inspector(tmp_path / "absent")
    assert caught.value.exit_code == 2


def test_a_bare_model_needs_a_hash_or_a_word(bundle: Path) -> None:
    """A .onnx file alone loads with its hash, or where the caller says that he does not check it."""
    model = bundle / "model.onnx"
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    with pytest.raises(LinesideError, match="unverified=True"):
        Inspector(model)
    with pytest.raises(BundleError, match="the file was altered"):
        Inspector(model, sha256="0" * 64)
    assert Inspector(model, sha256=digest).contract == Inspector(model, unverified=True).contract


def test_a_hash_binds_a_bundle_too(bundle: Path) -> None:
    """With sha256 a whole bundle that was swapped for another, sums and all, is refused."""
    with pytest.raises(BundleError, match="expected 0000"):
        Inspector(bundle, sha256="0" * 64)
    assert load_bundle(bundle).model_sha256 == hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()


def test_a_file_that_cannot_be_read_is_a_storage_error(copy: Path) -> None:
    """A folder where the model should be is input/output, exit code 4."""
    (copy / "model.onnx").unlink()
    (copy / "model.onnx").mkdir()
    with pytest.raises(StorageError, match=r"model\.onnx") as caught:
        Inspector(copy)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("map_wh", "declared"),
    [((8, 9), True), ((9, 8), True), ((10**6, 10**6), False), ((-8, -8), False), ((8, 8), False)],
)
def test_outputs_must_be_as_the_contract_says(tmp_path: Path, map_wh: tuple[int, int], declared: bool) -> None:
    """A map of another size than stated, or one that no memory holds, is refused before a frame is judged."""
    contract = dataclasses.replace(tiny_contract(), map_wh=map_wh)
    model = onnx.load_from_string(tiny_model(contract))
    if not declared:
        (output,) = (output for output in model.graph.output if output.name == "anomaly_map")
        for axis, name in ((1, "h"), (2, "w")):
            output.type.tensor_type.shape.dim[axis].dim_param = name
    bundle = write_bundle(tmp_path / "tiny", contract, model.SerializeToString())
    if map_wh == (8, 8):
        assert Inspector(bundle).inspect(np.full((4, 4, 3), 100, np.uint8)).anomaly_map.shape == (8, 8)
    else:
        with pytest.raises(BundleError, match=r"the graph's anomaly_map is .*, by the contract it is \[N"):
            Inspector(bundle)
