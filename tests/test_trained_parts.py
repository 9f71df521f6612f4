"""What training wrote, held against what it recorded: a part that lies still, and one at any angle.

Whatever needs the turning part stands here, so that one process trains it and no other has to.
"""

import csv
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest

from conftest import Trained
from lineside.capture.decode import read_image
from lineside.contract import INPUT_FRAME, OUTPUTS, Verdict
from lineside.export.decision import export_decision
from lineside.graph.run import Graph
from lineside.recipe import load_recipe
from lineside.runtime import Inspector
from lineside.synth import Pose, cap, render
from lineside.train import train
from lineside.train.tail import decision_settings, findings, found
from test_finding import FLOOR, feed

WHICH = ("small", pytest.param("posed", marks=pytest.mark.slow))
"""A part that lies still, and one at any angle with pose, light and gate switched on."""


def part(which: str, request: pytest.FixtureRequest) -> Trained:
    """Return one of `WHICH`, trained."""
    trained: Trained = request.getfixturevalue(which)
    return trained


def recorded(bundle: Path) -> dict[str, tuple[float, str]]:
    """Return what training recorded: image -> (score, verdict), for the images that lie on disk."""
    with (bundle / "parity.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] != "disturbed"]
    return {row["name"]: (float(row["score"]), row["verdict"]) for row in rows}


@pytest.mark.parametrize("which", WHICH)
def test_inspector_and_plain_onnxruntime_say_what_training_recorded(which: str, request: pytest.FixtureRequest) -> None:
    """Every image: the same verdict, and the same score, from the written file."""
    trained = part(which, request)
    inspector = Inspector(trained.bundle)
    session = ort.InferenceSession(str(trained.bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    verdicts = recorded(trained.bundle)
    assert len(verdicts) == sum(trained.record.contract.image_counts.values())
    for name, (score, verdict) in verdicts.items():
        frame = read_image(trained.images / name)
        result = inspector.inspect(frame)
        plain = session.run(["score", "verdict"], {INPUT_FRAME: frame[None]})
        assert (result.verdict.name, Verdict(int(plain[1][0])).name) == (verdict, verdict)
        assert result.score == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("size_hw", [(128, 128), (90, 210), (333, 257)])
@pytest.mark.parametrize("which", WHICH)
def test_one_file_takes_any_batch_and_frame_size(
    which: str, batch: int, size_hw: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    """Every output has the contract's shape and type, and no score is anything but finite."""
    inspector = Inspector(part(which, request).bundle)
    frames = np.random.default_rng(0).integers(0, 256, (batch, *size_hw, 3), dtype=np.uint8)
    out = inspector.raw_outputs(frames)
    map_w, map_h = inspector.contract.map_wh
    shapes = {name: out[name].shape for name in OUTPUTS}
    size = int(re.findall(r"(\d+)-dimensional", inspector.contract.embedding)[0])
    assert shapes == {
        "score": (batch,), "verdict": (batch,), "anomaly_map": (batch, map_h, map_w), "pose": (batch, 5),
        "transform": (batch, 3, 3), "gate": (batch,), "defect_class": (batch,),
        "quality": (batch, len(inspector.contract.quality_names)), "class_prob": (batch, 0),
        "class_p_value": (batch,), "embedding": (batch, size),
    }  # fmt: skip
    assert {out[name].dtype for name in ("verdict", "gate", "defect_class")} == {np.dtype(np.int64)}
    assert all(np.isfinite(out[name]).all() for name in OUTPUTS)


@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize(("level", "reason"), [(0, "exposure"), (255, "clipped")])
def test_a_black_or_white_frame_gets_no_call(
    which: str, level: int, reason: str, request: pytest.FixtureRequest
) -> None:
    """NO_CALL with its reason and a finite score, never OK."""
    result = Inspector(part(which, request).bundle).inspect(np.full((128, 128, 3), level, np.uint8))
    assert result.verdict == Verdict.NO_CALL
    assert reason in result.reasons
    assert np.isfinite(result.score)
    assert np.isfinite(list(result.quality.values())).all()


@pytest.mark.parametrize("which", WHICH)
def test_the_model_is_one_file_of_standard_operators_without_paths(which: str, request: pytest.FixtureRequest) -> None:
    """No external data, no custom operators, opset and IR within the contract, no path of this machine."""
    trained = part(which, request)
    content = (trained.bundle / "model.onnx").read_bytes()
    model = onnx.load_model_from_string(content)
    onnx.checker.check_model(model)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
    assert model.opset_import[0].version <= 21
    assert model.ir_version <= 10
    assert not model.functions
    assert all(w.data_location == onnx.TensorProto.DEFAULT for w in model.graph.initializer)
    assert {i.name for i in model.graph.input} == {"frame", "threshold_ng", "threshold_review"}
    held = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    for tensor in (*model.graph.initializer, *held):
        tensor.ClearField("raw_data")  # numbers may spell anything
    words = model.SerializeToString()
    needles = (str(Path.home()), str(trained.recipe), ".py", "stack_trace")
    assert [needle for needle in needles if needle.encode() in words] == []


# ---- the part at any angle


@pytest.mark.slow
def test_everything_is_on_where_the_part_turns(posed: Trained) -> None:
    """The recipe's defaults found a pose, corrected light and set limits; parity was proven with all of it."""
    contract = posed.record.contract
    assert contract.normalisation["pose"].startswith("similarity")
    assert contract.normalisation["exposure"] != "off"
    assert sum(limits != (None, None) for limits in contract.quality_limits) > 10
    assert {finding.name for finding in contract.findings} == {"expected_feature_not_found", "shading"}
    with (posed.bundle / "parity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"calibration", "disturbed", "test"}
    assert posed.record.parity_frames == len(rows)
    assert {row["verdict"] for row in rows if row["label"] == "good" and row["kind"] == "test"} == {"OK"}
    assert max(float(row["difference_rel"]) for row in rows) <= 1e-3


@pytest.mark.slow
def test_the_same_recipe_gives_the_same_bytes(posed: Trained) -> None:
    """Training again on the same machine writes the same model.onnx and contract, pose and light included."""
    again = posed.recipe / "again"
    train(load_recipe(posed.recipe), again)
    for name in ("model.onnx", "contract.json", "recipe.lock.yaml", "parity.csv", "vectors/vectors.json"):
        assert (again / name).read_bytes() == (posed.bundle / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize(("angle", "dx", "dy"), [(40.0, 6.0, -5.0), (-110.0, -6.0, 4.0), (170.0, 5.0, 6.0)])
def test_the_map_lies_in_the_frame_up_to_its_border(posed: Trained, angle: float, dx: float, dy: float) -> None:
    """However the part is turned, the map's peak is where the defect was painted, at the frame's border too."""
    inspector = Inspector(posed.bundle)
    clean = render("caps", 5000, size=128, pose=Pose(angle, dx, dy, 1.0)).image
    reach = 50.0
    for direction in np.deg2rad(np.arange(0, 360, 45)):
        x, y = round(63.5 + dx + reach * np.cos(direction)), round(63.5 + dy + reach * np.sin(direction))
        frame = clean.copy()
        cv2.circle(frame, (x, y), 5, (40, 160, 60), -1)
        result = inspector.inspect(frame)
        row, column = np.unravel_index(result.anomaly_map.argmax(), result.anomaly_map.shape)
        peak = (np.array([column, row]) + 0.5) * 128 / np.array(result.anomaly_map.shape[::-1]) - 0.5
        assert result.verdict == Verdict.NG
        assert np.hypot(*(peak - (x, y))) <= 12.0  # one and a half cells of the backbone


@pytest.mark.slow
def test_graph_numpy_and_contract_have_one_rule(posed: Trained) -> None:
    """Random numbers around the limits of a trained part: three ways to say whether a finding holds, one answer."""
    head = posed.calibration.head
    settings = decision_settings(head.front.decision.settings)
    names = head.front.decision.settings.gate.quality_names
    limits = head.finding_limits
    rng = np.random.default_rng(0)
    quality = rng.uniform(0, 1.2, (400, settings.quality_count)).astype(np.float32)
    quality[:, names.index("shading")] = rng.uniform(0, 16, 400)
    numpy_says = found(head.front, limits, quality)
    graph = Graph(export_decision(settings))
    graph_says = graph({**feed(quality), "finding_limits": limits})["score"] == FLOOR
    told = findings(head.front.decision.settings, limits)
    assert told == posed.record.contract.findings
    contract_says = [any(f.holds(dict(zip(names, line.tolist(), strict=True))) for f in told) for line in quality]
    assert numpy_says.tolist() == graph_says.tolist() == contract_says
    assert 40 < numpy_says.sum() < 360


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caps are rendered without print and without mark."""

    def nothing(side: int) -> Any:
        return np.zeros((side, side), np.float32)

    monkeypatch.setattr(cap, "_stamp", nothing)
    monkeypatch.setattr(cap, "_print", lambda side: (nothing(side), nothing(side)))


@pytest.mark.slow
@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("seed", range(5000, 5008))
def test_a_cap_without_print_and_mark_is_ng(seed: int, posed: Trained) -> None:
    """Nothing shows how it is turned: NG for the missing feature with a score well above the threshold, no NO_CALL."""
    result = Inspector(posed.bundle).inspect(render("caps", seed, size=128).image)
    assert result.verdict == Verdict.NG
    assert "expected_feature_not_found" in result.reasons
    assert result.score >= 2 * posed.record.contract.threshold_ng.value * (1 - 1e-6)
    assert "missing" in posed.record.contract.in_words("expected_feature_not_found")


@pytest.mark.slow
@pytest.mark.parametrize("defect", [None, "missing_print", "stain", "dent"])
def test_other_caps_have_no_missing_feature(defect: str | None, posed: Trained) -> None:
    """Good caps and caps with defects that leave enough to see their angle by get a call, without the finding."""
    inspector = Inspector(posed.bundle)
    for seed in range(6000, 6006):
        result = inspector.inspect(render("caps", seed, defect, severity=0.8, size=128).image)
        assert result.verdict != Verdict.NO_CALL
        assert "expected_feature_not_found" not in result.reasons
