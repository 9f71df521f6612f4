"""Whether the masks belong to the images: every mask to one, of its size, with a defect on it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from lineside.capture.decode import read_image
from lineside.capture.findings import Probe, Problem
from lineside.dataset import MASK_FOLDER, Dataset, Sample
from lineside.errors import ImageError
from lineside.image_files import shown, walk_images


def mask_problems(dataset: Dataset, probes: Mapping[str, Probe]) -> list[Problem]:
    """Return what is wrong with a data set's masks.

    Parameters
    ----------
    dataset : Dataset
        The images and the masks found for them.
    probes : mapping
        By name; images that could not be read are missing, and their masks are not measured.
    """
    unreadable: list[str] = []
    other_size: list[str] = []
    empty: list[str] = []
    for sample in dataset.samples:
        if sample.mask is None or sample.name not in probes:
            continue
        name = sample.mask.relative_to(dataset.root).as_posix()
        try:
            mask = read_image(sample.mask)
        except ImageError as error:
            unreadable.append(f"{name}: {_reason(error, sample.mask)}")
            continue
        size_wh = (mask.shape[1], mask.shape[0])
        if size_wh != probes[sample.name].size_wh:
            other_size.append(f"{name}: {_size(size_wh)}, {sample.name}: {_size(probes[sample.name].size_wh)}")
        if not mask.any():
            empty.append(name)
    return [
        *_problem("error", "masks cannot be read", unreadable),
        *_problem("error", "masks are of another size than their image; draw them on the image as it is", other_size),
        *_problem("warning", "masks are empty; a defect image needs its defect marked, or no mask at all", empty),
        *_problem("warning", "masks fit no image; a mask is named <image>_mask.png or <image>.png", _orphans(dataset)),
        *_problem(
            "warning",
            "images under train/ share their name with one under test/, which the mask is taken for; rename them",
            [s.name for s in _robbed(dataset.samples)],
        ),
    ]


def _problem(severity: str, text: str, files: list[str]) -> list[Problem]:
    if not files:
        return []
    return [Problem("error", text, tuple(files), 3) if severity == "error" else Problem("warning", text, tuple(files))]


def _orphans(dataset: Dataset) -> list[str]:
    folder = dataset.root / MASK_FOLDER
    used = {s.mask for s in dataset.samples}
    return (
        [shown(p.relative_to(dataset.root).as_posix()) for p in walk_images(folder) if p not in used]
        if folder.is_dir()
        else []
    )


def _robbed(samples: Iterable[Sample]) -> list[Sample]:
    """Find training images whose mask was given to the test image of the same class and name."""
    samples = tuple(samples)
    masked = {(s.label, Path(s.name).stem) for s in samples if s.split == "test" and s.mask}
    return [s for s in samples if s.split == "train" and s.mask is None and (s.label, Path(s.name).stem) in masked]


def _reason(error: ImageError, path: Path) -> str:
    return error.message.removeprefix(f"{path}: ")


def _size(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"
