"""A bundle, ready to judge frames: one ONNX Runtime session and the contract that says what its outputs mean."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.contract import INPUT_FRAME, INPUT_THRESHOLDS, MAX_FRAME_PIXELS, OUTPUTS, Contract, Verdict, to_uint8
from lineside.errors import BundleError, FrameError, UsageError
from lineside.runtime.bundle import MAX_MODEL_BYTES, load_bundle, metadata_contract
from lineside.runtime.result import Result
from lineside.session import open_session, ort
from lineside.tuning import Tuning, read_tuning

Outputs = dict[str, npt.NDArray[np.generic]]


class Inspector:
    """Judges frames with one bundle. Safe to share between threads.

    Parameters
    ----------
    model : str or Path
        Bundle folder; or a ``.onnx`` file, then with `sha256` or `unverified`.
    color : {"rgb", "bgr"}
        Order of the channels in the frames that you give; OpenCV reads BGR. Of no effect on a grey camera's frames.
    threads : int, optional
        ONNX Runtime's threads inside one frame, 1 or more. By default what `lineside tune` found for this model on this
        machine, where it was run, else one.
    tuned : {"frame", "batch"}
        Which of its findings that is: for one frame after another, or for many at the same time.
    threshold_ng, threshold_review : float, optional
        Override the bundle's thresholds. What the contract says of their guarantee then no longer holds. Where only
        `threshold_ng` is given, a bundle without a band for review gets none, and one with a band keeps it up to the
        new threshold.
    sha256, unverified, require_key, max_model_bytes
        See `lineside.runtime.load_bundle`.
    max_frame_pixels : int
        A frame of more pixels (H · W) is refused.

    Raises
    ------
    BundleError
        When the bundle was altered, is incomplete, or its graph does not follow the contract.
    UsageError
        When there is no bundle at `model`, or an argument is not what it must be.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        color: Literal["rgb", "bgr"] = "rgb",
        threads: int | None = None,
        tuned: Literal["frame", "batch"] = "frame",
        threshold_ng: float | None = None,
        threshold_review: float | None = None,
        sha256: str | None = None,
        unverified: bool = False,
        require_key: str | Path | None = None,
        max_model_bytes: int = MAX_MODEL_BYTES,
        max_frame_pixels: int = MAX_FRAME_PIXELS,
    ) -> None:
        if color not in ("rgb", "bgr"):
            raise UsageError(f"color must be 'rgb' or 'bgr', found {color!r}.")
        if tuned not in ("frame", "batch"):
            raise UsageError(f"tuned must be 'frame' or 'batch', found {tuned!r}.")
        bundle = load_bundle(
            model, sha256=sha256, unverified=unverified, require_key=require_key, max_model_bytes=max_model_bytes
        )
        self.path = bundle.path
        self.model_sha256 = bundle.model_sha256
        self.signed_by = bundle.signed_by
        self.max_frame_pixels = max_frame_pixels
        self.tuning = read_tuning(bundle.path, bundle.model_sha256) if threads is None and bundle.contract else None
        self.threads = _threads(self.tuning, tuned) if threads is None else threads
        self._session = open_session(bundle.model, str(bundle.path), self.threads)
        embedded = metadata_contract(self._session.get_modelmeta().custom_metadata_map, str(bundle.path))
        if bundle.contract is not None and bundle.contract != embedded:
            raise BundleError(f"{bundle.path}: contract.json and the contract inside model.onnx differ.")
        self.contract: Contract = embedded
        _check_signature(self._session, str(bundle.path))
        self._bgr = color == "bgr"
        self.threshold_ng, self.threshold_review = _thresholds(self.contract, threshold_ng, threshold_review)
        self.overridden = threshold_ng is not None or threshold_review is not None
        self._feed = self._overrides() if self.overridden else {}
        self.recipe_id = f"{self.contract.part}@{self.contract.recipe_sha256[:12]}"

    def inspect(self, frame: npt.NDArray[np.generic], *, reduced: bool = False) -> Result:
        """Judge one frame.

        Parameters
        ----------
        frame : ndarray [H, W, C], or [H, W] where the contract has one channel
            uint8; or uint16 where the contract's bit depth is above 8, reduced by the contract's rule. Not changed.
        reduced : bool
            The frame is uint8 by the contract's rule already, whatever the bit depth, as `lineside.capture` gives it.

        Raises
        ------
        FrameError
            When type, rank, size or channels do not fit the contract.
        """
        if not isinstance(frame, np.ndarray):
            raise FrameError(f"A frame must be a numpy array, found {type(frame).__name__}.")
        if frame.ndim == 2:
            frame = frame[:, :, None]
        if frame.ndim != 3:
            raise FrameError(
                f"A frame must be [H, W, {self.contract.frame.channels}], found an array of shape {frame.shape}. "
                "For several frames at once use inspect_batch."
            )
        return self.inspect_batch(frame[None], reduced=reduced)[0]

    def inspect_batch(self, frames: npt.NDArray[np.generic], *, reduced: bool = False) -> list[Result]:
        """Judge frames of one size together.

        Parameters
        ----------
        frames : ndarray [N, H, W, C]
            As in `inspect`, N ≥ 1.
        reduced : bool
            As in `inspect`.

        Returns
        -------
        list of Result
            In the order of the frames; `duration_ms` is the batch's time divided by N.
        """
        outputs, seconds = self._run(self._checked(frames, reduced))
        height, width = frames.shape[1:3]
        duration_ms = 1000.0 * seconds / len(frames)
        now = datetime.now(UTC)
        return [self._result(outputs, i, (width, height), duration_ms, now) for i in range(len(frames))]

    def raw_outputs(self, frames: npt.NDArray[np.uint8]) -> Outputs:
        """Return every output of the graph by name, for frames as the graph takes them: uint8 [N, H, W, C], RGB."""
        return self._run(frames)[0]

    def _run(self, frames: npt.NDArray[np.uint8]) -> tuple[Outputs, float]:
        start = time.perf_counter()
        values = self._session.run(OUTPUTS, {INPUT_FRAME: frames, **self._feed})
        seconds = time.perf_counter() - start
        for value in values:
            value.flags.writeable = False
        return dict(zip(OUTPUTS, values, strict=True)), seconds

    def _overrides(self) -> dict[str, npt.NDArray[np.float32]]:
        values = zip(INPUT_THRESHOLDS, (self.threshold_ng, self.threshold_review), strict=True)
        return {name: np.array([value], np.float32) for name, value in values}

    def _checked(self, frames: npt.NDArray[np.generic], reduced: bool) -> npt.NDArray[np.uint8]:
        spec = self.contract.frame
        if not isinstance(frames, np.ndarray) or frames.ndim != 4 or 0 in frames.shape:
            shape = getattr(frames, "shape", type(frames).__name__)
            raise FrameError(f"Frames must be a non-empty array [N, H, W, {spec.channels}], found {shape}.")
        if frames.shape[3] != spec.channels:
            raise FrameError(
                f"Frames have {frames.shape[3]} channels, this bundle was trained on {spec.channels} "
                f"({'grey' if spec.channels == 1 else 'red, green, blue'})."
            )
        if frames.shape[1] * frames.shape[2] > self.max_frame_pixels:
            raise FrameError(
                f"A frame has {frames.shape[1]} × {frames.shape[2]} pixels, the limit is {self.max_frame_pixels}. "
                "If it is meant to be so large, give a higher max_frame_pixels to Inspector."
            )
        samples = to_uint8(frames, 8 if reduced else spec.bit_depth)
        if self._bgr and spec.channels == 3:
            samples = samples[..., ::-1]
        return np.ascontiguousarray(samples)

    def _result(
        self, outputs: Outputs, i: int, frame_wh: tuple[int, int], duration_ms: float, created: datetime
    ) -> Result:
        contract = self.contract
        gate = int(outputs["gate"][i])
        verdict = Verdict(int(outputs["verdict"][i]))
        quality = _named(contract.quality_names, outputs["quality"][i])
        return Result(
            verdict=verdict,
            score=float(outputs["score"][i]),
            reasons=contract.found(quality) if verdict is Verdict.NG else contract.reasons(gate),
            defect_class=contract.class_name(int(outputs["defect_class"][i])),
            anomaly_map=outputs["anomaly_map"][i],
            pose=outputs["pose"][i],
            transform=outputs["transform"][i],
            gate=gate,
            quality=quality,
            class_prob=_named(contract.class_names, outputs["class_prob"][i]),
            embedding=outputs["embedding"][i],
            duration_ms=duration_ms,
            frame_wh=frame_wh,
            created=created,
            recipe_id=self.recipe_id,
        )


