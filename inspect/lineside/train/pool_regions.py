"""Regions with thresholds of their own: from the recipe's drawing to the head's patches, and what the contract says."""

import numpy as np
import numpy.typing as npt

from lineside.contract_thresholds import RegionLimit
from lineside.errors import UsageError
from lineside.normalise.region import region_cells
from lineside.recipe import LoadedRecipe
from lineside.train.recipe_regions import recipe_mask
from lineside.transfer.pooling import PoolRegion

REST = "the rest"


def pool_regions(
    loaded: LoadedRecipe, frame_wh: tuple[int, int], working_wh: tuple[int, int], grid_hw: tuple[int, int]
) -> tuple[PoolRegion, ...]:
    """Return the regions that the recipe names, in patches, and what is left; none where it names none.

    Parameters
    ----------
    loaded : LoadedRecipe
    frame_wh, working_wh : tuple of int
        Of the anchor frame and of the working image, px.
    grid_hw : tuple of int
        Patches down and across.

    Raises
    ------
    UsageError
        When a region holds no patch, or only such as those before it hold already.
    """
    named = loaded.recipe.calibrate.regions or {}
    free, made = np.ones(grid_hw[0] * grid_hw[1], np.bool_), list[PoolRegion]()
    for name, region in named.items():
        key = f"calibrate.regions.{name}.roi"
        mask = recipe_mask(loaded, region.roi, frame_wh, working_wh, key)
        inside = (region_cells(mask, grid_hw, key).ravel() >= 0.5) & free
        if not inside.any():
            raise UsageError(
                f"{key}: all of its patches lie in the regions before it. Draw it elsewhere, or above them."
            )
        made.append(PoolRegion(name, region.factor, _numbers(inside)))
        free &= ~inside
    return (*made, *([PoolRegion(REST, 1.0, _numbers(free))] if made and free.any() else ()))


def region_limits(regions: tuple[PoolRegion, ...]) -> tuple[RegionLimit, ...]:
    """Return what the contract says of the named regions."""
    patches = sum(len(one.patches) for one in regions)
    return tuple(
        RegionLimit(one.name, one.factor, len(one.patches) / patches, _statement(one, len(one.patches) / patches))
        for one in regions
        if one.name != REST
    )


def refuse_unseen(regions: tuple[PoolRegion, ...], counts: npt.NDArray[np.bool_]) -> None:
    """Refuse regions that lie outside of what is inspected.

    Parameters
    ----------
    regions : tuple of PoolRegion
    counts : ndarray of bool [n, P]
        Which patches of good frames are looked at.

    Raises
    ------
    UsageError
    """
    for one in regions:
        if one.name != REST and not counts[:, one.patches].any():
            raise UsageError(
                f"calibrate.regions.{one.name}: none of its {len(one.patches)} patches is inspected in any good image. "
                "Draw it on the part, inside normalise.roi, or set normalise.foreground to off."
            )


def _numbers(inside: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(inside).tolist())


def _statement(region: PoolRegion, share: float) -> str:
    way = "stricter" if region.factor < 1.0 else "more tolerant" if region.factor > 1.0 else "as the rest"
    return (
        f"{region.name} ({share:.0%} of the patches) is pooled by itself and NG beyond {region.factor:g} times the "
        f"threshold: {way}. Score and map are divided by it, so that one threshold holds for the whole part; it was "
        "taken from good parts that were scored so, and a stricter region spends more of the overkill that is allowed."
    )
