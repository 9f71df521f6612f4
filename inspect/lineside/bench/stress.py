"""The stress test: images of known class, made worse step by step, and what the model says of them.

Each image is read once and goes through all disturbances and levels in one worker thread; albumentations, OpenCV and
ONNX Runtime let go of Python's lock while they work. The verdicts are those of the deployed graph.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside import __version__
from lineside.batch.judge import read_frame
from lineside.batch.overlay import encode_jpeg
from lineside.bench.disturbance import Disturbance, disturb, disturbances
from lineside.bench.stress_result import TOO_MUCH, Curve, LevelResult, StressResult
from lineside.dataset import label_of
from lineside.errors import ImageError, UsageError
from lineside.graph.run import parallel
from lineside.runtime import Inspector

Pixels = npt.NDArray[np.uint8]
Labelled = tuple[Path, str]
"""An image file and its class: ``good`` (or what a folder may say instead), or any other word for a defect."""
PER_LEVEL = 50
_EXAMPLE_PX = 112
_EXAMPLES = 5
_UNDISTURBED = "undisturbed"


@dataclass(frozen=True)
class Progress:
    """How far a stress test is."""

    done: int
    """Frames that were judged, or whose image could not be read."""
    total: int


@dataclass(frozen=True)
class _Judged:
    """One image under every level, in the order of the plan; None where it could not be read."""

    image: Labelled
    verdicts: tuple[str, ...] | None

    @property
    def good(self) -> bool:
        return _is_good(self.image[1])


def stress(
    inspector: Inspector,
    images: Sequence[Labelled],
    *,
    items: Sequence[Disturbance] | None = None,
    per_level: int = PER_LEVEL,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> StressResult:
    """Judge disturbed copies of images of known class.

    Parameters
    ----------
    inspector : Inspector
        With the thresholds that are to be tested.
    images : sequence of (Path, str)
        Files and their classes; best such that nothing was fitted on.
    items : sequence of Disturbance, optional
        All that fit the model's frames, by default; `lineside.bench.disturbance.fewer_levels` makes them fewer.
    per_level : int
        At most so many good and so many defective images are used, the same under every level; drawn by `seed`.
    seed : int
        Decides the draw, and every direction, place and noise.
    workers : int, optional
        Threads; one per processor by default.
    progress : callable, optional
        Called as frames are judged, from several threads but never twice at a time.

    Returns
    -------
    StressResult
        An image that cannot be read is named there and counted nowhere else.

    Raises
    ------
    UsageError
        When a number makes no sense.
    ImageError
        When there is no image, or none can be read.
    """
    if per_level < 1 or seed < 0 or (workers is not None and workers < 1):
        raise UsageError(
            f"Expected at least one image a level, a seed of 0 or more and at least one worker, found {per_level}, "
            f"{seed} and {workers}."
        )
    if not images:
        raise ImageError("expected at least one image of known class, found none.", path="images")
    chosen = _drawn(images, per_level, seed)
    plan = tuple(disturbances(inspector.contract.frame.channels) if items is None else items)
    ticker = _Ticker(progress, len(chosen) * (1 + sum(len(item.levels) for item in plan)))
    judged = tuple(parallel(lambda image: _judge(inspector, image, plan, seed, ticker), chosen, workers))
    sound = [image for image in judged if image.verdicts is not None]
    if not sound:
        raise ImageError("none of the images can be read as a frame of this model.", path=chosen[0][0].parent)
    examples = _examples(inspector, sound, plan, seed)
    return _result(inspector, images, judged, plan, examples, seed)


class _Ticker:
    """Counts what is done, across threads."""

    def __init__(self, progress: Callable[[Progress], None] | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._lock = threading.Lock()

    def add(self, n: int = 1) -> None:
        with self._lock:
            self._done += n
            if self._progress:
                self._progress(Progress(self._done, self._total))


def _is_good(label: str) -> bool:
    return label_of(label) == "good"


def _drawn(images: Sequence[Labelled], per_level: int, seed: int) -> list[Labelled]:
    """Draw by a hash of seed and name, so that one image more does not change which of the others are drawn."""

    def order(image: Labelled) -> tuple[bytes, str]:
        name = _name(image)
        return sha256(f"{seed}:{name}".encode(errors="surrogatepass")).digest(), str(image[0])

    chosen = set()
    for good in (True, False):
        chosen.update(sorted((i for i in set(images) if _is_good(i[1]) is good), key=order)[:per_level])
    return sorted(chosen)


def _name(image: Labelled) -> str:
    """Return what an image is called in a draw: class and file name, wherever the folder lies."""
    return f"{image[1]}/{image[0].name}"


def _judge(inspector: Inspector, image: Labelled, plan: Sequence[Disturbance], seed: int, ticker: _Ticker) -> _Judged:
    try:
        frame = read_frame(image[0], inspector.contract.frame)
    except ImageError:
        ticker.add(1 + sum(len(item.levels) for item in plan))
        return _Judged(image, None)
    verdicts = [_verdict(inspector, frame, ticker)]
    for item in plan:
        for level in item.levels:
            verdicts.append(_verdict(inspector, disturb(frame, item, level, seed, _name(image)), ticker))
    return _Judged(image, tuple(verdicts))


def _verdict(inspector: Inspector, frame: Pixels, ticker: _Ticker) -> str:
    verdict = inspector.inspect(frame, reduced=True).verdict.name
    ticker.add()
    return verdict


def _result(
    inspector: Inspector,
    images: Sequence[Labelled],
    judged: Sequence[_Judged],
    plan: Sequence[Disturbance],
    examples: Sequence[tuple[tuple[str, bytes], ...]],
    seed: int,
) -> StressResult:
    wish = inspector.contract.threshold_ng.wish_overkill
    sound = [image for image in judged if image.verdicts is not None]
    curves, position = [], 1
    for item, shown in zip(plan, examples, strict=True):
        levels = []
        for offset, level in enumerate(item.levels):
            levels.append(_level(level, item.describe(level), sound, position + offset))
        position += len(item.levels)
        curves.append(
            Curve(
                item.name,
                item.what,
                item.neutral,
                item.good_stays_good,
                tuple(levels),
                TOO_MUCH * wish,
                shown,
            )
        )
    return StressResult(
        part=inspector.contract.part,
        model_sha256=inspector.model_sha256,
        lineside_version=__version__,
        wish_overkill=wish,
        threshold=inspector.threshold_ng,
        seed=seed,
        n_good=sum(image.good for image in sound),
        n_defective=sum(not image.good for image in sound),
        n_left_out=len(set(images)) - len(judged),
        unreadable=tuple(image.image[0].as_posix() for image in judged if image.verdicts is None),
        undisturbed=_level(0.0, _UNDISTURBED, sound, 0),
        curves=tuple(curves),
    )


def _level(level: float, words: str, images: Sequence[_Judged], position: int) -> LevelResult:
    def counted(good: bool) -> dict[str, int]:
        return dict(Counter(i.verdicts[position] for i in images if i.verdicts is not None and i.good is good))

    return LevelResult(level, words, counted(True), counted(False))


def _examples(
    inspector: Inspector, images: Sequence[_Judged], plan: Sequence[Disturbance], seed: int
) -> list[tuple[tuple[str, bytes], ...]]:
    """Show the first good image, or the first of all, under some levels of each disturbance."""
    image = next((found.image for found in images if found.good), images[0].image)
    frame, name = read_frame(image[0], inspector.contract.frame), _name(image)
    return [
        tuple((item.describe(level), _thumbnail(disturb(frame, item, level, seed, name))) for level in _some(item))
        for item in plan
    ]


def _some(item: Disturbance) -> list[float]:
    """Return levels that show the range, the neutral one in its place among them."""
    levels = sorted({*item.levels, item.neutral})
    if len(levels) <= _EXAMPLES:
        return levels
    steps = np.linspace(0, len(levels) - 1, _EXAMPLES).round().astype(int)
    return [levels[i] for i in steps]


def _thumbnail(frame: Pixels) -> bytes:
    import cv2

    height, width = frame.shape[:2]
    factor = min(1.0, _EXAMPLE_PX / max(height, width))
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.atleast_3d(cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA))
    return encode_jpeg(small.astype(np.uint8, copy=False), 80)
