"""`lineside bench`: what the whole graph costs, what each of its stages does, and the resize alone as the floor.

The floor is one antialiased uint8 Resize of the same frame to the working size, timed in the same rounds: the least
that anything can cost which looks at every pixel of the frame. A ratio to it carries over to another machine; a time
does not.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from lineside.bench.cold_start import ColdStart, cold_starts
from lineside.bench.cuts import TRUNK, front_ends, prefix, sections
from lineside.bench.machine import Machine, this_machine
from lineside.bench.timing import Array, Candidate, Ratio, Timing, ratio, summarise, time_in_turns
from lineside.contract import INPUT_FRAME, MAX_FRAME_PIXELS, Contract
from lineside.errors import BundleError, MissingExtraError, UsageError
from lineside.export.load import load_bundle
from lineside.session import open_session, ort

if TYPE_CHECKING:
    import onnx

Pixels = npt.NDArray[np.uint8]
FRAME_WH = (1280, 1024)
ROUNDS = 100
FRONT_LIMIT = 2.6
"""Whole front over the resize alone: what the project promises for a frame of 1280 × 1024."""
POSE_AND_GATE_LIMIT = 0.65
"""Small image, pose search and gate together over the bare trunk: what the project promises. Measured: caps, AMD EPYC
without AVX-512, thread time in turns, 2026-11: 0.53. It was a time before, 3 ms, which no graph kept on that machine:
these are some 650 small operations, and how long they take says as much of the machine as of the graph."""
WHOLE_LIMIT, INT8_LIMIT, PLAIN_LIMIT = 2.9, 5.0, 1.5
"""Whole graph over the bare trunk of its precision: what the project promises with light, pose and gate for a frame of
1280 × 1024, in float32 and in int8, and with none of them, in float32, for a frame of the working size. Measured on one
core of a Xeon with VNNI, ONNX Runtime 1.30, 40 rounds, 2026-11: caps 2.81 in float32 and 4.09 in int8, weave without
light, pose and gate 1.40."""
STARTS = 5
"""Cold starts."""
WHOLE, FRONT, FLOOR = "whole graph", "whole front", "resize alone (floor)"
_POSE_AND_GATE = ("small image", "pose search", "gate")


@dataclass(frozen=True)
class Conditions:
    """What was timed, and how."""

    part: str
    model_sha256: str
    frame_whc: tuple[int, int, int]
    working_wh: tuple[int, int]
    threads: int
    rounds: int
    machine: Machine


@dataclass(frozen=True)
class StageTimes(Conditions):
    """What `time_stages` measured."""

    timings: tuple[Timing, ...]
    """The whole graph and the floor; with stages also the whole front and each stage, in the order of the graph."""
    front_to_floor: Ratio | None
    """None without stages, or where the graph names no front."""
    pose_and_gate: Timing | None
    """Both stages added up round by round; None where the graph has not both."""
    pose_and_gate_to_trunk: Ratio | None
    """None where the graph has not both, or names no trunk."""
    whole_to_trunk: Ratio | None
    """None without stages, or where the graph names no trunk."""
    is_plain: bool
    """Whether light, pose and gate are all off."""
    network: Literal["fp32", "int8"]
    """Precision of the trunk."""
    model_bytes: int
    """Size of model.onnx."""
    starts: tuple[ColdStart, ...]
    """Of processes that judge this frame as their first."""

    @property
    def whole_limit(self) -> float | None:
        """Promised of `whole_to_trunk`; None where nothing is promised of such a graph on such a frame."""
        if self.threads != 1:
            return None
        if self.pose_and_gate is not None:
            limit = INT8_LIMIT if self.network == "int8" else WHOLE_LIMIT
            return limit if self.frame_whc[:2] == FRAME_WH else None
        promised = self.is_plain and self.frame_whc[:2] == self.working_wh and self.network == "fp32"
        return PLAIN_LIMIT if promised else None

    def to_dict(self) -> dict[str, Any]:
        """Return what fits into JSON, the promises included."""
        limits = {"front_to_floor": FRONT_LIMIT, "pose_and_gate_to_trunk": POSE_AND_GATE_LIMIT}
        return {**asdict(self), "promised": {**limits, "whole_to_trunk": self.whole_limit}}


@dataclass(frozen=True)
class Subject:
    """A bundle's graph, open, and the frame that it is timed on."""

    model: bytes
    model_sha256: str
    contract: Contract
    session: ort.InferenceSession
    frame: Pixels
    """[H, W, C]"""

    @property
    def feed(self) -> dict[str, Array]:
        """The frame by the name of the graph's input."""
        return {INPUT_FRAME: self.frame[None]}  # [1, H, W, C]

    @property
    def megabytes(self) -> float:
        """Size of the model."""
        return len(self.model) / 1e6


