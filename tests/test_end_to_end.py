"""The three jobs on whole parts: train, inspect, embed. Slow; every line of it is a promise of the README."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import FIXED_POSE, LIT, Trained, train_part, write_part
from lineside.contract import Verdict
from lineside.graph.join import select_outputs
from lineside.graph.run import Graph
from lineside.recipe import load_recipe
from lineside.runtime import Inspector, verify_bundle
from lineside.synth import render
from lineside.train import train

pytestmark = pytest.mark.slow


def lineside(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a process of its own."""
    command = [sys.executable, "-c", "from lineside.cli.main import run; run()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def fenced(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A cap behind a vignetting lens: flat-field picture, region of interest and frame size in the recipe."""
    folder = tmp_path_factory.mktemp("fenced")
    light = LIT.replace("{", "{flat_field: target.png, ")
    normalise = f"{{size: 128, pose: {{model: none}}, roi: [0.25, 0.25, 0.75, 0.75], light: {light}}}"
    write_part(folder, normalise=normalise, more="export: {frame: [128, 128]}\n")
    for path in (folder / "images").rglob("*.png"):
        cv2.imwrite(str(path), through_lens(cv2.imread(str(path))))
    cv2.imwrite(str(folder / "target.png"), through_lens(np.full((128, 128, 3), 230, np.uint8)))
    return train_part(folder)


def through_lens(image: np.ndarray) -> np.ndarray:
    """Darken a picture [128, 128, 3] towards its corners, down to 60 %."""
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    return np.asarray((image * (1 - 0.2 * (x**2 + y**2))[..., None]).round(), np.uint8)


def good_cap(seed: int) -> np.ndarray:
    """Return a good cap as `fenced` sees it."""
    return through_lens(render("caps", seed, size=128, pose=FIXED_POSE).image)


BLOTS = {"bar": ((40, 108), (88, 126)), "strip": ((0, 0), (16, 127)), "corner": ((0, 0), (20, 20))}
"""Rectangles outside the region of `fenced`, px."""


@pytest.mark.parametrize("blot", BLOTS)
@pytest.mark.parametrize("colour", [(200, 30, 200), (10, 10, 10), (250, 250, 250)], ids=["magenta", "black", "white"])
def test_a_defect_outside_the_region_does_not_raise_the_score(
    fenced: Trained, blot: str, colour: tuple[int, int, int]
) -> None:
    """However large and gaudy: the score stays, and so does every number that a finding is made of."""
    inspector = Inspector(fenced.bundle)
    frame = good_cap(7000)
    before = inspector.inspect(frame)
    spoilt = frame.copy()
    cv2.rectangle(spoilt, *BLOTS[blot], colour, -1)
    after = inspector.inspect(spoilt)
    assert after.verdict in (before.verdict, Verdict.NO_CALL)  # the gate looks at the whole picture
    assert after.score == pytest.approx(before.score, rel=1e-5)
    assert after.quality["shading"] == pytest.approx(before.quality["shading"], rel=1e-3)
    assert after.anomaly_map[:7].max() == after.anomaly_map[-7:].max() == 0


def test_a_defect_inside_the_region_is_found(fenced: Trained) -> None:
    """A spot in the box is NG, and the map's peak lies on it."""
    frame = good_cap(7000)
    cv2.circle(frame, (56, 72), 7, (200, 30, 200), -1)
    result = Inspector(fenced.bundle).inspect(frame)
    row, column = np.unravel_index(result.anomaly_map.argmax(), result.anomaly_map.shape)
    assert result.verdict == Verdict.NG
    assert np.hypot(4 * column + 1.5 - 56, 4 * row + 1.5 - 72) <= 12


@pytest.mark.parametrize("size_wh", [(128, 96), (129, 128), (256, 256)])
def test_a_frame_of_another_size_gets_no_call(fenced: Trained, size_wh: tuple[int, int]) -> None:
    """With export.frame the camera's size is part of the contract."""
    frame = cv2.resize(good_cap(7003), size_wh, interpolation=cv2.INTER_AREA)
    result = Inspector(fenced.bundle).inspect(frame)
    assert result.verdict == Verdict.NO_CALL
    assert "frame_size" in result.reasons
    assert "frame_size" not in Inspector(fenced.bundle).inspect(good_cap(7003)).reasons


def test_the_flat_field_picture_of_the_recipe_is_in_the_graph(fenced: Trained) -> None:
    """What the deployed graph's light sees of an even target is even, and the contract says why."""
    front = fenced.calibration.head.front
    assert fenced.record.contract.normalisation["flat field"] == "gain"
    seen = Graph(select_outputs(front.trunk.joined(front.decision.values), ("small",)))
    target = through_lens(np.full((128, 128, 3), 150, np.uint8))
    even = seen({"frame": target[None]})["small"][0, 0]
    assert target.std() > 9
    assert even.std() < 1.5


def test_a_grey_deep_camera_goes_all_the_way(tmp_path: Path) -> None:
    """12-bit grey PNGs in the plain layout: trained, verified, inspected from files and from arrays alike."""
    rng = np.random.default_rng(0)
    for label, count in (("good", 14), ("hole", 4)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(count):
            grey = 1500 + 200 * np.sin(np.arange(96) / 3)[None, :] + rng.normal(0, 20, (80, 96))
            if label == "hole":
                grey[30:45, 40:55] = 200
            cv2.imwrite(str(tmp_path / "images" / label / f"{i}.png"), grey.clip(0, 4095).astype(np.uint16))
    (tmp_path / "recipe.yaml").write_text(
        "part: deep\nimages: images\ncapture: {bit_depth: 12}\ntransfer: {memory: 64}\n"
        "normalise: {size: 128, pose: {model: none}, light: {exposure: 'on', gradient: 'off', contrast: 'off'}}\n"
        "calibrate: {folds: 2}\n"
    )
    record = train(load_recipe(tmp_path), tmp_path / "model")
    assert (record.contract.frame.channels, record.contract.frame.bit_depth) == (1, 12)
    assert verify_bundle(tmp_path / "model").vectors >= 1
    done = lineside("inspect", "model", "images", "--labels", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["path"].endswith("hole/0.png"))
    samples = cv2.imread(str(tmp_path / "images" / "hole" / "0.png"), cv2.IMREAD_UNCHANGED)
    assert Inspector(tmp_path / "model").inspect(samples).score == pytest.approx(row["score"], rel=1e-6)


def test_the_demo_trains_inspects_and_says_what_came_out(tmp_path: Path) -> None:
    """One command: a bundle, results with overlays and a report, a table with overkill, escapes and AUROC."""
    write_part(tmp_path / "small", goods=10, test_goods=2, test_defects=2)
    done = lineside("demo", "small", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("AUROC", "overkill", "escape", "report.html"):
        assert word.lower() in done.stdout.lower(), done.stdout
    assert (tmp_path / "models" / "small" / "report.html").is_file()
    assert (tmp_path / "inspections" / "small" / "report.html").is_file()
    again = lineside("demo", "small", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_commands_fail_in_one_line_with_their_exit_code(small: Trained, tmp_path: Path) -> None:
    """A wrong recipe is 2, a spoilt bundle is 1, an occupied target is 4; no traceback anywhere."""
    (tmp_path / "recipe.yaml").write_text("part: x\nimages: nowhere\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    (tmp_path / "spoilt").mkdir()
    cases = [
        (("train", tmp_path), 2, "nowhere"),
        (("verify", tmp_path / "spoilt"), 1, "SHA256SUMS"),
        (("train", small.recipe, "--out", tmp_path / "taken"), 4, "no bundle"),
        (("train", small.recipe, "--out", small.images / "out"), 2, "inside the images"),
        (("train", small.recipe, "--out", "/"), 2, "a folder of its own"),
        (("demo", tmp_path / "missing"), 2, "no recipe there"),
    ]
    for arguments, code, words in cases:
        done = lineside(*arguments, cwd=tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
        assert words in done.stderr.replace("\n", " ")
