"""Which classes a run told, and against folder names how often they were right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lineside.batch.labels import Rate, rate
from lineside.contract import UNKNOWN_CLASS


@dataclass(frozen=True)
class ToldClasses:
    """What the images or parts that got a call were called."""

    counts: Mapping[str, int]
    """Class, or ``unknown`` -> how many; every class of the model."""
    right: Rate | None
    """Of those whose folder is one of the model's classes and that were called a class or unknown: those called by
    their folder's name. None where folder names are not taken as truth."""
    confusion: Mapping[str, Mapping[str, int]]
    """Folder -> what was found in it was called: a class, ``unknown``, or a verdict where no class was told. Empty
    where folder names are not taken as truth."""
    unit: Literal["image", "part"] = "image"
    """What is counted: parts, each as its worst image, where a pattern tells them in file names."""


def told_classes(
    told: Mapping[str, Mapping[str, int]],
    names: Sequence[str],
    *,
    labels: bool,
    unit: Literal["image", "part"] = "image",
) -> ToldClasses | None:
    """Count classes.

    Parameters
    ----------
    told : mapping
        Folder -> class, ``unknown`` or verdict -> images or parts that got a call.
    names : sequence of str
        The model's classes.
    labels : bool
        Whether folder names are taken as truth.
    unit : str
        What was counted.

    Returns
    -------
    ToldClasses or None
        None where the model tells no classes.
    """
    if not names:
        return None
    possible = (*names, UNKNOWN_CLASS)
    counts = {name: sum(of.get(name, 0) for of in told.values()) for name in possible}
    if not labels:
        return ToldClasses(counts, None, {}, unit)
    known = {name: told[name] for name in names if name in told}
    named = sum(of.get(name, 0) for of in known.values() for name in possible)
    right = sum(of.get(name, 0) for name, of in known.items())
    return ToldClasses(counts, rate(right, named), {folder: dict(told[folder]) for folder in sorted(told)}, unit)


def confusion_rows(confusion: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str, int]]:
    """Yield (folder, what was in it was called, how many)."""
    for folder, told in confusion.items():
        for name, count in sorted(told.items()):
            yield folder, name, count
