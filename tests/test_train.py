"""The training run on a small rendered part: the bundle, its bytes, its verdicts, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import onnx
import pytest
from pydantic import TypeAdapter

import lineside
from conftest import Trained, write_part
from lineside.batch.eye import Eye
from lineside.batch.working import WORKING
from lineside.capture.decode import read_image
from lineside.contract import METADATA_KEY, Contract, Verdict
from lineside.errors import BundleError, LinesideError, ParityError, StorageError, UsageError
from lineside.graph.join import select_outputs
from lineside.graph.run import Graph
from lineside.recipe import load_recipe
from lineside.runtime import Inspector, verify_bundle
from lineside.train import train
from lineside.transfer.backbone import load_backbone
from tiny import rewrite

SCHEMA = Path(lineside.__file__).parent / "contract.schema.json"


def test_the_contract_follows_its_published_schema(small: Trained) -> None:
    """contract.json, the metadata and the schema in the package agree; the schema is that of the classes."""
    text = (small.bundle / "contract.json").read_text()
    schema = json.loads(SCHEMA.read_text())
    assert schema == TypeAdapter(Contract).json_schema()
    jsonschema.validate(json.loads(text), schema)
    model = onnx.load(small.bundle / "model.onnx")
    assert {p.key: p.value for p in model.metadata_props}[METADATA_KEY] == text


def test_the_working_image_is_what_the_network_was_given(small: Trained) -> None:
    """Read out of the bundle's bytes, it is the trunk's own working tensor in grey levels; no verdict changes by it."""
    front, frame = small.calibration.head.front, read_image(small.images / "train" / "good" / "000.png")
    inner = Graph(select_outputs(front.trunk.joined(front.decision.values), (WORKING,)))({"frame": frame[None]})
    settings = front.decision.settings
    levels = 255.0 * (inner[WORKING][0].transpose(1, 2, 0) * np.array(settings.std) + np.array(settings.mean))
    inspector = Inspector(small.bundle)
    before = inspector.inspect(frame).score
    limits = inspector.threshold_ng, inspector.threshold_review
    eye = Eye((small.bundle / "model.onnx").read_bytes(), inspector.contract, limits, "the bundle")
    shown = eye(Path(), frame).working
    assert shown is not None
    assert np.abs(shown - np.clip(levels, 0, 255)).max() <= 0.51
    assert inspector.inspect(frame).score == before


def test_threshold_inputs_override_the_verdict(small: Trained) -> None:
    """The thresholds are optional inputs: plain onnxruntime may move them; the score stays."""
    frame = read_image(small.images / "train" / "good" / "000.png")
    inspector = Inspector(small.bundle)
    score = inspector.inspect(frame).score
    strict = Inspector(small.bundle, threshold_ng=score * 0.9).inspect(frame)
    review = Inspector(small.bundle, threshold_ng=score * 1.1, threshold_review=score * 0.9).inspect(frame)
    assert (strict.verdict, review.verdict) == (Verdict.NG, Verdict.REVIEW)
    assert strict.score == score


def test_defects_are_found_and_located(small: Trained) -> None:
    """Severe defects score above all good test parts of the same pose."""
    result = json.loads((small.bundle / "training.json").read_text())["evaluation"]
    assert result["auroc"] >= 0.95


def test_verify_proves_the_bundle_here(small: Trained) -> None:
    """Every file, the contract and all vectors."""
    proven = verify_bundle(small.bundle)
    assert proven.part == "small"
    assert proven.vectors >= 2
    assert proven.worst_score_rel <= 1e-3


def altered(small: Trained, tmp_path: Path) -> Path:
    """Return a copy of the bundle to spoil."""
    copy = tmp_path / "copy"
    shutil.copytree(small.bundle, copy)
    return copy


def truncate(bundle: Path) -> None:
    """Cut the model off half-way."""
    content = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(content[: len(content) // 2])


def flip_bit(bundle: Path) -> None:
    """Flip one bit of one weight."""
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(bytes(content))


def swap_model(bundle: Path) -> None:
    """Put another valid model in."""
    model = onnx.load(bundle / "model.onnx")
    model.graph.doc_string = "another"
    onnx.save(model, bundle / "model.onnx")


def remove_model(bundle: Path) -> None:
    """Take the model away."""
    (bundle / "model.onnx").unlink()


def alter_contract(bundle: Path) -> None:
    """Claim another threshold."""
    text = (bundle / "contract.json").read_text().replace('"part": "small"', '"part": "large"')
    (bundle / "contract.json").write_text(text)


def lose_sums(bundle: Path) -> None:
    """Take the list of hashes away."""
    (bundle / "SHA256SUMS").unlink()


@pytest.mark.parametrize("spoil", [truncate, flip_bit, swap_model, remove_model, alter_contract, lose_sums])
def test_a_spoilt_bundle_is_refused_by_verify_and_inspector(small: Trained, tmp_path: Path, spoil: object) -> None:
    """Truncated, bit-flipped, swapped, incomplete: no verdict is given."""
    copy = altered(small, tmp_path)
    spoil(copy)  # type: ignore[operator]
    for use in (verify_bundle, Inspector):
        with pytest.raises(BundleError):
            use(copy)


@pytest.mark.parametrize("name", ["card.md", "vectors/ok.u8", "parity.csv"])
def test_verify_refuses_what_inspector_does_not_read(small: Trained, tmp_path: Path, name: str) -> None:
    """Any altered file of the bundle is named."""
    copy = altered(small, tmp_path)
    (copy / name).write_bytes(b"altered")
    with pytest.raises(BundleError, match=Path(name).name):
        verify_bundle(copy)


def test_verify_refuses_an_added_file(small: Trained, tmp_path: Path) -> None:
    """A bundle holds what was written and nothing else."""
    copy = altered(small, tmp_path)
    (copy / "extra.txt").write_text("x")
    with pytest.raises(BundleError, match=r"extra\.txt"):
        verify_bundle(copy)


def test_vectors_that_are_not_the_models_are_refused(small: Trained, tmp_path: Path) -> None:
    """Swapped vectors with matching hashes still fail, for the model does not return them."""
    copy = altered(small, tmp_path)

    def edit(document: dict[str, Any]) -> None:
        document["vectors"][0]["outputs"]["score"] *= 1.01

    rewrite(copy, edit)
    with pytest.raises(BundleError, match="output score"):
        verify_bundle(copy)


def test_a_graph_that_differs_from_its_reference_is_not_exported(
    small: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head whose memory changed between fitting and assembly refuses the export, and nothing is written."""
    from lineside.train import native, run

    head = small.calibration.head
    changed = {**head.constants, "memory": head.constants["memory"] * np.float32(1.05)}  # type: ignore[operator]
    wrong = replace(small.calibration, head=replace(head, constants=changed))
    monkeypatch.setattr(native, "NativeMethod", lambda *_: small.method)
    monkeypatch.setattr(run, "calibrated", lambda *_: wrong)
    with pytest.raises(ParityError, match="Nothing was exported"):
        train(load_recipe(small.recipe), tmp_path / "never")
    assert {path.name for path in tmp_path.iterdir()} <= {".never.lock"}


