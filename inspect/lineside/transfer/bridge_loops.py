"""Keeping the batch dynamic: what in anomalib's models would fix the number of images in a graph, done otherwise.

Three of its models walk through a batch in Python, and several take ``len(tensor)``, which torch's exporter silently
turns into a constant. Here the same numbers come without a loop. PatchCore's search is also lighter so:
|x - m|² = |x|² + (|m|² - 2 x·m), and |x|² does not decide which m is nearest, so it is added to the nearest alone, and
only its root is taken.
"""

import builtins
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from lineside.transfer.bridge_scope import swapped


def without_loops(model: nn.Module) -> nn.Module:
    """Return a model of the same answers that does not fix the batch; mostly `model` itself."""
    from anomalib.models.components.stats import GaussianKDE
    from anomalib.models.image.mh_patchcore.torch_model import MHPatchcoreModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    for part in model.modules():
        if isinstance(part, GaussianKDE):  # in Dfkde
            part.forward = types.MethodType(_density, part)
    if isinstance(model, PatchcoreModel):
        model.nearest_neighbors = types.MethodType(_patchcore_search, model)
    return _LoopFreeMHPatchcore(model) if isinstance(model, MHPatchcoreModel) else model


@contextmanager
def batch_kept_dynamic(module_names: Iterable[str]) -> Iterator[None]:
    """Have ``len(tensor)`` in these Python modules mean ``tensor.shape[0]``, which an exporter can keep symbolic."""
    with ExitStack() as stack:
        for name in module_names:
            stack.enter_context(swapped(sys.modules[name], "len", _symbolic_len))
        yield


def defining_modules(model: nn.Module) -> tuple[str, ...]:
    """Return the names of anomalib's Python modules that define the parts of a model."""
    names = {type(part).__module__ for part in model.modules()}
    return tuple(sorted(name for name in names if name.startswith("anomalib.")))


def _symbolic_len(items: Any) -> Any:
    return items.shape[0] if isinstance(items, Tensor) else builtins.len(items)


class _LoopFreeMHPatchcore(nn.Module):
    """MHPatchcore's search is a function of its module, not a method: it is swapped while the model runs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        from anomalib.models.image.mh_patchcore import torch_model

        with swapped(torch_model, "_nearest_neighbors", _squared_search):
            return self.inner(x)


def _patchcore_search(self: Any, embedding: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
    """Do what ``PatchcoreModel.nearest_neighbors`` does."""
    squared, locations = _squared_search(embedding, self.memory_bank, n_neighbors)
    return squared.sqrt(), locations


def _squared_search(embedding: Tensor, memory: Tensor, num_neighbors: int) -> tuple[Tensor, Tensor]:
    """Return squared distances and memory indices of the nearest entries.

    `embedding` is [n, d], `memory` [m, d]; both results are [n] for one neighbour, [n, k] for more.
    """
    lean = memory.pow(2).sum(1).addmm(embedding, memory.t(), alpha=-2)  # [n, m]: |m|² - 2 x·m
    own = embedding.pow(2).sum(1)  # [n]: |x|²
    if num_neighbors == 1:
        nearest, locations = lean.min(1)
    else:
        nearest, locations = lean.topk(num_neighbors, dim=1, largest=False)
        own = own.unsqueeze(1)
    return (nearest + own).clamp_min(0), locations


def _density(self: Any, features: Tensor) -> Tensor:
    """Do what ``GaussianKDE.forward`` does: features [n, d] to densities [n]."""
    placed = features @ self.bw_transform  # [n, d]
    squared = (placed.unsqueeze(1) - self.dataset).pow(2).sum(2)  # [n, m]
    density: Tensor = ((-squared / 2).exp() * self.norm).mean(1)
    return density
