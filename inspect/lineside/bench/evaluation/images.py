"""The images of an evaluation: their truth by folder, masks, parts; none that model or thresholds were made from."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lineside.batch.labels import truth_of
from lineside.batch.parts import part_names, refuse_two_labels, refuse_unfit
from lineside.batch.plan import check_sources, plan_images
from lineside.contract import Contract
from lineside.dataset import GOOD_NAMES, LAYOUTS, MASK_FOLDER, find_mask, refuse_odd_names
from lineside.errors import ImageError
from lineside.export.known_images import KnownImages, file_sha256, known_images
from lineside.marked_boxes import MarkedBox, boxes_by_image

_TEST = "test"
ALL_KNOWN = (
    "all {} images are the model's own training images, or show parts of them, or its thresholds were taken from them."
)


@dataclass(frozen=True)
class LabelledImage:
    """One image and what is known of it."""

    path: Path
    label: str
    """``good``, or the name of the folder."""
    part: str
    """The physical part; of several frames of one part the worst counts."""
    mask: Path | None
    boxes: tuple[MarkedBox, ...] = ()
    """Of a defective part without a mask, where somebody drew boxes instead."""

    @property
    def marked(self) -> bool:
        """Whether it is known where its defect is."""
        return self.mask is not None or bool(self.boxes)


@dataclass(frozen=True)
class EvaluationImages:
    """What a model is evaluated on."""

    sources: tuple[Path, ...]
    """Files and folders as they were named."""
    images: tuple[LabelledImage, ...]
    left_out: tuple[str, ...]
    """Files that are none of them: the model learned from them, by file or part, or they show parts that its thresholds
    were taken from."""
    twins: Mapping[str, str]
    """The training image that some of those are copies of, by file."""
    known: KnownImages
    """To be asked of the others once the model has looked at them."""
    pattern: str | None
    """By which the part is read from file names; None: each image is a part of its own."""

    @property
    def marked(self) -> int:
        """Images whose defect is marked, by a mask or by boxes."""
        return sum(image.marked for image in self.images)

    @property
    def masks(self) -> int:
        """Images whose defect is marked by a mask."""
        return sum(image.mask is not None for image in self.images)


def find_images(
    bundle: Path, contract: Contract, sources: Sequence[Path], out: Path, pattern: str | None = None
) -> EvaluationImages:
    """List the images below some folders, with their truth.

    Parameters
    ----------
    bundle : Path
        The model's; it names the images that it was trained on, and how parts are told apart.
    contract : Contract
        Says which labels are good.
    sources : sequence of Path
        Files and folders. Of a folder with ``test/`` in it, that alone is taken.
    out : Path
        Where the results go: what is drawn there is no image of a part.
    pattern : str, optional
        Instead of the recipe's `capture.group`.

    Raises
    ------
    UsageError
        When a source does not exist, the pattern is none, or images of one part stand under two labels.
    ImageError
        When there is no image but those of the training, no label that says good or names a class, or a file of boxes
        that cannot be read.
    """
    check_sources(sources)
    known = known_images(bundle)
    expression = pattern or known.group
    group_of = part_names(expression)
    folders = tuple(source / _TEST if (source / _TEST).is_dir() else source for source in sources)
    paths = [path for path in plan_images(folders, out) if MASK_FOLDER not in _below(path, folders)]
    refuse_odd_names(sources[0], (path.as_posix() for path in paths))
    refuse_unfit(pattern, paths)
    hashes = {path: file_sha256(path) for path in paths} if known.sides else {}
    learned = {path for path, sha256 in hashes.items() if known.learned(path, sha256) or known.part_decided(path)}
    kept = [path for path in paths if path not in learned]
    boxes = {path: found for source in sources for path, found in _boxes(source, out).items()}
    images = tuple(_labelled(path, group_of, contract, boxes.get(path, ())) for path in kept)
    _refuse_unknown(images, contract, sources, len(paths))
    refuse_two_labels((image.part, image.label, image.path) for image in images)
    left_out = tuple(path.as_posix() for path in paths if path in learned)
    twins = {path.as_posix(): known.names[hashes[path]] for path in learned if hashes[path] in known.names}
    return EvaluationImages(tuple(sources), images, left_out, twins, known, expression)


def challenge_images(folder: Path, expression: str | None) -> tuple[LabelledImage, ...]:
    """List the images of challenge parts, in whatever folders.

    Raises
    ------
    UsageError
        When there is no such folder.
    ImageError
        When there is no image in it.
    """
    check_sources([folder])
    group_of = part_names(expression)
    paths = [path for path in plan_images([folder], folder) if MASK_FOLDER not in _below(path, (folder,))]
    if not paths:
        raise ImageError("no image in it: red rabbits are pictures of parts that must be NG.", path=folder)
    return tuple(LabelledImage(path, truth_of(path), group_of(path, path.as_posix()), None) for path in paths)


def _below(path: Path, folders: Iterable[Path]) -> tuple[str, ...]:
    """Folders between the source and the image."""
    return next((path.relative_to(f).parts[:-1] for f in folders if path != f and path.is_relative_to(f)), ())


def _labelled(
    path: Path, group_of: Callable[[Path, str], str], contract: Contract, boxes: tuple[MarkedBox, ...]
) -> LabelledImage:
    label = truth_of(path)
    part = group_of(path, path.as_posix())
    if contract.is_good(label):
        return LabelledImage(path, label, part, None)
    mask = _mask(path)
    return LabelledImage(path, label, part, mask, () if mask else boxes)


def _boxes(source: Path, out: Path) -> dict[Path, tuple[MarkedBox, ...]]:
    """Read boxes from files beside the images; those of ``train/`` count as images that a file may name."""
    return boxes_by_image(source if source.is_dir() else source.parent, plan_images((source,), out))


def _mask(path: Path) -> Path | None:
    """Find a mask beside the class's folder, or beside the ``test`` that holds it."""
    folder = path.parent
    root = folder.parent.parent if folder.parent.name == _TEST else folder.parent
    return find_mask(root, folder.name, Path(path.name))


def _refuse_unknown(images: Sequence[LabelledImage], contract: Contract, sources: Sequence[Path], found: int) -> None:
    where = ", ".join(map(str, sources))
    if found and not images:
        raise ImageError(f"{ALL_KNOWN.format(found)} Name others.", path=where)
    if not images:
        raise ImageError(f"no image in it. {LAYOUTS}", path=where)
    known = (*GOOD_NAMES, *contract.class_names)
    if not any(contract.is_good(one.label) or one.label in known or one.marked for one in images):
        labels = Counter(one.label for one in images)
        named = ", ".join(f"{name} ({count})" for name, count in labels.most_common(8))
        raise ImageError(
            f"the folders' names tell no truth: found {named}, none of them good, a class of the model, or "
            f"with masks or boxes. {LAYOUTS} To judge images without a truth, use lineside inspect.",
            path=where,
        )
