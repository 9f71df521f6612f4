"""Draws of synthetic patch features, and lineside's own patch head fitted on them as training fits it.

Every image has an effect of its own, far stronger than what its patches differ by: the case in which a score is too low
as soon as anything that gives it has seen the image. Maps are tiny, so that thousands of heads can be fitted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lineside.dataset import Sample
from lineside.recipe import Calibrate
from lineside.train.calibration import Calibration, calibrated
from lineside.train.images import FrameReader, References
from lineside.train.method import FittedHead, Judged
from lineside.train.progress import Journal, SilentProgress
from lineside.transfer.augment import Augmenter
from lineside.transfer.head import HeadShape, HeadValues, PatchHead
from lineside.transfer.head_fit import Choice, HeadFit, fit_best
from lineside.transfer.memory import k_centre
from lineside.transfer.projection import whitened_projections
from lineside.transfer.rows import Rows, no_offsets, patches_of

Floats = npt.NDArray[np.float32]
CHANNELS, GRID = 12, (4, 4)
SHAPE = HeadShape((CHANNELS,), (GRID,), (16, 16), dimensions=8, projected=True, memory=32)
COPIES = 2
WHITENED = Choice(whiten="on")


def draw(rng: np.random.Generator, parts: int, copies: int = COPIES, shots: int = 1) -> Rows:
    """Return features of all parts, shot so many times in turn, each image followed by its augmented copies.

    The effect of a part is strong and heavy-tailed; shots of one part differ by little, as copies of one shot do.
    """
    n = parts * shots
    scale = np.geomspace(2.0, 0.2, CHANNELS)[None, None, :, None, None]
    looks = rng.standard_t(3, (parts, 1, CHANNELS, 1, 1)) * scale + 0.5 * rng.standard_normal(
        (parts, 1, CHANNELS, *GRID)
    )
    patches = np.tile(looks, (shots, 1, 1, 1, 1))
    if shots > 1:
        patches = patches + 0.1 * rng.standard_normal(patches.shape)
    disturbed = 0.1 * rng.standard_normal((n, 1 + copies, CHANNELS, *GRID))
    disturbed[:, 0] = 0.0
    features = (patches + disturbed).reshape(-1, CHANNELS, *GRID).astype(np.float32)
    return Rows({0: features}, None, np.repeat(np.arange(n), 1 + copies).tolist())


def scored(fit: HeadFit, rows: Rows) -> Floats:
    """Score rows [n] by a fitted head, all at once."""
    fitted = [torch.from_numpy(np.asarray(array)) for array in fit.values.feed(fit.shape).values()]
    region = torch.ones(len(rows.frames), 1, *fit.shape.grid_hw)
    with torch.inference_mode():
        scores: Floats = PatchHead(fit.shape)(torch.from_numpy(rows.features[0]), region, *fitted)[0].numpy()
    return scores


@dataclass
class DrawnMethod:
    """lineside's head on one draw, as `calibrated` asks for it."""

    rows: Rows
    prefers_holdout: bool = False
    seen: frozenset[int] = frozenset()
    withheld: frozenset[int] = frozenset()
    last: list[HeadFit] = field(default_factory=list)
    """The head that was fitted last: the deployed one."""

    def fit_each(self, many: Sequence[Sequence[int]]) -> Iterator[FittedHead]:
        """Fit one after the other."""
        return map(self.fit, many)

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Fit projection, memory of averaged patches and of patches as they are, on these images and their copies."""
        self.last = [fit_best(SHAPE, self.rows.of_parts(list(positions)), 0, WHITENED)]

        def judge(wanted: Sequence[int], own: HeadFit = self.last[0]) -> list[Judged]:
            return [Judged(s, 0.0, False, False) for s in scored(own, self.rows.firsts().take(list(wanted))).tolist()]

        front = SimpleNamespace(decision=SimpleNamespace(words=(), choices=()))
        head: Any = SimpleNamespace(front=front, words=(), unit=self.last[0].unit, judge=judge, classes=None)
        return head  # type: ignore[no-any-return]


def calibration_of(method: DrawnMethod, parts: int, shots: int = 1, **calibrate: Any) -> Calibration:
    """Cross-fit and calibrate one draw of so many parts, shot in turn, by the training's own code."""
    images = range(parts * shots)
    samples = tuple(Sample(Path(), f"{i:03d}", "train", "good", None, f"{i % parts:03d}") for i in images)
    loaded: Any = SimpleNamespace(recipe=SimpleNamespace(calibrate=Calibrate(**calibrate), seed=0))
    references = References(samples, FrameReader(3, 8), Augmenter("none", 0), copies=0)
    return calibrated(loaded, method, references, Journal(SilentProgress()))  # type: ignore[arg-type]


def leaky_scores(rows: Rows, n: int) -> tuple[Floats, HeadFit]:
    """Leave each part out of the memory, but not out of the projection; return scores [n] and the deployed head."""

    def fitted(remembered: Rows) -> HeadFit:
        shape, projections = whitened_projections(SHAPE, rows, 0)
        patches, counts = patches_of(shape, remembered, projections)
        points = patches[counts]
        memory = np.ascontiguousarray(points[k_centre(points, shape.memory, 0)])
        return HeadFit(shape, HeadValues(projections, no_offsets(shape), memory=memory), True)

    scores = np.empty(n, np.float32)
    for i in range(n):
        rest = fitted(rows.of_parts([j for j in range(n) if j != i]))
        scores[i] = scored(rest, rows.firsts().take([i]))[0]
    return scores, fitted(rows)
