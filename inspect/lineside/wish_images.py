"""Whether a recipe's images can decide its wish; asked by `lineside check` and, before any work, by training."""

from lineside.contract_thresholds import Wish
from lineside.dataset import Dataset, Sample
from lineside.recipe import LoadedRecipe


def needs_defects(wish: Wish) -> bool:
    """Whether defective images decide."""
    return wish.kind in ("escape", "cost")


def deciding_defects(loaded: LoadedRecipe, dataset: Dataset) -> tuple[Sample, ...]:
    """Return the defective training images that may decide: of parts that no score was fitted on.

    Where parts are sorted those are all, for folds keep a part's images together; else those whose part stands among
    no good training images.
    """
    defects = dataset.select("train", good=False)
    if loaded.recipe.transfer.task == "classify":
        return defects
    learned = {sample.group for sample in dataset.select("train", good=True)}
    return tuple(sample for sample in defects if sample.group not in learned)


def undecidable(loaded: LoadedRecipe, dataset: Dataset) -> str | None:
    """Return why the wish cannot be decided: it needs defective images, and train/ holds none. test/ never decides."""
    wish = loaded.recipe.calibrate.wish
    goods, defects = (dataset.select("train", good=good) for good in (True, False))
    if not needs_defects(wish) or (goods and deciding_defects(loaded, dataset)):
        return None
    found = "train/ holds none, and the test images are for judging alone"
    if defects and not goods:
        found = "every class in train/ is a kind of good part"
    elif defects:
        found = f"all {len(defects)} in train/ show parts that stand among its good images, so the score learned them"
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
    reason = undecidable(loaded, dataset)
    if reason:
        raise loaded.error(reason, f"calibrate.{loaded.recipe.calibrate.wish.kind}")


FACTORS = "calibrate.class_factors"


def intolerable(loaded: LoadedRecipe, dataset: Dataset) -> str | None:
    """Return why classes cannot be tolerated: there are no images of them to learn the class from."""
    factors, names = loaded.recipe.calibrate.class_factors or {}, dataset.training_classes
    unknown = sorted(set(factors) - set(names))
    if factors and len(names) < 2:
        return (
            "classes are told from two classes of defects in train/ on, and there "
            f"{'is one' if names else 'is none'}; add images to train/<class>, or delete it."
        )
    if unknown:
        return f"there are no training images of {', '.join(unknown)}; the classes in train/ are {', '.join(names)}."
    return None


def refuse_intolerable(loaded: LoadedRecipe, dataset: Dataset) -> None:
    """Raise what `intolerable` says.

    Raises
    ------
    RecipeError
    """
    reason = intolerable(loaded, dataset)
    if reason:
        raise loaded.error(reason, FACTORS)
