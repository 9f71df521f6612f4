"""What the walkers of the file formats share: what a header says, and why a file is refused."""

from dataclasses import dataclass
from typing import Literal


class HeaderError(ValueError):
    """Why a file cannot be used, as the end of a sentence; `decode` adds the path."""


@dataclass(frozen=True)
class Header:
    """What an image file says of itself, once all of it was seen to be there."""

    format: Literal["JPEG", "PNG", "BMP", "TIFF"]
    size_wh: tuple[int, int]
    """As stored, before EXIF orientation."""
    channels: Literal[1, 3]
    """Colour channels, alpha not counted."""
    bits: Literal[8, 16]
    """Bits per sample once decoded; fewer than 8 stored ones are widened."""
    has_alpha: bool

    def __post_init__(self) -> None:
        width, height = self.size_wh
        if width < 1 or height < 1:
            raise HeaderError(f"its header says {width}x{height} pixels; the file is damaged")

    def within(self, max_pixels: int) -> "Header":
        """Return it, unless the picture has more pixels: a small file can claim any size."""
        width, height = self.size_wh
        if width * height > max_pixels:
            raise HeaderError(
                f"its header asks for {width}x{height} pixels, more than the {max_pixels / 1e6:g} megapixels "
                "that are read; cut it into frames, or allow more (--max-pixels of `lineside inspect`)"
            )
        return self


def truncated(what: str, needed: int, found: int) -> HeaderError:
    """Return the error for a file that ends too early; sizes in bytes."""
    return HeaderError(f"truncated: {what} reaches to byte {needed}, the file ends at {found}; copy it again")
