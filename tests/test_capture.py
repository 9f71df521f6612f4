"""Reading image files: what is right comes out exactly, what is broken is named and never half read."""

import os
import struct
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import images
from lineside.capture.decode import read_image
from lineside.capture.duplicates import CODING_NOISE, level, near_limit, nearest, noise_sigma, same, thumbnail, to_grey
from lineside.capture.folder import image_channels, walk_images
from lineside.capture.frame import Frame
from lineside.contract import to_uint8
from lineside.errors import FrameError, ImageError

COLOUR = images.picture()
GREY = images.picture(channels=1)
DEEP = (np.arange(48 * 64, dtype=np.uint16) % 4096).reshape(48, 64)
LOSSLESS = (".png", ".bmp", ".tiff", ".tif")


# --- what is right


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("image", [COLOUR, GREY], ids=["colour", "grey"])
def test_lossless_files_come_back_exactly(tmp_path: Path, suffix: str, image: images.Array) -> None:
    """A lossless file gives its pixels, red first, contiguous, with the channels that it has."""
    read = read_image(images.write(tmp_path / f"a{suffix}", image))
    np.testing.assert_array_equal(read, image)
    assert read.flags.c_contiguous
    assert read.dtype == np.uint8


@pytest.mark.parametrize("image", [COLOUR, GREY], ids=["colour", "grey"])
def test_a_jpeg_comes_back_closely(tmp_path: Path, image: images.Array) -> None:
    """A JPEG gives its pixels within its own loss, and keeps its channels."""
    read = read_image(images.write(tmp_path / "a.jpg", image))
    assert read.shape == image.shape
    assert np.abs(read.astype(int) - image).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("bit_depth", [10, 12, 14, 16])
def test_16_bit_files_are_scaled_by_the_declared_depth(tmp_path: Path, suffix: str, bit_depth: int) -> None:
    """16-bit samples become uint8 by the contract's rule, never by the largest sample."""
    samples = (DEEP & np.uint16(2**bit_depth - 1)) // np.uint16(2)
    read = read_image(images.write(tmp_path / f"a{suffix}", samples), bit_depth=bit_depth)
    np.testing.assert_array_equal(read[:, :, 0], to_uint8(samples, bit_depth))


def test_16_bit_colour_keeps_red_first(tmp_path: Path) -> None:
    """The channels of a 16-bit colour file are not swapped."""
    samples = np.zeros((4, 5, 3), np.uint16)
    samples[:, :, 0] = 4095
    assert read_image(images.write(tmp_path / "a.png", samples), bit_depth=12)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
def test_both_byte_orders_of_tiff(tmp_path: Path, order: str) -> None:
    """TIFF files of little-endian and of big-endian cameras give the same samples."""
    path = tmp_path / "a.tif"
    path.write_bytes(images.tiff(DEEP, order=order))
    np.testing.assert_array_equal(read_image(path, bit_depth=12)[:, :, 0], to_uint8(DEEP, 12))


# Orientation -> the picture as it must be seen, from the picture as it is stored (EXIF 2.32, tag 0x0112).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", sorted(UPRIGHT))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
@pytest.mark.parametrize("image", [COLOUR, GREY], ids=["colour", "grey"])
def test_exif_orientation_is_applied(tmp_path: Path, kind: str, orientation: int, image: images.Array) -> None:
    """A picture taken with the camera turned is seen upright, in every format that can say so."""
    path = tmp_path / f"a.{kind}"
    if kind == "jpg":
        plain = images.encoded(image, ".jpg")
        path.write_bytes(plain)
        image = read_image(path)
        path.write_bytes(images.jpeg_with_exif(plain, orientation))
    elif kind == "png":
        chunk = images.png_chunk(b"eXIf", images.exif(orientation))
        content = images.encoded(image, ".png")
        path.write_bytes(content[:33] + chunk + content[33:])
    else:
        path.write_bytes(images.tiff(image, {274: (orientation,)}))
    np.testing.assert_array_equal(read_image(path), UPRIGHT[orientation](image))


def test_three_channels_of_a_grey_file_are_equal(tmp_path: Path) -> None:
    """A grey file asked for in colour repeats its channel exactly."""
    read = read_image(images.write(tmp_path / "a.png", GREY), channels=3)
    np.testing.assert_array_equal(read, np.repeat(GREY, 3, axis=2))


