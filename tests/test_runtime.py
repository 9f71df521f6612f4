"""The runtime: what it makes of frames, which thresholds decide, and how little it needs."""

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.bit_depth import BIT_DEPTHS, to_uint8
from lineside.contract import Verdict
from lineside.runtime import FrameError, Inspector, UsageError
from tiny import write_tiny_bundle


def frame_of(red: int, green: int, blue: int, size_hw: tuple[int, int] = (12, 20)) -> np.ndarray:
    """A flat frame."""
    return np.full((*size_hw, 3), (red, green, blue), np.uint8)


# ---- frames


def test_the_score_is_the_one_computed_by_hand(inspector: Inspector) -> None:
    """Mean red 120, mean blue 90: a score of 30, above 20, NG."""
    result = inspector.inspect(frame_of(120, 50, 90))
    assert (result.score, result.verdict, result.frame_wh) == (30.0, Verdict.NG, (20, 12))


@pytest.mark.parametrize(("red", "verdict"), [(109, Verdict.OK), (110, Verdict.OK), (111, Verdict.NG)])
def test_ng_is_above_the_threshold(inspector: Inspector, red: int, verdict: Verdict) -> None:
    """A score that equals the threshold is OK; the next one is NG."""
    assert inspector.inspect(frame_of(red, 50, 90)).verdict is verdict


def test_the_gate_refuses_with_its_reason(inspector: Inspector) -> None:
    """A dark frame gets no call, the reason by name, and still a finite score."""
    result = inspector.inspect(frame_of(2, 2, 2))
    assert (result.verdict, result.reasons, result.gate) == (Verdict.NO_CALL, ("exposure",), 1)
    assert math.isfinite(result.score)
    assert result.quality == {"mean_level": 2.0}


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ([[1, 2]], "must be a numpy array, found list"),
        (np.zeros((4, 4, 4), np.uint8), "4 channels, this bundle was trained on 3"),
        (np.zeros((4, 4), np.uint8), "1 channels, this bundle was trained on 3"),
        (np.zeros((2, 4, 4, 3), np.uint8), "use inspect_many"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.zeros((0, 4, 3), np.uint8), "non-empty"),
        (np.zeros((4, 4, 3), np.float32), "float32, but a bit depth of 8 needs uint8"),
        (np.zeros((4, 4, 3), np.uint16), "uint16, but a bit depth of 8 needs uint8"),
        (np.zeros((4, 4, 3), bool), "bool, but a bit depth of 8 needs uint8"),
        (np.zeros((4, 4, 3), np.int8), "int8, but a bit depth of 8 needs uint8"),
    ],
)
def test_a_wrong_frame_says_what_was_given_and_what_is_needed(inspector: Inspector, frame, words: str) -> None:
    """Type, rank, size and channels are checked before the graph; the error is a ValueError too."""
    with pytest.raises(FrameError, match=words) as caught:
        inspector.inspect(frame)
    assert isinstance(caught.value, ValueError)


def test_blue_first_frames_are_turned(bundle: Path, inspector: Inspector) -> None:
    """The same picture in OpenCV's order gives the same result where the order is declared, another where it is not."""
    rgb = frame_of(200, 50, 90)
    bgr = rgb[:, :, ::-1]
    assert Inspector(bundle, color="bgr").inspect(bgr).score == inspector.inspect(rgb).score == 110.0
    assert inspector.inspect(bgr).score == -110.0


def test_an_unknown_order_is_refused(bundle: Path) -> None:
    """Only rgb and bgr exist."""
    with pytest.raises(UsageError, match="'rgb' or 'bgr', found 'gbr'"):
        Inspector(bundle, color="gbr")  # type: ignore[arg-type]


def test_views_and_odd_strides_are_read_rightly(inspector: Inspector) -> None:
    """A crop, a mirrored and a read-only frame are judged by their pixels and left unchanged."""
    frame = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    frame.flags.writeable = False
    for view in (frame[3:30:2, 5:50:3], frame[::-1, ::-1], np.asfortranarray(frame)):
        expected = view[..., 0].mean() - view[..., 2].mean()
        assert inspector.inspect(view).score == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_batch_is_its_frames(inspector: Inspector, n: int) -> None:
    """Together or one by one, frames give the same results."""
    frames = np.random.default_rng(n).integers(0, 255, (n, 9, 11, 3)).astype(np.uint8)
    together = inspector.inspect_many(frames)
    alone = [inspector.inspect(frame) for frame in frames]
    assert [(r.verdict, r.score) for r in together] == [(r.verdict, pytest.approx(r.score)) for r in alone]
    assert all(np.allclose(a.anomaly_map, b.anomaly_map) for a, b in zip(together, alone, strict=True))


def test_what_is_returned_cannot_be_changed(inspector: Inspector) -> None:
    """A result is frozen, its arrays included."""
    result = inspector.inspect(frame_of(100, 50, 90))
    with pytest.raises(AttributeError):
        result.score = 0.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        result.anomaly_map[0, 0] = 1.0


