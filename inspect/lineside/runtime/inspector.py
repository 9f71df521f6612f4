"""A bundle, ready to judge frames: one ONNX Runtime session and the contract that says what its outputs mean."""

import time
from collections.abc import Generator, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.bit_depth import check_samples
from lineside.contract import INPUT_THRESHOLDS, MAX_FRAME_PIXELS, Contract, Verdict
from lineside.contract_thresholds import in_force
from lineside.errors import BundleError, FrameError, UsageError
from lineside.export.load import MAX_MODEL_BYTES, load_bundle
from lineside.runtime.bound import BoundGraph, Outputs
from lineside.runtime.result import Result
from lineside.session import open_session
from lineside.tuning import read_tuning

Frame = npt.NDArray[np.generic]


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
        self.path, self.model_sha256, self.signed_by = bundle.path, bundle.model_sha256, bundle.signed_by
        self.max_frame_pixels, self.max_model_bytes = max_frame_pixels, max_model_bytes
        self.tuning = read_tuning(bundle.path, bundle.model_sha256) if threads is None and bundle.contract else None
        self.threads = threads if threads is not None else self.tuning.threads(tuned) if self.tuning else 1
        session = open_session(bundle.model, str(bundle.path), self.threads)
        self.contract = Contract.from_metadata(session.get_modelmeta().custom_metadata_map, str(bundle.path))
        if bundle.contract not in (None, self.contract):
            raise BundleError(f"{bundle.path}: contract.json and the contract inside model.onnx differ.")
        own = self.contract.threshold_ng.value, self.contract.threshold_review.value
        self.threshold_ng, self.threshold_review = limits = in_force(*own, threshold_ng, threshold_review)
        self.overridden = threshold_ng is not None or threshold_review is not None
        given = limits if self.overridden else ()
        feed = {name: np.array([value], np.float32) for name, value in zip(INPUT_THRESHOLDS, given, strict=False)}
        self._graph = BoundGraph(session, self.contract, feed, bgr=color == "bgr", where=str(bundle.path))
        self.recipe_id = f"{self.contract.part}@{self.contract.recipe_sha256[:12]}"

    def inspect(self, frame: Frame, *, reduced: bool = False) -> Result:
        """Judge one frame.

        Parameters
        ----------
        frame : ndarray [H, W, C], or [H, W] where the contract has one channel
            uint8; or uint16 where the contract's bit depth is above 8, reduced by the contract's rule. It is not
            changed, and not copied where it is uint8, red first and C-contiguous: an array over shared memory, or over
            any other buffer (`numpy.frombuffer`), is judged where it lies.
        reduced : bool
            The frame is uint8 by the contract's rule already, whatever the bit depth, as `lineside.capture` gives it.

        Raises
        ------
        FrameError
            When type, rank, size or channels do not fit the contract.
        """
        return self._judged([self._checked(frame, reduced)], reduced)[0]

    def inspect_many(self, frames: Iterable[Frame], *, reduced: bool = False, together: int = 4) -> list[Result]:
        """Judge frames that are all there; the graph is run on those of one size together.

        Parameters
        ----------
        frames : iterable of ndarray, or ndarray [N, H, W, C]
            Each as in `inspect`; they may differ in size.
        reduced : bool
            As in `inspect`.
        together : int
            Most frames of one run; each takes memory in it.

        Returns
        -------
        list of Result
            In the order of the frames; `duration_ms` is a run's time divided by its frames.

        Raises
        ------
        FrameError
            As `inspect`, before any is judged; it names the frame's place, from 0 on.
        """
        together = _at_least_one("together", together)
        checked = [self._checked(frame, reduced, f"frames[{i}]: ") for i, frame in enumerate(frames)]
        alike: dict[tuple[int, ...], list[int]] = {}
        for i, frame in enumerate(checked):
            alike.setdefault(frame.shape, []).append(i)
        results: dict[int, Result] = {}
        for places in alike.values():
            for start in range(0, len(places), together):
                run = places[start : start + together]
                results.update(zip(run, self._judged([checked[i] for i in run], reduced), strict=True))
        return [results[i] for i in range(len(checked))]

    def inspect_stream(
        self, frames: Iterable[Frame], *, reduced: bool = False, workers: int = 1, ahead: int = 4
    ) -> Generator[Result, None, None]:
        """Judge frames as they come: a thread reads the source, others judge, results come out in order.

        Parameters
        ----------
        frames : iterable of ndarray
            Each as in `inspect`. Where it has a ``close`` (as a generator has), that is called in the end.
        reduced : bool
            As in `inspect`.
        workers : int
            Frames judged at the same time.
        ahead : int
            Most frames that are read and whose results were not taken. They must stay as they are until then: a source
            that uses one buffer for all frames copies, or is read with `inspect`.

        Yields
        ------
        Result
            As soon as it is there and all before it were taken. Closing the generator, or letting go of it, ends its
            threads and closes the source; while the source waits for a frame, that is done when the frame comes.

        Raises
        ------
        Exception
            What the source raised, or FrameError as in `inspect`, in the place of the frame's result.
        """
        from lineside.stream import in_order

        def judge(frame: Frame) -> Result:
            return self.inspect(frame, reduced=reduced)

        workers, ahead = _at_least_one("workers", workers), _at_least_one("ahead", ahead)
        return in_order(frames, judge, workers=workers, ahead=ahead)

    def raw_outputs(self, frames: npt.NDArray[np.uint8]) -> Outputs:
        """Return every output of the graph by name, for frames as the graph takes them: uint8 [N, H, W, C], RGB."""
        return self._graph.run(np.ascontiguousarray(frames))

    def _checked(self, frame: Frame, reduced: bool, which: str = "") -> Frame:
        """Return a frame as [H, W, C] where it fits the contract."""
        spec = self.contract.frame
        if not isinstance(frame, np.ndarray):
            raise FrameError(f"{which}A frame must be a numpy array, found {type(frame).__name__}.")
        if frame.ndim == 2:
            frame = frame[:, :, None]
        if frame.ndim != 3 or 0 in frame.shape:
            raise FrameError(
                f"{which}A frame must be a non-empty [H, W, {spec.channels}], found an array of shape {frame.shape}. "
                "For several frames at once use inspect_many."
            )
        height, width, channels = frame.shape
        if channels != spec.channels:
            raise FrameError(
                f"{which}A frame has {channels} channels, this bundle was trained on {spec.channels} "
                f"({'grey' if spec.channels == 1 else 'red, green, blue'})."
            )
        if height * width > self.max_frame_pixels:
            raise FrameError(
                f"{which}A frame has {height} × {width} pixels, the limit is {self.max_frame_pixels}. "
                "If it is meant to be so large, give a higher max_frame_pixels to Inspector."
            )
        check_samples(frame, 8 if reduced else spec.bit_depth, which)
        return frame

    def _judged(self, frames: Sequence[Frame], reduced: bool) -> list[Result]:
        """Run the graph once on frames of one size."""
        samples = self._graph.prepared(frames, reduced=reduced)
        start = time.perf_counter()
        outputs = self._graph.run(samples)
        duration_ms = 1000.0 * (time.perf_counter() - start) / len(frames)
        now = datetime.now(UTC)
        height, width = samples.shape[1:3]
        return [self._result(outputs, i, (width, height), duration_ms, now) for i in range(len(frames))]

    def _result(self, outputs: Outputs, i: int, frame_wh: tuple[int, int], duration_ms: float, now: datetime) -> Result:
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
            class_p_value=float(outputs["class_p_value"][i]),
            embedding=outputs["embedding"][i],
            duration_ms=duration_ms,
            frame_wh=frame_wh,
            created=now,
            recipe_id=self.recipe_id,
        )


def _at_least_one(name: str, value: int) -> int:
    if value < 1:
        raise UsageError(f"{name} must be 1 or more, found {value}.")
    return value


def _named(names: tuple[str, ...], values: npt.NDArray[np.generic]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
