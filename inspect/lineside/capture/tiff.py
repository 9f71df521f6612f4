"""Walking a TIFF file (TIFF 6.0; BigTIFF): what it says of itself, and whether every strip or tile is there."""

import struct
from dataclasses import dataclass

from lineside.capture.container import Header, HeaderError, truncated

_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8; the walked tags use no other
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC = 254, 256, 257, 258, 262
_SAMPLES, _PLANAR, _EXTRA, _FORMAT = 277, 284, 338, 339
_DATA = ((273, 279), (324, 325))  # offsets and byte counts of strips, of tiles
_WANTED = frozenset(
    (_SUBFILE, _WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR, _EXTRA, _FORMAT, 273, 279, 324, 325)
)
_PHOTOMETRIC_NAMES = {0: "white is zero", 3: "palette", 4: "mask", 5: "CMYK", 8: "Lab", 9: "Lab", 10: "Lab"}
_MAX_PAGES = 64

Tags = dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class _Layout:
    """How this file writes numbers: byte order, and the wide fields of BigTIFF."""

    order: str
    big: bool

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")


def read_tiff(content: bytes, max_pixels: int) -> Header:
    """Walk a TIFF's directories.

    Raises
    ------
    HeaderError
        When a strip lies outside the file, or the picture is of a kind that cannot be judged.
    """
    layout = _Layout("<" if content[:2] == b"II" else ">", content[2:4] in (b"+\x00", b"\x00+"))
    first = struct.unpack_from(layout.offset, content, 8 if layout.big else 4)[0]
    tags, following = _directory(content, first, layout)
    _refuse_further_pages(content, following, layout)
    header = _header(tags).within(max_pixels)
    _refuse_missing_data(content, tags)
    return header


def _directory(content: bytes, at: int, layout: _Layout) -> tuple[Tags, int]:
    """Read the wanted tags of one directory, and where the next one lies (0: none)."""
    if at + 2 > len(content):
        raise truncated("the TIFF directory", at + 2, len(content))
    count = struct.unpack_from(layout.order + ("Q" if layout.big else "H"), content, at)[0]
    at, step = at + (8 if layout.big else 2), 20 if layout.big else 12
    if at + count * step > len(content):
        raise truncated("the TIFF directory", at + count * step, len(content))
    tags: Tags = {}
    for entry in range(at, at + count * step, step):
        tag, kind = struct.unpack_from(layout.order + "HH", content, entry)
        if tag in _WANTED and kind in _TYPES:
            tags[tag] = _values(content, entry + 4, kind, layout)
    return tags, struct.unpack_from(layout.offset, content, at + count * step)[0]


def _values(content: bytes, at: int, kind: int, layout: _Layout) -> tuple[int, ...]:
    number = struct.unpack_from(layout.offset, content, at)[0]
    at += 8 if layout.big else 4
    size = struct.calcsize(_TYPES[kind]) * number
    if size > (8 if layout.big else 4):
        at = struct.unpack_from(layout.offset, content, at)[0]
    if at + size > len(content):
        raise truncated("the TIFF directory", at + size, len(content))
    return struct.unpack_from(f"{layout.order}{number}{_TYPES[kind]}", content, at)


def _refuse_further_pages(content: bytes, at: int, layout: _Layout) -> None:
    """Refuse a second picture; a smaller copy of the first (NewSubfileType bit 0) or its mask (bit 2) is none."""
    for _ in range(_MAX_PAGES):
        if at == 0:
            return
        tags, at = _directory(content, at, layout)
        if not tags.get(_SUBFILE, (0,))[0] & 0b101:
            break
    raise HeaderError("a TIFF of several pages, of which one would be judged; save one frame per file")


def _header(tags: Tags) -> Header:
    if not {_WIDTH, _HEIGHT, _PHOTOMETRIC} <= tags.keys():
        raise HeaderError("damaged: a TIFF without its size or kind; copy it again")
    samples, extra = tags.get(_SAMPLES, (1,))[0], len(tags.get(_EXTRA, ()))
    photometric, bits = tags[_PHOTOMETRIC][0], set(tags.get(_BITS, (1,)))
    if set(tags.get(_FORMAT, (1,))) != {1}:
        raise HeaderError("a TIFF of floating-point or signed samples; save it as 8-bit or 16-bit unsigned")
    if photometric not in (1, 2, 6):
        name = _PHOTOMETRIC_NAMES.get(photometric, f"photometric {photometric}")
        raise HeaderError(f"a TIFF of a kind that is not read ({name}); save it as grey or RGB")
    colours = 1 if photometric == 1 else 3
    if samples != colours + extra or extra > 1 or (colours, extra) == (1, 1):
        raise HeaderError(f"a TIFF of {samples} samples per pixel; save it as grey or RGB")
    if bits not in ({8}, {16}) and not (bits == {1} and samples == 1):
        raise HeaderError(f"a TIFF of {', '.join(map(str, sorted(bits)))} bits per sample; save it as 8 or 16 bit")
    if tags.get(_PLANAR, (1,))[0] != 1 and samples > 1:
        raise HeaderError("a TIFF of separate colour planes; save it with interleaved samples")
    size_wh = (tags[_WIDTH][0], tags[_HEIGHT][0])
    return Header("TIFF", size_wh, 1 if colours == 1 else 3, 16 if bits == {16} else 8, bool(extra))


def _refuse_missing_data(content: bytes, tags: Tags) -> None:
    offsets, counts = next(((tags[o], tags[c]) for o, c in _DATA if o in tags and c in tags), ((), ()))
    if not offsets or len(offsets) != len(counts):
        raise HeaderError("damaged: a TIFF without its picture; copy it again")
    end = max(offset + count for offset, count in zip(offsets, counts, strict=True))
    if end > len(content):
        raise truncated("the TIFF's picture", end, len(content))
