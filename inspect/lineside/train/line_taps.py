"""Maps behind the taps of a deployed graph: tried on features that were kept, put behind older maps, their slow twin.

A map that is tried is measured behind the parent's, as the taps of its graph are; what is deployed is both in one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.graph.rewrite import constants
from lineside.graph.tap_map import TapMap, raw_name, tap_maps
from lineside.train.line_parent import Parent, Taken
from lineside.transfer.align import Affine

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Affines = Mapping[str, Affine]


def mapped(taken: Sequence[Taken], maps: Affines) -> Iterator[Taken]:
    """Return frames with these maps behind their taps; taps that none is named for stay."""
    for frame in taken:
        yield {**frame, **{tap: one(frame[tap]).astype(np.float32) for tap, one in maps.items()}}


def behind_older(parent: Parent, maps: Affines) -> dict[str, TapMap]:
    """Return what the graph is given: maps that were measured behind the parent's own, with these in one."""
    older = _affines(parent.constants, parent.taps)
    both = {tap: one.after(older[tap]) if tap in older else one for tap, one in maps.items()}
    return {tap: TapMap(one.matrix.astype(np.float32), one.shift.astype(np.float32)) for tap, one in both.items()}


class SlowTaps:
    """The taps as all that stands behind the trunk reads them, from those of the trunk, another way than the graph's.

    Parameters
    ----------
    model : onnx.ModelProto
        A deployed graph.
    taps : sequence of str
    """

    def __init__(self, model: "onnx.ModelProto", taps: Sequence[str]) -> None:
        self._taps, self._maps = tuple(taps), _affines(constants(model), taps)
        self.names = tuple(raw_name(tap) if tap in self._maps else tap for tap in taps)
        """Of the values that `__call__` takes."""

    def __call__(self, outputs: Mapping[str, Array]) -> dict[int, Floats]:
        """Return features [n, C, h, w] by the tap's number."""
        seen = (outputs[name].astype(np.float32) for name in self.names)
        return {
            number: self._maps[tap](x).astype(np.float32) if tap in self._maps else x
            for number, (tap, x) in enumerate(zip(self._taps, seen, strict=True))
        }


def _affines(numbers: Mapping[str, Array], taps: Sequence[str]) -> dict[str, Affine]:
    known = tap_maps(numbers, taps)
    return {tap: Affine(one.matrix.astype(np.float64), one.shift.astype(np.float64)) for tap, one in known.items()}
