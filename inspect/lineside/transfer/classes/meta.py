"""A trained beginning for a class head: first-order meta-learning over episodes from other parts or rendered defects.

What is learnt is a linear adapter [d, D] of normalised embeddings: directions in which kinds of defect differ, whatever
the part. Reptile (Nichol et al., 2018) lets adapter and class vectors follow an episode for some steps and moves the
start towards where the adapter went. ANIL (Raghu et al., 2020) lets the class vectors alone follow the episode's
examples and moves the adapter by the first-order gradient of what is then wrong on the episode's other examples. In
both, class vectors begin as the examples' means (Triantafillou et al., 2020), so that one example suffices. Adapter
and class vectors multiply into one linear map, so that the deployed graph is that of every other method; a small
network in place of the adapter was rejected for that.

Measured on printed circuit boards (DeepPCB, six kinds, crops 1.5 × the box at 128 px, strides 8/16, 4 turns): episodes
from the boards of one group, examples and judged crops from the other; mean over 8 drawings (5 with 20). Accuracy of
prototypes, discriminant, reptile and anil with 1 example a class 0.41, 0.41, 0.55, 0.55; with 2 0.49, 0.60, 0.65, 0.63;
with 5 0.61, 0.75, 0.75, 0.71; with 20 0.73, 0.91, 0.86, 0.74. So a start pays where examples are fewest. Episodes of
rendered parts were not measured on real ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lineside.errors import UsageError
from lineside.transfer.classes.linear import Linear

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
MetaMethod = Literal["reptile", "anil"]

WIDTH = 64
"""Dimensions of the adapted embedding at most."""
EPISODES = 200
WAYS, SHOTS, QUERIES = 5, 5, 5
"""Classes of an episode, examples of each to learn from and to be judged by, at most."""
INNER_STEPS, INNER_RATE = 5, 0.03
"""Within an episode. A rate of 0.1 let reptile's adapter run away: 0.56 at 20 examples a class in the trial above."""
FIT_STEPS = 60
"""On the new part's own examples; with 5, reptile reaches 0.79 at 20 examples a class, with 60 0.85."""
OUTER_RATE = {"reptile": 0.2, "anil": 0.01}
TEMPERATURE = 10.0
"""Factor on cosines, as logits."""


@dataclass(frozen=True)
class Task:
    """Examples of one other part, from which episodes are drawn.

    Attributes
    ----------
    name : str
        Where they come from, for the report.
    z : ndarray of float64 [n, D]
        Embeddings by the same trunk and pooling, normalised by that part's own goods or examples.
    labels : ndarray of int64 [n]
    """

    name: str
    z: F64
    labels: I64

    def __post_init__(self) -> None:
        if len(self.z) != len(self.labels) or len(set(self.labels.tolist())) < 2:
            raise UsageError(f"transfer.classes.episodes: {self.name}: expected examples of two classes or more.")


@dataclass(frozen=True)
class Start:
    """What meta-learning gives: an adapter to begin from.

    Attributes
    ----------
    method : "reptile" or "anil"
    adapter : ndarray of float32 [d, D]
    sources : tuple of str
        Names of the tasks.
    episodes : int
    """

    method: MetaMethod
    adapter: F32
    sources: tuple[str, ...]
    episodes: int

    def fit(self, z: F64, labels: I64) -> Linear:
        """Fit class vectors (and, by reptile, the adapter too) on examples z [n, D] of a new part; return logits."""
        rows, targets = torch.from_numpy(z.astype(np.float32)), torch.from_numpy(labels)
        adapter = torch.from_numpy(self.adapter)
        classes = _prototypes(rows @ adapter.t(), targets)
        moves = self.method == "reptile"
        adapter, classes = _adapt(adapter, classes, rows, targets, move_adapter=moves, steps=FIT_STEPS)
        return _as_linear(adapter, classes, z)


