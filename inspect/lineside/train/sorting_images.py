"""The training images of parts that are sorted into classes, and the copies of them that are learnt from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.capture.folder import frame_channels
from lineside.dataset import Dataset
from lineside.recipe import LoadedRecipe
from lineside.train.images import FrameReader, References
from lineside.transfer.augment import Augmenter, copies_of
from lineside.transfer.classes.turns import turned_copies, turns

Pixels = npt.NDArray[np.uint8]

MOST_COPIED = 600
"""Images up to which they are copied: with more, copies cost minutes and add little."""


@dataclass(frozen=True)
class Turner:
    """Turned and mirrored copies of frames; see `lineside.transfer.classes.turns`."""

    active: bool = True

    def copies(self, frame: Pixels, index: int, count: int) -> list[Pixels]:
        """Return copies of one frame [H, W, C]; where it has fewer, some of them again.

        Parameters
        ----------
        frame : ndarray of uint8 [H, W, C]
        index : int
            Of the frame; of no effect, for nothing is drawn.
        count : int
            How many copies.
        """
        made = turned_copies(frame)
        return [made[number % len(made)] for number in range(count)]


def sorting_references(loaded: LoadedRecipe, dataset: Dataset) -> References:
    """Return all training images, with their copies: turned ones by default, else what the recipe asks for."""
    recipe, samples = loaded.recipe, dataset.select("train")
    setting = recipe.transfer.augment
    reader = FrameReader(frame_channels(loaded, dataset), recipe.capture.bit_depth)
    if setting == "default":
        height, width = reader.read(samples[0]).shape[:2]
        turner = Turner(len(samples) <= MOST_COPIED)
        return References(samples, reader, turner, copies=len(turns(height, width)), sorts=True)
    copies = copies_of(recipe.transfer.augment_copies, len(samples))
    return References(samples, reader, Augmenter(setting, recipe.seed), copies, sorts=True)
