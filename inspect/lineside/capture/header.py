"""What an image file says of itself, and whether all of it is there, before any decoder sees it.

Decoders are too kind for inspection: libjpeg fills what is missing with grey, libtiff and libpng print to the console,
a header of a hundred bytes can ask for gigabytes, and a palette or a see-through pixel becomes some colour without a
word. So the container is walked first: every chunk, segment or strip must lie inside the file (PNG's checksums must
hold), and what a verdict cannot stand on is refused with its reason. Pillow was rejected as a second decoder: it would
be one more dependency of every line PC, for what a few struct reads tell.

What this cannot find: damage inside the compressed data of a JPEG or TIFF whose structure is intact; neither format has
a checksum.
"""

import re
import struct
import zlib

from lineside.capture.container import Header, HeaderError, truncated
from lineside.capture.tiff import read_tiff
from lineside.contract import MAX_FRAME_PIXELS

_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")  # no stuffing, fill or restart (ITU-T T.81, B.1.1)
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG, DAC
_BMP_MASKS = (0xFF0000, 0xFF00, 0xFF)  # red, green, blue
_OTHERS = {
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"RIFF": "WebP or AVI",
    b"PK\x03\x04": "ZIP",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
}


def read_header(content: bytes, max_pixels: int = MAX_FRAME_PIXELS) -> Header:
    """Walk an image file.

    Parameters
    ----------
    content : bytes
        The whole file.
    max_pixels : int
        A picture of more is refused.

    Raises
    ------
    HeaderError
        When it is no JPEG, PNG, BMP or TIFF, is cut off, too large, or of a kind that cannot be judged.
    """
    if not content:
        raise HeaderError("an empty file (0 bytes); copy it again")
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(content, max_pixels)
        if content.startswith(b"\xff\xd8\xff"):
            return _jpeg(content, max_pixels)
        if content.startswith(b"BM"):
            return _bmp(content, max_pixels)
        if content[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
            return read_tiff(content, max_pixels)
    except (struct.error, IndexError):
        raise HeaderError(f"truncated inside its header, the file ends at {len(content)}; copy it again") from None
    kind = next((name for start, name in _OTHERS.items() if content.startswith(start)), None)
    seen = f"a {kind} file" if kind else f"it begins with {content[:8]!r}"
    raise HeaderError(f"not a JPEG, PNG, BMP or TIFF image ({seen})")


def _png(content: bytes, max_pixels: int) -> Header:
    width, height, bits, kind = struct.unpack_from(">IIBB", content, 16)
    transparent = False
    at, name = 8, b""
    while name != b"IEND":
        if at + 8 > len(content):
            raise truncated("a PNG chunk", at + 12, len(content))
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if end > len(content):
            raise truncated(f"the PNG chunk {name.decode('latin-1')}", end, len(content))
        if zlib.crc32(memoryview(content)[at + 4 : end - 4]) != struct.unpack_from(">I", content, end - 4)[0]:
            raise HeaderError(f"damaged: the checksum of the PNG chunk at byte {at} is wrong; copy it again")
        if name == b"acTL":
            raise HeaderError("an animated PNG; save one frame per file")
        transparent |= name == b"tRNS"
        at = end
    if kind == 3:
        raise HeaderError("a palette image, whose numbers are no light levels; save it as grey or RGB")
    grey, alpha = kind in (0, 4), kind in (4, 6) or transparent
    return Header("PNG", (width, height), 1 if grey else 3, 16 if bits == 16 else 8, alpha).within(max_pixels)


def _jpeg(content: bytes, max_pixels: int) -> Header:
    """Walk the segments to the end marker; a thumbnail has one of its own, inside a segment that is passed over."""
    frame: tuple[int, int, int, int] | None = None
    at = 2
    while True:
        found = _JPEG_MARKER.search(content, at)
        if found is None:
            raise HeaderError(
                f"truncated: a JPEG without its end marker, the file ends at {len(content)}; copy it again"
            )
        marker, at = content[found.start() + 1], found.end()
        if marker == 0xD9:
            break
        length = struct.unpack_from(">H", content, at)[0]
        if at + length > len(content):
            raise truncated("a JPEG segment", at + length, len(content))
        if marker in _JPEG_FRAMES and frame is None:
            frame = struct.unpack_from(">BHHB", content, at + 2)
        at += length
    if frame is None:
        raise HeaderError("damaged: a JPEG without a picture; copy it again")
    bits, height, width, components = frame
    if bits != 8:
        raise HeaderError(f"a JPEG of {bits} bits per sample; save it as a 16-bit PNG or TIFF")
    if components not in (1, 3):
        raise HeaderError(f"a JPEG of {components} components (CMYK); save it as grey or RGB")
    return Header("JPEG", (width, height), 1 if components == 1 else 3, 8, False).within(max_pixels)


def _bmp(content: bytes, max_pixels: int) -> Header:
    offset, header_size = struct.unpack_from("<I", content, 10)[0], struct.unpack_from("<I", content, 14)[0]
    if header_size < 40:
        raise HeaderError("a BMP of the old OS/2 kind; save it as PNG")
    width, signed_height, _, bits, compression = struct.unpack_from("<iiHHI", content, 18)
    height = abs(signed_height)
    if compression not in (0, 3) or bits not in (1, 4, 8, 24, 32):
        raise HeaderError(f"a BMP of a kind that is not read ({bits} bits, compression {compression}); save it as PNG")
    if compression == 3 and (bits != 32 or struct.unpack_from("<III", content, 54) != _BMP_MASKS):
        raise HeaderError("a BMP of unusual bit fields; save it as PNG")
    grey = bits <= 8
    if grey:
        _refuse_colour_palette(content, 14 + header_size, bits)
    alpha = bits == 32 and compression == 3 and header_size >= 56 and struct.unpack_from("<I", content, 66)[0] != 0
    header = Header("BMP", (width, height), 1 if grey else 3, 8, alpha).within(max_pixels)
    end = offset + (width * bits + 31) // 32 * 4 * height
    if end > len(content):
        raise truncated("the BMP's picture", end, len(content))
    return header


def _refuse_colour_palette(content: bytes, at: int, bits: int) -> None:
    """Let a BMP of 8 or fewer bits pass where its palette holds greys only: so grey cameras save it."""
    entries = struct.unpack_from("<I", content, 46)[0] or 1 << bits
    if entries > 256:
        raise HeaderError("damaged: a BMP palette of more than 256 colours; copy it again")
    for blue, green, red, _ in struct.iter_unpack("4B", content[at : at + 4 * entries]):
        if not red == green == blue:
            raise HeaderError("a palette image, whose numbers are no light levels; save it as grey or RGB")
