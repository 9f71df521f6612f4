"""The training images of parts that are sorted into classes, and the copies of them that are learnt from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.capture.folder import frame_channels
from lineside.dataset import Dataset
from lineside.recipe import LoadedRecipe
from lineside.train.images import FrameReader, References
from lineside.transfer.augment import Augmenter

Pixels = npt.NDArray[np.uint8]

SQUARE = 1.25
"""Longest side over shortest up to which a quarter turn keeps a frame's proportions well enough."""
MOST_COPIED = 600
"""Images up to which they are copied: with more, copies cost minutes and add little."""


@dataclass(frozen=True)
class Turner:
    """Copies by flips and quarter turns: the seven others of a square's symmetries, of a long frame's the three."""

    active: bool = True

    def copies(self, frame: Pixels, index: int, count: int) -> list[Pixels]:
        """Return turned copies of one frame [H, W, C].

        Parameters
        ----------
        frame : ndarray of uint8 [H, W, C]
        index : int
            Of the frame; of no effect, for nothing is drawn.
        count : int
            How many copies.
        """
        height, width = frame.shape[:2]
        turns = range(4) if max(height, width) <= SQUARE * min(height, width) else (0, 2)
        turned = [np.rot90(flipped, k) for flipped in (frame, frame[:, ::-1]) for k in turns][1:]
        return [np.ascontiguousarray(turned[i % len(turned)]) for i in range(count)]


def sorting_references(loaded: LoadedRecipe, dataset: Dataset) -> References:
    """Return all training images, with their copies: turned ones by default, else what the recipe asks for."""
    recipe, samples = loaded.recipe, dataset.select("train")
    setting = recipe.transfer.augment
    reader = FrameReader(frame_channels(loaded, dataset), recipe.capture.bit_depth)
    if setting == "default":
        return References(samples, reader, Turner(len(samples) <= MOST_COPIED), copies=7, sorts=True)
    return References(samples, reader, Augmenter(setting, recipe.seed), recipe.transfer.augment_copies, sorts=True)