def test_one_channel_of_an_equal_colour_file(tmp_path: Path) -> None:
    """A colour file whose channels are equal everywhere may be taken as grey."""
    read = read_image(images.write(tmp_path / "a.png", np.repeat(GREY, 3, axis=2)), channels=1)
    np.testing.assert_array_equal(read, GREY)


def test_opaque_alpha_is_dropped(tmp_path: Path) -> None:
    """An alpha channel that hides nothing does not matter."""
    bgra = np.dstack([COLOUR[:, :, ::-1], np.full((48, 64), 255, np.uint8)])
    path = tmp_path / "a.png"
    path.write_bytes(bytes(cv2.imencode(".png", bgra)[1]))
    np.testing.assert_array_equal(read_image(path), COLOUR)


def test_grey_with_opaque_alpha_stays_grey(tmp_path: Path) -> None:
    """A PNG of grey and alpha has one channel."""
    path = tmp_path / "a.png"
    path.write_bytes(images.png(2, 1, 8, 4, b"\x00\x10\xff\x20\xff"))
    assert read_image(path).tolist() == [[[16], [32]]]


def test_a_grey_palette_of_a_bmp_is_grey(tmp_path: Path) -> None:
    """BMP stores grey as a palette of greys; its levels come through, in any order."""
    palette = b"".join(bytes((255 - i, 255 - i, 255 - i, 0)) for i in range(256))
    path = tmp_path / "a.bmp"
    path.write_bytes(images.bmp(4, 1, 8, palette, bytes((0, 1, 2, 255))))
    assert read_image(path)[0, :, 0].tolist() == [255, 254, 253, 0]


def test_a_name_in_any_script_is_read(tmp_path: Path) -> None:
    """File names need not be ASCII."""
    path = tmp_path / "Prüfling 部品.png"
    path.write_bytes(images.encoded(COLOUR, ".png"))
    np.testing.assert_array_equal(read_image(path), COLOUR)


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    """A JPEG that is called .png is read as the JPEG that it is."""
    path = tmp_path / "a.png"
    path.write_bytes(images.encoded(COLOUR, ".jpg"))
    assert read_image(path).shape == COLOUR.shape


def test_bytes_after_the_end_of_a_jpeg_do_not_matter(tmp_path: Path) -> None:
    """Cameras append data of their own behind the picture."""
    path = tmp_path / "a.jpg"
    path.write_bytes(images.encoded(COLOUR, ".jpg") + b"maker's notes")
    assert read_image(path).shape == COLOUR.shape


def test_a_progressive_jpeg_is_read_whole(tmp_path: Path) -> None:
    """A JPEG of several scans is walked to its end, and cut after its first scan it is refused."""
    path = tmp_path / "a.jpg"
    content = images.encoded(COLOUR, ".jpg", IMWRITE_JPEG_PROGRESSIVE=1)
    path.write_bytes(content)
    assert np.abs(read_image(path).astype(int) - COLOUR).mean() < 3
    path.write_bytes(content[: content.rindex(b"\xff\xda")])
    with pytest.raises(ImageError, match="without its end marker"):
        read_image(path)


def test_the_end_of_a_thumbnail_is_not_the_end_of_a_jpeg(tmp_path: Path) -> None:
    """A cut JPEG whose embedded thumbnail is whole is still cut."""
    content = images.jpeg_with_thumbnail(images.encoded(COLOUR, ".jpg"), images.encoded(GREY, ".jpg"))
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert read_image(path).shape == COLOUR.shape
    path.write_bytes(content[:-100])
    with pytest.raises(ImageError, match="without its end marker"):
        read_image(path)


def test_a_smaller_copy_in_a_tiff_is_no_second_page(tmp_path: Path) -> None:
    """A page that says that it is a reduced copy is passed over."""
    path = tmp_path / "a.tif"
    path.write_bytes(images.tiff(COLOUR, {254: (1,)}, pages=2))
    np.testing.assert_array_equal(read_image(path), COLOUR)


def test_image_channels_reads_the_header(tmp_path: Path) -> None:
    """The channels of a file are known without decoding it."""
    assert image_channels(images.write(tmp_path / "a.jpg", GREY)) == 1
    assert image_channels(images.write(tmp_path / "b.bmp", GREY)) == 1
    assert image_channels(images.write(tmp_path / "c.tif", COLOUR)) == 3


