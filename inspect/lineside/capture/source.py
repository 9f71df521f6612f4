"""Every kind of source behind one door: a text from a command line or a recipe to pictures, one by one.

What a text means is decided by rules that a person can repeat, in this order: ``camera:0``; an address with ``://``;
what exists as a folder or file (an image, a list, a video, by its suffix); a pattern with ``*``, ``?`` or ``[``. Trying
all decoders on everything was rejected: a mistyped list would be opened as a video and fail with a decoder's words.
"""

import re
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lineside.capture.shot import Shot
from lineside.capture.source_files import file_shots, folder_paths, glob_paths, is_pattern, list_paths
from lineside.capture.source_video import CAMERA_PATIENCE_S, Opener, live_shots, open_capture, video_shots
from lineside.capture.source_watch import POLL_S, Clock, watch_shots
from lineside.errors import ImageError, UsageError
from lineside.image_files import IMAGE_SUFFIXES, shown

Kind = Literal["folder", "glob", "list", "image", "video", "camera", "stream"]
LIST_SUFFIXES = (".lst", ".txt")
VIDEO_SUFFIXES = (".avi", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
_CAMERA = re.compile(r"camera:(\d{1,4})")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_STREAMS = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
_SECRET = re.compile(r"//[^/]*@")
_KINDS = (
    "a folder, an image, a pattern such as 'images/*.png', a text file with a path per line (.txt, .lst), a video, "
    "camera:0, or an address such as rtsp://..."
)


@dataclass(frozen=True)
class Source:
    """What a text names."""

    kind: Kind
    text: str
    """As given. May hold a password; print `label`."""

    @property
    def label(self) -> str:
        """The text as it can be printed and stored: without the user and password of an address."""
        return _SECRET.sub("//", self.text) if self.kind == "stream" else shown(self.text)

    @property
    def live(self) -> bool:
        """Whether it goes on for ever by itself: a camera or a stream."""
        return self.kind in ("camera", "stream")


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source.

    Raises
    ------
    UsageError
        When a number is outside its range.
    """

    step: int = 1
    """Every n-th picture is taken, from the first."""
    watch: bool = False
    """Of a folder: stay, and take the files that come."""
    idle_s: float | None = None
    """With `watch`: end when nothing has changed for so long, seconds; None: never."""
    poll_s: float = POLL_S
    """With `watch`: between two looks, seconds."""
    skip: Path | None = None
    """A folder inside the source that is passed over: where the pictures are stored."""
    on_unreadable: Callable[[ImageError], None] | None = None
    """Told of every file that cannot be used, which is then passed over. None: the first one is raised."""
    opener: Opener = open_capture
    """Opens a video, a camera or a stream."""
    patience_s: float = CAMERA_PATIENCE_S
    """How long a camera or a stream may give nothing before it counts as broken, seconds."""
    clock: Clock = (time.monotonic, time.sleep)
    """What tells the time in seconds, and what waits."""

    def __post_init__(self) -> None:
        if self.step < 1:
            raise UsageError(f"The step between pictures must be a whole number from 1, found {self.step}.")
        if self.idle_s is not None and not self.idle_s >= 0:
            raise UsageError(f"The idle time must be a number of seconds from 0, found {self.idle_s}.")
        if self.idle_s is not None and not self.watch:
            raise UsageError("An idle time ends the watching of a folder; without watching it has no meaning.")


def find_source(text: str) -> Source:
    """Tell what a text names, without reading it.

    Parameters
    ----------
    text : str
        See the module's rules. A folder or file whose name looks like a camera or an address: write ``./camera:0``.

    Raises
    ------
    UsageError
        When it names nothing that exists, or a file of no known kind.
    """
    if not text or "\x00" in text:
        raise UsageError(f"Expected {_KINDS}, found {text!r}.")
    if text.startswith("camera:"):
        return _camera(text)
    if _ADDRESS.match(text):
        return _stream(text)
    path = Path(text)
    if path.is_dir():
        return Source("folder", text)
    if path.exists():
        return Source(_kind_of_file(path), text)
    if is_pattern(text):
        return Source("glob", text)
    number = f" For the camera number {text}, write camera:{text}." if text.isascii() and text.isdigit() else ""
    raise UsageError(f"{shown(text)}: there is no such file or folder.{number} A source is {_KINDS}.")


def open_source(text: str, options: SourceOptions | None = None) -> Generator[Shot, None, None]:
    """Read the pictures of a source, one by one; nothing is read before the first is asked for.

    Parameters
    ----------
    text : str
        What to read; see `find_source`.
    options : SourceOptions, optional
        The defaults where none are given.

    Returns
    -------
    generator of Shot
        Closing it lets go of a camera. Cameras, streams and watched folders without `idle_s` do not end by themselves.

    Raises
    ------
    UsageError
        When there is no such source, or it cannot be watched.
    ImageError
        When a file, a list or a video cannot be used, or there is no image; while reading too.
    StorageError
        When a camera or a stream cannot be opened, gives nothing, or breaks off while reading.
    """
    options = options or SourceOptions()
    source = find_source(text)
    if options.watch and source.kind != "folder":
        raise UsageError(f"{source.label}: only a folder can be watched, and this is no folder.")
    if source.kind == "camera":
        return _live(source, int(source.text.removeprefix("camera:")), options)
    if source.kind == "stream":
        return _live(source, source.text, options)
    if source.kind == "video":
        return video_shots(Path(text), options.step, options.opener)
    if options.watch:
        watched = watch_shots(
            Path(text), options.idle_s, options.poll_s, options.skip, options.on_unreadable, options.clock
        )
        return (shot for shot in watched if shot.index % options.step == 0)
    return _files(source, options)


def _files(source: Source, options: SourceOptions) -> Generator[Shot, None, None]:
    path = Path(source.text)
    if source.kind == "folder":
        named = folder_paths(path, options.skip)
    elif source.kind == "glob":
        named = iter(glob_paths(source.text, options.skip))
    elif source.kind == "list":
        named = iter(list_paths(path))
    else:
        named = iter([(path.name, path)])
    return file_shots(named, source.label, options.step, options.on_unreadable)


def _live(source: Source, address: int | str, options: SourceOptions) -> Generator[Shot, None, None]:
    return live_shots(address, source.label, options.step, options.opener, options.patience_s, options.clock)


def _camera(text: str) -> Source:
    if not _CAMERA.fullmatch(text):
        raise UsageError(f"{shown(text)}: expected the camera's number, such as camera:0.")
    return Source("camera", text)


def _stream(text: str) -> Source:
    source = Source("stream", text)
    scheme = text.split("://", 1)[0].lower()
    if scheme not in _STREAMS:
        raise UsageError(f"{source.label}: {scheme}:// is not read; expected one of {', '.join(_STREAMS)}.")
    return source


def _kind_of_file(path: Path) -> Kind:
    suffix = path.suffix.lower()
    kinds: tuple[tuple[tuple[str, ...], Kind], ...] = (
        (IMAGE_SUFFIXES, "image"),
        (LIST_SUFFIXES, "list"),
        (VIDEO_SUFFIXES, "video"),
    )
    for suffixes, kind in kinds:
        if suffix in suffixes:
            return kind
    raise UsageError(
        f"{shown(str(path))}: the suffix does not tell what it is. Images end in {', '.join(IMAGE_SUFFIXES)}; lists in "
        f"{', '.join(LIST_SUFFIXES)}; videos in {', '.join(VIDEO_SUFFIXES)}."
    )
