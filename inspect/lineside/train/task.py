"""What a recipe's images are learnt for: to tell good from anomalous, what class a defect is, or to sort parts."""

from typing import Literal

from lineside.dataset import GOOD, Dataset
from lineside.recipe import LoadedRecipe

Task = Literal["anomaly", "classify", "both"]
LEAST_CLASSES = 2
"""One class alone cannot be told from others."""


def task_of(loaded: LoadedRecipe, dataset: Dataset) -> Task:
    """Return the task, decided from the images where the recipe says auto.

    Raises
    ------
    RecipeError
        When the recipe asks for classes that there are no training images of.
    """
    transfer, found = loaded.recipe.transfer, dataset.training_classes
    if transfer.task == "auto":
        told = transfer.method == "lineside" and transfer.classes.method != "none"
        return "both" if told and len(found) >= LEAST_CLASSES else "anomaly"
    if transfer.task == "both" and len(found) < LEAST_CLASSES:
        raise loaded.error(
            f"both needs training images of at least {LEAST_CLASSES} defect classes (train/<class>), found "
            f"{', '.join(found) or 'none'}. Add some, or write anomaly.",
            "transfer.task",
        )
    return transfer.task


def class_names(dataset: Dataset, task: Task) -> tuple[str, ...]:
    """Return the classes that a model tells, in the contract's order: sorted; ``good``, where it is one, comes last."""
    if task == "anomaly":
        return ()
    goods = task == "classify" and bool(dataset.select("train", good=True))
    return (*dataset.training_classes, *((GOOD,) if goods else ()))
