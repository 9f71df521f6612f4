"""Splitting good images for honest scores: every score comes from a model that has not seen the part.

Whatever is fitted on images is fitted again without the fold's parts and without all their augmented copies; a part
that gives several frames keeps them in one fold. Folds are blocks of parts that follow each other by name, because
pictures taken one after another are alike: drawn at random, nearly every part would leave its neighbours in the fit,
and its score would promise too little overkill. Measured on ball-screw drives (100 good, test goods of other places of
the spindle): 16 of 100 test goods above the threshold of random folds, 9 above that of blocks, at a wish of 5.
scikit-learn's GroupKFold was rejected: it balances by sorting, and neighbours come apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lineside.errors import UsageError
from lineside.evidence import holdout_parts


@dataclass(frozen=True)
class Fold:
    """Positions of images: what to fit on, what to score."""

    fit: tuple[int, ...]
    score: tuple[int, ...]


def grouped_folds(groups: Sequence[str], count: int) -> tuple[Fold, ...]:
    """Split images into folds by physical part, neighbours by name together.

    Parameters
    ----------
    groups : sequence of str
        One key an image: its physical part.
    count : int
        Number of folds; fewer where there are fewer parts.

    Returns
    -------
    tuple of Fold
        Every image is scored in exactly one fold.

    Raises
    ------
    UsageError
        When there are fewer than two parts.
    """
    names = _parts(groups)
    blocks = np.array_split(np.arange(len(names)), min(count, len(names)))
    return tuple(_fold(groups, {names[i] for i in block}) for block in blocks)


def holdout(groups: Sequence[str], seed: int) -> Fold:
    """Keep a fifth of the parts, at least one, for scoring alone."""
    names = _parts(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    return _fold(groups, {names[i] for i in order[: holdout_parts(len(names))]})


def class_folds(groups: Sequence[str], labels: Sequence[str], count: int) -> tuple[Fold, ...]:
    """Split images of several classes into folds, a block of neighbours of every class in each.

    Parameters
    ----------
    groups, labels : sequence of str
        One physical part and one class an image. A part seen under several classes counts for the first by name.
    count : int
        Number of folds; fewer where the commonest class has fewer parts.

    Returns
    -------
    tuple of Fold
        Every image is scored in exactly one fold, but those of a class with one part alone, which is always fitted on.

    Raises
    ------
    UsageError
        When no class has two parts.
    """
    parts = _parts_by_class(groups, labels)
    most = min(count, max(len(names) for names in parts))
    blocks = [[names[i] for i in block] for names in parts for block in _dealt(len(names), most)]
    held = [set().union(*blocks[number::most]) for number in range(most)]
    return tuple(_fold(groups, names) for names in held if names)


def class_holdout(groups: Sequence[str], labels: Sequence[str], seed: int) -> Fold:
    """Keep a fifth of every class's parts, at least one where it has two, for scoring alone."""
    rng, held = np.random.default_rng(seed), set[str]()
    for names in _parts_by_class(groups, labels):
        order = rng.permutation(len(names))
        held |= {names[i] for i in order[: holdout_parts(len(names)) if len(names) > 1 else 0]}
    return _fold(groups, held)


def _dealt(n: int, count: int) -> list[list[int]]:
    """Return `count` blocks of 0 … n - 1, empty ones at the end; a class's only part is in none."""
    blocks = [block.tolist() for block in np.array_split(np.arange(n), count)]
    return blocks if n > 1 else [[] for _ in blocks]


def _parts_by_class(groups: Sequence[str], labels: Sequence[str]) -> list[list[str]]:
    label_of = dict[str, str]()
    for group, label in sorted(zip(groups, labels, strict=True)):
        label_of.setdefault(group, label)
    parts = [sorted(g for g, known in label_of.items() if known == label) for label in sorted(set(label_of.values()))]
    if all(len(names) < 2 for names in parts):
        raise UsageError(
            "Calibration needs at least 2 parts of one class, found one of each. Add images, or mend capture.group in "
            "the recipe if it takes different parts for one."
        )
    return parts


def _parts(groups: Sequence[str]) -> list[str]:
    names = sorted(set(groups))
    if len(names) < 2:
        raise UsageError(
            f"Calibration needs good images of at least 2 parts, found {len(names)}. Add good images, "
            "or mend capture.group in the recipe if it takes different parts for one."
        )
    return names


def _fold(groups: Sequence[str], held: set[str]) -> Fold:
    return Fold(
        fit=tuple(i for i, group in enumerate(groups) if group not in held),
        score=tuple(i for i, group in enumerate(groups) if group in held),
    )
