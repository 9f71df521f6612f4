"""What a check found, as values: the command prints them, a program reads them as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lineside.capture.duplicates import NearPair
from lineside.errors import ImageError, RecipeError


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or that a person should look at."""

    severity: Literal["error", "warning"]
    text: str
    """What was found and what to do about it, without the files."""
    files: tuple[str, ...] = ()
    """Relative to the folder of images; with what is wrong with each where that differs."""
    exit_code: int = 0
    """Of an error: 2 where the recipe asks for the impossible, 3 where files cannot be used."""


@dataclass(frozen=True)
class Probe:
    """What is kept of one readable image."""

    size_wh: tuple[int, int]
    """As read, after EXIF orientation."""
    channels: Literal[1, 3]
    """Of the file, before the recipe's `capture.color`."""
    file_sha256: str
    pixel_sha256: str


@dataclass(frozen=True)
class Likeness:
    """How alike the images are; grey levels on thumbnails of one mean level."""

    noise_sigma: float
    """Camera noise of one pixel of the frame: median over good training images."""
    near_limit: float
    """Below this a pair is near."""
    typical_distance: float | None
    """Median distance of a good training image to its nearest other one."""
    near: tuple[NearPair, ...]
    """Near copies that stand out from all else, each image with the nearest; closest first, without exact copies."""
    alike: tuple[str, ...] = ()
    """Images as near to another one that do not stand out: parts that are alike by nature."""


@dataclass(frozen=True)
class CheckReport:
    """What `lineside check` found."""

    part: str
    recipe: str
    layout: Literal["mvtec", "plain"]
    counts: Mapping[str, int]
    """Images per side and label, such as ``{"train/good": 50}``."""
    masks: Mapping[str, int]
    """Images with a mask, by the same names."""
    sizes: Mapping[str, int]
    """Images per size, such as ``{"640x480": 50}``, most frequent first."""
    frame_channels: Literal[1, 3]
    file_channels: Mapping[str, int]
    """Files that are ``mono`` and ``rgb``."""
    bit_depth: int
    groups: int
    """Physical parts among the good training images."""
    likeness: Likeness | None
    """None where fewer than one good training image could be read."""
    problems: tuple[Problem, ...]

    @property
    def exit_code(self) -> int:
        """0 without errors, else 2 where one concerns the recipe, else 3."""
        codes = {p.exit_code for p in self.problems if p.severity == "error"}
        order = (RecipeError.exit_code, ImageError.exit_code)
        return next((code for code in order if code in codes), 0)

    def to_dict(self) -> dict[str, Any]:
        """Return what fits into JSON."""
        document = asdict(self)
        document["exit_code"] = self.exit_code
        return document
