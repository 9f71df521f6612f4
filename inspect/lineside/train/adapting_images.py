"""What the adaptation learns from and is judged by: good frames behind the front, and the same with synthetic defects.

Defects are put on the working image, behind light and pose: cheap, and the front does not repair them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lineside.graph.run import Graph, parallel
from lineside.synth.drift import drifted, spread_of
from lineside.synth.spoil import spoil
from lineside.train.front_fit import FittedFront
from lineside.train.images import References
from lineside.transfer.adaptation import Patches, averaged
from lineside.transfer.backbone import Triple
from lineside.transfer.head import REGION

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

DEFECTS = 180
"""Synthetic defects in all, for each of the two purposes: what half a minute on two cores allows."""
DRIFTED = 2
"""Drifted copies of each good frame that the trunks are compared on."""
GOOD_PATCHES, SPOILED_PATCHES = 256, 64
"""Patches kept of a frame, drawn."""
COVERED = 0.25
"""Share of a patch's own cell from which on it shows the defect; the most covered patch always does."""


@dataclass(frozen=True)
class Lesson:
    """Good frames and defects on them, as features.

    Attributes
    ----------
    good : dict of tap number to ndarray of float32 [r, C, h, w]
        Of the frames and their augmented copies.
    regions : ndarray of float32 [r, 1, gh, gw]
    row_frames : ndarray of int64 [r]
        Which frame each row shows.
    frames, first : ndarray of int64 [n]
        Each frame once, ascending, and the row that shows it undisturbed.
    drifted : dict of tap number to ndarray of float32 [d, C, h, w]
        Of the frames as the line could have shown them another day, see `lineside.synth.drift`.
    drifted_source : ndarray of int64 [d]
        Frame that each of them is.
    spoiled : dict of tap number to ndarray of float32 [m, C, h, w]
    source : ndarray of int64 [m]
        Frame that each defect was put on.
    kinds : tuple of str [m]
    """

    good: dict[int, Floats]
    regions: Floats
    row_frames: Ints
    frames: Ints
    first: Ints
    drifted: dict[int, Floats]
    drifted_source: Ints
    spoiled: dict[int, Floats]
    source: Ints
    kinds: tuple[str, ...]


