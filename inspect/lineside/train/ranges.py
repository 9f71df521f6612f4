"""Int8 backbones for the folds: each takes ranges and rounding from a few good parts that its fold is fitted on.

The parts are the first of one order that the fold does not hold out, neighbours, as folds are blocks of neighbours: so
all folds but the one or two that hold some of them out share one backbone with the deployed head, bit for bit, and
every good image can give a score to the threshold. Rejected: ranges from all parts of each fold, for then no two folds
have the same backbone, and a training takes as many quantisations as folds; and parts that no fold ever scores, for a
threshold from nine in ten images is not the one that float32 gets from all: on ball-screw drives, caps and weave 5, 1
and 4 % of the test verdicts differed, at the same number of good parts that are NG none of caps and weave.

Heads are fitted on what float32 makes of the fold's images, and stand behind the int8 backbone; scores, thresholds and
limits come from that graph. Rejected: heads fitted on what the integers give. Whatever a fit chooses or estimates from
few images (entries of the memory, levels and spreads of the pooling) then comes out a little otherwise, which moves
scores far more than the integers do: relative to those of float32 by 2.0 % on weave, 1.8 on caps and 0.8 on ball-screw
drives (standard deviation over 76, 100 and 173 test images), even where float32 chose the memory's entries; so fitted,
by 0.3, 1.0 and 0.5.

One part in ten is enough, for what widens the ranges is not more parts but what may happen to them: other light, a
small turn, a defect.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.contract import Fitted
from lineside.graph.join import map_outputs
from lineside.graph.quantise import check_quantisable, quantised
from lineside.graph.trunk import export_front
from lineside.normalise.front_fit import FrontRequest
from lineside.train.changes import Spoil
from lineside.train.front_fit import Build, FrontFitter, behind_front
from lineside.train.images import References
from lineside.train.progress import Journal
from lineside.train.setup import REFITTED
from lineside.transfer.augment import Augmenter

if TYPE_CHECKING:
    import onnx

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SHARE, MOST = 0.1, 8
"""Of the good parts, at least one."""
COPIES = 3
"""Of each frame, a little brighter, darker, turned or shifted, see `lineside.transfer.augment`."""

RANGED = Fitted("ranges of the int8 backbone's activations, and rounding of its weights", REFITTED)


class Int8:
    """Quantises a backbone for positions of good frames; holds one backbone for each choice of parts.

    Parameters
    ----------
    backbone : onnx.ModelProto
        In float32.
    maps : mapping of str to ndarray of float32 [D, C]
        Linear maps behind its outputs, by name; they stay in float32.
    request : FrontRequest
    references : References
        All good training frames.
    anchor : ndarray of uint8 [H, W, C]
        As for `FrontFitter`.
    vnni : bool
        As for `lineside.graph.quantise.quantised`.
    journal : Journal

    Raises
    ------
    NotQuantisableError
        When the backbone cannot be quantised.
    """

    def __init__(
        self,
        backbone: "onnx.ModelProto",
        maps: dict[str, Floats],
        request: FrontRequest,
        references: References,
        anchor: Pixels,
        journal: Journal,
        *,
        vnni: bool,
    ) -> None:
        check_quantisable(backbone)
        self._backbone, self._maps, self._vnni = backbone, maps, vnni
        self._taps = tuple(output.name for output in backbone.graph.output)
        self._request, self._references, self._anchor, self._journal = request, references, anchor, journal
        self._groups = [sample.group for sample in references.samples]
        self._builds: dict[tuple[int, ...], Build] = {}

    def build(self, positions: Sequence[int]) -> Build:
        """Return what exports a front with the backbone for heads that are fitted on these good frames."""
        chosen = range_frames(self._groups, positions)
        if chosen not in self._builds:
            images = self._images(chosen)
            self._journal.stage(f"int8 backbone from {len(images)} images")
            small = map_outputs(quantised(self._backbone, images, vnni=self._vnni), self._maps)
            self._builds[chosen] = behind_front(lambda: small, self._taps)
        return self._builds[chosen]

    def _images(self, chosen: Sequence[int]) -> Floats:
        """What a front, fitted on the chosen frames, makes of them and of their changed copies: [m, 3, h, w]."""
        samples, seed = tuple(self._references.samples[i] for i in chosen), self._request.seed
        few = replace(self._references, samples=samples, augmenter=Augmenter("default", seed), copies=COPIES)
        fitter = FrontFitter(self._request, few, self._anchor, export_front, ("working",), self._journal)
        front = fitter.fit(range(len(samples)))
        spoiled, _ = fitter.changed(front, range(len(samples)), Spoil(samples, seed))
        return np.concatenate([front.outputs["working"], spoiled["working"]]).astype(np.float32, copy=False)


def range_frames(groups: Sequence[str], positions: Sequence[int]) -> tuple[int, ...]:
    """Choose the frames among `positions` that ranges are taken from.

    Parameters
    ----------
    groups : sequence of str
        The part of every good frame.
    positions : sequence of int
        Those that may be fitted on, whole parts.

    Returns
    -------
    tuple of int
        Of neighbouring parts from the middle of all parts by name onwards, where most folds' blocks do not end.
    """
    names, allowed = sorted(set(groups)), {groups[i] for i in positions}
    count = min(max(1, round(SHARE * len(names))), MOST)
    start = (len(names) - count) // 2
    chosen = set([name for name in names[start:] + names[:start] if name in allowed][:count])
    return tuple(i for i in positions if groups[i] in chosen)
