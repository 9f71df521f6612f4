"""Following the line: a bundle adapted to a changed line, extended by good parts or defects, or calibrated again."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lineside.contract_thresholds import Wish
from lineside.dataset import GOOD
from lineside.errors import UsageError
from lineside.train.line_adapt import adapted
from lineside.train.line_calibrate import recalibrated
from lineside.train.line_defect import extended_classes
from lineside.train.line_extend import extended
from lineside.train.line_parent import line_images, open_bundle, open_parent, vector_images
from lineside.train.line_write import PROVEN, LineRecord, Pages, change_bundle
from lineside.train.progress import Journal, Progress, SilentProgress

MOST_CALIBRATED = 10_000
"""Images of a class at most; every one of them makes a threshold's promise tighter."""


def adapt(
    model: Path,
    images: Sequence[Path],
    out: Path | None = None,
    *,
    known_good: bool = False,
    progress: Progress | None = None,
    pages: Pages | None = None,
) -> LineRecord:
    """Adapt a bundle to a changed line by unlabelled frames of it.

    Parameters
    ----------
    model : Path
        Bundle folder.
    images : sequence of Path
        Unlabelled images, and folders of them.
    out : Path, optional
        Folder of the new bundle; by default the model's own, whose old content is kept as ``<model>.previous``.
    known_good : bool
        Whether somebody knows that nearly all frames show good parts. Else frames too many of which are NG to the
        model, also after mapping, are refused.
    progress : Progress, optional
    pages : callable, optional
        Makes further files of the bundle from the record.

    Raises
    ------
    UsageError
        When there are too few frames, they show another part, or too many of them are anomalous.
    BundleError
        When the bundle cannot follow the line.
    ParityError, ImageError, StorageError
    """
    journal = Journal(progress or SilentProgress())
    parent = open_parent(model)
    frames = line_images(images, parent.contract)
    return change_bundle(
        parent, frames, lambda: adapted(parent, frames, journal, known_good=known_good), out or model, journal, pages
    )


def extend(
    model: Path,
    goods: Sequence[Path],
    out: Path | None = None,
    *,
    progress: Progress | None = None,
    pages: Pages | None = None,
) -> LineRecord:
    """Extend a bundle by further good parts.

    Parameters
    ----------
    model : Path
        Bundle folder.
    goods : sequence of Path
        Images of good parts, and folders of them.
    out, progress, pages
        As for `adapt`.

    Raises
    ------
    UsageError
        When the frames show another part.
    BundleError
        When the bundle cannot follow the line.
    ParityError, ImageError, StorageError
    """
    journal = Journal(progress or SilentProgress())
    parent = open_parent(model)
    frames = line_images(goods, parent.contract)
    return change_bundle(parent, frames, lambda: extended(parent, frames, journal), out or model, journal, pages)


def extend_classes(
    model: Path,
    defects: Mapping[str, Sequence[Path]],
    out: Path | None = None,
    *,
    progress: Progress | None = None,
    pages: Pages | None = None,
) -> LineRecord:
    """Add examples of defects to a bundle's classes; a class that it does not know becomes a new one.

    Parameters
    ----------
    model : Path
        Bundle folder.
    defects : mapping of str to sequence of Path
        Images, and folders of them, by class.
    out, progress, pages
        As for `adapt`.

    Raises
    ------
    UsageError
        When the model tells no classes, or the images cannot be added.
    BundleError
        When the bundle cannot follow the line.
    ParityError, ImageError, StorageError
    """
    journal = Journal(progress or SilentProgress())
    parent = open_parent(model)
    found = {name: line_images(paths, parent.contract, label=name) for name, paths in defects.items()}
    images = tuple(image for listed in found.values() for image in listed)
    old = vector_images(parent)
    step = max(1, -(-len(images) // max(1, PROVEN - len(old))))
    proven = (*images[::step], *old)
    return change_bundle(
        parent, proven, lambda: extended_classes(parent, images, journal), out or model, journal, pages
    )


def calibrate(
    model: Path,
    goods: Sequence[Path],
    defects: Mapping[str, Sequence[Path]],
    out: Path | None = None,
    *,
    wish: Wish | None = None,
    review: float | None = None,
    progress: Progress | None = None,
    pages: Pages | None = None,
) -> LineRecord:
    """Take a bundle's thresholds from new images; nothing is trained.

    Parameters
    ----------
    model : Path
        Bundle folder, of any method.
    goods : sequence of Path
        Images of good parts, and folders of them, that the model was not trained on.
    defects : mapping of str to sequence of Path
        Images of defective parts, and folders of them, by class; may be empty.
    out : Path, optional
        As for `adapt`.
    wish : Wish, optional
        What the threshold is to serve; by default the bundle's own.
    review : float, optional
        Share of good parts that may go to REVIEW, 0 for none; by default as the bundle has it.
    progress, pages
        As for `adapt`.

    Raises
    ------
    UsageError
        When no new good image is left, or the wish needs defective images.
    BundleError, ParityError, ImageError, StorageError
    """
    if GOOD in defects:
        raise UsageError("--defect good=...: good parts are given by --good.")
    journal = Journal(progress or SilentProgress())
    parent = open_bundle(model)
    given = {GOOD: goods, **defects}
    images = tuple(
        image
        for label, paths in given.items()
        for image in line_images(paths, parent.contract, most=MOST_CALIBRATED, label=label)
    )
    return change_bundle(
        parent, images, lambda: recalibrated(parent, images, wish, review, journal), out or model, journal, pages
    )
