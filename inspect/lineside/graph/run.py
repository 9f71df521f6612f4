"""Running a graph over many inputs: one thread inside each session call, several calls side by side.

Features, cross-fitted scores and recorded verdicts all come through here, so that every number was computed by the
runtime that will judge on the line, one frame at a time as there.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from lineside.session import open_session, processors

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[np.generic]
WORKERS_VARIABLE = "LINESIDE_WORKERS"
"""Environment variable: how many frames run side by side where a caller does not say it; unset: one per processor."""
_I = TypeVar("_I")
_O = TypeVar("_O")


class Graph:
    """An ONNX model open in ONNX Runtime, called with names. Safe to share between threads.

    Parameters
    ----------
    model : onnx.ModelProto or bytes
        Any model; bytes are taken as they are.
    """

    def __init__(self, model: "onnx.ModelProto | bytes") -> None:
        content = model if isinstance(model, bytes) else model.SerializeToString()
        self._session = open_session(content, "the exported graph")
        self.outputs = tuple(o.name for o in self._session.get_outputs())

    def __call__(self, feed: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run once and return the outputs by name (all of them where none are named)."""
        names = tuple(outputs or self.outputs)
        return dict(zip(names, self._session.run(names, dict(feed)), strict=True))


def usual_workers() -> int:
    """Return how many threads work side by side where nobody says it."""
    return int(os.environ.get(WORKERS_VARIABLE, 0)) or processors()


def parallel(function: Callable[[_I], _O], items: Iterable[_I], workers: int | None = None) -> Iterator[_O]:
    """Map over items in a pool of threads, in order, holding only a few items at a time."""
    workers = workers or usual_workers()
    with ThreadPoolExecutor(workers) as pool:
        pending = []
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * workers:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()
