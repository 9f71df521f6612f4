"""The flat-field image: the mean of many pictures of an empty, evenly lit target, in a 16-bit PNG.

16 bits, because the mean of many pictures knows the light better than to one grey level. Its scale follows one rule
that the reader needs no mark for: the camera's own samples where it delivers more than 8 bits, and 257 steps per grey
level where it delivers 8 (65535 is 255). So a plain picture of the target serves as well as the mean.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from lineside import __version__
from lineside.bit_depth import BIT_DEPTHS
from lineside.capture.decode import decode_samples
from lineside.capture.source import SourceOptions, find_source, open_source
from lineside.capture.store import encode_samples, first, sidecar_bytes, write_new
from lineside.errors import ImageError, UsageError
from lineside.image_files import read_content

F32 = npt.NDArray[np.float32]
LIVE_COUNT = 16
"""Pictures of a camera where no number is given. A choice: their mean has a quarter of the noise of one."""
DARK_LIMIT = 0.25
"""A choice: a dark frame above this share of the target's level was taken with light on it."""
_STEPS = 257
_PLAIN = re.compile(r"[\w./-]+", re.ASCII)


class Judged(Protocol):
    """What is asked of a judgement of evenness."""

    @property
    def even_enough(self) -> bool:
        """Whether the picture may serve as a flat field."""

    @property
    def words(self) -> tuple[str, ...]:
        """A sentence per number that is out of its limit, with what to do."""


@dataclass(frozen=True)
class FlatRequest:
    """What a flat field is to be made from.

    Raises
    ------
    UsageError
        When a number is outside its range, or `out` is no PNG or is there already.
    """

    source: str
    out: Path
    dark: str | None = None
    """A source of pictures with the lens covered."""
    count: int | None = None
    """Pictures at most, of each source; None: all there are, and `LIVE_COUNT` of a camera or a stream."""
    bit_depth: int = 8
    """Bits per sample that the camera delivers."""
    replace: bool = False
    """Write over what is there."""

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise UsageError(f"The number of pictures must be from 1, found {self.count}.")
        if self.bit_depth not in BIT_DEPTHS:
            raise UsageError(f"The bit depth must be one of {', '.join(map(str, BIT_DEPTHS))}, found {self.bit_depth}.")
        if self.out.suffix.lower() != ".png":
            raise UsageError(f"{self.out}: a flat-field image is a 16-bit PNG; end its name in .png.")
        for source in (self.source, self.dark):
            folder = Path(source).resolve() if source else None
            if folder and folder.is_dir() and self.out.resolve().is_relative_to(folder):
                raise UsageError(
                    f"{self.out}: lies among the pictures of {source}, and would be averaged with them the next time. "
                    "Name another place with --out."
                )
        for path in (self.out, self.dark_out) if self.dark else (self.out,):
            if path.is_dir():
                raise UsageError(f"{path}: expected the name of an image, found a folder.")
            if path.exists() and not self.replace:
                raise UsageError(f"{path}: is there already. Add --force to replace it, or name another with --out.")

    @property
    def dark_out(self) -> Path:
        """Where the dark frame goes."""
        return self.out.with_name(f"{self.out.stem}_dark.png")


@dataclass(frozen=True, eq=False)
class MeanPicture:
    """The mean of a source's pictures."""

    image: F32
    """[H, W, C], 0 to 255 whatever the bit depth."""
    count: int
    label: str


@dataclass(frozen=True)
class FlatReport:
    """A flat field that was made and written."""

    out: Path
    dark_out: Path | None
    count: int
    size_wh: tuple[int, int]
    even_enough: bool
    words: tuple[str, ...]
    recipe_line: str


def make_flat(request: FlatRequest, judge: Callable[[F32], Judged], options: SourceOptions | None = None) -> FlatReport:
    """Average a source into a flat-field image, judge it and write it, whatever the judgement.

    Parameters
    ----------
    request : FlatRequest
        From what, and whereto.
    judge : callable
        Given the mean, float32 [H, W, C], 0 to 255; says whether it is even enough. Its numbers go into the sidecar.
    options : SourceOptions, optional
        How the sources are read.

    Raises
    ------
    UsageError
        When there is no such source, or pictures are of another bit depth than was said.
    ImageError
        When a picture cannot be used, or differs in size or channels from the first.
    StorageError
        When a camera gives nothing, or a file cannot be written.
    """
    target = mean_picture(request.source, request, options)
    dark = mean_picture(request.dark, request, options) if request.dark else None
    if dark is not None and dark.image.shape != target.image.shape:
        raise ImageError(
            f"its pictures are {_shape(dark.image)}, those of the target {_shape(target.image)}; take both with one "
            "camera and one setting.",
            path=dark.label,
        )
    judged = judge(target.image)
    complaint = _dark_complaint(target, dark)
    words = (*(judged.words if not judged.even_enough or not complaint else ()), *complaint)
    even_enough = judged.even_enough and not complaint
    numbers = {name: value for name, value in vars(judged).items() if isinstance(value, float)}
    _write(request.out, target, request, {"even_enough": even_enough, "words": list(words), **numbers})
    if dark is not None:
        _write(request.dark_out, dark, request, {})
    height, width = target.image.shape[:2]
    return FlatReport(
        request.out,
        request.dark_out if dark else None,
        target.count,
        (width, height),
        even_enough,
        words,
        recipe_line(request),
    )