def learn_start(tasks: Sequence[Task], method: MetaMethod, seed: int, episodes: int = EPISODES) -> Start:
    """Meta-learn the adapter.

    Parameters
    ----------
    tasks : sequence of Task
        Of other parts: never of the part that the head is for.
    method : "reptile" or "anil"
    seed : int
        Of the episodes.
    episodes : int

    Raises
    ------
    UsageError
        When there is no task.
    """
    if not tasks:
        raise UsageError(f"transfer.classes: {method} needs episodes: rendered, or a list of other recipes' folders.")
    rng = np.random.default_rng(seed)
    adapter = torch.from_numpy(_leading(np.concatenate([task.z for task in tasks])))
    for _ in range(episodes):
        support, query = _episode(tasks[int(rng.integers(len(tasks)))], rng)
        adapter = _reptile(adapter, *support, *query) if method == "reptile" else _anil(adapter, *support, *query)
    return Start(method, adapter.numpy(), tuple(task.name for task in tasks), episodes)


Batch = tuple[Tensor, Tensor]


def _reptile(adapter: Tensor, z: Tensor, labels: Tensor, more_z: Tensor, more: Tensor) -> Tensor:
    rows, targets = torch.cat((z, more_z)), torch.cat((labels, more))
    classes = _prototypes(z @ adapter.t(), labels)
    went, _ = _adapt(adapter, classes, rows, targets, move_adapter=True)
    return adapter + OUTER_RATE["reptile"] * (went - adapter)


def _anil(adapter: Tensor, z: Tensor, labels: Tensor, more_z: Tensor, more: Tensor) -> Tensor:
    _, classes = _adapt(adapter, _prototypes(z @ adapter.t(), labels), z, labels, move_adapter=False)
    free = adapter.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(_logits(free, classes, more_z), more), free)
    return adapter - OUTER_RATE["anil"] * gradient


def _adapt(
    adapter: Tensor, classes: Tensor, z: Tensor, labels: Tensor, *, move_adapter: bool, steps: int = INNER_STEPS
) -> tuple[Tensor, Tensor]:
    """Follow the gradient for some steps from adapter [d, D] and class vectors [k, d]."""
    for _ in range(steps):
        a, c = adapter.clone().requires_grad_(move_adapter), classes.clone().requires_grad_()
        loss = F.cross_entropy(_logits(a, c, z), labels)
        gradients = torch.autograd.grad(loss, (a, c) if move_adapter else (c,))
        classes = classes - INNER_RATE * gradients[-1]
        adapter = adapter - INNER_RATE * gradients[0] if move_adapter else adapter
    return adapter, classes


def _logits(adapter: Tensor, classes: Tensor, z: Tensor) -> Tensor:
    """Minus half the squared distances [n, k] of adapted embeddings to class vectors."""
    return -0.5 * torch.cdist(z @ adapter.t(), classes).square()


def _prototypes(adapted: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([adapted[labels == c].mean(dim=0) for c in range(int(labels.max()) + 1)])


def _as_linear(adapter: Tensor, classes: Tensor, z: F64) -> Linear:
    """Write -½|Az - c|² as a linear map: the term without c is the same for every class."""
    a, c = adapter.double().numpy(), classes.double().numpy()
    return Linear(c @ a, -0.5 * np.square(c).sum(axis=1))


def _leading(z: F64) -> F32:
    """Directions [d, D] in which examples differ most, scaled so that adapted embeddings have unit mean square."""
    away = z - z.mean(axis=0)
    _, lengths, rows = np.linalg.svd(away, full_matrices=False)
    width = min(WIDTH, len(rows))
    typical = max(float(np.sqrt(np.square(lengths[:width]).sum() / len(z))), 1e-9)
    return np.ascontiguousarray(rows[:width] / typical * width**0.25, np.float32)


def _episode(task: Task, rng: np.random.Generator) -> tuple[Batch, Batch]:
    """Draw classes, and of each examples to learn from and others to be judged by."""
    names = np.unique(task.labels)
    chosen = rng.permutation(names)[:WAYS]
    shots = int(rng.integers(1, SHOTS + 1))
    support, query = [], []
    for number, name in enumerate(chosen):
        rows = rng.permutation(np.flatnonzero(task.labels == name))
        first = min(shots, max(1, len(rows) - 1))
        support += [(row, number) for row in rows[:first]]
        query += [(row, number) for row in rows[first : first + QUERIES]]
    return _batch(task, support), _batch(task, query or support)


def _batch(task: Task, pairs: list[tuple[np.int64, int]]) -> Batch:
    rows = [int(row) for row, _ in pairs]
    z = torch.from_numpy(task.z[rows].astype(np.float32))
    return z, torch.tensor([number for _, number in pairs])
