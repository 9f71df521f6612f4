"""A deployed bundle follows its line: adapted by unlabelled frames, extended by further good parts."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from caps import cap, folder_of, other_camera
from commands import invoke
from conftest import Trained
from lineside.capture.decode import read_image
from lineside.contract import Verdict
from lineside.errors import BundleError, ParityError, UsageError
from lineside.export.state import read_state
from lineside.graph.tap_map import TapMap, tap_maps, with_tap_maps
from lineside.report.line import line_pages
from lineside.runtime import Inspector, verify_bundle
from lineside.synth import render
from lineside.train.line import adapt, extend
from lineside.train.line_parent import open_parent
from lineside.train.line_state import line_state


@pytest.fixture(scope="module")
def adapted(small: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model, adapted to another camera by 12 caps that are known to be good."""
    folder = tmp_path_factory.mktemp("adapted")
    frames = folder_of(folder / "frames", {f"{i:03d}": other_camera(cap(500 + i)) for i in range(12)})
    adapt(small.bundle, [frames], folder / "model", known_good=True, pages=line_pages)
    return folder / "model"


@pytest.fixture(scope="module")
def painted(small: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model, extended by 6 good caps with a stripe that none had before."""
    folder = tmp_path_factory.mktemp("extended")
    extend(small.bundle, [folder_of(folder / "goods", {f"{i:03d}": striped(cap(700 + i)) for i in range(6)})],
           folder / "model")  # fmt: skip
    return folder / "model"


def striped(image: np.ndarray) -> np.ndarray:
    """Return the cap with a dark bar across."""
    drawn = image.copy()
    drawn[60:68, 30:100] = (40, 40, 60)
    return drawn


def test_the_adapted_model_judges_by_the_other_camera(small: Trained, adapted: Path) -> None:
    """Good parts of the new camera, nearly all NG to the old model, are OK to the new one; defects stay NG."""
    goods = [other_camera(cap(900 + i)) for i in range(6)]
    bad = [other_camera(cap(950 + i, "missing_print")) for i in range(3)]
    old, new = Inspector(small.bundle), Inspector(adapted)
    assert sum(old.inspect(frame).verdict == Verdict.OK for frame in goods) <= 1
    assert sum(new.inspect(frame).verdict == Verdict.OK for frame in goods) >= 4
    assert all(new.inspect(frame).verdict == Verdict.NG for frame in bad)


def test_a_changed_bundle_verifies_and_keeps_its_parents_papers(adapted: Path) -> None:
    """Every file is listed, every vector gives its outputs, and the parent's card lies in a folder of its own."""
    assert verify_bundle(adapted).vectors >= 1
    assert (adapted / "parent" / "card.md").is_file()
    assert "Lineage" in (adapted / "card.md").read_text()
    assert json.loads((adapted / "line.json").read_text())["how"] == "adapted"


def test_lineage_names_the_parent_and_voids_its_promise(small: Trained, adapted: Path) -> None:
    """The contract says from which model, by how many frames, and that no guarantee is left."""
    contract = Inspector(adapted).contract
    (ancestor,) = contract.lineage
    assert (ancestor.how, ancestor.parent_sha256) == ("adapted", small.record.model_sha256)
    assert ancestor.frames == contract.image_counts["line/unlabelled"] == 12
    assert "No guarantee" in ancestor.statement
    assert contract.threshold_ng.kind == "empirical"
    assert "void" in contract.threshold_ng.statement


def test_the_report_says_what_was_done_and_what_is_void(small: Trained, adapted: Path) -> None:
    """The page names the parent, the decisions and that its guarantee is gone; no folder of the machine is in it."""
    page = (adapted / "report.html").read_text()
    assert small.record.model_sha256[:12] in page
    assert "does not hold for this one" in page
    assert "median score of held-out frames" in page
    assert str(small.bundle) not in page


def test_an_adapted_model_can_be_extended(adapted: Path, tmp_path: Path) -> None:
    """Lineage grows by one, the youngest first, and what is learned are mapped features."""
    goods = folder_of(tmp_path / "goods", {f"{i:03d}": other_camera(cap(600 + i)) for i in range(3)})
    extend(adapted, [goods], tmp_path / "model")
    lineage = Inspector(tmp_path / "model").contract.lineage
    assert [ancestor.how for ancestor in lineage] == ["extended", "adapted"]


def test_an_adapted_model_can_be_adapted_again(small: Trained, adapted: Path, tmp_path: Path) -> None:
    """A third camera's goods are OK: one map does what both do, and head and statistics are those of the training."""

    def third(image: np.ndarray) -> np.ndarray:
        return np.asarray(other_camera(image)[..., ::-1] // 2 + 80, np.uint8)

    frames = folder_of(tmp_path / "frames", {f"{i:03d}": third(cap(500 + i)) for i in range(12)})
    adapt(adapted, [frames], tmp_path / "model", known_good=True)
    new = Inspector(tmp_path / "model")
    assert sum(new.inspect(third(cap(900 + i))).verdict == Verdict.OK for i in range(6)) >= 4
    assert all(new.inspect(third(cap(950 + i, "missing_print"))).verdict == Verdict.NG for i in range(3))
    first, second, third_one = (open_parent(folder) for folder in (small.bundle, adapted, tmp_path / "model"))
    maps = [tap_maps(one.constants, one.taps) for one in (first, second, third_one)]
    assert [tuple(one) for one in maps] == [(), first.taps, first.taps]
    assert not np.allclose(maps[1]["tap0"].matrix, maps[2]["tap0"].matrix)
    for one in (second, third_one):
        np.testing.assert_array_equal(one.constants["projection0"], first.constants["projection0"])
        np.testing.assert_array_equal(one.state.head.taps[0].covariance, first.state.head.taps[0].covariance)


def test_a_map_that_the_graph_does_not_compute_is_found(
    small: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof maps the trunk's taps itself: a graph that leaves its map out is refused, and nothing is written."""

    def without(model: onnx.ModelProto, maps: dict[str, TapMap]) -> onnx.ModelProto:
        made = with_tap_maps(model, maps)
        eye = np.eye(len(maps["tap0"].shift), dtype=np.float32)[:, :, None, None]
        made.graph.initializer.append(onnx.numpy_helper.from_array(eye, "spoiled/eye"))
        next(node for node in made.graph.node if "tap0" in node.output).input[1] = "spoiled/eye"
        return made

    monkeypatch.setattr("lineside.train.line_write.with_tap_maps", without)
    frames = folder_of(tmp_path / "frames", {f"{i:03d}": other_camera(cap(500 + i)) for i in range(12)})
    with pytest.raises(ParityError):
        adapt(small.bundle, [frames], tmp_path / "model", known_good=True)
    assert not (tmp_path / "model").exists()


def test_another_part_is_refused(small: Trained, tmp_path: Path) -> None:
    """Frames of another part do not become good parts, and nothing is written."""
    frames = {f"{i:03d}": render("weave", i, None, severity=1.0, size=128).image for i in range(10)}
    folder = folder_of(tmp_path / "frames", frames)
    with pytest.raises(UsageError, match="part"):
        adapt(small.bundle, [folder], tmp_path / "model")
    with pytest.raises(UsageError, match="part"):
        extend(small.bundle, [folder], tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_too_many_defects_are_refused(small: Trained, tmp_path: Path) -> None:
    """Nearly half of the frames by another camera, or all by that of the training: nothing says what is normal."""
    mixed = {f"{i:03d}": other_camera(cap(500 + i, "missing_print" if i % 9 < 4 else None)) for i in range(18)}
    only = {f"{i:03d}": cap(500 + i, "missing_print") for i in range(12)}
    for name, frames in (("mixed", mixed), ("only", only)):
        with pytest.raises(UsageError, match=r"NG to the model, also after mapping|do not show the part"):
            adapt(small.bundle, [folder_of(tmp_path / name, frames)], tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_frames_that_scores_cannot_tell_from_defects_need_somebody_who_looked(small: Trained, tmp_path: Path) -> None:
    """Good caps by a camera that is too different: refused, with the way out."""
    frames = folder_of(tmp_path / "frames", {f"{i:03d}": other_camera(cap(500 + i)) for i in range(12)})
    with pytest.raises(UsageError, match="--known-good"):
        adapt(small.bundle, [frames], tmp_path / "model")


def test_few_frames_are_refused(small: Trained, tmp_path: Path) -> None:
    """Seven frames are no statistics."""
    frames = folder_of(tmp_path / "frames", {f"{i}": cap(i) for i in range(7)})
    with pytest.raises(UsageError, match="at least 8"):
        adapt(small.bundle, [frames], tmp_path / "model")


def test_new_goods_are_learned_and_old_ones_not_forgotten(small: Trained, painted: Path) -> None:
    """Other striped caps score lower than before, and every old good cap is still OK; that the new goods were NG before
    is said, with their names."""
    old, new = Inspector(small.bundle), Inspector(painted)
    for seed in (800, 801, 802):
        assert new.inspect(striped(cap(seed))).score < 0.9 * old.inspect(striped(cap(seed))).score
    assert re.search(r"[1-6] of the 6 frames were NG to the model before \(.*\.png", (painted / "card.md").read_text())
    for path in sorted((small.images / "train" / "good").iterdir()):
        frame = read_image(path)
        assert new.inspect(frame).verdict.name == "OK"


def test_old_calibration_scores_stay_and_new_ones_join(small: Trained, painted: Path) -> None:
    """The threshold is taken from all of them, and the state keeps them for the next time."""
    before, after = (line_state(read_state(folder), "state") for folder in (small.bundle, painted))
    np.testing.assert_array_equal(after.scores[: len(before.scores)], before.scores)
    assert len(after.scores) == len(before.scores) + 6
    assert Inspector(painted).contract.threshold_ng.n == len(after.scores)


def test_a_bundle_without_state_is_told_what_to_do(bundle: Path, tmp_path: Path) -> None:
    """A bundle that kept nothing says so and names the remedy."""
    with pytest.raises(BundleError, match=r"state\.npz.*train"):
        adapt(bundle, [tmp_path], tmp_path / "model")


@pytest.mark.parametrize("command", ["adapt", "extend"])
def test_the_commands_are_there(command: str) -> None:
    """Both commands answer --help with their options."""
    answer = invoke(command, "--help")
    assert answer.exit_code == 0
    assert "--out" in answer.output
