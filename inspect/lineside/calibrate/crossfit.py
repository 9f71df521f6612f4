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
