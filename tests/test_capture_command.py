"""`lineside capture`: pictures stored without loss, numbered on, never written over, kept whatever breaks."""

import hashlib
import json
import os
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

import commands
import images
from lineside.capture.decode import decode_samples
from lineside.capture.record import Recording, describe, record
from lineside.capture.source import SourceOptions
from lineside.capture.store import open_shot_store
from lineside.cli import capture
from lineside.errors import StorageError, UsageError
from test_source_video import FakeCamera, with_camera, write_video


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images below the working folder."""
    monkeypatch.chdir(tmp_path)
    images.write_folder(Path("imgs"), {"": 3})
    return Path("imgs")


run = partial(commands.run, "capture", capture.command)


def stored(out: Path | str = "out") -> list[str]:
    """What stands in the folder, hidden files aside."""
    return sorted(path.name for path in Path(out).iterdir() if not path.name.startswith("."))


def sidecar(number: int, out: str = "out") -> dict[str, object]:
    """A picture's sidecar."""
    document: dict[str, object] = json.loads((Path(out) / f"frame-{number:08d}.json").read_bytes())
    return document


# ---- what is stored


def test_every_picture_has_a_sidecar_that_is_true(folder: Path) -> None:
    """Source, name, place, size, time in UTC and the hash of the file as it stands there."""
    os.utime(folder / "001.png", (1_700_000_000, 1_700_000_000))
    code, out, _ = run(folder, "--out", "out")
    assert code == 0
    assert "Stored 3 pictures in out: frame-00000001.png to frame-00000003.png." in out
    assert stored() == [f"frame-{n:08d}.{kind}" for n in (1, 2, 3) for kind in ("json", "png")]
    document = sidecar(2)
    assert document["sha256"] == hashlib.sha256(Path("out/frame-00000002.png").read_bytes()).hexdigest()
    assert (document["source"], document["name"], document["index"]) == ("imgs", "001.png", 1)
    assert (document["size_wh"], document["channels"], document["bits"]) == ([64, 48], 3, 8)
    assert document["time"] == datetime.fromtimestamp(1_700_000_000, UTC).isoformat(timespec="milliseconds")
    assert document["time_of"] == "last change of the file"
    assert document["exposure_us"] is None


