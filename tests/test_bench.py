"""Timing a graph's stages: rounds and ratios, what is timed, and what is said of it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lineside.bench.cold_start import ColdStart
from lineside.bench.stage_table import _whole_line, promises, whole_bundle
from lineside.bench.stages import (
    FLOOR,
    FRONT,
    STARTS,
    WHOLE,
    StageTimes,
    _is_plain,
    bench_frame,
    floor_model,
    time_stages,
)
from lineside.bench.timing import Candidate, Ratio, ratio, summarise, time_in_turns
from lineside.errors import UsageError
from lineside.export.load import load_bundle
from lineside.session import open_session

FRAME = bench_frame((6, 4), 3)[None]


def test_rounds_run_every_model_once() -> None:
    """Each candidate gets one time per round, all above zero."""
    session = open_session(floor_model(3, (2, 2)), "a test")
    times = time_in_turns([Candidate(name, session, {"frame": FRAME}) for name in "ab"], 7)
    assert list(times) == ["a", "b"]
    assert all(taken.shape == (7,) and (taken > 0).all() for taken in times.values())


def test_too_few_rounds_are_refused() -> None:
    """From four times nobody can tell a 99th percentile."""
    with pytest.raises(UsageError, match="5 rounds"):
        time_in_turns([], 4)


def test_a_ratio_and_its_interval() -> None:
    """The ratio of the medians, inside an interval that a longer measurement makes narrower."""
    rng = np.random.default_rng(0)
    base = rng.uniform(1.0, 2.0, 400)
    few, many = ratio(2.0 * base[:20], base[:20]), ratio(2.0 * base + rng.uniform(0, 0.1, 400), base)
    assert few.value == pytest.approx(2.0)
    assert few.interval == pytest.approx((2.0, 2.0))  # rounds keep their pairs: the spread that both share cancels
    assert many.interval[0] < many.value < many.interval[1] < 2.2


def test_percentiles() -> None:
    """Median, 95th and 99th percentile, and an interval that holds the median."""
    timing = summarise("x", np.arange(101.0))
    assert (timing.median_ms, timing.p95_ms, timing.p99_ms) == (50.0, 95.0, 99.0)
    assert timing.interval_ms[0] < 50.0 < timing.interval_ms[1]


@pytest.fixture(scope="module")
def times(bundle: Path) -> StageTimes:
    """The tiny bundle, timed with its stages."""
    return time_stages(bundle, size_wh=(32, 24), rounds=5)


def test_stages_floor_and_whole_are_timed(times: StageTimes) -> None:
    """The whole graph, the floor, the front, and the stages that the tiny graph has."""
    names = [timing.name for timing in times.timings]
    assert names[:3] == [WHOLE, FLOOR, FRONT]
    assert names[3:] == ["gate", "head", "map, decision"]
    assert times.front_to_floor is not None
    assert times.front_to_floor.interval[0] <= times.front_to_floor.value <= times.front_to_floor.interval[1]


def test_size_memory_and_cold_start_are_told(times: StageTimes, bundle: Path) -> None:
    """The parts of a start are its whole, each process is counted, and the medians stand below the table."""
    assert times.model_bytes == (bundle / "model.onnx").stat().st_size
    assert len(times.starts) == STARTS
    for start in times.starts:
        assert min(start.import_ms, start.open_ms, start.verdict_ms) > 0
        assert start.import_ms + start.open_ms + start.verdict_ms == pytest.approx(start.total_ms)
        assert start.resident_mb is None or 10 < start.resident_mb < 1000
    made = [ColdStart(200.0 + i, 100.0 + i, 30.0, 330.0 + 2 * i, 90.0) for i in (0, 5, 100)]
    assert whole_bundle(replace(times, model_bytes=4_900_000, starts=tuple(made))) == (
        "model.onnx 4.9 MB; 90 MB resident then; cold start to the first verdict 340 ms (330 to 530 in 3 processes): "
        "interpreter and imports 205, opening 105, first frame 30"
    )
    silent = tuple(replace(start, resident_mb=None) for start in made)
    assert "resident" not in whole_bundle(replace(times, starts=silent))


def test_a_trunk_in_int8_has_a_limit_of_its_own(times: StageTimes) -> None:
    """5 of its shorter time on the promised frame; nothing is promised of it without light, pose and gate."""
    timing, ratio = times.timings[0], Ratio(4.9, (4.8, 5.0))
    changed = replace(
        times,
        network="int8",
        frame_whc=(1280, 1024, 3),
        threads=1,
        pose_and_gate=timing,
        pose_and_gate_to_trunk=ratio,
        whole_to_trunk=ratio,
    )
    whole, _, gate = promises(changed)
    assert "in int8 5," in whole
    assert whole.endswith("kept")
    assert _whole_line(replace(changed, whole_to_trunk=Ratio(5.1, (5.0, 5.2)))).endswith("BROKEN")
    assert "the promise is for a trunk in fp32" in gate
    plain = replace(changed, pose_and_gate=None, is_plain=True, frame_whc=(256, 256, 3), working_wh=(256, 256))
    assert "not judged" in _whole_line(plain)


def test_the_machine_is_named(times: StageTimes) -> None:
    """A time without its machine means nothing."""
    assert times.machine.cpu
    assert dict(times.machine.software)["onnxruntime"]
    json.dumps(times.to_dict(), allow_nan=False)


def test_promises_are_printed_with_their_limits(times: StageTimes) -> None:
    """Each line says its limit; a frame of another size is not judged, and what a graph has not is said."""
    whole, front, gate = promises(times)
    assert "does not name its trunk" in whole
    assert "at most 2.9" in whole
    assert "at most 2.6" in front
    assert "not judged" in front
    assert "at most 0.65" in gate
    assert "has not both" in gate


@pytest.mark.parametrize(
    ("frame_wh", "threads", "pose", "ratios"),
    [
        ((1280, 1024), 1, True, {2.8: "kept", 3.0: "BROKEN"}),
        ((640, 480), 1, True, {2.8: "not judged"}),
        ((1280, 1024), 2, True, {2.8: "not judged"}),
        ((256, 256), 1, False, {1.4: "kept", 1.6: "BROKEN"}),
        ((1280, 1024), 1, False, {1.4: "not judged"}),
    ],
)
def test_the_whole_graph_is_held_against_its_bare_trunk(
    times: StageTimes, frame_wh: tuple[int, int], threads: int, pose: bool, ratios: dict[float, str]
) -> None:
    """2.9 with light, pose and gate on the promised frame, 1.5 with none of them on a frame of the working size."""
    timing = times.timings[0]
    changed = replace(
        times,
        frame_whc=(*frame_wh, 3),
        working_wh=(256, 256),
        threads=threads,
        pose_and_gate=timing if pose else None,
        is_plain=not pose,
        timings=(timing,),
    )
    for value, said in ratios.items():
        held = replace(changed, whole_to_trunk=Ratio(value, (value, value)))
        assert held.to_dict()["promised"]["whole_to_trunk"] == (None if said == "not judged" else 2.9 if pose else 1.5)
        line = _whole_line(held)
        assert f"trunk: {value:.2f}" in line
        assert said in line


@pytest.mark.parametrize(("value", "said"), [(0.6, "kept"), (0.7, "BROKEN")])
def test_pose_and_gate_are_held_against_the_bare_trunk(times: StageTimes, value: float, said: str) -> None:
    """At most 0.65 of it on the promised frame; the time itself is told too."""
    changed = replace(
        times,
        frame_whc=(1280, 1024, 3),
        threads=1,
        pose_and_gate=replace(times.timings[0], median_ms=7.25),
        pose_and_gate_to_trunk=Ratio(value, (value, value)),
    )
    line = promises(changed)[2]
    assert f"trunk: {value:.2f}" in line
    assert line.endswith(f"{said}, 7.25 ms")


def test_only_a_graph_with_light_pose_and_gate_off_is_plain(bundle: Path) -> None:
    """One step that is on, or one number for the gate, and the promise for plain graphs does not hold."""
    contract = load_bundle(bundle).contract
    assert contract is not None
    off = replace(contract, normalisation={"pose": "off", "flat field": "none"}, quality_names=("novelty",))
    assert _is_plain(off)
    assert not _is_plain(replace(off, normalisation={"pose": "rigid"}))
    assert not _is_plain(replace(off, quality_names=("noise_level", "novelty")))


def test_without_stages_nothing_is_cut(bundle: Path) -> None:
    """The whole graph beside the floor, and no promise."""
    times = time_stages(bundle, size_wh=(8, 8), rounds=5, stages=False)
    assert [timing.name for timing in times.timings] == [WHOLE, FLOOR]
    assert promises(times) == ()


def test_the_floor_is_an_antialiased_reduction() -> None:
    """A chessboard of single pixels comes out grey, which it would not without antialiasing."""
    board = (255 * (np.indices((16, 16)).sum(0) % 2)).astype(np.uint8)[None, :, :, None]
    (small,) = open_session(floor_model(1, (4, 4)), "a test").run(None, {"frame": board})
    assert small.dtype == np.uint8
    assert small.shape == (1, 4, 4, 1)
    assert abs(small.astype(int) - 128).max() < 20


def test_the_frame_is_seeded() -> None:
    """The same frame on every machine, in the size and channels asked for."""
    assert bench_frame((5, 4), 1).shape == (4, 5, 1)
    np.testing.assert_array_equal(bench_frame((64, 48), 3), bench_frame((64, 48), 3))
    assert (bench_frame((64, 48), 3, seed=1) != bench_frame((64, 48), 3)).any()


def test_measuring_needs_no_torch() -> None:
    """A line PC with onnx can time a model: neither torch nor albumentations is loaded."""
    code = (
        "import sys\nimport lineside.bench.stages, lineside.bench.stage_table, lineside.bench.stress_files\n"
        "print(sorted(set(sys.modules) & {'torch', 'albumentations', 'onnx', 'scipy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