class Teacher:
    """Makes lessons from what a front made of good frames.

    Parameters
    ----------
    front : FittedFront
        With ``working`` among its outputs.
    references : References
    backbone : Graph
        The frozen trunk: ``working`` -> `taps`.
    taps : sequence of str
    grid_hw : tuple of int
        Of the head's patches.
    mean, std : tuple of float
        What the front normalised with.
    """

    def __init__(
        self,
        front: FittedFront,
        references: References,
        backbone: Graph,
        taps: Sequence[str],
        grid_hw: tuple[int, int],
        mean: Triple,
        std: Triple,
    ) -> None:
        self._front, self._references, self._backbone, self._taps = front, references, backbone, tuple(taps)
        self._grid_hw = grid_hw
        self._mean, self._std = (np.array(values, np.float32)[:, None, None] for values in (mean, std))

    def patches(self, positions: Sequence[int], kinds: Sequence[str]) -> tuple[Patches, Patches]:
        """Return drawn patches of good frames (copies included) and of defects on them."""
        rows = self._rows(positions)
        good = parallel(lambda row: self._drawn(self._image(row), self._inside(row), GOOD_PATCHES, row), rows)
        orders = self._orders(positions, kinds)
        spoiled = parallel(lambda order: self._drawn(*self._defect(order), SPOILED_PATCHES, order.number), orders)
        return (
            _joined(list(good), [self._frame_of(row) for row in rows]),
            _joined(list(spoiled), [order.frame for order in orders]),
        )

    def lesson(self, positions: Sequence[int], kinds: Sequence[str]) -> Lesson:
        """Return good frames and defects on them as features."""
        rows, orders = self._rows(positions), self._orders(positions, kinds)
        row_frames = np.array([self._frame_of(row) for row in rows], np.int64)
        frames, first = np.unique(row_frames, return_index=True)
        images = [self._image(rows[at]) for at in first]
        again = np.repeat(np.arange(len(frames)), DRIFTED)
        return Lesson(
            good=self._features(parallel(lambda row: self._run(self._image(row)), rows)),
            regions=self._front.outputs[REGION][rows].astype(np.float32, copy=False),
            row_frames=row_frames,
            frames=frames,
            first=first.astype(np.int64),
            drifted=self._features(parallel(self._run, self._drifted(images, again))),
            drifted_source=frames[again],
            spoiled=self._features(parallel(lambda order: self._run(self._defect(order)[0]), orders)),
            source=np.array([order.frame for order in orders], np.int64),
            kinds=tuple(order.kind for order in orders),
        )

    def _drifted(self, images: Sequence[Pixels], again: Ints) -> list[Pixels]:
        """Make drifted copies of frames, within what these frames themselves show."""
        spread, rng = spread_of(images), np.random.default_rng([self._front.seed, 0xD21F])
        return [drifted(images[at], spread, rng) for at in again]

    def passed(self, positions: Sequence[int]) -> list[int]:
        """Return those of these frames that the gate lets through."""
        rows = self._references.rows(positions, with_copies=False)
        return [at for at, row in zip(positions, rows, strict=True) if self._front.gate[row] == 0]

    def _rows(self, positions: Sequence[int]) -> list[int]:
        """Rows of these frames and their copies that the gate lets through; none of a frame that it refuses."""
        rows = self._references.rows(self.passed(positions), with_copies=True)
        return [int(row) for row in rows if self._front.gate[row] == 0]

    def _frame_of(self, row: int) -> int:
        return row // self._references.rows_per_frame

    def _orders(self, positions: Sequence[int], kinds: Sequence[str]) -> list["_Order"]:
        """Say which defects are put on which frames."""
        frames = self.passed(positions)
        draws = max(1, round(DEFECTS / (len(kinds) * max(len(frames), 1))))
        wanted = [(frame, kind) for frame in frames for kind in kinds for _ in range(draws)]
        return [_Order(number, frame, kind, tuple(frames)) for number, (frame, kind) in enumerate(wanted)]

    def _image(self, row: int) -> Pixels:
        """Working image of a row, [h, w, C], as grey levels."""
        working = self._front.outputs["working"][row].astype(np.float32)
        levels = np.clip(np.rint((working * self._std + self._mean) * 255.0), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels[: self._references.reader.channels].transpose(1, 2, 0))

    def _inside(self, row: int) -> Bools:
        """Which patches of a row count [P]."""
        counts: Bools = self._front.outputs[REGION][row].reshape(-1) >= 0.5
        return counts

    def _defect(self, order: "_Order") -> tuple[Pixels, Bools]:
        """Make a defect; return the image and which patches [P] show it."""
        rng = np.random.default_rng([self._front.seed, 0xDEFEC7, order.number, order.frame])
        rows = self._references.rows([order.frame, int(rng.choice(order.frames))], with_copies=False)
        image, other = (self._image(int(row)) for row in rows)
        inside = self._inside(int(rows[0]))
        grid = inside.reshape(self._grid_hw).astype(np.uint8)
        region = cv2.resize(grid, image.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        made = spoil(image, other, region, order.kind, rng)
        cells = cv2.resize(made.mask.astype(np.float32), self._grid_hw[::-1], interpolation=cv2.INTER_AREA).ravel()
        return made.image, ((cells > COVERED) | (cells == cells.max())) & (cells > 0) & inside

    def _run(self, image: Pixels) -> tuple[Floats, ...]:
        """Features of a working image, [C, h, w] a tap."""
        planes = np.broadcast_to(image.transpose(2, 0, 1), (3, *image.shape[:2])).astype(np.float32)
        out = self._backbone({"working": ((planes / 255.0 - self._mean) / self._std)[None]}, self._taps)
        return tuple(out[name][0].astype(np.float32, copy=False) for name in self._taps)

    def _features(self, taps: Iterable[tuple[Floats, ...]]) -> dict[int, Floats]:
        return {number: np.stack(rows) for number, rows in enumerate(zip(*taps, strict=True))}

    def _drawn(self, image: Pixels, cells: Bools, count: int, seed: int) -> tuple[Floats, ...]:
        """Averaged features [m, C] of drawn patches among `cells` [P]."""
        places = np.flatnonzero(cells)
        if len(places) > count:
            places = np.random.default_rng([self._front.seed, seed]).choice(places, count, replace=False)
        return tuple(tap[0][places] for tap in averaged([tap[None] for tap in self._run(image)], self._grid_hw))


@dataclass(frozen=True)
class _Order:
    """One defect that is wanted."""

    number: int
    frame: int
    kind: str
    frames: tuple[int, ...]
    """Those that foreign pieces may come from."""


def _joined(parts: Sequence[tuple[Floats, ...]], frames: Sequence[int]) -> Patches:
    counts = [len(part[0]) for part in parts]
    return Patches(
        tuple(np.concatenate(taps) for taps in zip(*parts, strict=True)),
        np.repeat(np.array(frames, np.int64), counts),
    )
