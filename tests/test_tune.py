"""`lineside tune`: what is tried, what is chosen, and when the choice is used."""

import json
import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import invoke
from flat_parts import paint_parts
from lineside.bench.tune import Measured, Plan, Tuned, _differing, choose, plans, tune
from lineside.bench.tune_table import tune_table
from lineside.contract import OUTPUTS
from lineside.errors import StorageError, UsageError
from lineside.runtime import Inspector, load_bundle
from lineside.tuning import Tuning, machine_for, read_tuning, tuning_path, tuning_text
from tiny import tiny_contract, write_tiny_bundle


@pytest.fixture(autouse=True)
def _many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has twelve processors, as far as a choice is concerned."""
    monkeypatch.setattr("lineside.tuning.processors", lambda: 12)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A tiny bundle."""
    return write_tiny_bundle(tmp_path / "tiny")


def keep(bundle: Path, tuning: Tuning, **other: Any) -> None:
    """Write a choice beside a bundle; `other` changes what it was made for."""
    machine = machine_for(load_bundle(bundle).model_sha256)
    document = json.loads(tuning_text(tuning, machine, []))
    document["for"] |= other
    tuning_path(bundle).write_text(json.dumps(document))


def measured(workers: int, threads: int, frames_per_s: float) -> Measured:
    """A measured plan."""
    return Measured(Plan(threads, workers), frames_per_s, frames_per_s, frames_per_s)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {(1, 1)}),
        (2, {(1, 1), (2, 1), (1, 2)}),
        (6, {(1, 1), (3, 1), (6, 1), (1, 2), (3, 2), (1, 4), (1, 6)}),
    ],
)
def test_plans_fill_the_processors_and_no_more(count: int, expected: set[tuple[int, int]]) -> None:
    """One frame with every number of threads, and as many workers as fill all or half of the processors."""
    tried = plans(count)
    assert {(plan.workers, plan.threads) for plan in tried} == expected
    assert all(plan.workers * plan.threads <= count for plan in tried)


def test_more_threads_must_be_clearly_faster() -> None:
    """Within a twentieth the plan of fewer threads is taken, beyond it the faster one; frame and batch apart."""
    slow = [measured(1, 1, 100.0), measured(1, 2, 104.0), measured(2, 1, 190.0)]
    fast = [measured(1, 1, 100.0), measured(1, 2, 120.0), measured(2, 1, 103.0)]
    assert choose(slow) == Tuning(frame_threads=1, batch_workers=2, batch_threads=1)
    assert choose(fast) == Tuning(frame_threads=2, batch_workers=1, batch_threads=2)


def test_a_plan_that_changes_a_verdict_is_left_out() -> None:
    """Sessions are compared with that of one thread; a score off by more than the tolerance is one as well."""

    class Session:
        def __init__(self, **changed: float) -> None:
            self.values = {name: np.full(1, changed.get(name, 1.0)) for name in OUTPUTS}

        def run(self, names: tuple[str, ...], feed: object) -> list[np.ndarray]:
            return [self.values[name] for name in names]

    sessions = {1: Session(), 2: Session(verdict=0.0), 4: Session(score=1.01), 8: Session(score=1.0000001)}
    frame = np.zeros((4, 4, 3), np.uint8)
    assert _differing(sessions, frame, tiny_contract()) == (2, 4)  # type: ignore[arg-type]


def test_what_was_tuned_is_used(bundle: Path) -> None:
    """Written beside the bundle, whose own files stay as they were, and read by the next Inspector."""
    found: Tuned = tune(bundle, size_wh=(16, 12), seconds=0.1)
    assert found.path == bundle.parent / "tiny.tune.json"
    assert Inspector(bundle).tuning == found.tuning
    assert sorted(path.name for path in bundle.iterdir()) == ["SHA256SUMS", "contract.json", "model.onnx"]
    assert len(json.loads(found.path.read_text())["measured"]) == len(found.measured)
    assert tune_table(found)


def test_one_frame_and_many_have_choices_of_their_own(bundle: Path) -> None:
    """Whoever judges many frames at the same time asks for the other one."""
    keep(bundle, Tuning(frame_threads=3, batch_workers=5, batch_threads=2))
    assert (Inspector(bundle).threads, Inspector(bundle, tuned="batch").threads) == (3, 2)
    with pytest.raises(UsageError, match="tuned must be"):
        Inspector(bundle, tuned="both")  # type: ignore[arg-type]


def test_an_argument_wins(bundle: Path) -> None:
    """Threads that are named are taken, and nothing is read."""
    keep(bundle, Tuning(3, 5, 2))
    inspector = Inspector(bundle, threads=1)
    assert (inspector.threads, inspector.tuning) == (1, None)


