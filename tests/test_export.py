"""Parity, vectors and the writing of bundles: what is refused, and what is left on disk."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from lineside.contract import Verdict
from lineside.errors import ParityError, StorageError
from lineside.export.bundle import reserved, write_bundle
from lineside.export.parity import ParityCase, decide, prove_parity
from lineside.export.vectors import Candidate, make_vectors
from lineside.graph.run import Graph
from tiny import tiny_contract, tiny_model, write_tiny_bundle

BUNDLE = {"model.onnx": b"one", "contract.json": b"{}"}


def frame(red: int, blue: int = 100) -> np.ndarray:
    """Return an even frame; the tiny graph scores it red - blue."""
    made = np.full((16, 20, 3), 100, np.uint8)
    made[..., 0], made[..., 2] = red, blue
    return made


def prove(reference: Callable[[np.ndarray], float], *frames: np.ndarray) -> tuple[object, ...]:
    """Prove the tiny graph (threshold 20) against a reference."""
    contract = tiny_contract(20.0)
    cases = [ParityCase(f"f{i}", "test", "good", lambda f=f: f) for i, f in enumerate(frames)]
    limits = (contract.threshold_ng, contract.threshold_review)
    return prove_parity(Graph(tiny_model(contract)), reference, *limits, cases, lambda: None)


def true_score(image: np.ndarray) -> float:
    """The tiny graph's score, by hand."""
    return float(image[..., 0].mean() - image[..., 2].mean())


def test_an_equal_reference_proves_the_graph() -> None:
    """Every frame is recorded with its score and verdict."""
    records = prove(true_score, frame(110), frame(150))
    assert [(r.score, r.verdict) for r in records] == [(10.0, "OK"), (50.0, "NG")]  # type: ignore[attr-defined]


def test_a_score_off_by_more_than_a_thousandth_refuses_the_export() -> None:
    """Even where no verdict flips."""
    with pytest.raises(ParityError, match=r"f0 \(test\)"):
        prove(lambda image: true_score(image) * 1.002, frame(150))


def test_one_flipped_verdict_refuses_the_export() -> None:
    """Score 20.00 is not above the threshold of 20; a reference a hair above it flips the verdict."""
    with pytest.raises(ParityError, match=r"says OK .* reference NG"):
        prove(lambda image: true_score(image) + 1e-3, frame(150), frame(120))


def test_a_score_of_nearly_nothing_is_measured_against_the_threshold() -> None:
    """Rounding around a distance of 0 is no difference; a reference that is no number is one."""
    records = prove(lambda image: true_score(image) + 0.01, frame(100))
    assert records[0].verdict == "OK"  # type: ignore[attr-defined]
    with pytest.raises(ParityError, match="nan"):
        prove(lambda image: float("nan"), frame(100))


def test_a_recorded_score_is_proven_too() -> None:
    """What calibration recorded of the deployed head must be what the assembled graph says."""
    contract = tiny_contract(20.0)
    case = ParityCase("f", "calibration", "good", lambda: frame(110), recorded=10.5)
    limits = (contract.threshold_ng, contract.threshold_review)
    with pytest.raises(ParityError, match=r"calibration OK with 10\.5"):
        prove_parity(Graph(tiny_model(contract)), true_score, *limits, [case], lambda: None)


@pytest.mark.parametrize(
    ("score", "gate", "verdict"),
    [(1.0, 0, "OK"), (2.0, 0, "OK"), (2.1, 0, "REVIEW"), (3.0, 0, "REVIEW"), (3.1, 0, "NG"), (9.0, 1, "NO_CALL")],
)
def test_the_decision_is_the_contracts(score: float, gate: int, verdict: str) -> None:
    """Above the threshold is NG, at it is not; the gate goes before all."""
    assert decide(score, gate, 3.0, 2.0) == Verdict[verdict]


