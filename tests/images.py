"""Image files made byte by byte, sound and broken ones, and small folders of them: what tests of reading run on."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
Array = npt.NDArray[np.generic]
SOUND = {"train/good": 20, "train/dent": 2, "test/good": 4, "test/dent": 3}
"""Images of a folder with nothing wrong in it."""


def picture(seed: int = 0, height: int = 48, width: int = 64, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Return a smooth random picture with a little noise: uint8 [H, W, C], red first."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 200, (6, 8, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
    noisy = smooth + rng.normal(0, 2, smooth.shape)
    return np.clip(noisy, 0, 255).round().astype(np.uint8)


def encoded(image: Array, suffix: str, **options: int) -> bytes:
    """Return an image [H, W, C] (red first) or [H, W] as a file's bytes."""
    bgr = image[:, :, ::-1] if image.ndim == 3 and image.shape[2] == 3 else image
    flags = [value for name, number in options.items() for value in (getattr(cv2, name), number)]
    ok, data = cv2.imencode(suffix, np.ascontiguousarray(bgr), flags)
    assert ok
    return bytes(data)


def write(path: Path, image: Array) -> Path:
    """Write an image by its suffix, making folders as needed, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(image, path.suffix))
    return path


def write_folder(root: Path, counts: dict[str, int], suffix: str = ".png", channels: int = 3, seed: int = 0) -> Path:
    """Write `counts` images of 64x48 into the folders below `root`: ``{"train/good": 3}`` writes 000, 001, 002."""
    for number, (folder, count) in enumerate(sorted(counts.items())):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = picture(seed + 1000 * number + i, channels=channels)
            write(root / folder / f"{i:03d}{suffix}", image)
    return root


def write_recipe(folder: Path, text: str = "", images: str = "images") -> Path:
    """Write a recipe with `part`, `images` and further lines; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(f"part: p\nimages: {images}\n{text}", encoding="utf-8")
    return folder


def exif(orientation: int) -> bytes:
    """Return a TIFF block that holds an orientation and nothing else."""
    return b"MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


def jpeg_with_exif(content: bytes, orientation: int) -> bytes:
    """Put an orientation into a JPEG."""
    block = b"Exif\x00\x00" + exif(orientation)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, bits: int, kind: int, rows: bytes, *extra: bytes) -> bytes:
    """Return a PNG of unfiltered rows; `kind` is its colour type, `extra` are chunks before the picture."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return PNG_SIGNATURE + header + b"".join(extra) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def tiff(image: Array, tags: dict[int, tuple[int, ...]] | None = None, order: str = "<", pages: int = 1) -> bytes:
    """Return an uncompressed TIFF of one strip per page; `tags` (short numbers) replace or join the needed ones."""
    height, width = image.shape[:2]
    samples = image.shape[2] if image.ndim == 3 else 1
    data = np.ascontiguousarray(image, image.dtype.newbyteorder(order)).tobytes()
    wanted: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (image.dtype.itemsize * 8,) * samples, 259: (1,),
        262: (1 if samples == 1 else 2,), 273: (8,), 277: (samples,), 278: (height,), 279: (len(data),),
        **(tags or {}),
    }  # fmt: skip
    content = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", 8 + len(data)) + data
    for page in range(pages):
        entries, beyond = b"", b""
        start = len(content)
        after = start + 2 + 12 * len(wanted) + 4
        for tag, values in sorted(wanted.items()):
            kind, code = (4, "I") if tag in (273, 279) else (3, "H")
            packed = struct.pack(f"{order}{len(values)}{code}", *values)
            if len(packed) > 4:
                field = struct.pack(order + "I", after + len(beyond))
                beyond += packed
            else:
                field = packed.ljust(4, b"\x00")
            entries += struct.pack(order + "HHI", tag, kind, len(values)) + field
        following = after + len(beyond) if page + 1 < pages else 0
        content += struct.pack(order + "H", len(wanted)) + entries + struct.pack(order + "I", following) + beyond
    return content


def jpeg_with_thumbnail(content: bytes, thumbnail: bytes) -> bytes:
    """Put a whole small JPEG, end marker and all, into an application segment of a JPEG."""
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + content[2:]


def bmp(width: int, height: int, bits: int, palette: bytes, rows: bytes, compression: int = 0) -> bytes:
    """Return a BMP with a 40-byte header."""
    offset = 54 + len(palette)
    head = b"BM" + struct.pack("<IHHI", offset + len(rows), 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0)
    return head + info + palette + rows