@given(bit_depth=st.sampled_from([10, 12, 14, 16]), sample=st.integers(0, 65535))
def test_to_uint8_is_the_nearest_step(bit_depth: int, sample: int) -> None:
    """The reduction to uint8 is never more than half a step from the exact value."""
    top = 2**bit_depth - 1
    sample = min(sample, top)
    reduced = int(to_uint8(np.array([sample], np.uint16), bit_depth)[0])
    assert abs(reduced - sample * 255 / top) <= 0.5


# --- what is broken


def cut(content: bytes, share: float) -> bytes:
    """Return the first part of a file."""
    return content[: int(len(content) * share)]


def flipped(content: bytes, at: int) -> bytes:
    """Return a file with one byte turned over."""
    return content[:at] + bytes((content[at] ^ 0xFF,)) + content[at + 1 :]


PNG, JPEG, BMP, TIFF = (images.encoded(COLOUR, suffix) for suffix in (".png", ".jpg", ".bmp", ".tiff"))
PALETTE = images.png(2, 1, 8, 3, b"\x00\x00\x01", images.png_chunk(b"PLTE", bytes(range(6))))
COLOUR_PALETTE = b"".join(bytes((i, 0, 0, 0)) for i in range(256))
STRIP = images.tiff(COLOUR)
SHIFTED = (DEEP.astype(np.uint32) * 16).astype(np.uint16)
SAVE_GREY = "save it as grey or RGB."
NO_LEVELS = f"a palette image, whose numbers are no light levels; {SAVE_GREY}"

HUGE = "its header asks for {} pixels, more than the 200 megapixels that are read; cut it into frames."
SEE_THROUGH = "see-through pixels (alpha), which have no colour of their own; save it without alpha."
FRAME_HEADER = b"\xff\xc0\x00\x11\x08\x000\x00@\x03"  # of JPEG: length 17, 8 bit, 48 high, 64 wide, 3 components
HUGE_PNG = images.PNG_SIGNATURE + images.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
END_PNG = images.png_chunk(b"IDAT", zlib.compress(b"")) + images.png_chunk(b"IEND", b"")

