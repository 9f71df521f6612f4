"""Small versions of the images that a model learned from, so that near copies of them are found later, without them.

`lineside.capture.copies` tells copies by pixels and by 64 x 64 thumbnails. A bundle keeps both of its training images,
in `LOOKS_FILE`: numbers only, 8 kB an image, and of no more than `MOST` images, spread evenly over all of them. Levels
are kept to 1 / 256: rounding to whole grey levels would add 0.4 of them to a distance whose limit may be 0.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.capture.copies import Look, SameParts, same_parts
from lineside.capture.duplicates import THUMB_SIDE_PX
from lineside.dataset import Sample

LOOKS_FILE = "looks.npz"
MOST = 512
"""Images whose looks are kept: 4 MB of thumbnails."""
_STEPS = 256
"""Of one grey level."""


@dataclass(frozen=True, eq=False)
class KnownLooks:
    """Looks of the images that a model learned from."""

    names: tuple[str, ...]
    """In the recipe's folder."""
    labels: tuple[str, ...]
    looks: tuple[Look, ...]
    total: int
    """Training images that there were."""

    @property
    def words(self) -> str:
        """How many there are."""
        of = f" of {self.total:,}" if self.total > len(self.names) else ""
        return f"small versions of {len(self.names):,}{of} images"

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return what `LOOKS_FILE` holds."""
        thumbs = np.stack([look.thumb for look in self.looks]) if self.looks else np.zeros((0, THUMB_SIDE_PX**2))
        return {
            "names": np.array(self.names, np.str_),
            "labels": np.array(self.labels, np.str_),
            "thumbs": np.round(thumbs * _STEPS).astype(np.uint16),
            "pixel_sha256": np.array([look.pixel_sha256 for look in self.looks], np.str_),
            "pixels": np.array([look.pixels for look in self.looks], np.int64),
            "total": np.array(self.total, np.int64),
        }


def looks_of(samples: Sequence[Sample], looks: Mapping[str, Look]) -> KnownLooks:
    """Keep the looks of training images, by name; `MOST` of them at most."""
    seen = [sample for sample in samples if sample.name in looks]
    chosen = [seen[i] for i in np.linspace(0, len(seen) - 1, min(MOST, len(seen))).astype(int)]
    names, labels = tuple(s.name for s in chosen), tuple(s.label for s in chosen)
    return KnownLooks(names, labels, tuple(looks[name] for name in names), len(samples))


def looks_from(arrays: Mapping[str, npt.NDArray[Any]]) -> KnownLooks:
    """Return looks from the arrays of a file.

    Raises
    ------
    KeyError, ValueError
        When one is missing, or they do not fit together.
    """
    thumbs = arrays["thumbs"].reshape(-1, THUMB_SIDE_PX**2).astype(np.float32) / _STEPS
    rows = zip(thumbs, arrays["pixel_sha256"].tolist(), arrays["pixels"].tolist(), strict=True)
    looks = tuple(Look(thumb, str(pixel_sha256), int(pixels)) for thumb, pixel_sha256, pixels in rows)
    names, labels = tuple(arrays["names"].tolist()), tuple(arrays["labels"].tolist())
    if not len(names) == len(labels) == len(looks):
        raise ValueError(f"{len(names)} names, {len(labels)} labels and {len(looks)} looks")
    return KnownLooks(names, labels, looks, int(arrays["total"]))


@dataclass(frozen=True)
class Beside:
    """New images, beside those that a model learned from."""

    same: SameParts
    """Of the new ones that are no copies of learned ones."""
    copy_of: Mapping[int, str]
    """Number of a new image -> the learned image that it is a copy of, by pixels or within noise."""


def beside(known: KnownLooks | None, looks: Sequence[Look], labels: Sequence[str]) -> Beside:
    """Find which new images show one part, and which are copies of images that the model learned from.

    A near copy under another label is none: a part before and after damage is a good part and a defective one.

    Parameters
    ----------
    known : KnownLooks or None
    looks, labels : sequences [n]
        Of the new images.
    """
    before = known.looks if known else ()
    found = same_parts([*before, *looks])
    copy_of: dict[int, str] = {}
    sets = []
    for rows in found.sets:
        learned, new = [i for i in rows if i < len(before)], [i - len(before) for i in rows if i >= len(before)]
        for i in new:
            twin = next((j for j in learned if _learned_with(known, j, looks[i], labels[i])), None)
            if known is not None and twin is not None:
                copy_of[i] = known.names[twin]
        rest = tuple(i for i in new if i not in copy_of)
        sets += [rest] if len(rest) > 1 else []
    unsure = tuple(i - len(before) for i in found.unsure if i >= len(before))
    return Beside(SameParts(tuple(sets), unsure, found.limit), copy_of)


def _learned_with(known: KnownLooks | None, row: int, look: Look, label: str) -> bool:
    if known is None:
        return False
    return known.labels[row] == label or known.looks[row].pixel_sha256 == look.pixel_sha256
