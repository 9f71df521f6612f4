"""From what the user named to a stream of images: lazy, in a fixed order, each image once.

Nothing here holds the list: a year's folder is walked twice (once to count, for the progress bar), never stored. An
image is known by the path as it was given, not by its resolved path: results stay readable and move with the project.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lineside.errors import ImageError, UsageError
from lineside.image_files import wrote_masks

RUN_FILE, BOXES_FILE = "run.json", "coco.json"
OVERLAY_FOLDER, MASK_FOLDER = "overlays", "masks"
"""Pictures of an inspection, in its folder."""
_TRUTH_FOLDER = "ground_truth"  # of the MVTec AD layout
_MASK_STEM = "_mask"


@dataclass(frozen=True)
class Census:
    """What a walk through the sources found."""

    images: int
    masks: int
    """Ground-truth masks of the MVTec AD layout; they are no images of parts and are left out."""


def check_sources(sources: Sequence[Path]) -> None:
    """Raise UsageError when no source is given or one does not exist."""
    if not sources:
        raise UsageError("Expected at least one image or folder to inspect, found none.")
    for source in sources:
        if not source.exists():
            raise UsageError(f"{source}: there is no such file or folder. Name images, or folders that hold some.")


def take_census(sources: Sequence[Path], out: Path) -> Census:
    """Count the images under `sources`.

    Raises
    ------
    ImageError
        When there is none.
    """
    images = masks = 0
    for is_mask, _ in _candidates(sources, out):
        masks += is_mask
        images += not is_mask
    if not images:
        from lineside.capture.folder import IMAGE_SUFFIXES

        wanted = ", ".join(sorted(IMAGE_SUFFIXES))
        named = ", ".join(str(source) for source in sources)
        raise ImageError(f"no image in it. Images are files that end in {wanted}.", path=named)
    return Census(images, masks)


def plan_images(sources: Sequence[Path], out: Path) -> Iterator[Path]:
    """Walk the sources in the order given, folders recursively and sorted.

    Parameters
    ----------
    sources : sequence of Path
        Files and folders. A file is taken whatever its suffix; one that also lies in an earlier source comes once.
    out : Path
        Folder of the results. Overlays and masks, of this inspection and of others, are not taken for images of parts.
    """
    return (path for is_mask, path in _candidates(sources, out) if not is_mask)


def _candidates(sources: Sequence[Path], out: Path) -> Iterator[tuple[bool, Path]]:
    """Every image once, with whether it is a ground-truth mask."""
    from lineside.capture.folder import IMAGE_SUFFIXES, walk_images

    resolved = [source.resolve() for source in sources]
    drawn = [out.resolve() / OVERLAY_FOLDER, *([out.resolve() / MASK_FOLDER] if wrote_masks(out) else [])]
    files: set[Path] = set()
    folders: list[Path] = []
    for source, root in zip(sources, resolved, strict=True):
        is_folder = source.is_dir()
        for path in walk_images(source) if is_folder else iter((source,)):
            inside = path.relative_to(source)
            whole = root / inside
            if any(map(whole.is_relative_to, drawn)) or _is_drawn(source, inside):
                continue
            if whole in files or _walked(whole, folders, IMAGE_SUFFIXES):
                continue
            yield _TRUTH_FOLDER in inside.parts[:-1] and path.stem.endswith(_MASK_STEM), path
        if is_folder:
            folders.append(root)
        else:
            files.add(root)


def _walked(whole: Path, folders: Sequence[Path], suffixes: tuple[str, ...]) -> bool:
    """Whether an earlier folder's walk, which passes over hidden names, found this file."""
    for root in folders:
        if whole.is_relative_to(root) and whole.name.lower().endswith(suffixes):
            return not any(part.startswith(".") for part in whole.relative_to(root).parts)
    return False


def _is_drawn(source: Path, inside: Path) -> bool:
    """Whether the file is an overlay or a mask that an inspection wrote; only one with boxes writes masks."""
    for depth, part in enumerate(inside.parts[:-1]):
        folder = source.joinpath(*inside.parts[:depth])
        if part == OVERLAY_FOLDER and (folder / RUN_FILE).is_file():
            return True
        if part == MASK_FOLDER and wrote_masks(folder):
            return True
    return False