def bench_frame(size_wh: tuple[int, int], channels: int, seed: int = 0) -> Pixels:
    """Return a seeded frame: smooth shading, coarse structure and a little noise; uint8 [H, W, C].

    Raises
    ------
    UsageError
        When it has no pixel, or more than `MAX_FRAME_PIXELS`.
    """
    import cv2

    width, height = _checked(size_wh)
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60.0, 200.0, (12, 16, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
    noise = rng.integers(-4, 5, smooth.shape, np.int8)
    return cast(Pixels, np.clip(np.rint(smooth) + noise, 0, 255).astype(np.uint8))


def _checked(size_wh: tuple[int, int]) -> tuple[int, int]:
    width, height = size_wh
    if min(size_wh) < 1 or width * height > MAX_FRAME_PIXELS:  # a slip of the hand would fill the memory
        raise UsageError(f"Expected a frame of 1 to {MAX_FRAME_PIXELS} pixels, found {width}x{height}.")
    return size_wh


def read_bench_frame(path: Path, contract: Contract, size_wh: tuple[int, int] | None = None) -> Pixels:
    """Return an image file as a frame, uint8 [H, W, C]; resized where a size is given."""
    import cv2

    from lineside.batch.judge import read_frame

    frame = read_frame(path, contract.frame)
    if size_wh is None:
        return frame
    resized = cv2.resize(frame, _checked(size_wh), interpolation=cv2.INTER_LINEAR)
    return cast(Pixels, resized.reshape(size_wh[1], size_wh[0], frame.shape[2]))


def time_stages(
    model: str | Path,
    *,
    size_wh: tuple[int, int] | None = None,
    image: Path | None = None,
    threads: int = 1,
    rounds: int = ROUNDS,
    stages: bool = True,
) -> StageTimes:
    """Time a bundle's graph on one frame.

    Parameters
    ----------
    model : str or Path
        Bundle folder.
    size_wh : (int, int), optional
        Width and height of the frame; by default `FRAME_WH`, or the image's own.
    image : Path, optional
        The frame; a seeded one where none is given.
    threads : int
        ONNX Runtime's threads inside one operator.
    rounds : int
        How often each model runs.
    stages : bool
        Cut the graph and time its stages as well.

    Raises
    ------
    UsageError
        When there is no bundle, the frame's size makes no sense, or there are too few rounds.
    BundleError
        When the bundle was altered, or its graph refuses the frame.
    ImageError
        When the image cannot be read as a frame of this bundle.
    LinesideError
        When a process that was to judge the frame fails.
    """
    subject = opened(model, size_wh, image, threads)
    contract, frame = subject.contract, subject.frame
    candidates = [
        Candidate(WHOLE, subject.session, subject.feed),
        _floor(frame, contract.working_wh, threads),
    ]
    if stages:
        candidates += _cut(subject.model, subject.feed, threads)
    machine = this_machine()
    starts = cold_starts(Path(model), frame, STARTS)
    times = time_in_turns(candidates, rounds)
    found = [times[name] for name in _POSE_AND_GATE if name in times]
    both = np.sum(found, axis=0) if len(found) == len(_POSE_AND_GATE) else None
    trunk = times.get(TRUNK.name)
    height, width, channels = frame.shape
    return StageTimes(
        part=contract.part,
        model_sha256=subject.model_sha256,
        frame_whc=(width, height, channels),
        working_wh=contract.working_wh,
        threads=threads,
        rounds=rounds,
        machine=machine,
        timings=tuple(summarise(name, taken) for name, taken in times.items()),
        front_to_floor=ratio(times[FRONT], times[FLOOR]) if FRONT in times else None,
        pose_and_gate=None if both is None else summarise(" and ".join(_POSE_AND_GATE), both),
        pose_and_gate_to_trunk=None if both is None or trunk is None else ratio(both, trunk),
        whole_to_trunk=None if trunk is None else ratio(times[WHOLE], trunk),
        is_plain=_is_plain(contract),
        network=contract.precision.network,
        model_bytes=len(subject.model),
        starts=starts,
    )


def opened(model: str | Path, size_wh: tuple[int, int] | None, image: Path | None, threads: int) -> Subject:
    """Open a bundle, read or draw the frame, and try it; arguments and errors are those of `time_stages`."""
    bundle = load_bundle(model)
    where = str(bundle.path)
    whole = open_session(bundle.model, where, threads)
    contract = Contract.from_metadata(whole.get_modelmeta().custom_metadata_map, where)
    if image is not None:
        frame = read_bench_frame(image, contract, size_wh)
    else:
        frame = bench_frame(size_wh or FRAME_WH, contract.frame.channels)
    subject = Subject(bundle.model, bundle.model_sha256, contract, whole, frame)
    _try(whole, subject.feed, where)
    return subject


def _try(whole: ort.InferenceSession, feed: Mapping[str, Array], where: str) -> None:
    try:
        whole.run(None, feed)
    except Exception as error:  # ONNX Runtime raises one class of its own per status code, with no common root
        raise BundleError(f"{where}: the graph fails on this frame ({str(error).splitlines()[0]}).") from None


def _is_plain(contract: Contract) -> bool:
    """Whether no step before the network is on, and no number is measured for the gate."""
    told = {"novelty"}  # of the embedding, behind the network
    return set(contract.normalisation.values()) <= {"off", "none"} and set(contract.quality_names) <= told


def _cut(content: bytes, feed: Mapping[str, Array], threads: int) -> list[Candidate]:
    """Open the whole front and every stage; each stage is fed what the graph itself computed from the frame."""
    model = _parsed(content)
    ends, parts = front_ends(model), sections(model)
    inner = tuple(dict.fromkeys(name for part in parts for name in part.inputs if name not in feed))
    known = {**feed, **_recorded(model, inner, feed)}
    found = []
    if ends:
        front = prefix(model, ends)
        found.append(Candidate(FRONT, open_session(front.SerializeToString(), FRONT, threads), feed))
    for part in parts:
        taken = {name: known[name] for name in part.inputs}
        for item in part.model.graph.input:
            if item.name in taken and not item.HasField("type"):
                item.CopyFrom(_typed(item.name, taken[item.name]))
        session = open_session(part.model.SerializeToString(), part.stage, threads)
        found.append(Candidate(part.stage, session, taken))
    return found


def _parsed(content: bytes) -> "onnx.ModelProto":
    try:
        import onnx
    except ModuleNotFoundError:
        raise MissingExtraError("onnx", "train") from None
    model: onnx.ModelProto = onnx.ModelProto.FromString(content)
    return model


def _recorded(model: "onnx.ModelProto", names: tuple[str, ...], feed: Mapping[str, Array]) -> dict[str, Array]:
    """Run the graph once up to these values."""
    if not names:
        return {}
    session = open_session(prefix(model, names).SerializeToString(), "the graph up to its inner values")
    values = session.run(list(names), feed)
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _typed(name: str, value: Array) -> "onnx.ValueInfoProto":
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)