def mean_picture(text: str, request: FlatRequest, options: SourceOptions | None = None) -> MeanPicture:
    """Return the mean of a source's pictures, holding one picture in memory at a time; raises as `make_flat`."""
    source = find_source(text)
    count = LIVE_COUNT if request.count is None and source.live else request.count
    total: npt.NDArray[np.float64] | None = None
    done = 0
    with closing(open_source(text, options)) as shots:
        for shot in first(shots, count):
            if (shot.bits == 16) != (request.bit_depth > 8):
                raise UsageError(
                    f"{source.label}: {shot.name} has {shot.bits} bits per sample, and --bit-depth is "
                    f"{request.bit_depth}. Set it to what the camera delivers, as capture.bit_depth in the recipe."
                )
            if total is None:
                total = np.zeros(shot.samples.shape, np.float64)
            if shot.samples.shape != total.shape:
                raise ImageError(
                    f"is {_shape(shot.samples)}, the pictures before it {_shape(total)}; a flat field is made from "
                    "pictures of one camera.",
                    path=shot.path or f"{source.label} {shot.name}",
                )
            total += shot.samples
            done += 1
    if total is None:
        raise ImageError("gave no picture.", path=source.label)
    top = 2**request.bit_depth - 1
    if total.max() > done * top:
        raise UsageError(f"{source.label}: holds samples above {top}, the most that {request.bit_depth} bits hold.")
    return MeanPicture((total * (255.0 / (done * top))).astype(np.float32), done, source.label)


def read_flat_image(path: Path, *, channels: Literal[1, 3], bit_depth: int = 8) -> F32:
    """Read a flat-field image, a dark frame, or a plain picture of an empty target.

    Parameters
    ----------
    path : Path
        An image file. 16-bit samples are the camera's own where `bit_depth` is above 8, else 257 per grey level.
    channels : {1, 3}
        Of the frames that it is for.
    bit_depth : int
        Bits per sample that the camera delivers.

    Returns
    -------
    ndarray of float32 [H, W, channels]
        0 to 255.

    Raises
    ------
    ImageError
        When it cannot be read, holds samples beyond the bit depth, or is coloured where frames are grey.
    """
    samples = decode_samples(read_content(path), path)
    top = 255 if samples.dtype == np.uint8 else 65535 if bit_depth == 8 else 2**bit_depth - 1
    if int(samples.max()) > top:
        raise ImageError(
            f"it holds the sample {int(samples.max())}, but {bit_depth} bits end at {top}; set capture.bit_depth in "
            "the recipe to what the camera delivers.",
            path=path,
        )
    if channels == 1 and samples.shape[2] == 3:
        if (samples != samples[:, :, :1]).any():
            raise ImageError("a colour image, but frames are grey; take it with the same camera.", path=path)
        samples = samples[:, :, :1]
    image = samples.astype(np.float32) * np.float32(255.0 / top)
    return np.repeat(image, 3, axis=2) if image.shape[2] < channels else image


def recipe_line(request: FlatRequest) -> str:
    """Return the line of a recipe that names the image, as if the recipe lay beside it."""
    keys = f"flat_field: {_quoted(request.out.name)}"
    if request.dark:
        keys += f", dark_frame: {_quoted(request.dark_out.name)}"
    return f"normalise: {{light: {{{keys}}}}}"


def describe(report: FlatReport) -> list[str]:
    """Say in lines what was made, whether it is even enough, and how a recipe names it."""
    width, height = report.size_wh
    pictures = "1 picture" if report.count == 1 else f"{report.count} pictures"
    lines = [f"Wrote {report.out}: the mean of {pictures}, {width}x{height}."]
    if report.dark_out:
        lines.append(f"Wrote {report.dark_out}: the dark frame.")
    lines += report.words
    return [*lines, "In the recipe, with the path relative to recipe.yaml:", f"  {report.recipe_line}"]


def _write(path: Path, mean: MeanPicture, request: FlatRequest, numbers: Mapping[str, object]) -> None:
    """Write the image, then its sidecar: the image is what somebody waits for."""
    scale = _STEPS if request.bit_depth == 8 else (2**request.bit_depth - 1) / 255.0
    samples = np.rint(mean.image.astype(np.float64) * scale).astype(np.uint16)
    write_new(path, encode_samples(samples, "png"), replace=request.replace)
    document: dict[str, object] = {
        "file": path.name,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "source": mean.label,
        "pictures": mean.count,
        "bit_depth": request.bit_depth,
        **numbers,
        "lineside_version": __version__,
    }
    write_new(path.with_suffix(".json"), sidecar_bytes(document), replace=request.replace)


def _dark_complaint(target: MeanPicture, dark: MeanPicture | None) -> tuple[str, ...]:
    if dark is None:
        return ()
    share = float(dark.image.mean()) / max(float(target.image.mean()), 1e-6)
    if share <= DARK_LIMIT:
        return ()
    return (
        f"The dark frame has {share:.0%} of the target's level, at most {DARK_LIMIT:.0%} is expected: cover the lens "
        "and take it again.",
    )


def _shape(image: npt.NDArray[np.generic]) -> str:
    height, width, channels = image.shape
    return f"{width}x{height} {'grey' if channels == 1 else 'colour'}"


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name)
