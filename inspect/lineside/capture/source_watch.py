"""A folder that something else writes into: every file once, and only when it is whole.

A file is taken when its size and time of change are the same at two looks and it can be decoded; a writer that pauses
in the middle leaves a file that cannot, and it is tried again, less and less often. File-system events were rejected:
network shares, where cameras write, send none. What was taken is remembered for as long as the watch lasts, so that a
folder that is empty for a moment does not bring all its files again.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from lineside.capture.shot import Shot
from lineside.capture.source_files import read_shot, skipper
from lineside.errors import ImageError, StorageError
from lineside.image_files import read_content, walk_images

POLL_S = 0.5
"""A choice: two looks are one second, short against the time a person waits, long against a pause in a write."""
_LONGEST_PAUSE = 64  # looks between two attempts at a file that cannot be decoded

Clock = tuple[Callable[[], float], Callable[[float], None]]
"""Tells the time in seconds, and waits for so long."""
_Stamp = tuple[int, int, int, int]  # device, inode, size, time of change in ns


@dataclass
class _Waiting:
    """A file that was seen and is not taken yet."""

    stamp: _Stamp
    error: ImageError | None = None
    """What was wrong at the last attempt; None before the first."""
    pause: int = 1
    """Looks between attempts."""
    looks: int = 0
    """Since the last attempt."""


class FolderWatch:
    """Remembers what was taken; `look` gives what has become whole since the last look.

    A file whose content changes after it was taken is a new picture (some cameras write the same few names over and
    over); one that is only touched, moved within the folder, or linked under a second name is not. Its memory grows by
    some 300 bytes per file.
    """

    def __init__(self, folder: Path, skip: Path | None = None) -> None:
        self._folder = folder
        self._skip = skipper(skip)
        self._waiting: dict[Path, _Waiting] = {}
        self._taken: dict[Path, tuple[_Stamp, bytes]] = {}
        self._stamps: set[_Stamp] = set()
        self._index = 0
        self._changed = False

    def look(self, *, last: bool = False) -> Iterator[Shot]:
        """Yield the pictures that are whole, oldest change first.

        Parameters
        ----------
        last : bool
            Try also the files whose turn it is not.

        Raises
        ------
        StorageError
            When the folder is gone or cannot be read.
        """
        self._changed = False
        present = self._present()
        if present is None:
            return
        for path in [path for path in self._waiting if path not in present]:
            del self._waiting[path]
        for path, stamp in sorted(present.items(), key=lambda item: (item[1][3], item[0].as_posix())):
            if self._is_due(path, stamp, last):
                yield from self._attempt(path)

    def has_changed(self) -> bool:
        """Whether the last look saw a file come or change."""
        return self._changed

    @property
    def settled(self) -> bool:
        """Whether every file was tried since it last changed."""
        return all(waiting.error is not None for waiting in self._waiting.values())

    @property
    def unfinished(self) -> tuple[ImageError, ...]:
        """What is wrong with the files that never became whole."""
        return tuple(waiting.error for waiting in self._waiting.values() if waiting.error is not None)

    def _present(self) -> dict[Path, _Stamp] | None:
        """Return all files with their stamps, or None where the folder changed under the walk."""
        stamps: dict[Path, _Stamp] = {}
        try:
            for path in walk_images(self._folder, self._skip):
                stamp = _stamp(path)
                if stamp is not None:
                    stamps[path] = stamp
        except ImageError as error:
            if error.path != self._folder and not error.path.exists():
                self._changed = True
                return None  # a folder inside went away during the walk; the next look sees what is left
            raise StorageError(f"{error.message} It was being watched.") from None
        return stamps

    def _is_due(self, path: Path, stamp: _Stamp, last: bool) -> bool:
        taken = self._taken.get(path)
        if taken is not None and taken[0] == stamp:
            return False
        if stamp[1] and stamp in self._stamps:  # inode 0: this file system tells no files apart
            self._waiting.pop(path, None)
            return False
        waiting = self._waiting.get(path)
        if waiting is None or waiting.stamp != stamp:
            self._waiting[path] = _Waiting(stamp)
            self._changed = True
            return False
        waiting.looks += 1
        return last or waiting.error is None or waiting.looks >= waiting.pause

    def _attempt(self, path: Path) -> Iterator[Shot]:
        waiting = self._waiting[path]
        waiting.looks, waiting.pause = 0, min(2 * waiting.pause, _LONGEST_PAUSE)
        try:
            content = read_content(path)
            name = path.relative_to(self._folder).as_posix()
            digest = hashlib.sha256(content).digest()
            known = self._taken.get(path)
            fresh = known is None or known[1] != digest
            shot = read_shot(path, self._named(name, known is not None), self._index, content) if fresh else None
        except ImageError as error:
            waiting.error = error
            return
        if _stamp(path) != waiting.stamp:
            return  # it changed while it was read; the next look begins anew
        del self._waiting[path]
        self._taken[path] = (waiting.stamp, digest)
        self._stamps.add(waiting.stamp)
        if shot is not None:
            self._changed = True
            self._index += 1
            yield shot

    def _named(self, name: str, again: bool) -> str:
        return f"{name}#{self._index}" if again else name


def watch_shots(
    folder: Path,
    idle_s: float | None,
    poll_s: float,
    skip: Path | None,
    on_unreadable: Callable[[ImageError], None] | None,
    clock: Clock,
) -> Generator[Shot, None, None]:
    """Yield the pictures in a folder and those that come.

    Parameters
    ----------
    folder : Path
        Watched with the folders in it; files that are there already come first.
    idle_s : float or None
        End when nothing has come or changed for so long, seconds; None: never.
    poll_s : float
        Between two looks, seconds.
    skip : Path or None
        A folder that is passed over.
    on_unreadable : callable or None
        Told at the end of every file that never became whole; None: the first one is raised.
    clock : Clock
        Tells the time, and waits.

    Raises
    ------
    StorageError
        When the folder goes away.
    ImageError
        At the end, for a file that never became whole, where `on_unreadable` is None.
    """
    now, wait = clock
    watch = FolderWatch(folder, skip)
    active = now()
    while True:
        yield from watch.look()
        if watch.has_changed():
            active = now()
        elif idle_s is not None and watch.settled and now() - active >= idle_s:
            yield from watch.look(last=True)
            if not watch.has_changed():
                break
            active = now()
        wait(poll_s)
    for error in watch.unfinished:
        if on_unreadable is None:
            raise error
        on_unreadable(error)


def _stamp(path: Path) -> _Stamp | None:
    try:
        stat = path.stat()
    except OSError:  # gone, or a link that leads nowhere yet
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
