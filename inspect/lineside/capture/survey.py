"""What a folder of images is, and the first recipe for it: short, commented, and only what was found.

Headers only are read but for a few 16-bit files, whose largest sample is told to the user. It is told and not used: the
largest sample of some parts says nothing of the camera's bit depth.
"""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lineside.capture.container import Header, HeaderError
from lineside.capture.decode import largest_sample
from lineside.capture.header import read_header
from lineside.dataset import MASK_FOLDER, find_layout, label_of, refuse_odd_names
from lineside.errors import ImageError, StorageError, UsageError
from lineside.image_files import is_own_output, read_content, walk_images
from lineside.recipe import RECIPE_FILE, load_recipe

_SAMPLED = 10  # 16-bit files that are decoded


@dataclass(frozen=True)
class Survey:
    """What was found in a folder of images."""

    layout: Literal["mvtec", "plain"]
    counts: Mapping[str, int]
    """Readable images per label."""
    sizes: Mapping[str, int]
    """Images per size as stored, such as ``{"640x480": 50}``, most frequent first."""
    mono: int
    rgb: int
    deep: int
    """16-bit files."""
    largest_sample: int | None
    """Of the first few 16-bit files; None where there are none."""
    masks: int
    unreadable: tuple[str, ...]
    """``file: reason``."""

    @property
    def images(self) -> int:
        """Readable images."""
        return sum(self.counts.values())


def survey_images(root: Path) -> Survey:
    """Look at a folder of images.

    Raises
    ------
    ImageError
        When it has no known layout, no readable image in it, or file names that are no text.
    """
    layout = find_layout(root)
    headers: dict[Path, Header] = {}
    unreadable: list[str] = []
    paths = [
        path
        for path in walk_images(root, is_own_output)
        if path.relative_to(root).parts[0] != MASK_FOLDER and _label(path, root, layout)
    ]
    refuse_odd_names(root, (path.relative_to(root).as_posix() for path in paths))
    for path in paths:
        try:
            headers[path] = read_header(read_content(path))
        except (ImageError, HeaderError) as error:
            unreadable.append(f"{path.relative_to(root).as_posix()}: {error}")
    if not headers:
        raise ImageError(f"no readable image in it; {len(unreadable)} cannot be used.", path=root)
    deep = [path for path, header in headers.items() if header.bits == 16]
    counts = Counter(_label(path, root, layout) for path in headers)
    folder = root / MASK_FOLDER
    return Survey(
        layout=layout,
        counts={label: counts[label] for label in sorted(counts, key=lambda name: (name != "good", name))},
        sizes=dict(Counter(f"{h.size_wh[0]}x{h.size_wh[1]}" for h in headers.values()).most_common()),
        mono=sum(h.channels == 1 for h in headers.values()),
        rgb=sum(h.channels == 3 for h in headers.values()),
        deep=len(deep),
        largest_sample=max((largest_sample(path) for path in deep[:_SAMPLED]), default=None),
        masks=sum(1 for _ in walk_images(folder)) if folder.is_dir() else 0,
        unreadable=tuple(unreadable),
    )


def new_recipe(folder: Path, images: Path) -> tuple[Path, Survey]:
    """Write a recipe for a folder of images.

    Parameters
    ----------
    folder : Path
        The recipe's folder; made where it is missing.
    images : Path
        The folder of images.

    Returns
    -------
    Path, Survey
        The file, and what it was written from.

    Raises
    ------
    UsageError
        When there is a recipe already; it is never overwritten.
    ImageError
        When the images cannot be used.
    StorageError
        When the file cannot be written.
    """
    file = folder / RECIPE_FILE
    if file.exists() or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            f"{file if folder.is_dir() else folder}: there already, and never overwritten. Name another folder."
        )
    if not images.is_dir():
        raise UsageError(f"{images}: expected a folder of images, found {'a file' if images.exists() else 'nothing'}.")
    survey = survey_images(images)
    text = recipe_text(part_name(folder), _relative(images, folder), survey)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file}: there already, and never overwritten. Name another folder.") from None
    except OSError as error:
        raise StorageError(f"{file}: cannot be written ({error.strerror}).") from None
    load_recipe(file)
    return file, survey


def part_name(folder: Path) -> str:
    """Return a part's name made of a folder's name: letters, digits, - and _."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-_")[:64]
    return name or "part"


def recipe_text(part: str, images: str, survey: Survey) -> str:
    """Return the text of a first recipe."""
    found = "\n".join(f"# {line}" for line in describe(survey))
    depth = 16 if survey.deep else 8
    hint = (
        f"  # bits per sample; the files are 16 bit and their largest sample is {survey.largest_sample} (of "
        f"{min(_SAMPLED, survey.deep)} files): 10, 12 or 14 if that is what your camera delivers"
        if survey.deep
        else "  # bits per sample that the camera delivers"
    )
    return f"""\
# What lineside trains from. Keys that are left out take their defaults; recipe.lock.yaml names them all after training.
#
{found}

part: {_quoted(part)}
images: {_quoted(images)}  # relative to this file

capture:
  bit_depth: {depth}{hint}
  # group: '^([^_]+)_'  # pictures of one physical part: what their file names share

normalise:  # light and pose are decided on the good images; `lineside preview` shows what is made of them
  size: 256  # px; smaller is faster, larger sees smaller defects
  # pose: {{angle_deg: 10, shift: 0.05}}  # largest turn and shift that the fixture allows
  # light: {{flat_field: flat.png}}  # a picture of an empty, evenly lit target, from `lineside flatfield`
  # roi: [0.1, 0.1, 0.9, 0.9]  # inspect only this box, in shares of the first good training image

calibrate:
  overkill: 0.05  # share of good parts that may be called NG
"""


def describe(survey: Survey) -> list[str]:
    """Say in a few lines what was found."""
    layout = "MVTec AD layout" if survey.layout == "mvtec" else "a folder per class; lineside draws the test images"
    classes = [f"{count} {label}" for label, count in survey.counts.items()]
    kinds = [f"{n} {name}" for n, name in ((survey.rgb, "colour"), (survey.mono, "grey")) if n]
    sizes = [f"{size} ({count})" for size, count in survey.sizes.items()]
    depths = [f"{n} with {bits} bit" for n, bits in ((survey.images - survey.deep, 8), (survey.deep, 16)) if n]
    masks = "1 mask" if survey.masks == 1 else f"{survey.masks} masks"
    lines = [
        f"Found {survey.images} images ({layout}): {', '.join(classes)}; {masks}.",
        f"Sizes: {', '.join(sizes[:6])}{' …' if len(sizes) > 6 else ''}; {', '.join(kinds)}; {', '.join(depths)}.",
    ]
    if survey.unreadable:
        lines.append(f"{len(survey.unreadable)} files cannot be used; `lineside check` names them.")
    return lines


def _label(path: Path, root: Path, layout: str) -> str:
    """Return an image's label, or the empty text where it lies in no class's folder."""
    parts = path.relative_to(root).parts
    if layout == "mvtec":
        return label_of(parts[1]) if len(parts) > 2 and parts[0] in ("train", "test") else ""
    return label_of(parts[0]) if len(parts) > 1 else ""


def _relative(images: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(images.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        return images.resolve().as_posix()


def _quoted(text: str) -> str:
    """Quote a text that YAML would read as something else."""
    plain = re.fullmatch(r"[A-Za-z_./][A-Za-z0-9_./-]*", text)
    special = text.lower() in ("true", "false", "null", "yes", "no", "on", "off", "y", "n") or text.startswith("...")
    return text if plain and not special else "'" + text.replace("'", "''") + "'"
