"""This process while it is measured: the processors that it may use, and the memory that it takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lineside.batch.run import Progress

_STATUS = Path("/proc/self/statm")


@contextmanager
def held_to(count: int) -> Iterator[None]:
    """Keep this thread, and those that it starts, on as many processors, where the system has a call for it.

    OpenCV is told to take no more threads: it keeps those that it once started, wherever they may run.
    """
    import cv2

    threads, holds = cv2.getNumThreads(), hasattr(os, "sched_setaffinity")
    free = os.sched_getaffinity(0) if holds else set()
    if holds:
        os.sched_setaffinity(0, set(sorted(free)[:count]))
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        if holds:
            os.sched_setaffinity(0, free)
        cv2.setNumThreads(threads)


class MemoryWatch:
    """Told every image of an inspection; keeps the memory of the process at a quarter and at the end."""

    def __init__(self, images: int) -> None:
        self._quarter = max(1, images // 4)
        self._seen: dict[int, float] = {}
        self._images = images

    def __call__(self, progress: Progress) -> None:
        """Look, where it is time to."""
        if progress.done in (self._quarter, self._images) and _STATUS.exists():
            pages = int(_STATUS.read_text().split()[1])
            self._seen[progress.done] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def mb(self) -> tuple[float, float] | None:
        """Both, in megabytes."""
        if not self._seen:
            return None
        return round(self._seen[self._quarter], 1), round(self._seen[self._images], 1)
