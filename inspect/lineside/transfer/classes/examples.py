"""Examples of defect classes, checked where they are made, and their folds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.transfer.classes.tail import Cells

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MOST_FOLDS = 10
TUNED_FOLDS = 5
"""Where the trunk's tail may be tuned, which takes seconds in every fold."""


@dataclass(frozen=True)
class Examples:
    """Embeddings of examples and of their augmented copies.

    Attributes
    ----------
    embeddings : ndarray of float32 [n, D]
    labels : ndarray of int64 [n]
        Class of each row, 0 to k - 1, every class present.
    groups : ndarray of int64 [n]
        The physical part (or frame) that each row shows; a copy bears the number of its original. Never on both sides
        of a fold.
    original : ndarray of bool [n]
        False for augmented copies: they are learnt from and never counted.
    turned : ndarray of bool [n] or None
        True for copies that were turned or mirrored (`lineside.transfer.classes.turns`): learnt from only where
        cross-validation says that it helps. None: there are none.
    cells : Cells or None
        What adapters behind the trunk may be tuned on (`lineside.transfer.classes.tail.may_tune`); None: they are not.
    """

    embeddings: F32
    labels: I64
    groups: I64
    original: Bools
    turned: Bools | None = None
    cells: Cells | None = None

    def __post_init__(self) -> None:
        columns = (self.embeddings, self.labels, self.groups, self.original)
        sizes = {len(c) for c in (*columns, *(() if self.turned is None else (self.turned,)))}
        if self.cells is not None:
            sizes.add(len(self.cells.rows))
        if len(sizes) != 1 or not len(self.labels):
            raise UsageError(f"Class examples: expected as many labels, groups and flags as rows, found {sizes}.")
        missing = set(range(self.classes)) - set(self.labels[self.original].tolist())
        if missing:
            raise UsageError(f"Class examples: class number {min(missing)} has no example.")

    @property
    def classes(self) -> int:
        """Number of classes k."""
        return int(self.labels.max()) + 1

    @property
    def counts(self) -> I64:
        """Originals of each class [k]."""
        return np.bincount(self.labels[self.original], minlength=self.classes).astype(np.int64)

    @property
    def group_counts(self) -> I64:
        """Groups (parts) of each class [k]."""
        pairs = {(int(c), int(g)) for c, g in zip(self.labels, self.groups, strict=True)}
        return np.bincount([c for c, _ in pairs], minlength=self.classes).astype(np.int64)

    def take(self, rows: Bools) -> "Examples":
        """Return some of the rows."""
        turned = None if self.turned is None else self.turned[rows]
        cells = None if self.cells is None else self.cells.take(rows)
        return Examples(self.embeddings[rows], self.labels[rows], self.groups[rows], self.original[rows], turned, cells)

    def upright(self) -> "Examples":
        """Return the rows that were neither turned nor mirrored."""
        return self if self.turned is None else self.take(~self.turned)


def folds(examples: Examples, seed: int) -> Iterator[tuple[Bools, Bools]]:
    """Yield rows to fit on and rows that are held out, split by group and even over the classes.

    At most 10 folds (5 with cells) and no more than the rarest class has groups; none where a class has one group
    alone. A fold whose fitting rows lack a class is left out, which a group that shows several classes can bring about.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(MOST_FOLDS if examples.cells is None else TUNED_FOLDS, int(examples.group_counts.min()))
    if count < 2:
        return
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for fit, held in splitter.split(examples.labels[:, None], examples.labels, examples.groups):
        fitting, holding = np.zeros(len(examples.labels), np.bool_), np.zeros(len(examples.labels), np.bool_)
        fitting[fit], holding[held] = True, True
        if len(set(examples.labels[fitting & examples.original].tolist())) == examples.classes:
            yield fitting, holding & examples.original