def test_verdicts_stay(bundle: Path) -> None:
    """Tuned or not, the numbers are the same."""
    frame = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    plain = Inspector(bundle).inspect(frame)
    keep(bundle, Tuning(2, 1, 1))
    tuned = Inspector(bundle).inspect(frame)
    assert (tuned.verdict, tuned.score, tuned.quality) == (plain.verdict, plain.score, plain.quality)
    assert np.array_equal(tuned.anomaly_map, plain.anomaly_map)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"model_sha256": "0" * 64}, "made for another model"),
        ({"cpu": "an abacus"}, "cpu an abacus, now"),
        ({"processors": 4096}, "processors 4096, now"),
        ({"onnxruntime": "0.1"}, "onnxruntime 0.1, now"),
    ],
)
def test_a_choice_made_elsewhere_is_passed_over(
    bundle: Path, other: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a sentence that says why and what to do."""
    keep(bundle, Tuning(3, 5, 2), **other)
    assert Inspector(bundle).threads == 1
    assert words in caplog.text
    assert f"Run `lineside tune {bundle}` again." in caplog.text


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"for": {}, "use": {}}', "[" * 10**5, "\x00", '{"for": 1, "use": 2}'],
)
def test_a_file_that_is_no_choice_is_passed_over(bundle: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever lies there, frames are judged."""
    tuning_path(bundle).write_text(text)
    assert Inspector(bundle).threads == 1
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize("value", [0, -1, 1025, True, 1.5, "2", None])
def test_threads_out_of_range_are_passed_over(bundle: Path, value: object, caplog: pytest.LogCaptureFixture) -> None:
    """A forged file starts no thousands of threads."""
    keep(bundle, Tuning(1, 1, 1))
    document = json.loads(tuning_path(bundle).read_text())
    document["use"]["batch_workers"] = value
    tuning_path(bundle).write_text(json.dumps(document))
    assert read_tuning(bundle, load_bundle(bundle).model_sha256) is None
    assert "batch_workers must be a whole number" in caplog.text


@pytest.mark.parametrize("forged", [Tuning(13, 1, 1), Tuning(1, 13, 1), Tuning(1, 3, 5), Tuning(1024, 1024, 1024)])
def test_more_threads_than_processors_are_passed_over(
    bundle: Path, forged: Tuning, caplog: pytest.LogCaptureFixture
) -> None:
    """The file is not signed: it may slow a line down no further than its processors do."""
    keep(bundle, forged)
    assert read_tuning(bundle, load_bundle(bundle).model_sha256) is None
    assert f"it asks for {forged.most_threads} threads at once on 12 processors" in caplog.text
    keep(bundle, Tuning(12, 4, 3))
    assert Inspector(bundle).threads == 12


@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", None, 1])
def test_another_provider_is_passed_over(bundle: Path, provider: object, caplog: pytest.LogCaptureFixture) -> None:
    """A choice for what is not offered is none."""
    keep(bundle, Tuning(3, 1, 1))
    document = json.loads(tuning_path(bundle).read_text())
    tuning_path(bundle).write_text(json.dumps({**document, "provider": provider}))
    assert Inspector(bundle).threads == 1
    assert f"provider must be CPUExecutionProvider, found {provider!r}" in caplog.text


def test_without_a_choice_nothing_is_said(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One thread, as ever; a bare file has no place beside it."""
    caplog.set_level(logging.INFO)
    keep(bundle, Tuning(3, 5, 2))
    bare = shutil.copy(bundle / "model.onnx", bundle.parent / "bare.onnx")
    tuning_path(bundle).rename(tuning_path(bare))
    assert (Inspector(bundle).threads, Inspector(bare, unverified=True).threads) == (1, 1)
    assert caplog.text == ""


def test_an_inspection_says_what_it_uses(bundle: Path, tmp_path: Path) -> None:
    """The console names file, workers and threads; with --workers nothing tuned is used."""
    parts = paint_parts(tmp_path / "parts")
    keep(bundle, Tuning(1, 3, 2))
    tuned = invoke("inspect", bundle, parts, "--out", tmp_path / "a")
    named = invoke("inspect", bundle, parts, "--out", tmp_path / "b", "--workers", "1")
    assert "tiny.tune.json: 3 workers of 2 threads" in tuned.stderr
    assert "tune.json" not in named.stderr


def test_what_cannot_be_written_is_said_before_it_is_measured(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with a remedy that there is; nothing is left behind."""
    monkeypatch.setattr("lineside.bench.tune._measured", lambda *_: pytest.fail("measured"))
    tuning_path(bundle).mkdir()
    with pytest.raises(StorageError, match=r"tiny\.tune\.json: cannot be written .* or copy the bundle elsewhere"):
        tune(bundle)
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["tiny", "tiny.tune.json"]


def test_the_command_writes_the_choice(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table, and where it was written; no bundle, no choice."""
    monkeypatch.setattr("lineside.bench.tune.tune", partial(tune, seconds=0.1))
    shown = invoke("tune", bundle, "--frame", "16x12")
    assert "frames per second" in shown.stdout
    assert tuning_path(bundle).is_file()
    assert isinstance(invoke("tune", bundle.parent / "nowhere").exception, UsageError)
