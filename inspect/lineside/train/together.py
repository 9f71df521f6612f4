"""Fits side by side: each in a thread of its own, every library inside held to that thread.

So their numbers are the same, bit for bit, however many run at a time: a sum that a library shares among its own
threads is added up in another order. NumPy, torch, OpenCV and ONNX Runtime let go of Python's lock while they
calculate. Processes were rejected: each would load torch again and hold the frames once more.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from lineside.graph.run import parallel, usual_workers

MOST_BYTES = 2_000_000_000
"""What fits that run at a time may need together; one always runs."""
_I = TypeVar("_I")
_O = TypeVar("_O")


def at_once(bytes_each: int) -> int:
    """Return how many fits that need so much memory each may run side by side."""
    return max(1, min(usual_workers(), MOST_BYTES // max(1, bytes_each)))


def together(function: Callable[[_I], _O], items: Sequence[_I], bytes_each: int) -> list[_O]:
    """Call a function with every item, some side by side.

    Parameters
    ----------
    function : callable
        Must change nothing that another call reads.
    items : sequence
    bytes_each : int
        Memory that one call needs, about.
    """
    with one_thread_each():
        return list(parallel(function, items, at_once(bytes_each)))


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Hold torch and the linear algebra of NumPy to one thread for each thread that calls them."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
