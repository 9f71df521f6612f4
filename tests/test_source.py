"""What a text names as a source, and image files as sources: folders, patterns, lists, single files, 8 and 16 bit."""

import os
import struct
import sys
from datetime import UTC
from pathlib import Path

import numpy as np
import pytest

import images
from lineside.capture.exif import exposure_us
from lineside.capture.shot import Shot
from lineside.capture.source import Source, SourceOptions, find_source, open_source
from lineside.errors import FrameError, ImageError, LinesideError, UsageError

GREY16 = (images.picture(channels=1).astype(np.uint16) * 16)[:, :, 0]


def names(text: object, options: SourceOptions | None = None) -> list[str]:
    """Names of a source's pictures."""
    return [shot.name for shot in open_source(str(text), options)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images in two folders, and files that are none."""
    for seed, name in enumerate(("b.png", "a.jpg", "sub/c.bmp", "sub/d.tif")):
        images.write(tmp_path / "imgs" / name, images.picture(seed))
    (tmp_path / "imgs" / "notes.txt").write_text("no image")
    (tmp_path / "imgs" / ".hidden.png").write_bytes(b"")
    return tmp_path / "imgs"


def jpeg_with_exposure(seconds: int, per: int, order: str = "<") -> bytes:
    """A JPEG whose EXIF block says how long it was exposed."""
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8)
    first = struct.pack(order + "HHHIII", 1, 0x8769, 4, 1, 26, 0)  # 18 bytes: the EXIF directory lies at 26
    second = struct.pack(order + "HHHIII", 1, 0x829A, 5, 1, 44, 0)  # and the number at 44
    block = b"Exif\x00\x00" + head + first + second + struct.pack(order + "II", seconds, per)
    content = images.encoded(images.picture(), ".jpg")
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


# ---- what a text names


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("imgs", "folder"), ("imgs/*.png", "glob"), ("imgs/b.png", "image"), ("imgs/notes.txt", "list"),
        ("camera:0", "camera"), ("rtsp://host/1", "stream"), ("HTTP://host/1", "stream"),
    ],
)  # fmt: skip
def test_a_text_names_a_source(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: str) -> None:
    """Each kind is known by its form or by what exists."""
    monkeypatch.chdir(folder.parent)
    assert find_source(text) == Source(kind, text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expected a folder"),
        ("a\x00b", "Expected a folder"),
        ("absent", "no such file or folder"),
        ("0", "write camera:0"),
        ("camera:", "such as camera:0"),
        ("camera:-1", "such as camera:0"),
        ("ftp://host/x.png", "ftp:// is not read"),
        ("model.onnx", "does not tell what it is"),
    ],
)
def test_what_names_nothing_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    """Exit code 2, with what is expected."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UsageError, match=words):
        find_source(text)


def test_a_password_is_not_shown() -> None:
    """The address of a stream is printed and stored without user and password."""
    assert find_source("rtsp://me:secret@host:554/1").label == "rtsp://host:554/1"
    with pytest.raises(UsageError) as refused:
        find_source("ftp://me:secret@host/1")
    assert "secret" not in refused.value.message


def test_a_folder_with_brackets_is_a_folder(tmp_path: Path) -> None:
    """What exists is no pattern, whatever its name."""
    images.write(tmp_path / "lot[1]*" / "a.png", images.picture())
    assert names(tmp_path / "lot[1]*") == ["a.png"]


@pytest.mark.parametrize("options", [{"step": 0}, {"idle_s": -1.0, "watch": True}, {"idle_s": 1.0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    """A step of nothing, a negative time, an idle time of what is not watched."""
    with pytest.raises(UsageError):
        SourceOptions(**options)  # type: ignore[arg-type]


def test_only_a_folder_can_be_watched(folder: Path) -> None:
    """A pattern or a file cannot be waited at."""
    with pytest.raises(UsageError, match="only a folder"):
        open_source(str(folder / "b.png"), SourceOptions(watch=True))


# ---- folders, patterns, single files


def test_a_folder_is_read_in_order(folder: Path) -> None:
    """As every folder is walked; hidden files and other kinds are passed over; the step counts files."""
    assert names(folder) == ["a.jpg", "b.png", "sub/c.bmp", "sub/d.tif"]
    shots = list(open_source(str(folder), SourceOptions(step=3)))
    assert [(shot.name, shot.index) for shot in shots] == [("a.jpg", 0), ("sub/d.tif", 3)]


def test_the_folder_of_results_is_passed_over(folder: Path) -> None:
    """Pictures that are stored inside the source do not come back."""
    assert names(folder, SourceOptions(skip=folder / "sub")) == ["a.jpg", "b.png"]
    assert names(f"{folder}/**/*.*", SourceOptions(skip=folder / "sub"))[-1].endswith("b.png")


def test_pixels_are_those_of_the_file(folder: Path) -> None:
    """Red first, with path and time of change in UTC; the frame of it is the same picture."""
    shot = next(open_source(str(folder / "b.png")))
    assert np.array_equal(shot.samples, images.picture(0))
    assert (shot.name, shot.path, shot.bits) == ("b.png", folder / "b.png", 8)
    assert shot.time is not None
    assert shot.time.tzinfo is UTC
    assert np.array_equal(shot.frame().image, images.picture(0))


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    """Samples are not scaled; the frame is made by the contract's rule with a declared depth, never a guessed one."""
    images.write(tmp_path / "a.png", GREY16)
    shot = next(open_source(str(tmp_path / "a.png")))
    assert shot.bits == 16
    assert np.array_equal(shot.samples[:, :, 0], GREY16)
    assert np.array_equal(shot.frame(12).image[:, :, 0], ((GREY16.astype(int) * 255 + 2047) // 4095))
    with pytest.raises(FrameError, match="bit depth of 8"):
        shot.frame()


def test_a_pattern_takes_images_only(folder: Path) -> None:
    """Sorted; `**` goes into folders; what is no image is passed over."""
    assert [Path(name).name for name in names(f"{folder}/*")] == ["a.jpg", "b.png"]
    assert [Path(name).name for name in names(f"{folder}/**/*.[bt]*")] == ["c.bmp", "d.tif"]


def test_a_pattern_without_a_match_says_so(folder: Path) -> None:
    """Nothing matches: usage; matches but no image: images."""
    with pytest.raises(UsageError, match="no file matches"):
        open_source(f"{folder}/*.gif")
    with pytest.raises(ImageError, match="1 matches, but no image"):
        open_source(f"{folder}/*.txt")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    """No image is never silently no result."""
    with pytest.raises(ImageError, match="no image in it"):
        names(tmp_path)


@pytest.mark.parametrize("damage", ["empty", "half", "text", "flipped"])
def test_a_broken_file_is_raised_or_passed_over(folder: Path, damage: str) -> None:
    """Raised by default; with `on_unreadable` it is told, and the others come."""
    content = (folder / "b.png").read_bytes()
    middle = len(content) // 2
    broken = {
        "empty": b"",
        "half": content[:middle],
        "text": b"hello",
        "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
    }
    (folder / "b.png").write_bytes(broken[damage])
    with pytest.raises(ImageError, match=r"b\.png"):
        names(folder)
    told: list[ImageError] = []
    assert names(folder, SourceOptions(on_unreadable=told.append)) == ["a.jpg", "sub/c.bmp", "sub/d.tif"]
    assert [error.path for error in told] == [folder / "b.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a file name be any bytes")
def test_a_name_that_is_no_text_is_read(tmp_path: Path) -> None:
    """Odd bytes, line feeds and quotes in names."""
    odd = [os.fsdecode(b"b\xff.png"), "a\nb.png", "'\" <x>.png"]
    for name in odd:
        images.write(tmp_path / name, images.picture())
    assert sorted(names(tmp_path)) == sorted(odd)


# ---- lists


def write_list(folder: Path, content: str | bytes) -> Path:
    """Write a list beside the images."""
    file = folder / "list.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_a_list_is_read_in_its_own_order(folder: Path) -> None:
    """Paths are relative to the list; comments, empty lines, a byte order mark and Windows line ends do no harm."""
    absolute = folder / "sub" / "d.tif"
    file = write_list(folder, f"\ufeff# parts\r\nsub/c.bmp\r\n\r\n  b.png  \r\n{absolute}")
    assert names(file) == ["sub/c.bmp", "b.png", absolute.as_posix()]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("b.png\n\nabsent.png\n", r"list\.txt:3: there is no file absent\.png"),
        ("b.png\na.jpg\n./b.png\n", r"list\.txt:3: names ./b\.png again, after line 1"),
        ("sub\n", r"list\.txt:1: sub is no file"),
        ("", "names no image"),
        ("# nothing\n", "names no image"),
        (b"b.png\n\xff\xfe\n", r"list\.txt:2: not UTF-8"),
        (b"b\x00.png\n", r"list\.txt:1: holds a zero byte"),
    ],
)
def test_a_broken_list_is_refused_before_anything_is_read(folder: Path, content: str | bytes, words: str) -> None:
    """With the line that is wrong, exit code 3."""
    with pytest.raises(ImageError, match=words):
        open_source(str(write_list(folder, content)))


def test_a_list_that_is_a_picture_is_refused(folder: Path) -> None:
    """A picture under a list's name is no list."""
    with pytest.raises(ImageError, match="list"):
        open_source(str(write_list(folder, (folder / "b.png").read_bytes())))


# ---- exposure


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_exposure_time_comes_from_exif(tmp_path: Path, order: str) -> None:
    """1/250 s is 4000 microseconds, in either byte order, and the picture is still a picture."""
    (tmp_path / "a.jpg").write_bytes(jpeg_with_exposure(1, 250, order))
    assert next(open_source(str(tmp_path / "a.jpg"))).exposure_us == pytest.approx(4000)


@pytest.mark.parametrize("seconds_per", [(0, 1), (1, 0)])
def test_a_senseless_exposure_is_not_known(seconds_per: tuple[int, int]) -> None:
    """No time, or a division by nothing."""
    assert exposure_us(jpeg_with_exposure(*seconds_per)) is None


def test_exposure_of_a_png_and_of_none() -> None:
    """The same block in a PNG's eXIf chunk; a plain file says nothing."""
    block = jpeg_with_exposure(1, 100)
    inside = block[block.index(b"Exif\x00\x00") + 6 :][:52]
    rows = b"\x00\x01" * 2
    assert exposure_us(images.png(1, 2, 8, 0, rows, images.png_chunk(b"eXIf", inside))) == pytest.approx(10000)
    assert exposure_us(images.png(1, 2, 8, 0, rows)) is None
    assert exposure_us(images.tiff(images.picture())) is None


def test_damaged_exif_does_no_harm() -> None:
    """Cut at every byte, the exposure is known or not, and nothing is raised."""
    content = jpeg_with_exposure(1, 250)
    assert {exposure_us(content[:n]) for n in range(120)} == {None, 4000.0}


# ---- shots


@pytest.mark.parametrize("samples", [GREY16, images.picture().astype(np.float32), images.picture()[:0]])
def test_a_shot_of_another_shape_is_refused(samples: images.Array) -> None:
    """uint8 or uint16 of [H, W, 1 or 3], not empty."""
    with pytest.raises(LinesideError, match="A picture must be"):
        Shot(samples, "a", 0)  # type: ignore[arg-type]
