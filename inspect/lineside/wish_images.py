"""Whether a recipe's images can decide its wish; asked by `lineside check` and, before any work, by training."""

from lineside.contract_thresholds import Wish
from lineside.dataset import Dataset
from lineside.recipe import LoadedRecipe


def needs_defects(wish: Wish) -> bool:
    """Whether defective images decide."""
    return wish.kind in ("escape", "cost")


def undecidable(wish: Wish, dataset: Dataset) -> str | None:
    """Return why a wish cannot be decided: it needs defective images, and train/ holds none. test/ decides nothing."""
    goods, defects = (dataset.select("train", good=good) for good in (True, False))
    if not needs_defects(wish) or (goods and defects):
        return None
    found = (
        "every class in train/ is a kind of good part"
        if defects
        else "train/ holds none, and the test images are for judging alone"
    )
    return (
        f"{wish.kind} needs defective images to choose the threshold by, and {found}; put some into train/<class>, or "
        "write calibrate.overkill instead."
    )


def refuse_undecidable(loaded: LoadedRecipe, dataset: Dataset) -> None:
    """Raise what `undecidable` says.

    Raises
    ------
    RecipeError
    """
    wish = loaded.recipe.calibrate.wish
    reason = undecidable(wish, dataset)
    if reason:
        raise loaded.error(reason, f"calibrate.{wish.kind}")