@pytest.mark.slow
def test_other_settings_export_as_well(small: Trained, tmp_path: Path) -> None:
    """A hold-out, whose threshold is a score of the deployed head; a memory of every training patch; the gate off."""
    text = f"""part: small
images: {small.images.as_posix()}
normalise: {{size: 128, pose: {{model: none}}, gate: {{mode: "off"}}}}
transfer: {{memory: 16384, augment: none}}
calibrate: {{crossfit: holdout}}
"""
    (tmp_path / "recipe.yaml").write_text(text)
    record = train(load_recipe(tmp_path), tmp_path / "model")
    assert record.contract.threshold_ng.kind == "guaranteed"
    assert verify_bundle(tmp_path / "model").vectors >= 1
    assert set(record.contract.quality_limits) == {(None, None)}
    inspector = Inspector(tmp_path / "model")
    for level in (0, 255):
        result = inspector.inspect(np.full((60, 90, 3), level, np.uint8))
        assert (result.verdict, result.gate) == (Verdict.NG, 0)


@pytest.mark.slow
def test_good_frames_that_get_no_call_have_no_say(tmp_path: Path) -> None:
    """A black good frame gets no call on the line, so the threshold is taken without it, and the record says so."""
    folder = write_part(tmp_path / "dark", goods=8, test_goods=1, test_defects=1)
    cv2.imwrite(str(folder / "images" / "train" / "good" / "900.png"), np.zeros((128, 128, 3), np.uint8))
    record = train(load_recipe(folder), tmp_path / "model")
    assert record.contract.threshold_ng.n == 8
    assert any("1 of 9 good frames are outside the gate's limits" in decision for decision in record.decisions)


def test_a_target_in_use_stops_before_any_work(small: Trained, tmp_path: Path) -> None:
    """The refusal comes first, not after a minute of training."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="no bundle"):
        train(load_recipe(small.recipe), tmp_path)


@pytest.mark.parametrize(
    ("name", "taps", "licences", "error", "words"),
    [
        ("lite0", (8, 16), ("mit",), UsageError, "licence 'apache-2.0'"),
        ("lite0", (8, 64), ("apache-2.0",), UsageError, "has the strides 2, 4, 8, 16, 32; found 64"),
        ("resnet", (8,), ("apache-2.0",), UsageError, "expected lite0, timm"),
        ("timm:no_such_net", (8,), ("apache-2.0",), UsageError, "no model 'no_such_net'"),
        ("local-dir:nowhere", (8,), ("apache-2.0",), UsageError, "config.json"),
    ],
)
def test_a_backbone_that_cannot_be_used_is_refused(
    tmp_path: Path, name: str, taps: tuple[int, ...], licences: tuple[str, ...], error: type[LinesideError], words: str
) -> None:
    """Licence, strides, names and folders: one line each, before anything is fitted."""
    with pytest.raises(error, match=words):
        load_backbone(name, taps, licences, tmp_path)


def test_a_local_folder_gives_the_features_of_the_embedded_backbone(tmp_path: Path) -> None:
    """The embedded weights written as timm's local folder are the same network."""
    import torch

    from lineside.transfer.backbone import write_local_dir

    write_local_dir("lite0", tmp_path / "folder")
    one = load_backbone("lite0", (8, 16), ("apache-2.0",), tmp_path)
    other = load_backbone("local-dir:folder", (8, 16), ("apache-2.0",), tmp_path)
    x = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(one.module(x), other.module(x), strict=True))
    assert (other.mean, other.std) == (pytest.approx(one.mean), pytest.approx(one.std))
