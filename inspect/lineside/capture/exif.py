"""The exposure time that a camera wrote into its file: EXIF tag ExposureTime of JPEG, PNG or TIFF.

A missing or damaged tag is no error: it says that the exposure is not known. `cv2.imdecodeWithMetadata` was rejected
(it came after the oldest OpenCV that is allowed, and would hand over the same bytes undecoded); Pillow would be one
more dependency of every line PC for one number.
"""

import re
import struct

_JPEG_EXIF = re.compile(rb"\xff\xe1..Exif\x00\x00", re.DOTALL)  # APP1 (EXIF 2.32, 4.7.2)
_HEAD = 65536  # bytes of a JPEG in which the segment is looked for; the standard puts it first
_EXIF_IFD, _EXPOSURE_TIME = 0x8769, 0x829A  # EXIF 2.32, 4.6.3 and 4.6.5
_RATIONAL = 5


def exposure_us(content: bytes) -> float | None:
    """Return an image file's exposure time in microseconds, or None where it does not say.

    Parameters
    ----------
    content : bytes
        A JPEG, PNG or TIFF file.
    """
    try:
        return _exposure(_block(content))
    except (struct.error, IndexError, ZeroDivisionError):
        return None


def _block(content: bytes) -> bytes:
    """Return the TIFF structure that holds the tags; empty where there is none."""
    if content[:4] in (b"II*\x00", b"MM\x00*"):
        return content
    if content.startswith(b"\xff\xd8"):
        found = _JPEG_EXIF.search(content[:_HEAD])
        return content[found.end() :] if found else b""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_block(content)
    return b""


def _png_block(content: bytes) -> bytes:
    at = 8
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        if name == b"eXIf":
            return content[at + 8 : at + 8 + length]
        at += 12 + length
    return b""


def _exposure(block: bytes) -> float | None:
    if block[:4] not in (b"II*\x00", b"MM\x00*"):
        return None
    order = "<" if block.startswith(b"II") else ">"
    tags = _tags(block, struct.unpack_from(order + "I", block, 4)[0], order)
    if _EXIF_IFD in tags:
        tags = _tags(block, struct.unpack_from(order + "I", block, tags[_EXIF_IFD][1])[0], order)
    kind, at = tags.get(_EXPOSURE_TIME, (0, 0))
    if kind != _RATIONAL:
        return None
    seconds, per = struct.unpack_from(order + "II", block, struct.unpack_from(order + "I", block, at)[0])
    exposure = 1e6 * seconds / per
    return float(exposure) if exposure > 0 else None


def _tags(block: bytes, at: int, order: str) -> dict[int, tuple[int, int]]:
    """Return a directory's tags: type, and where its value or the offset of it stands."""
    count = struct.unpack_from(order + "H", block, at)[0]
    entries = (struct.unpack_from(order + "HH", block, at + 2 + 12 * i) for i in range(count))
    return {tag: (kind, at + 2 + 12 * i + 8) for i, (tag, kind) in enumerate(entries)}