def test_a_result_fits_into_json(inspector: Inspector) -> None:
    """The names of OPC 40100-1, the verdict inside resultContent."""
    text = json.dumps(inspector.inspect(frame_of(200, 50, 90)).to_dict(result_id="r1", part_id="p1"), allow_nan=False)
    document = json.loads(text)
    assert (document["resultId"], document["partId"]) == ("r1", "p1")
    assert document["resultContent"]["verdict"] == "NG"
    times = document["processingTimes"]  # start and end are mandatory (OPC 40100-1, 12.4)
    start, end = (datetime.fromisoformat(times[name]) for name in ("startTime", "endTime"))
    assert 1000 * (end - start).total_seconds() == pytest.approx(times["processingDuration"], abs=0.002)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_threads_share_an_inspector(bundle: Path, color: Literal["rgb", "bgr"]) -> None:
    """Frames of different sizes, judged from eight threads at once, get their own scores, copied first or not."""
    inspector = Inspector(bundle, color=color)
    rng = np.random.default_rng(1)
    frames = [frame_of(int(r), 50, 90, (8 + i % 5, 8 + i % 7)) for i, r in enumerate(rng.integers(0, 255, 200))]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(inspector.inspect, frames))
    sign = 1.0 if color == "rgb" else -1.0
    assert [r.score for r in results] == [sign * (float(frame[0, 0, 0]) - 90.0) for frame in frames]
    assert [r.frame_wh for r in results] == [(frame.shape[1], frame.shape[0]) for frame in frames]


# ---- thresholds


@pytest.mark.parametrize(
    ("ng", "review", "verdict"),
    [(5.0, None, Verdict.NG), (15.0, 5.0, Verdict.REVIEW), (15.0, 15.0, Verdict.OK), (30.0, None, Verdict.OK)],
)
def test_thresholds_can_be_overridden(bundle: Path, ng: float, review: float | None, verdict: Verdict) -> None:
    """A score of 10 is judged by the thresholds that are given; one that is not given follows it."""
    inspector = Inspector(bundle, threshold_ng=ng, threshold_review=review)
    assert inspector.inspect(frame_of(100, 50, 90)).verdict is verdict


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, "0.5", True, [0.5], 1e39, pytest.param(10**400, id="huge")]
)
@pytest.mark.parametrize("name", ["threshold_ng", "threshold_review"])
def test_a_threshold_must_be_a_number(bundle: Path, name: str, value: object) -> None:
    """Not a number, or one that float32 takes for infinite, would call everything OK."""
    with pytest.raises(UsageError, match=f"{name} must be a finite number"):
        Inspector(bundle, **{name: value})  # type: ignore[arg-type]


def test_a_threshold_may_be_numpys(bundle: Path) -> None:
    """Whole numbers and those of numpy are numbers."""
    for value in (5, np.float32(5), np.int64(5)):
        assert Inspector(bundle, threshold_ng=value).threshold_ng == 5


@pytest.mark.parametrize("threads", ["a", 0, -1, 1.0, 2.5, True, 10**12])
def test_threads_must_be_a_whole_number_from_one_on(bundle: Path, threads: object) -> None:
    """Anything else is refused in words, before ONNX Runtime sees it."""
    with pytest.raises(UsageError, match=r"threads must be a whole number from 1 to \d+, found"):
        Inspector(bundle, threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("threads", [1, 2, np.int64(2)])
def test_threads_do_not_change_the_score(bundle: Path, threads: int) -> None:
    """Several threads, counted by numpy or not, give the score of one."""
    assert Inspector(bundle, threads=threads).inspect(frame_of(120, 50, 90)).score == 30.0


# ---- 16 bit


@pytest.mark.parametrize("bit_depth", [depth for depth in BIT_DEPTHS if depth > 8])
def test_the_depth_rule_rounds_to_the_nearest(bit_depth: int) -> None:
    """Every sample of every depth, against exact rounding: 0 stays 0, the top becomes 255, beyond the top too."""
    top = 2**bit_depth - 1
    samples = np.arange(65536, dtype=np.uint16)
    exact = np.rint(np.minimum(samples, top).astype(np.float64) * 255 / top)
    assert (to_uint8(samples, bit_depth) == exact).all()


@given(st.sampled_from([8, 10, 12, 14, 16]), st.sampled_from([np.uint8, np.uint16, np.int16, np.float64]))
def test_the_depth_is_declared_and_never_guessed(bit_depth: int, kind: type) -> None:
    """uint8 goes with 8 bits, uint16 with more; everything else is refused."""
    samples = np.zeros((2, 2), kind)
    if (bit_depth == 8) == (kind is np.uint8) and kind in (np.uint8, np.uint16):
        assert to_uint8(samples, bit_depth).dtype == np.uint8
    else:
        with pytest.raises(FrameError, match=f"bit depth of {bit_depth} needs"):
            to_uint8(samples, bit_depth)


def test_a_deep_frame_is_judged_by_the_contract(tmp_path: Path) -> None:
    """12-bit samples are reduced by the rule before the graph; 8-bit ones are refused there."""
    inspector = Inspector(write_tiny_bundle(tmp_path / "deep", bit_depth=12))
    frame = np.full((6, 6, 3), (3213, 1000, 1446), np.uint16)
    expected = (to_uint8(frame, 12)[0, 0].astype(int) * (1, 0, -1)).sum()
    assert inspector.inspect(frame).score == expected == 110
    assert frame[0, 0, 0] == 3213
    with pytest.raises(FrameError, match="bit depth of 12 needs uint16"):
        inspector.inspect(frame.astype(np.uint8))


# ---- what it needs


def test_inspecting_loads_no_training_package(bundle: Path, tmp_path: Path) -> None:
    """`lineside inspect` works with the base install: neither torch nor scipy is imported on the way."""
    program = """
import sys, cv2, numpy
from lineside.batch import InspectOptions, inspect_images
from lineside.runtime import Inspector
cv2.imwrite("a.png", numpy.full((8, 8, 3), (90, 60, 200), numpy.uint8))
inspect_images(Inspector(sys.argv[1]), ["a.png"], "out", InspectOptions(labels=True))
heavy = ("torch", "anomalib", "timm", "albumentations", "onnx", "scipy", "sklearn", "pandas", "matplotlib", "PIL")
print(*(name for name in heavy if name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(bundle)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == []
