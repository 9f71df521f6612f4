"""What an int8 backbone takes the ranges of its activations from: a few good parts that give no score to a threshold.

The ranges are fitted on images, and every fold shares them: quantising again in each would compute all features anew,
which is most of a training. So the parts that they are taken from, a block of neighbours as in the folds of the
cross-fitting, have no say in the threshold; heads are fitted on them like on all others. One part in ten is enough, for
what widens the ranges is not more parts but what may happen to them: other light, a small turn, a defect.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.contract import Fitted
from lineside.graph.quantise import NotQuantisableError
from lineside.graph.trunk import export_front
from lineside.normalise.front_fit import FrontRequest
from lineside.train.changes import Spoil
from lineside.train.front_fit import FrontFitter
from lineside.train.images import References
from lineside.train.progress import Journal
from lineside.transfer.augment import Augmenter

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SHARE, MOST = 0.1, 8
"""Of the good parts, at least one."""
LEAST_PARTS = 3
"""One for the ranges, and two for the folds."""
COPIES = 3
"""Of each frame, a little brighter, darker, turned or shifted, see `lineside.transfer.augment`."""

RANGED = Fitted("ranges of the int8 backbone's activations", "taken from parts that give no score to the threshold")


@dataclass(frozen=True)
class Ranged:
    """Working images for the ranges.

    Attributes
    ----------
    images : ndarray of float32 [m, 3, h, w]
        What a front, fitted on the same few frames, made of them and of their changed copies.
    seen : frozenset of int
        Positions of the good frames among them.
    """

    images: Floats
    seen: frozenset[int]


def range_images(request: FrontRequest, references: References, anchor: Pixels, journal: Journal) -> Ranged:
    """Make the images that ranges are taken from.

    Raises
    ------
    NotQuantisableError
        When there are too few good parts to spare one.
    """
    seen = spared([sample.group for sample in references.samples], request.seed)
    samples = tuple(references.samples[i] for i in seen)
    few = replace(references, samples=samples, augmenter=Augmenter("default", request.seed), copies=COPIES)
    fitter = FrontFitter(request, few, anchor, export_front, ("working",), journal)
    front = fitter.fit(range(len(samples)))
    spoiled, _ = fitter.changed(front, range(len(samples)), Spoil(samples, request.seed))
    images = np.concatenate([front.outputs["working"], spoiled["working"]]).astype(np.float32, copy=False)
    return Ranged(images, frozenset(seen))


def spared(groups: Sequence[str], seed: int) -> tuple[int, ...]:
    """Choose positions of the frames of a few neighbouring parts.

    Where the backbone is adapted too, they are among the parts that it is adapted on (`lineside.train.adapting`).

    Raises
    ------
    NotQuantisableError
        When there are too few good parts.
    """
    names = sorted(set(groups))
    if len(names) < LEAST_PARTS:
        raise NotQuantisableError(
            f"export.precision: int8 needs good images of at least {LEAST_PARTS} parts, one of them for the ranges of "
            f"the activations; found {len(names)}. Add good images, or use precision: fp32."
        )
    start, count = int(np.random.default_rng(seed).integers(len(names))), min(max(1, round(SHARE * len(names))), MOST)
    chosen = set((names[start:] + names[:start])[:count])
    return tuple(i for i, group in enumerate(groups) if group in chosen)
