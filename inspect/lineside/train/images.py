"""The recipe's frames, decoded when they are asked for; nothing keeps them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.capture.decode import read_image
from lineside.dataset import Sample
from lineside.transfer.augment import Augmenter

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


@dataclass(frozen=True)
class References:
    """Good training frames, each followed by its augmented copies."""

    samples: tuple[Sample, ...]
    reader: FrameReader
    augmenter: Augmenter
    copies: int

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
