"""Splitting good images for honest scores: every score comes from a model that has not seen the part.

Whatever is fitted on images is fitted again without the fold's parts and without all their augmented copies; a part
that gives several frames keeps them in one fold. scikit-learn's GroupKFold was rejected: it balances by sorting and
cannot be seeded so that a fold is the same on every version.
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


def grouped_folds(groups: Sequence[str], count: int, seed: int) -> tuple[Fold, ...]:
    """Split images into folds by physical part.

    Parameters
    ----------
    groups : sequence of str
        One key an image: its physical part.
    count : int
        Number of folds; fewer where there are fewer parts.
    seed : int

    Returns
    -------
    tuple of Fold
        Every image is scored in exactly one fold.

    Raises
    ------
    UsageError
        When there are fewer than two parts.
    """
    names = _shuffled(groups, seed)
    number = min(count, len(names))
    return tuple(_fold(groups, set(names[k::number])) for k in range(number))


def holdout(groups: Sequence[str], seed: int) -> Fold:
    """Keep a fifth of the parts, at least one, for scoring alone."""
    names = _shuffled(groups, seed)
    return _fold(groups, set(names[: holdout_parts(len(names))]))


def _shuffled(groups: Sequence[str], seed: int) -> list[str]:
    names = sorted(set(groups))
    if len(names) < 2:
        raise UsageError(
            f"Calibration needs good images of at least 2 parts, found {len(names)}. Add good images, "
            "or mend capture.group in the recipe if it takes different parts for one."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    return [names[i] for i in order]


def _fold(groups: Sequence[str], held: set[str]) -> Fold:
    return Fold(
        fit=tuple(i for i, group in enumerate(groups) if group not in held),
        score=tuple(i for i, group in enumerate(groups) if group in held),
    )
