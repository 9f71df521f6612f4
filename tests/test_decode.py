"""Reading image files: whatever is right comes out exactly, upright and with the channels that it has."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import images
from lineside.bit_depth import to_uint8
from lineside.capture.decode import read_image
from lineside.errors import ImageError

COLOUR = images.picture()
GREY = images.picture(channels=1)
DEEP = (np.arange(48 * 64, dtype=np.uint16) % 4096).reshape(48, 64)
LOSSLESS = (".png", ".bmp", ".tiff", ".tif")


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


@given(bit_depth=st.sampled_from([10, 12, 14, 16]), sample=st.integers(0, 65535))
def test_to_uint8_is_the_nearest_step(bit_depth: int, sample: int) -> None:
    """The reduction to uint8 is never more than half a step from the exact value."""
    top = 2**bit_depth - 1
    sample = min(sample, top)
    reduced = int(to_uint8(np.array([sample], np.uint16), bit_depth)[0])
    assert abs(reduced - sample * 255 / top) <= 0.5


def test_opencv_speaks_again_after_decoding(tmp_path: Path) -> None:
    """OpenCV's log level is the process's: it is put back after each file."""
    from cv2.utils import logging

    before = logging.setLogLevel(4)
    try:
        read_image(images.write(tmp_path / "a.png", COLOUR))
        assert logging.getLogLevel() == 4
    finally:
        logging.setLogLevel(before)


# ---- limits


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
def test_the_limit_on_pixels_is_the_callers(tmp_path: Path, suffix: str) -> None:
    """A picture of just so many pixels is read, one of a pixel more is refused before it is decoded."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(images.encoded(np.full((7, 9, 3), 100, np.uint8), suffix))
    assert read_image(path, max_pixels=63).shape == (7, 9, 3)
    with pytest.raises(ImageError, match=r"asks for 9x7 pixels, more than the 6\.2e-05 megapixels"):
        read_image(path, max_pixels=62)


def test_a_giant_file_is_not_read(tmp_path: Path) -> None:
    """A file larger than any picture within the limit is refused by its size alone: these bytes are no picture."""
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(2_000_000)
    with pytest.raises(ImageError, match=r"a\.png: a file of 2000000 bytes, more than the 1048584 that are read"):
        read_image(path, max_pixels=1)
    with pytest.raises(ImageError, match="not a JPEG"):
        read_image(path, max_pixels=200_000)
