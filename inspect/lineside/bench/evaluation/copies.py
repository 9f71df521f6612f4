"""Images of an evaluation that show one part although no name said so: they are one draw for every rate.

Told by their pixels, as training tells them (`lineside.capture.copies`); each image is decoded once more for it. Images
under two labels stay apart: a part before and after damage is a good part and a defective one.
"""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from lineside.batch.judge import read_frame
from lineside.bench.evaluation.images import LabelledImage
from lineside.capture.copies import SIGMAS, Look, look_at, same_parts
from lineside.contract import Contract
from lineside.errors import LinesideError


def joined(
    images: Sequence[LabelledImage], contract: Contract, workers: int
) -> tuple[tuple[LabelledImage, ...], tuple[tuple[str, ...], ...]]:
    """Return the images with copies of one part joined, and the files of each set that was found.

    Parameters
    ----------
    images : sequence of LabelledImage
        One that cannot be read stays a part of its own: its row will say so.
    contract : Contract
        Says which labels are good, and how frames are read.
    workers : int
        Threads.
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
    seen = [(number, one) for number, one in looks.items() if one is not None]
    found = same_parts([one for _, one in seen])
    sets = [part for rows in found.sets for part in _of_one_label([seen[i][0] for i in rows], images)]
    parts = replace(found, sets=tuple(sets)).names([image.part for image in images])
    together = tuple(replace(image, part=part) for image, part in zip(images, parts, strict=True))
    return together, tuple(tuple(images[i].path.as_posix() for i in rows) for rows in sets)


def _of_one_label(numbers: Sequence[int], images: Sequence[LabelledImage]) -> list[tuple[int, ...]]:
    by_label: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        by_label[images[number].label].append(number)
    return [tuple(rows) for rows in by_label.values() if len(rows) > 1]
