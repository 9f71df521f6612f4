"""Regions that the recipe draws on the part: as masks for the fit, as outlines for those who read.

They are drawn in the anchor picture, whose coordinates are the golden part's. An outline is kept as it was drawn; only
one that was painted as a mask image is traced.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.capture.decode import read_image
from lineside.normalise.region import ROI, region_mask
from lineside.recipe import LoadedRecipe
from lineside.recipe_normalise import Roi

Outline = tuple[tuple[float, float], ...]
"""Corners (x, y) of a polygon, in shares of the golden part's width and height."""


@dataclass(frozen=True)
class DrawnRegion:
    """A region of the part, and what it means."""

    name: str
    meaning: str
    outlines: tuple[Outline, ...]
    """One, or of a mask image as many as it has pieces and holes."""


def recipe_mask(
    loaded: LoadedRecipe, region: Roi, frame_wh: tuple[int, int], working_wh: tuple[int, int], key: str = ROI
) -> npt.NDArray[np.float32]:
    """Return how much of each working pixel [h, w] lies in a region of the recipe, 0 to 1.

    Parameters
    ----------
    loaded : LoadedRecipe
    region : Roi
        As the recipe has it: a box, a polygon, the path of a mask image, or None for everything.
    frame_wh, working_wh : tuple of int
        Of the anchor frame and of the working image, px.
    key : str
        Of the recipe, for the errors.

    Raises
    ------
    UsageError, ImageError
        When it is empty, or a mask image cannot be read or is of another aspect.
    """
    drawn = read_image(loaded.resolve(region), channels=1, bit_depth=8) if isinstance(region, str) else region
    return region_mask(drawn, frame_wh, working_wh, key)


def drawn_regions(loaded: LoadedRecipe, frame_wh: tuple[int, int]) -> tuple[DrawnRegion, ...]:
    """Return the regions that a recipe names, that of interest first.

    Parameters
    ----------
    loaded : LoadedRecipe
    frame_wh : tuple of int
        Of the anchor frame, px.
    """
    recipe = loaded.recipe
    named: list[tuple[str, str, Roi, str]] = []
    if recipe.normalise.roi is not None:
        named.append(("region of interest", "nothing outside it is inspected", recipe.normalise.roi, ROI))
    for name, one in (recipe.calibrate.regions or {}).items():
        meaning = f"NG beyond {one.factor:g} times the threshold"
        named.append((name, meaning, one.roi, f"calibrate.regions.{name}.roi"))
    return tuple(
        DrawnRegion(name, meaning, _outlines(loaded, region, frame_wh, key)) for name, meaning, region, key in named
    )


def _outlines(loaded: LoadedRecipe, region: Roi, frame_wh: tuple[int, int], key: str) -> tuple[Outline, ...]:
    if isinstance(region, str):
        return _traced(recipe_mask(loaded, region, frame_wh, loaded.recipe.normalise.working_wh(frame_wh), key))
    assert region is not None
    if isinstance(region[0], float | int):
        x0, y0, x1, y1 = region
        return (((x0, y0), (x1, y0), (x1, y1), (x0, y1)),)
    return (tuple((x, y) for x, y in region),)


def _traced(mask: npt.NDArray[np.float32]) -> tuple[Outline, ...]:
    """Trace a mask [h, w]; pieces and holes alike."""
    import cv2

    height, width = mask.shape
    found, _ = cv2.findContours((mask >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)

    def outline(points: Sequence[Sequence[float]]) -> Outline:
        return tuple(((x + 0.5) / width, (y + 0.5) / height) for x, y in points)

    return tuple(outline(one[:, 0].tolist()) for one in found)
