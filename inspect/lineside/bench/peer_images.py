"""The images that peers are fitted on, and judged on where their scores mean something."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from lineside.bench.stages import bench_frame
from lineside.contract import FrameSpec
from lineside.errors import UsageError

Pixels = npt.NDArray[np.uint8]
Load = Callable[[], Pixels]
GOODS = 50
"""Synthetic frames that a peer is fitted on, where no recipe is given."""


@dataclass(frozen=True)
class PeerImages:
    """Good frames, and test frames by what they show."""

    goods: tuple[Load, ...]
    test_goods: tuple[Load, ...]
    test_defects: tuple[Load, ...]
    words: str


def peer_images(recipe: Path | None, spec: FrameSpec, size_wh: tuple[int, int]) -> PeerImages:
    """Return the good training images of a recipe, or seeded frames of the size.

    Raises
    ------
    RecipeError, UsageError
        When the recipe cannot be read, or its frames are not what the bundle takes.
    """
    if recipe is None:
        frames = tuple(partial(bench_frame, size_wh, spec.channels, seed) for seed in range(1, GOODS + 1))
        return PeerImages(frames, (), (), f"{GOODS} seeded frames of {size_wh[0]}×{size_wh[1]}")
    from lineside.capture.decode import read_image
    from lineside.dataset import load_dataset
    from lineside.recipe import load_recipe

    loaded = load_recipe(recipe)
    if loaded.recipe.capture.bit_depth != spec.bit_depth:
        raise UsageError(f"--images: the bundle takes frames of {spec.bit_depth} bits, the recipe's are others.")
    dataset = load_dataset(loaded)

    def chosen(split: Literal["train", "test"], good: bool) -> tuple[Load, ...]:
        samples = [sample for sample in dataset.select(split) if sample.is_good == good]
        return tuple(
            partial(read_image, sample.path, channels=spec.channels, bit_depth=spec.bit_depth) for sample in samples
        )

    goods = chosen("train", True)
    return PeerImages(goods, chosen("test", True), chosen("test", False), f"{len(goods)} good images of {recipe}")