def _threads(tuning: Tuning | None, tuned: Literal["frame", "batch"]) -> int:
    """Return the threads that were found best; one where nothing was measured."""
    if tuning is None:
        return 1
    return tuning.frame_threads if tuned == "frame" else tuning.batch_threads


def _check_signature(session: ort.InferenceSession, where: str) -> None:
    inputs = {i.name for i in session.get_inputs()}
    outputs = {o.name for o in session.get_outputs()}
    missing = sorted(({INPUT_FRAME} - inputs) | (set(OUTPUTS) - outputs))
    if missing:
        raise BundleError(f"{where}: the graph lacks {', '.join(missing)}; it does not follow the contract.")


def _thresholds(contract: Contract, ng: float | None, review: float | None) -> tuple[float, float]:
    """Return the thresholds in force: those given, and what follows for the other."""
    for name, value in (("threshold_ng", ng), ("threshold_review", review)):
        if value is not None and not _is_finite_float32(value):
            raise UsageError(f"{name} must be a finite number (float32), found {value!r}.")
    own_ng, own_review = contract.threshold_ng.value, contract.threshold_review.value
    if ng is None:
        return own_ng, own_review if review is None else review
    if review is None:
        review = ng if own_review >= own_ng else min(own_review, ng)
    return ng, review


def _is_finite_float32(value: object) -> bool:
    """Whether the graph would compare with this very number, not with an infinity made of it."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    largest = float(np.finfo(np.float32).max)
    return bool(-largest <= value <= largest)


def _named(names: tuple[str, ...], values: npt.NDArray[np.generic]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
