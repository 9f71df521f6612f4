"""Reading image files: whatever is broken is named with its reason and never half read."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import images
from lineside.capture.decode import read_image
from lineside.errors import ImageError

COLOUR = images.picture()
GREY = images.picture(channels=1)
DEEP = (np.arange(48 * 64, dtype=np.uint16) % 4096).reshape(48, 64)


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

HUGE = (
    "its header asks for {} pixels, more than the 200 megapixels that are read; cut it into frames, or allow more "
    "(--max-pixels of `lineside inspect`)."
)
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
