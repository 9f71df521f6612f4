"""Following the line: a bundle adapted to a changed line, or extended by further good parts, and written."""

from collections.abc import Sequence
from pathlib import Path

from lineside.train.line_adapt import adapted
from lineside.train.line_extend import extended
from lineside.train.line_parent import line_images, open_parent
from lineside.train.line_write import LineRecord, Pages, change_bundle
from lineside.train.progress import Journal, Progress, SilentProgress


def adapt(
    model: Path,
    images: Sequence[Path],
    out: Path | None = None,
    *,
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
    return change_bundle(parent, frames, lambda: adapted(parent, frames, journal), out or model, journal, pages)


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
