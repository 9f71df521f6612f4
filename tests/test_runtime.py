"""The runtime: what it refuses, what it makes of frames, and how little it needs."""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineside.contract import BIT_DEPTHS, CONTRACT_VERSION, Contract, Verdict, to_uint8
from lineside.runtime import BundleError, FrameError, Inspector, LinesideError, StorageError, load_bundle
from tiny import write_tiny_bundle


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle that no test changes: score = mean red - mean blue, NG above 20."""
    return write_tiny_bundle(tmp_path_factory.mktemp("original") / "tiny")


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.fixture(scope="module")
def inspector(original: Path) -> Inspector:
    """The tiny bundle, loaded."""
    return Inspector(original)


def frame_of(red: int, green: int, blue: int, size_hw: tuple[int, int] = (12, 20)) -> np.ndarray:
    """A flat frame."""
    return np.full((*size_hw, 3), (red, green, blue), np.uint8)


def reseal(bundle: Path) -> None:
    """Make SHA256SUMS fit the files again: what a forger, or a careless copy, would do."""
    names = ("contract.json", "model.onnx")
    sums = [f"{hashlib.sha256((bundle / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (bundle / "SHA256SUMS").write_text("".join(sums))


# ---- bundles that are not what they claim


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
    reseal(bundle)


def cut_model_and_reseal(bundle: Path) -> None:
    """Leave half of the model, and sums that fit it."""
    cut_model(bundle)
    reseal(bundle)


def edit_contract(bundle: Path) -> None:
    """Raise the threshold that the contract states, and the sums with it."""
    path = bundle / "contract.json"
    document = json.loads(path.read_text())
    document["threshold_ng"]["value"] = 99.0
    path.write_text(json.dumps(document))
    reseal(bundle)


def contract_without(field: str):
    """Remove a field of the contract."""

    def spoil(bundle: Path) -> None:
        path = bundle / "contract.json"
        document = json.loads(path.read_text())
        del document[field]
        path.write_text(json.dumps(document))
        reseal(bundle)

    return spoil


def write_file(name: str, content: bytes, *, sealed: bool = True):
    """Replace a file."""

    def spoil(bundle: Path) -> None:
        (bundle / name).write_bytes(content)
        if sealed:
            reseal(bundle)

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
        pytest.param(cut_model_and_reseal, "ONNX Runtime cannot load the model", id="cut off and resealed"),
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
def test_a_spoilt_bundle_is_refused(bundle: Path, spoil, words: str) -> None:
    """Whatever is wrong with a bundle, no frame is judged with it, and the error names the file."""
    spoil(bundle)
    with pytest.raises(BundleError, match=words) as caught:
        Inspector(bundle)
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


def test_a_file_that_cannot_be_read_is_a_storage_error(bundle: Path) -> None:
    """A folder where the model should be is input/output, exit code 4."""
    (bundle / "model.onnx").unlink()
    (bundle / "model.onnx").mkdir()
    with pytest.raises(StorageError, match=r"model\.onnx") as caught:
        Inspector(bundle)
    assert caught.value.exit_code == 4


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
        (np.zeros((2, 4, 4, 3), np.uint8), "use inspect_batch"),
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


def test_an_empty_batch_is_refused(inspector: Inspector) -> None:
    """No frame, no result."""
    with pytest.raises(FrameError, match="non-empty"):
        inspector.inspect_batch(np.zeros((0, 4, 4, 3), np.uint8))


def test_blue_first_frames_are_turned(original: Path, inspector: Inspector) -> None:
    """The same picture in OpenCV's order gives the same result where the order is declared, another where it is not."""
    rgb = frame_of(200, 50, 90)
    bgr = rgb[:, :, ::-1]
    assert Inspector(original, color="bgr").inspect(bgr).score == inspector.inspect(rgb).score == 110.0
    assert inspector.inspect(bgr).score == -110.0


def test_an_unknown_order_is_refused(original: Path) -> None:
    """Only rgb and bgr exist."""
    with pytest.raises(FrameError, match="'rgb' or 'bgr', found 'gbr'"):
        Inspector(original, color="gbr")  # type: ignore[arg-type]


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
    together = inspector.inspect_batch(frames)
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


def test_threads_share_an_inspector(inspector: Inspector) -> None:
    """Frames of different sizes, judged from eight threads at once, get their own scores."""
    rng = np.random.default_rng(1)
    frames = [frame_of(int(r), 50, 90, (8 + i % 5, 8 + i % 7)) for i, r in enumerate(rng.integers(0, 255, 200))]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(inspector.inspect, frames))
    assert [r.score for r in results] == [float(frame[0, 0, 0]) - 90.0 for frame in frames]
    assert [r.frame_wh for r in results] == [(frame.shape[1], frame.shape[0]) for frame in frames]


# ---- thresholds


@pytest.mark.parametrize(
    ("ng", "review", "verdict"),
    [(5.0, None, Verdict.NG), (15.0, 5.0, Verdict.REVIEW), (15.0, 15.0, Verdict.OK), (30.0, None, Verdict.OK)],
)
def test_thresholds_can_be_overridden(original: Path, ng: float, review: float | None, verdict: Verdict) -> None:
    """A score of 10 is judged by the thresholds that are given; one that is not given stays the bundle's (20)."""
    inspector = Inspector(original, threshold_ng=ng, threshold_review=review)
    assert inspector.inspect(frame_of(100, 50, 90)).verdict is verdict


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["threshold_ng", "threshold_review"])
def test_a_threshold_must_be_a_number(original: Path, name: str, value: float) -> None:
    """Not a number would call everything OK."""
    with pytest.raises(FrameError, match=f"{name} must be a finite number"):
        Inspector(original, **{name: value})  # type: ignore[arg-type]


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


def test_the_runtime_loads_numpy_and_onnxruntime_and_nothing_else() -> None:
    """Beyond these two, what they load and the standard library, `lineside.runtime` imports only lineside."""
    program = """
import sys
import numpy, onnxruntime
known = {name.split(".")[0] for name in sys.modules} | set(sys.stdlib_module_names) | {"lineside"}
import lineside.runtime
print(*sorted({name.split(".")[0] for name in sys.modules} - known))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_runtime_loads_no_heavy_package() -> None:
    """Nor do its two dependencies bring one in."""
    heavy = (
        "torch",
        "anomalib",
        "timm",
        "cv2",
        "pandas",
        "pydantic",
        "scipy",
        "sklearn",
        "PIL",
        "onnx",
        "rich",
        "yaml",
    )
    program = f"import sys, lineside.runtime; print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_inspecting_loads_no_training_package(original: Path, tmp_path: Path) -> None:
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
        [sys.executable, "-c", program, str(original)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == []
