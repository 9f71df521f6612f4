"""The smallest defect that makes a part NG: from mm² in the recipe to patches of the head, for `check` and training."""

from typing import Literal

from lineside.contract_thresholds import LeastDefect
from lineside.errors import RecipeError
from lineside.recipe import LoadedRecipe

KEY = "calibrate.least_defect_mm2"
MOST_PATCHES = 16
"""Beyond that the search of every window takes longer than the network does. Measured for 32×32 patches on one shared
core, ms a frame: 0.2 for 2 patches, 0.6 for 4, 8 for 9, 24 for 16."""
LITE0_STRIDE = 8
"""Px of the working image along a patch of lite0 with `taps: auto`."""


def least_defect(loaded: LoadedRecipe, frame_wh: tuple[int, int], grid_wh: tuple[int, int]) -> LeastDefect | None:
    """Return what the recipe asks for, in patches; None where it asks for nothing.

    Parameters
    ----------
    loaded : LoadedRecipe
    frame_wh : tuple of int
        Width and height of a usual frame, px.
    grid_wh : tuple of int
        Patches across and down.

    Raises
    ------
    RecipeError
        When the area holds more than `MOST_PATCHES` patches.
    """
    recipe = loaded.recipe
    area, scale = recipe.calibrate.least_defect_mm2, recipe.capture.px_per_mm
    if area is None or scale is None:
        return None
    patch = (frame_wh[0] * frame_wh[1]) / (grid_wh[0] * grid_wh[1]) / scale**2
    patches = max(1, int(area / patch + 1e-9))
    if patches > MOST_PATCHES:
        raise loaded.error(
            f"{area:g} mm² are {patches} patches of {patch:.3g} mm², and at most {MOST_PATCHES} can be asked for: "
            f"write {MOST_PATCHES * patch:.3g} or less, or a smaller normalise.size, so that a patch shows more.",
            KEY,
        )
    return LeastDefect(area, scale, patch, patches, _statement(area, patch, patches))


def estimated(loaded: LoadedRecipe, frame_wh: tuple[int, int]) -> tuple[Literal["error", "warning"], str] | None:
    """Return severity and sentence of what `check` has to say of the smallest defect; None where that is nothing.

    Only for the network whose patches are known without loading it.
    """
    recipe = loaded.recipe
    taps = recipe.transfer.taps
    if recipe.transfer.backbone != "lite0":
        return None
    stride = LITE0_STRIDE if taps == "auto" else taps[0]
    width, height = recipe.normalise.working_wh(frame_wh)
    try:
        made = least_defect(loaded, frame_wh, (max(1, width // stride), max(1, height // stride)))
    except RecipeError as error:
        return "error", f"{KEY}: {error.message.rstrip('.')}"
    if made is None or made.patches > 1:
        return None
    return "warning", f"{KEY}: {made.statement.rstrip('.')}"


def _statement(area: float, patch: float, patches: int) -> str:
    if patches < 2:
        return (
            f"A smallest defect of {area:g} mm² cannot be told from a smaller one: the model sees patches of "
            f"{patch:.3g} mm², and two of them are the least it can ask for. Every defect counts; a larger "
            "normalise.size makes patches smaller."
        )
    return (
        f"What stands out in fewer than {patches} neighbouring patches (of {patch:.3g} mm² each, {area:g} mm² asked "
        f"for) makes no part NG; {patches} connected patches always count, whatever their shape. The size is that of "
        f"the region on the heatmap, which is larger than the defect itself; specks within {patches} patches of each "
        "other count together."
    )