def test_vectors_lie_off_the_threshold_and_tell_swapped_channels() -> None:
    """Of frames near and far, the far ones are taken; one turns its verdict with red and blue swapped."""
    contract = tiny_contract(20.0)
    candidates = [Candidate(f"c{red}", frame(red)) for red in (119, 121, 100, 105, 160, 170)]
    candidates.append(Candidate("blue", frame(100, 160)))
    files = make_vectors(Graph(tiny_model(contract)), contract, candidates)
    document = json.loads(files["vectors/vectors.json"])
    names = {entry["name"] for entry in document["vectors"]}
    assert names == {"ok", "ng", "red_blue_swap"}
    for entry in document["vectors"]:
        assert abs(entry["outputs"]["score"] - 20.0) / 20.0 >= 0.02
    swap = next(e for e in document["vectors"] if e["name"] == "red_blue_swap")
    assert swap["verdict_when_swapped"] != swap["outputs"]["verdict"]
    raw = np.frombuffer(files["vectors/ok.u8"], np.uint8).reshape(document["vectors"][0]["frame_shape_hwc"])
    assert raw.shape == (16, 20, 3)


def test_a_bundle_is_replaced_whole_and_the_old_one_kept(tmp_path: Path) -> None:
    """After the second writing, .previous holds the first, and no partial folder is left."""
    out = tmp_path / "models" / "cap"
    write_bundle(out, {**BUNDLE, "vectors/a.u8": b"x"})
    write_bundle(out, {**BUNDLE, "model.onnx": b"two"})
    assert (out / "model.onnx").read_bytes() == b"two"
    assert not (out / "vectors").exists()
    assert (tmp_path / "models" / "cap.previous" / "vectors" / "a.u8").read_bytes() == b"x"
    assert sorted(p.name for p in out.parent.iterdir() if not p.name.endswith(".lock")) == ["cap", "cap.previous"]


def test_a_failed_write_leaves_the_old_bundle_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up half-way costs nothing."""
    out = tmp_path / "cap"
    write_bundle(out, BUNDLE)
    original = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name == "z.bin":
            raise OSError(28, "No space left on device", str(self))
        return original(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        write_bundle(out, {**BUNDLE, "z.bin": b""})
    assert (out / "model.onnx").read_bytes() == b"one"
    assert {p.name for p in tmp_path.iterdir()} <= {"cap", ".cap.lock"}


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path: Path) -> None:
    """Somebody's documents are not moved to .previous."""
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="no bundle"):
        write_bundle(tmp_path / "papers", {"model.onnx": b""})
    assert (tmp_path / "papers" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("place", ["cap", "cap.previous"])
def test_a_folder_with_sums_of_its_own_is_no_bundle(tmp_path: Path, place: str) -> None:
    """Neither the target nor what stands at .previous is touched unless its sums name a model and a contract."""
    other = tmp_path / place
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    (other / "SHA256SUMS").write_text(f"{'0' * 64}  thesis.txt\n")
    with pytest.raises(StorageError, match="no bundle"):
        write_bundle(tmp_path / "cap", BUNDLE)
    assert (other / "thesis.txt").read_text() == "years of work"


def test_what_a_killed_run_left_is_swept(tmp_path: Path) -> None:
    """A half-written folder of an earlier run is removed by the next."""
    (tmp_path / ".cap.abc.part").mkdir()
    write_bundle(tmp_path / "cap", BUNDLE)
    assert not (tmp_path / ".cap.abc.part").exists()


def test_errors_of_the_training_are_not_taken_for_errors_of_writing(tmp_path: Path) -> None:
    """What goes wrong while the place is reserved keeps its own name, and the place is free again afterwards."""
    with pytest.raises(FileNotFoundError, match=r"weights\.bin"), reserved(tmp_path / "cap"):
        raise FileNotFoundError(2, "No such file or directory", "weights.bin")
    write_bundle(tmp_path / "cap", BUNDLE)


def test_two_runs_do_not_write_one_bundle(tmp_path: Path) -> None:
    """The second run is told so."""
    with FileLock(tmp_path / ".cap.lock"), pytest.raises(StorageError, match="another run"):
        write_bundle(tmp_path / "cap", {"model.onnx": b""})


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX")
def test_a_bundle_is_readable_for_others(tmp_path: Path) -> None:
    """The line's service account reads what an engineer trained."""
    write_bundle(tmp_path / "cap", BUNDLE)
    assert (tmp_path / "cap").stat().st_mode & 0o055 == 0o055


def test_the_tiny_bundle_follows_the_contract(tmp_path: Path) -> None:
    """What tests run on is a bundle like any other."""
    from lineside.runtime import Inspector

    inspector = Inspector(write_tiny_bundle(tmp_path / "tiny"))
    assert inspector.inspect(frame(150)).verdict == Verdict.NG
