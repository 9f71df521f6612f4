"""The recipe's frames, decoded when they are asked for; nothing keeps them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from lineside.capture.decode import read_image
from lineside.dataset import Sample

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FrameReader:
    """Reads frames as the line's camera will deliver them."""

    channels: Literal[1, 3]
    bit_depth: int

    def read(self, sample: Sample) -> Pixels:
        """Return a frame, uint8 [H, W, C]."""
        return read_image(sample.path, channels=self.channels, bit_depth=self.bit_depth)

    def lazily(self, sample: Sample) -> Callable[[], Pixels]:
        """Return a call that reads the frame."""
        return partial(self.read, sample)


class Copier(Protocol):
    """Makes copies of frames, such as `lineside.transfer.augment.Augmenter`."""

    @property
    def active(self) -> bool:
        """False where nothing is copied."""

    def copies(self, frame: Pixels, index: int, count: int) -> list[Pixels]:
        """Return copies of one frame, each [H, W, C]."""


@dataclass(frozen=True)
class References:
    """Training frames that a head is fitted on, each followed by its augmented copies."""

    samples: tuple[Sample, ...]
    """Good ones; where parts are sorted, all."""
    reader: FrameReader
    augmenter: Copier
    copies: int
    sorts: bool = False
    """Whether parts are sorted into classes and not looked at for anomalies."""

    @property
    def good_positions(self) -> tuple[int, ...]:
        """Positions whose scores set the threshold: the good ones; all where none is, for then all classes are good."""
        goods = tuple(i for i, sample in enumerate(self.samples) if sample.is_good)
        return goods or tuple(range(len(self.samples)))

    @property
    def rows_per_frame(self) -> int:
        """Rows that one frame takes: itself and its copies."""
        return 1 + (self.copies if self.augmenter.active else 0)

    def rows(self, positions: Sequence[int], *, with_copies: bool) -> npt.NDArray[np.int64]:
        """Rows of some frames in an array over all of them."""
        width = self.rows_per_frame if with_copies else 1
        starts = np.asarray(positions, np.int64)[:, None] * self.rows_per_frame
        return (starts + np.arange(width)).reshape(-1)

    def frames(self) -> Iterator[Pixels]:
        """Yield every frame, and behind each its copies."""
        for index, sample in enumerate(self.samples):
            frame = self.reader.read(sample)
            yield frame
            yield from self.augmenter.copies(frame, index, self.rows_per_frame - 1)