BROKEN: dict[str, tuple[bytes, dict[str, int], str]] = {
    "empty": (b"", {}, "an empty file (0 bytes); copy it again."),
    "text": (b"hello world", {}, "not a JPEG, PNG, BMP or TIFF image (it begins with b'hello wo')."),
    "gif": (b"GIF89a" + bytes(20), {}, "not a JPEG, PNG, BMP or TIFF image (a GIF file)."),
    "webp": (b"RIFF\0\0\0\0WEBPVP8 ", {}, "not a JPEG, PNG, BMP or TIFF image (a WebP or AVI file)."),
    "png, header cut": (PNG[:8], {}, "truncated inside its header, the file ends at 8; copy it again."),
    "png, cut": (
        cut(PNG, 0.6),
        {},
        f"truncated: the PNG chunk IDAT reaches to byte {len(PNG) - 12}, the file ends at {int(len(PNG) * 0.6)}; "
        "copy it again.",
    ),
    "png, end missing": (
        PNG[:-12],
        {},
        f"truncated: a PNG chunk reaches to byte {len(PNG)}, the file ends at {len(PNG) - 12}; copy it again.",
    ),
    "png, one bit wrong": (
        flipped(PNG, 200),
        {},
        "damaged: the checksum of the PNG chunk at byte 33 is wrong; copy it again.",
    ),
    "png, bomb": (HUGE_PNG + END_PNG, {}, HUGE.format("60000x60000")),
    "png, no width": (images.png(0, 5, 8, 0, b""), {}, "its header says 0x5 pixels; the file is damaged."),
    "png, palette": (PALETTE, {}, NO_LEVELS),
    "png, alpha": (images.png(1, 1, 8, 6, b"\0\1\2\3\x80"), {}, SEE_THROUGH),
    "png, transparent grey": (
        images.png(2, 1, 8, 0, b"\0\1\2", images.png_chunk(b"tRNS", b"\0\1")),
        {},
        SEE_THROUGH,
    ),
    "png, animated": (
        images.png(1, 1, 8, 0, b"\0\1", images.png_chunk(b"acTL", bytes(8))),
        {},
        "an animated PNG; save one frame per file.",
    ),
    "jpeg, header cut": (
        JPEG[:84],
        {},
        "truncated: a JPEG segment reaches to byte 89, the file ends at 84; copy it again.",
    ),
    "jpeg, cut": (
        cut(JPEG, 0.6),
        {},
        f"truncated: a JPEG without its end marker, the file ends at {int(len(JPEG) * 0.6)}; copy it again.",
    ),
    "jpeg, last two bytes missing": (
        JPEG[:-2],
        {},
        f"truncated: a JPEG without its end marker, the file ends at {len(JPEG) - 2}; copy it again.",
    ),
    "jpeg, no picture": (JPEG[:2] + b"\xff\xd9", {}, "damaged: a JPEG without a picture; copy it again."),
    "jpeg, cmyk": (
        JPEG.replace(FRAME_HEADER, FRAME_HEADER[:-1] + b"\x04"),
        {},
        f"a JPEG of 4 components (CMYK); {SAVE_GREY}",
    ),
    "jpeg, 12 bit": (
        JPEG.replace(FRAME_HEADER, FRAME_HEADER[:4] + b"\x0c" + FRAME_HEADER[5:]),
        {},
        "a JPEG of 12 bits per sample; save it as a 16-bit PNG or TIFF.",
    ),
    "jpeg, bomb": (
        JPEG.replace(FRAME_HEADER, FRAME_HEADER[:5] + b"\xff\xff\xff\xff\x03"),
        {},
        HUGE.format("65535x65535"),
    ),
    "bmp, header cut": (BMP[:20], {}, "truncated inside its header, the file ends at 20; copy it again."),
    "bmp, cut": (
        cut(BMP, 0.6),
        {},
        f"truncated: the BMP's picture reaches to byte {len(BMP)}, the file ends at {int(len(BMP) * 0.6)}; "
        "copy it again.",
    ),
    "bmp, palette": (images.bmp(4, 1, 8, COLOUR_PALETTE, b"abcd"), {}, NO_LEVELS),
    "bmp, run lengths": (
        images.bmp(4, 1, 8, COLOUR_PALETTE, b"abcd", 1),
        {},
        "a BMP of a kind that is not read (8 bits, compression 1); save it as PNG.",
    ),
    "bmp, bit fields": (
        images.bmp(1, 1, 32, struct.pack("<III", 0xFF, 0xFF00, 0xFF0000), b"abcd", 3),
        {},
        "a BMP of unusual bit fields; save it as PNG.",
    ),
    "bmp, bomb": (images.bmp(100000, 100000, 24, b"", b""), {}, HUGE.format("100000x100000")),
    "tiff, header cut": (STRIP[:6], {}, "truncated inside its header, the file ends at 6; copy it again."),
    "tiff, directory cut": (
        cut(STRIP, 0.6),
        {},
        f"truncated: the TIFF directory reaches to byte {8 + COLOUR.size + 2}, "
        f"the file ends at {int(len(STRIP) * 0.6)}; copy it again.",
    ),
    "tiff, strip outside": (
        images.tiff(COLOUR, {279: (10**6,)}),
        {},
        f"truncated: the TIFF's picture reaches to byte 1000008, the file ends at {len(STRIP)}; copy it again.",
    ),
    "tiff, strip too short": (
        images.tiff(COLOUR, {257: (480,), 278: (480,)}),
        {},
        "damaged: the picture cannot be decoded; copy it again.",
    ),
    "tiff, no strip": (images.tiff(COLOUR, {273: ()}), {}, "damaged: a TIFF without its picture; copy it again."),
    "tiff, bomb": (images.tiff(COLOUR, {256: (60000,), 257: (60000,)}), {}, HUGE.format("60000x60000")),
    "tiff, float": (
        images.tiff(np.zeros((4, 5), np.float32), {339: (3,)}),
        {},
        "a TIFF of floating-point or signed samples; save it as 8-bit or 16-bit unsigned.",
    ),
    "tiff, palette": (
        images.tiff(GREY[:, :, 0], {262: (3,)}),
        {},
        f"a TIFF of a kind that is not read (palette); {SAVE_GREY}",
    ),
    "tiff, cmyk": (
        images.tiff(np.zeros((4, 5, 4), np.uint8), {262: (5,)}),
        {},
        f"a TIFF of a kind that is not read (CMYK); {SAVE_GREY}",
    ),
    "tiff, inverted": (
        images.tiff(GREY[:, :, 0], {262: (0,)}),
        {},
        f"a TIFF of a kind that is not read (white is zero); {SAVE_GREY}",
    ),
    "tiff, pages": (
        images.tiff(COLOUR, pages=2),
        {},
        "a TIFF of several pages, of which one would be judged; save one frame per file.",
    ),
    "tiff, planes": (
        images.tiff(COLOUR, {284: (2,)}),
        {},
        "a TIFF of separate colour planes; save it with interleaved samples.",
    ),
    "tiff, packed 12 bit": (
        images.tiff(GREY[:, :, 0], {258: (12,)}),
        {},
        "a TIFF of 12 bits per sample; save it as 8 or 16 bit.",
    ),
    "tiff, four samples": (
        images.tiff(np.zeros((4, 5, 4), np.uint8)),
        {},
        f"a TIFF of 4 samples per pixel; {SAVE_GREY}",
    ),
    "tiff, alpha": (images.tiff(np.zeros((4, 5, 4), np.uint8), {338: (2,), 262: (2,)}), {}, SEE_THROUGH),
    "16 bit under 8": (
        images.encoded(DEEP, ".png"),
        {},
        "a 16-bit file, but the bit depth is 8; set capture.bit_depth in the recipe to what the camera delivers "
        "(10, 12, 14 or 16).",
    ),
    "8 bit under 12": (
        PNG,
        {"bit_depth": 12},
        "an 8-bit file, but the bit depth is 12; set capture.bit_depth: 8 in the recipe, or save the camera's frames "
        "as 16-bit PNG or TIFF.",
    ),
    "12 bit shifted to the top": (
        images.encoded(SHIFTED, ".png"),
        {"bit_depth": 12},
        "it holds the sample 49136, but 12 bits end at 4095; set capture.bit_depth in the recipe to what the files "
        "hold (16 where the camera shifts its samples to the top).",
    ),
    "colour as grey": (
        PNG,
        {"channels": 1},
        "a colour image, but one channel is needed; set capture.color: rgb in the recipe, or save grey images.",
    ),
}


