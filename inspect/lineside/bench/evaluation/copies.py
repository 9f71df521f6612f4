"""Images of an evaluation that show one part although no name said so: they are one draw for every rate.

Told by their pixels, as training tells them (`lineside.capture.copies`); each image is decoded once more for it. Images
under two labels stay apart: a part before and after damage is a good part and a defective one. Copies of training
images are found by what the bundle keeps of these, and prove nothing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from lineside.batch.judge import read_frame
from lineside.bench.evaluation.images import LabelledImage
from lineside.capture.copies import SIGMAS, Look, look_at
from lineside.capture.known_looks import KnownLooks, beside
from lineside.contract import Contract
from lineside.errors import LinesideError


@dataclass(frozen=True)
class Joined:
    """What was found among the images of an evaluation."""

    images: tuple[LabelledImage, ...]
    """Those that are no copies of training images, with copies of one part joined."""
    sets: tuple[tuple[str, ...], ...]
    """Files that show one part, a set for each part."""
    unsure: tuple[str, ...]
    """Files closer to another one than the limit, without standing out; they are taken for parts of their own."""
    limit: float
    """Grey levels below which two pictures are near."""
    copy_of: Mapping[str, str]
    """The training image that each of the others is a copy of, by file."""


def joined(images: Sequence[LabelledImage], contract: Contract, workers: int, known: KnownLooks | None) -> Joined:
    """Find copies among images, and of training images.

    Parameters
    ----------
    images : sequence of LabelledImage
        One that cannot be read stays a part of its own: its row will say so.
    contract : Contract
        Says which labels are good, and how frames are read.
    workers : int
        Threads.
    known : KnownLooks or None
        Of the training images, where the bundle keeps them.
    """
    goods = [i for i, image in enumerate(images) if contract.is_good(image.label)] or list(range(len(images)))
    measured = {goods[i] for i in np.linspace(0, len(goods) - 1, min(SIGMAS, len(goods))).astype(int)}

    def look(number: int) -> Look | None:
        try:
            return look_at(read_frame(images[number].path, contract.frame), noise=number in measured)
        except LinesideError:
            return None

    with ThreadPoolExecutor(workers) as pool:
        looks = dict(enumerate(pool.map(look, range(len(images)))))
    seen = {number: one for number, one in looks.items() if one is not None}
    rows = list(seen)
    found = beside(known, [*seen.values()], [images[i].label for i in rows])
    learned = {rows[i]: name for i, name in found.copy_of.items()}
    sets = [part for one in found.same.sets for part in _of_one_label([rows[i] for i in one], images)]
    parts = replace(found.same, sets=tuple(sets)).names([image.part for image in images])
    together = [replace(image, part=part) for image, part in zip(images, parts, strict=True)]
    files = [image.path.as_posix() for image in images]
    return Joined(
        images=tuple(image for i, image in enumerate(together) if i not in learned),
        sets=tuple(tuple(files[i] for i in one) for one in sets),
        unsure=tuple(files[rows[i]] for i in found.same.unsure),
        limit=found.same.limit,
        copy_of={files[i]: name for i, name in learned.items()},
    )


def _of_one_label(numbers: Sequence[int], images: Sequence[LabelledImage]) -> list[tuple[int, ...]]:
    by_label: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        by_label[images[number].label].append(number)
    return [tuple(rows) for rows in by_label.values() if len(rows) > 1]
