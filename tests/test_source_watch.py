"""A watched folder: every file once, none half, whatever the writer does."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import images
from lineside.capture.shot import Shot
from lineside.capture.source import SourceOptions, open_source
from lineside.capture.source_watch import FolderWatch
from lineside.errors import ImageError, StorageError


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def looked(watch: FolderWatch, looks: int = 2) -> list[str]:
    """Names of what comes in so many looks."""
    return [shot.name for _ in range(looks) for shot in watch.look()]


def touch(path: Path, seconds: int) -> None:
    """Move a file's time of change, as time itself would."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + seconds * 10**9))


def test_a_file_is_taken_at_the_second_look(inbox: Path) -> None:
    """Files that were there before count too; each comes once, oldest first."""
    for number, name in enumerate(("b.png", "a.png")):
        images.write(inbox / name, images.picture(number))
        os.utime(inbox / name, (1000 + number, 1000 + number))
    watch = FolderWatch(inbox)
    assert looked(watch, 1) == []
    assert looked(watch, 1) == ["b.png", "a.png"]
    assert looked(watch, 5) == []


def test_a_file_that_grows_is_waited_for(inbox: Path) -> None:
    """Written in pieces with pauses long enough that it looks finished: it is taken once it can be decoded."""
    content = images.encoded(images.picture(), ".jpg")
    watch = FolderWatch(inbox)
    for end in (1, 10, len(content) // 2, len(content) - 1):
        (inbox / "a.jpg").write_bytes(content[:end])
        assert looked(watch, 4) == []
    assert len(watch.unfinished) == 1
    (inbox / "a.jpg").write_bytes(content)
    assert looked(watch, 2) == ["a.jpg"]
    assert watch.unfinished == ()


def test_a_file_that_is_filled_in_place_is_waited_for(inbox: Path) -> None:
    """Its full size from the start, and its content later: neither half nor lost."""
    content = images.encoded(images.picture(), ".png")
    (inbox / "a.png").write_bytes(b"\x00" * len(content))
    watch = FolderWatch(inbox)
    assert looked(watch, 10) == []
    with (inbox / "a.png").open("r+b") as file:
        file.write(content)
    os.utime(inbox / "a.png", ns=(0, 0))
    assert looked(watch, 3) == ["a.png"]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: touch(path, 5),
        lambda path: path.rename(path.with_name("z.png")),
        lambda path: path.rename(path.parent / "done" / "a.png"),
        lambda path: (path.parent / "z.png").hardlink_to(path),
        lambda path: path.write_bytes(path.read_bytes()),
    ],
    ids=["touched", "renamed", "moved", "linked", "written again"],
)
def test_the_same_picture_does_not_come_again(inbox: Path, change: Callable[[Path], object]) -> None:
    """Touched, moved within the folder, linked, or written again with the same content."""
    (inbox / "done").mkdir()
    path = images.write(inbox / "a.png", images.picture())
    watch = FolderWatch(inbox)
    assert looked(watch) == ["a.png"]
    change(path)
    assert looked(watch, 4) == []


def test_a_new_picture_under_an_old_name_comes(inbox: Path) -> None:
    """A camera that writes the same name over and over loses no picture, and each has a name of its own."""
    watch = FolderWatch(inbox)
    shots: list[Shot] = []
    for seed in range(3):
        path = images.write(inbox / "latest.png", images.picture(seed))
        touch(path, seed)
        shots += [shot for _ in range(3) for shot in watch.look()]
    assert [shot.name for shot in shots] == ["latest.png", "latest.png#1", "latest.png#2"]
    for seed, shot in enumerate(shots):
        assert np.array_equal(shot.samples, images.picture(seed))


def test_a_folder_that_is_empty_for_a_moment(inbox: Path) -> None:
    """What was taken is remembered."""
    images.write(inbox / "a.png", images.picture())
    watch = FolderWatch(inbox)
    assert looked(watch) == ["a.png"]
    (inbox / "a.png").rename(inbox.parent / "a.png")
    assert looked(watch) == []
    (inbox.parent / "a.png").rename(inbox / "a.png")
    assert looked(watch, 3) == []


def test_other_files_and_hidden_ones_are_left_alone(inbox: Path) -> None:
    """Temporary names, links that lead nowhere, files that vanish."""
    images.write(inbox / "a.png", images.picture()).rename(inbox / "a.png.part")
    images.write(inbox / ".b.png", images.picture())
    (inbox / "c.png").symlink_to(inbox / "absent.png")
    gone = images.write(inbox / "d.png", images.picture())
    watch = FolderWatch(inbox)
    assert looked(watch, 1) == []
    gone.unlink()
    assert looked(watch, 3) == []
    assert watch.settled


def test_a_watched_folder_that_goes_away_is_an_error(inbox: Path) -> None:
    """Exit code 4; a folder inside may go."""
    images.write(inbox / "sub" / "a.png", images.picture())
    watch = FolderWatch(inbox)
    assert looked(watch) == ["sub/a.png"]
    shutil.rmtree(inbox / "sub")
    assert looked(watch) == []
    inbox.rmdir()
    with pytest.raises(StorageError, match="was being watched"):
        looked(watch)


def test_idle_ends_the_watch_and_names_what_never_became_whole(inbox: Path) -> None:
    """Also with an idle time of nothing, what is there is taken first."""
    images.write(inbox / "a.png", images.picture())
    (inbox / "half.png").write_bytes(images.encoded(images.picture(), ".png")[:100])
    told: list[ImageError] = []
    options = SourceOptions(watch=True, idle_s=0.0, poll_s=0.001, on_unreadable=told.append)
    assert [shot.name for shot in open_source(str(inbox), options)] == ["a.png"]
    assert [error.path.name for error in told] == ["half.png"]
    with pytest.raises(ImageError, match=r"half\.png"):
        list(open_source(str(inbox), SourceOptions(watch=True, idle_s=0.0, poll_s=0.001)))


def test_an_empty_folder_may_be_watched(inbox: Path) -> None:
    """Nothing came is no error of a watch."""
    assert list(open_source(str(inbox), SourceOptions(watch=True, idle_s=0.0, poll_s=0.001))) == []


def test_nothing_is_lost_or_doubled_while_a_writer_writes(inbox: Path) -> None:
    """A thread writes files in pieces, moves others into place, and writes into folders, while we look."""
    contents = [images.encoded(images.picture(i), ".png") for i in range(30)]

    def write() -> None:
        for number, content in enumerate(contents):
            target = inbox / f"lot{number % 3}" / f"{number:03d}.png"
            target.parent.mkdir(exist_ok=True)
            if number % 4 == 0:
                partial = target.with_suffix(".part")
                partial.write_bytes(content)
                partial.rename(target)
                continue
            with target.open("wb", buffering=0) as file:
                for start in range(0, len(content), 2000):
                    file.write(content[start : start + 2000])
                    time.sleep(0.002)

    writer = threading.Thread(target=write)
    writer.start()
    options = SourceOptions(watch=True, idle_s=0.5, poll_s=0.003)
    shots = list(open_source(str(inbox), options))
    writer.join()
    assert sorted(shot.name for shot in shots) == [
        f"lot{n % 3}/{n:03d}.png" for n in sorted(range(30), key=lambda n: (n % 3, n))
    ]
    for shot in shots:
        number = int(Path(shot.name).stem)
        assert np.array_equal(shot.samples, images.picture(number))