@pytest.mark.parametrize(("content", "arguments", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_named_with_its_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes, arguments: dict[str, int], message: str
) -> None:
    """Each kind of broken file gives its own error, exit code 3, and nothing on the console."""
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path, **arguments)
    assert str(caught.value) == f"{path}: {message}"
    assert caught.value.exit_code == 3
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    """A path without a file, and one that is a folder, say so."""
    with pytest.raises(ImageError, match=r"a\.png: no such file\.$"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r": a folder, not an image file\.$"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_cut_gets_through(tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject) -> None:
    """Wherever a file is cut, it is refused: never half a picture, never another exception."""
    content = images.encoded(COLOUR, suffix)
    path = tmp_path_factory.mktemp("cut") / "a"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ImageError):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_gives_a_picture_or_an_image_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: st.DataObject
) -> None:
    """Bytes turned over anywhere give a whole picture or an `ImageError`; in a PNG always the error."""
    content = bytearray(images.encoded(COLOUR, suffix))
    for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3, unique=True)):
        content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damage") / "a"
    path.write_bytes(bytes(content))
    try:
        image = read_image(path)
    except ImageError:
        return
    assert suffix != ".png"
    assert image.dtype == np.uint8
    assert image.ndim == 3


def test_opencv_speaks_again_after_decoding(tmp_path: Path) -> None:
    """OpenCV's log level is the process's: it is put back after each file."""
    from cv2.utils import logging

    before = logging.setLogLevel(4)
    try:
        read_image(images.write(tmp_path / "a.png", COLOUR))
        assert logging.getLogLevel() == 4
    finally:
        logging.setLogLevel(before)


# --- frames and folders


def test_a_frame_cannot_be_written_to() -> None:
    """A frame's pixels are read-only, the array that it was made from is not touched."""
    source = COLOUR.copy()
    frame = Frame(source, "a.png", None, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0, 0] = 1
    assert source.flags.writeable


@pytest.mark.parametrize("image", [COLOUR[:, :, 0], COLOUR.astype(np.float32), COLOUR[:0], COLOUR[:, :, :2]])
def test_a_frame_of_another_shape_is_refused(image: images.Array) -> None:
    """A frame is uint8 [H, W, 1 or 3] and not empty."""
    with pytest.raises(FrameError, match="A frame must be uint8"):
        Frame(image, "a.png", None, None)  # type: ignore[arg-type]