def _floor(frame: Pixels, working_wh: tuple[int, int], threads: int) -> Candidate:
    """Open the resize alone: the very node that the front begins with, from the frame to the working size."""
    content = floor_model(frame.shape[2], working_wh)
    return Candidate(FLOOR, open_session(content, FLOOR, threads), {INPUT_FRAME: frame[None]})


def floor_model(channels: int, working_wh: tuple[int, int]) -> bytes:
    """Return a model of one antialiased uint8 Resize, [N, H, W, C] to [N, h, w, C]."""
    try:
        from onnx import TensorProto, helper
    except ModuleNotFoundError:
        raise MissingExtraError("onnx", "train") from None
    width, height = working_wh
    inputs, outputs = [INPUT_FRAME, "", "", "sizes"], ["resized"]
    resize = helper.make_node("Resize", inputs, outputs, mode="linear", antialias=1, exclude_outside=1, axes=[1, 2])
    graph = helper.make_graph(
        [resize],
        "resize",
        [helper.make_tensor_value_info(INPUT_FRAME, TensorProto.UINT8, ["N", "H", "W", channels])],
        [helper.make_tensor_value_info("resized", TensorProto.UINT8, ["N", height, width, channels])],
        [helper.make_tensor("sizes", TensorProto.INT64, [2], [height, width])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content
