"""Work on what a source gives, in threads: results in order, few items under way, and no thread left behind.

A thread of its own reads the source, so that a result is handed out as soon as it is there, also while a camera waits
for its next trigger. Reading in the consumer's thread was rejected: it hands out a result only with the next item. Nor
does who stops wait for a source that waits: an error must reach the line though the next part never comes.
"""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

_I = TypeVar("_I")
_O = TypeVar("_O")
_PATIENCE_S = 0.25
"""For which who stops waits until the source is closed: a running camera is at his disposal again then."""


def in_order(source: Iterable[_I], work: Callable[[_I], _O], *, workers: int, ahead: int) -> Generator[_O, None, None]:
    """Yield the work's result for each item, in order.

    Parameters
    ----------
    source : iterable
        Read in a thread of its own, and closed there where it has a ``close``; where the consumer stops while it
        waits for an item, with that item.
    work : callable
        Called in `workers` threads.
    workers, ahead : int
        At most `ahead` items are read whose results were not taken.

    Raises
    ------
    Exception
        What source or work raised, after the results of the items before.
    """
    results: SimpleQueue[Future[_O] | None] = SimpleQueue()
    room, stopped = threading.Semaphore(ahead), threading.Event()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="lineside")

    def read() -> None:
        try:
            try:
                items = iter(source)
                while room.acquire() and not stopped.is_set():
                    results.put(pool.submit(work, next(items)))
            except StopIteration:
                pass
            finally:
                close = getattr(source, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            failed: Future[_O] = Future()
            failed.set_exception(error)
            results.put(failed)
        results.put(None)

    reader = threading.Thread(target=read, name="lineside-reader", daemon=True)
    reader.start()
    try:
        while (result := results.get()) is not None:
            value = result.result()
            room.release()
            yield value
    finally:
        stopped.set()
        room.release()
        reader.join(_PATIENCE_S)  # if it still waits, its next item finds the pool shut down, which ends it
        pool.shutdown(cancel_futures=True)