@pytest.mark.parametrize("image_format", ["png", "tiff"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_lost(tmp_path: Path, image_format: str, bits: int, channels: int) -> None:
    """Every sample comes back, 8 and 16 bit, grey and colour."""
    picture: images.Array = images.picture(channels=channels)
    if bits == 16:
        picture = picture.astype(np.uint16) * 257 - 77
    images.write(tmp_path / "a.png", picture)
    assert run(tmp_path / "a.png", "--out", tmp_path / "out", "--format", image_format)[0] == 0
    path = tmp_path / "out" / f"frame-00000001.{image_format}"
    samples = decode_samples(path.read_bytes(), path)
    assert samples.dtype == picture.dtype
    assert np.array_equal(samples, picture)


def test_a_second_run_goes_on(folder: Path) -> None:
    """With the next number, after gaps too, and whatever was stored stays as it was."""
    run(folder, "--out", "out")
    Path("out/frame-00000002.png").unlink()
    before = {name: (Path("out") / name).read_bytes() for name in stored()}
    run(folder, "--out", "out", "--count", 2, "--format", "tiff")
    assert {name: (Path("out") / name).read_bytes() for name in before} == before
    assert set(stored()) - set(before) == {f"frame-0000000{n}.{kind}" for n in (4, 5) for kind in ("json", "tiff")}


def test_count_and_step(folder: Path) -> None:
    """Every second file, and no more than asked for."""
    run(folder, "--out", "a", "--step", 2)
    run(folder, "--out", "b", "--count", 1)
    assert [sidecar(n, "a")["name"] for n in (1, 2)] == ["000.png", "002.png"]
    assert len(stored("b")) == 2


def test_a_video_says_where_its_frames_stood(folder: Path) -> None:
    """In milliseconds from its start; the time is that of storing."""
    write_video(Path("a.avi"))
    run("a.avi", "--out", "out", "--step", 20)
    assert [sidecar(n)["video_ms"] for n in (1, 2)] == [0.0, 800.0]
    assert sidecar(1)["time_of"] == "storing"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a file name be any bytes")
def test_names_that_are_no_text_are_stored(folder: Path) -> None:
    """Odd bytes in a source's names are escaped in sidecar and console."""
    odd = Path(os.fsdecode(b"in\xff"))
    images.write(odd / os.fsdecode(b"a\xfe\n.png"), images.picture())
    (odd / os.fsdecode(b"b\xfe.png")).write_bytes(b"broken")
    code, out, _ = run(odd, "--out", odd / "out")
    assert code == 3
    assert "b\\xfe.png" in out
    assert (json.loads((odd / "out/frame-00000001.json").read_bytes())["name"]) == "a\\xfe\n.png"


# ---- what is refused, and what breaks


def test_broken_files_are_named_and_the_others_stored(folder: Path) -> None:
    """Exit code 3 after everything else was stored."""
    (folder / "001.png").write_bytes(b"broken")
    code, out, _ = run(folder, "--out", "out")
    assert code == 3
    assert "Stored 2 pictures" in out
    assert "001.png" in out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("absent", "--out", "out"), 2, "no such file or folder"),
        (("imgs", "--out", "imgs"), 2, "cannot be stored into the folder that they come from"),
        (("imgs", "--out", "imgs/000.png"), 2, "expected a folder for the pictures"),
        (("imgs/000.png", "--out", "out", "--watch"), 2, "only a folder can be watched"),
        (("imgs", "--out", "out", "--idle-s", "3"), 2, "without watching"),
        (("imgs", "--out", "out", "--count", "0"), 2, ""),
        (("imgs", "--out", "out", "--format", "jpg"), 2, ""),
        (("list.txt", "--out", "out"), 3, "list.txt:1"),
        (("empty", "--out", "out"), 3, "no image in it"),
        (("camera:9999", "--out", "out"), 4, "cannot be opened"),
    ],
)
def test_what_cannot_be_captured(folder: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    """Each with its exit code and what to do; no picture is stored."""
    Path("list.txt").write_text("absent.png\n")
    Path("empty").mkdir()
    found, _, message = run(*arguments)
    assert found == code
    assert words in message
    assert not list(Path("out").glob("frame*")) if Path("out").exists() else True


def test_a_stream_that_breaks_keeps_what_was_stored(tmp_path: Path) -> None:
    """Exit code 4, and the message says how many."""
    recording = record("rtsp://me:secret@host/1", tmp_path / "out", with_camera(FakeCamera(3)))
    assert (recording.count, recording.ending, recording.exit_code) == (3, "broken", 4)
    assert recording.error is not None
    assert "3 pictures were stored before" in recording.error.message
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    assert b"secret" not in b"".join(path.read_bytes() for path in (tmp_path / "out").glob("*.json"))


def test_a_video_that_was_cut_off_keeps_what_was_stored(folder: Path) -> None:
    """Exit code 3 by the command, with the number in the message."""
    content = write_video(Path("a.avi")).read_bytes()
    Path("a.avi").write_bytes(content[: len(content) // 2])
    code, out, message = run("a.avi", "--out", "out")
    assert code == 3
    n = len(list(Path("out").glob("*.png")))
    assert n > 0
    assert f"Stored {n} pictures" in out
    assert f"{n} pictures were stored before" in message


def test_a_camera_is_let_go_after_the_last_picture(tmp_path: Path) -> None:
    """No frame more than asked for is waited for."""
    camera = FakeCamera()
    recording = record("camera:0", tmp_path / "out", with_camera(camera), count=4)
    assert (recording.ending, recording.exit_code, camera.given, camera.released) == ("count", 0, 4, True)
    document = json.loads((tmp_path / "out/frame-00000001.json").read_bytes())
    assert (document["time_of"], document["driver_exposure"]) == ("camera", "-6 (FAKE)")


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    """What was stored is whole, the camera is let go of, the folder is free, and it is no error."""
    camera = FakeCamera()

    def interrupt(stored_so_far: int) -> None:
        if stored_so_far == 2:
            raise KeyboardInterrupt

    recording = record("camera:0", tmp_path / "out", with_camera(camera), progress=interrupt)
    assert (recording.count, recording.ending, recording.exit_code, camera.released) == (2, "stopped", 0, True)
    assert "Stopped by Ctrl-C" in " ".join(describe(recording))
    assert record("camera:0", tmp_path / "out", with_camera(FakeCamera()), count=1).names == (
        "frame-00000003.png",
        "frame-00000003.png",
    )


def test_a_full_disk_leaves_no_half_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4, no temporary file, and the pictures before stay."""
    done: list[int] = []

    def full(descriptor: int) -> None:
        done.append(descriptor)
        if len(done) == 4:  # the second picture, after its sidecar
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("lineside.capture.store.os.fsync", full)
    code, _, message = run(folder, "--out", "out")
    assert code == 4
    assert "No space left" in message
    assert "1 picture was stored before" in message
    assert stored() == ["frame-00000001.json", "frame-00000001.png", "frame-00000002.json"]
    assert not list(Path("out").glob(".*partial"))


def test_two_runs_do_not_share_a_folder(folder: Path) -> None:
    """The second one is refused while the first one stores."""
    with open_shot_store(Path("out"), "first"):
        code, _, message = run(folder, "--out", "out")
    assert code == 4
    assert "another capture" in message


def test_a_file_that_came_in_between_is_not_written_over(folder: Path) -> None:
    """Something else that writes into the folder loses nothing."""
    from lineside.capture.shot import Shot

    with open_shot_store(Path("out"), "x") as store:
        Path("out/frame-00000001.png").write_text("mine")
        with pytest.raises(StorageError, match="written by something else"):
            store.add(Shot(images.picture(), "a", 0))
    assert Path("out/frame-00000001.png").read_text() == "mine"


def test_numbers_end(folder: Path) -> None:
    """Names sort in order because they are equally long; no number is made longer."""
    Path("out").mkdir()
    Path("out/frame-99999999.png").touch()
    code, _, message = run(folder, "--out", "out")
    assert code == 2
    assert "the last number" in message


def test_a_source_may_hold_the_results(folder: Path) -> None:
    """Captured into a folder inside the source, twice: no picture comes back."""
    run(folder, "--out", folder / "out")
    run(folder, "--out", folder / "out")
    assert len(list((folder / "out").glob("*.png"))) == 6


def test_a_watched_folder_is_stored_as_it_fills(folder: Path) -> None:
    """A writer in pieces; the command ends by itself when nothing comes."""
    content = images.encoded(images.picture(9), ".png")

    def write() -> None:
        with (folder / "late.png").open("wb", buffering=0) as file:
            for start in range(0, len(content), 1000):
                file.write(content[start : start + 1000])
                time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    recording = record(str(folder), folder / "out", SourceOptions(watch=True, idle_s=0.4, poll_s=0.01))
    writer.join()
    assert (recording.count, recording.unreadable, recording.ending) == (4, (), "end")
    last = cv2.imread(str(folder / "out" / "frame-00000004.png"))[:, :, ::-1]
    assert np.array_equal(last, images.picture(9))


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_of_nothing_is_refused(folder: Path, count: int) -> None:
    """From a program too."""
    with pytest.raises(UsageError, match="from 1"):
        record("imgs", Path("out"), count=count)


def test_exit_codes_have_their_order() -> None:
    """Input/output comes before unreadable images."""
    sound = Recording(Path("o"), 1, None, (), "end")
    broken = replace(sound, unreadable=("x",))
    assert (sound.exit_code, broken.exit_code) == (0, 3)
    assert replace(broken, error=StorageError("x")).exit_code == 4
