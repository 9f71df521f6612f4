"""Which classes a run told, and against folder names how often they were right."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lineside.batch.labels import Rate, rate
from lineside.contract import UNKNOWN_CLASS


@dataclass(frozen=True)
class ToldClasses:
    """What the images that got a call were called."""

    counts: Mapping[str, int]
    """Class, or ``unknown`` -> images; every class of the model."""
    right: Rate | None
    """Of the images whose folder is one of the model's classes and that were called a class or unknown: those called
    by their folder's name. None where folder names are not taken as truth."""
    confusion: Mapping[str, Mapping[str, int]]
    """Folder -> what its images were called: a class, ``unknown``, or a verdict where no class was told. Empty where
    folder names are not taken as truth."""


def told_classes(told: Mapping[str, Mapping[str, int]], names: Sequence[str], *, labels: bool) -> ToldClasses | None:
    """Count classes.

    Parameters
    ----------
    told : mapping
        Folder -> class, ``unknown`` or verdict -> images that got a call.
    names : sequence of str
        The model's classes.
    labels : bool
        Whether folder names are taken as truth.

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
        return ToldClasses(counts, None, {})
    known = {name: told[name] for name in names if name in told}
    named = sum(of.get(name, 0) for of in known.values() for name in possible)
    right = sum(of.get(name, 0) for name, of in known.items())
    return ToldClasses(counts, rate(right, named), {folder: dict(told[folder]) for folder in sorted(told)})


def confusion_rows(confusion: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[str, str, int]]:
    """Yield (folder, what it was called, images)."""
    for folder, told in confusion.items():
        for name, count in sorted(told.items()):
            yield folder, name, count