def test_folders_are_walked_in_order_without_hidden_ones(tmp_path: Path) -> None:
    """Images come sorted, files before folders, any case of suffix; hidden and other files are passed over."""
    for name in ("b.PNG", "a.jpeg", "c/d.bmp", "C/e.tif", ".hidden.png", ".git/x.png", "notes.txt", "a.png.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in walk_images(tmp_path)]
    assert found == ["a.jpeg", "b.PNG", "C/e.tif", "c/d.bmp"]


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege on Windows")
def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    """A link back to a folder above is not followed."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").touch()
    os.symlink(tmp_path, tmp_path / "a" / "back", target_is_directory=True)  # noqa: PTH211
    assert [path.name for path in walk_images(tmp_path)] == ["x.png"]


def test_a_missing_folder_is_an_image_error(tmp_path: Path) -> None:
    """Walking what is not there says so."""
    with pytest.raises(ImageError, match="the folder cannot be read"):
        list(walk_images(tmp_path / "nowhere"))


# --- duplicates


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_measured_within_a_tenth(sigma: float) -> None:
    """White noise of known size on a smooth picture is found again, edges and all."""
    rng = np.random.default_rng(0)
    smooth = np.fromfunction(lambda y, x: 90 + 0.1 * x + 0.1 * y, (400, 400))
    smooth[:, 200:] += 40
    assert noise_sigma((smooth + rng.normal(0, sigma, smooth.shape)).astype(np.float32)) == pytest.approx(
        sigma, rel=0.1
    )


def test_noise_of_a_white_or_tiny_picture_is_zero() -> None:
    """Where there is nothing to measure the noise is 0, not an error."""
    assert noise_sigma(np.full((50, 50), 255, np.float32)) == 0.0
    assert noise_sigma(np.zeros((5, 5), np.float32)) == 0.0


def test_a_frame_of_a_still_scene_lies_below_the_limit_and_a_shifted_one_above() -> None:
    """Two noisy frames of one scene, one darker by a tenth, are near; the scene moved by two pixels is not."""
    rng = np.random.default_rng(1)
    scene = images.picture(3, 320, 320).astype(np.float32)

    def shot(gain: float = 1.0, shift: int = 0) -> np.ndarray:
        noisy = np.roll(scene, shift, axis=1) * gain + rng.normal(0, 3, scene.shape)
        return np.clip(noisy, 0, 255).round().astype(np.uint8)

    shots = [shot(), shot(0.9), shot(1.0, 2)]
    thumbs = level(np.stack([thumbnail(to_grey(image)) for image in shots]))
    limit = near_limit(3.0 / np.sqrt(3), 320 * 320)
    _, distances = nearest(thumbs[:1], thumbs[1:])
    assert distances[0] < limit
    assert distances[1] > 3 * limit


def test_the_limit_is_that_of_two_frames() -> None:
    """Without averaging the limit is sqrt(2) times noise and coding noise together."""
    assert near_limit(3.0, 64 * 64) == pytest.approx(np.sqrt(2 * (9 + CODING_NOISE**2)))


def test_nearest_agrees_with_the_plain_loop() -> None:
    """Block by block gives what comparing each with each gives, over the edge of a block too."""
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0, 255, (530, 6)).astype(np.float32), rng.uniform(0, 255, (520, 6)).astype(np.float32)
    all_distances = np.sqrt(((a[:, None].astype(np.float64) - b[None]) ** 2).mean(axis=2))
    rows, distances = nearest(a, b)
    np.testing.assert_array_equal(rows, all_distances.argmin(axis=0))
    np.testing.assert_allclose(distances, all_distances.min(axis=0), atol=1e-6)
    own = np.sqrt(((a[:, None].astype(np.float64) - a[None]) ** 2).mean(axis=2))
    np.fill_diagonal(own, np.inf)
    np.testing.assert_array_equal(nearest(a, a)[0], own.argmin(axis=0))


def test_nobody_alone_has_a_neighbour() -> None:
    """One thumbnail among itself has no neighbour."""
    one = np.ones((1, 4), np.float32)
    rows, distances = nearest(one, one)
    assert rows.tolist() == [-1]
    assert np.isinf(distances).all()


def test_levelling_leaves_black_pictures_alone() -> None:
    """A gain brings pictures to one mean; a black one has none."""
    thumbs = np.array([[10, 30], [40, 120], [0, 0]], np.float32)
    levelled = level(thumbs)
    np.testing.assert_allclose(levelled[0], levelled[1])
    np.testing.assert_array_equal(levelled[2], 0)


def test_same_finds_sets_of_equal_hashes() -> None:
    """Names that share a hash come together, sorted; others do not come."""
    assert same({"c": "1", "a": "1", "b": "2"}) == (("a", "c"),)
