"""What a comparison runs: methods, numbers of training images, seeds; each run on images that its method has no say in.

A method is a name, or a labelled variation of the recipe: ``small=lineside,transfer.memory=512``. Values are written as
in a recipe; a comma inside brackets does not part them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lineside.dataset import Dataset
from lineside.errors import LinesideError, UsageError, require
from lineside.recipe import LoadedRecipe, varied
from lineside.recipe_yaml import Value, read_yaml
from lineside.transfer.method_check import check_method

ALL: Literal["all"] = "all"
DEFAULT_METHODS = ("lineside", "anomalib.Patchcore", "anomalib.Padim")
DEFAULT_SHOTS = (1, 2, 4, 8, 16, 50)
KEPT = ("part", "images", "seed", "capture")
"""Keys that no variation may change: every method gets the same images, drawn alike."""
_PACKAGES = {"anomalib": {"anomalib": "train"}, "text": {"open_clip": "text"}}
"""What a method needs beside the others, with the extra that installs it."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_METHOD = "transfer.method"


@dataclass(frozen=True)
class Variant:
    """A method under comparison."""

    label: str
    changes: Mapping[str, Value]
    """What differs from the recipe, by dotted key; `transfer.method` always stands there."""

    @property
    def method(self) -> str:
        """The method's name in the recipe."""
        return str(self.changes[_METHOD])

    def of(self, loaded: LoadedRecipe, seed: int) -> LoadedRecipe:
        """Return the recipe as this method is trained, `seed` added to the recipe's own.

        Raises
        ------
        RecipeError
            When a key or value of the variation is wrong.
        """
        return varied(loaded, {**self.changes, "seed": (loaded.recipe.seed + seed) % 2**32})


@dataclass(frozen=True)
class Job:
    """One training of one method on one draw of images."""

    recipe: Path
    part: str
    variant: Variant
    shots: int
    """Good parts to train on; images of each class where the recipe sorts into classes."""
    class_shots: int | None
    """Images of each defect class; None: all there are."""
    seed: int

    def __str__(self) -> str:
        return f"{self.part}, {self.variant.label}, {self.shots} shots, seed {self.seed}"


def parse_variants(texts: Iterable[str]) -> tuple[Variant, ...]:
    """Read methods as they stand on the command line; a text may hold several, parted by spaces.

    Raises
    ------
    UsageError
        When one is not understood, or a label comes twice.
    """
    variants = tuple(_variant(word) for text in texts for word in _split(text, " ") if word)
    labels = [variant.label for variant in variants]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"--methods: {twice!r} comes twice. Give each its own label: label=method,key=value.")
    if not variants:
        raise UsageError("--methods: expected at least one method, found none.")
    return variants


def parse_shots(text: str) -> tuple[int | Literal["all"], ...]:
    """Read ``1,2,8,all``.

    Raises
    ------
    UsageError
        When it is no such list.
    """
    words = [word for word in re.split(r"[,\s]+", text.strip()) if word]
    if not words or any(word != ALL and not re.fullmatch(r"[1-9][0-9]{0,6}", word) for word in words):
        raise UsageError(f"--shots: expected numbers from 1, or all, such as 1,8,50,all; found {text!r}.")
    return tuple(dict.fromkeys(ALL if word == ALL else int(word) for word in words))


def plan(
    loaded: LoadedRecipe,
    dataset: Dataset,
    variants: Sequence[Variant],
    shots: Sequence[int | Literal["all"]] | None,
    seeds: int,
    class_shots: int | None = None,
) -> tuple[Job, ...]:
    """List the runs of a recipe: seeds outermost, so that a comparison that is stopped has compared something.

    Parameters
    ----------
    loaded : LoadedRecipe
    dataset : Dataset
        All its images.
    variants : sequence of Variant
    shots : sequence of int or "all", optional
        None: those of `DEFAULT_SHOTS` that there are images for.
    seeds : int
        Draws at each number of shots.
    class_shots : int, optional
        Images of each defect class; all where it is left out.

    Raises
    ------
    UsageError
        When the recipe has fewer training images than asked for, no test images to compare on, or a method cannot be
        trained: no such model, no weights, no package, or a licence that is not allowed.
    RecipeError
        When a variation's key or value is wrong.
    """
    if not dataset.select("test"):
        raise UsageError(f"{dataset.root}: it has no test images, so that nothing can be compared on it.")
    for variant in variants:
        _refuse(variant, loaded)
    there = shots_there(loaded, dataset)
    wanted = [n for n in DEFAULT_SHOTS if n <= there] if shots is None else shots
    numbers = list(dict.fromkeys(there if n == ALL else n for n in wanted))
    too_many = max(numbers)
    if too_many > there:
        raise UsageError(f"{dataset.root}: --shots asks for {too_many}, found {there}. Ask for at most that, or all.")
    return tuple(
        Job(loaded.file, loaded.recipe.part, variant, n, n if sorts(loaded) else class_shots, seed)
        for seed in range(seeds)
        for n in numbers
        for variant in variants
    )


def _refuse(variant: Variant, loaded: LoadedRecipe) -> None:
    """Refuse a method that cannot be trained, before any other is."""
    as_varied = variant.of(loaded, 0)
    try:
        check_method(as_varied)
        for package, extra in _PACKAGES.get(variant.method.split(".")[0], {}).items():
            require(package, extra)
    except LinesideError as error:
        raise UsageError(f"--methods: {variant.label}: {error.message}") from None


def shots_there(loaded: LoadedRecipe, dataset: Dataset) -> int:
    """Count the good training parts; where the recipe sorts into classes, the images of the largest class."""
    if sorts(loaded):
        return max(Counter(sample.label for sample in dataset.select("train")).values(), default=0)
    return len({sample.group for sample in dataset.select("train", good=True)})


def sorts(loaded: LoadedRecipe) -> bool:
    """Whether the recipe sorts images into classes and looks for no anomaly."""
    return str(loaded.recipe.transfer.task) == "classify"


def _variant(text: str) -> Variant:
    first, *rest = _split(text, ",")
    label, equals, method = first.partition("=")
    if not _LABEL.fullmatch(label) or (equals and not method):
        raise UsageError(
            f"--methods: expected a method such as anomalib.Padim, or label=method,key=value; found {text!r}."
        )
    changes: dict[str, Value] = {_METHOD: method or label}
    for pair in rest:
        key, equals, value = pair.partition("=")
        if not equals or not re.fullmatch(r"[a-z_]+(\.[A-Za-z_]+)+", key):
            raise UsageError(f"--methods: expected key=value with a dotted key, found {pair!r} in {text!r}.")
        if key.split(".")[0] in KEPT:
            raise UsageError(f"--methods: {key} must be the same for every method, so that the images are.")
        changes[key] = _value(key, value)
    return Variant(label, changes)


def _value(key: str, text: str) -> Value:
    try:
        return read_yaml(f"value: {text}\n", Path("--methods")).value["value"]
    except LinesideError as error:
        raise UsageError(f"--methods: {key}: {text!r} is no value of a recipe ({error.message}).") from None


def _split(text: str, at: str) -> list[str]:
    """Split where no bracket is open."""
    depth, words = 0, [""]
    for sign in text:
        depth += (sign in "[{") - (sign in "]}")
        if sign == at and depth == 0:
            words.append("")
        else:
            words[-1] += sign
    return words
