"""The head of a deployed graph: its fitted numbers read back, and the head itself run with others."""

from collections.abc import Iterable, Mapping

import numpy as np

from lineside.errors import BundleError
from lineside.graph.rewrite import piece
from lineside.graph.run import Graph
from lineside.train.line_parent import Array, Doubles, Floats, Parent, Taken
from lineside.transfer.distance import WAY_INPUTS, Ranks, Subspace
from lineside.transfer.head import REGION, HeadShape, HeadValues, offset_name, projection_name
from lineside.transfer.leading import Leading
from lineside.transfer.place import Place
from lineside.transfer.pooling import POOL_INPUTS, Pooling
from lineside.transfer.sharp import SHARP_INPUTS, SharpPlace
from lineside.transfer.triangles import Triangles

HEAD_GIVES = ("patch_score", "embedding")


def head_values(numbers: Mapping[str, Array], shape: HeadShape) -> HeadValues:
    """Return the head's fitted numbers, as the graph holds them.

    Raises
    ------
    BundleError
        When it holds others than this version writes.
    """
    count = range(len(shape.channels))
    missing = {*WAY_INPUTS[shape.way], *SHARP_INPUTS[shape.sharp], *POOL_INPUTS} - set(numbers)
    if missing:
        raise BundleError(
            f"The graph holds no numbers named {min(missing)!r}: another version of lineside made it. Train it again."
        )
    taken = {name: np.array(value, np.float32) for name, value in numbers.items() if value.dtype.kind == "f"}
    sharp = [numbers[name] for name in SHARP_INPUTS["place"]] if shape.sharp == "place" else []
    return HeadValues(
        projections=tuple(taken[projection_name(i)] for i in count),
        offsets=tuple(taken[offset_name(i)] for i in count),
        memory=taken.get("memory"),
        place=Place(*(taken[name] for name in WAY_INPUTS["place"])) if shape.placed else None,
        density=taken.get("memory_weight"),
        subspace=Subspace(taken["subspace_mean"], taken["subspace_residual"]) if "subspace_mean" in taken else None,
        ranks=Ranks(taken["rank_knots"], taken["rank_slopes"]) if "rank_knots" in taken else None,
        sharp_memory=taken.get("sharp_memory"),
        sharp_leading=Leading(*(taken[name] for name in SHARP_INPUTS["leading"][1:]))
        if shape.sharp == "leading"
        else None,
        sharp_place=_sharp_place(*sharp) if sharp else None,
        pooling=Pooling(*(taken[name] for name in POOL_INPUTS)),
    )


def _sharp_place(basis: Array, mean: Array, *triangles: Array) -> SharpPlace:
    diagonal, steps, of_place, of_entry = triangles
    kept = Triangles(
        np.asarray(diagonal, np.float16),
        np.asarray(steps, np.int8),
        np.asarray(of_place, np.float32),
        np.asarray(of_entry, np.float32),
    )
    return SharpPlace(np.asarray(basis, np.float32), np.asarray(mean, np.float32), kept)


def head_numbers(values: HeadValues, shape: HeadShape) -> dict[str, Array]:
    """Return the head's fitted numbers under the graph's names."""
    return values.feed(shape)


class Head:
    """The deployed head cut out of its graph, run with other numbers on taps that were kept.

    Parameters
    ----------
    parent : Parent
    """

    def __init__(self, parent: Parent) -> None:
        shape = parent.state.shape
        self._own = head_numbers(head_values(parent.constants, shape), shape)
        self._graph = Graph(piece(parent.model, (*parent.taps, REGION), tuple(self._own), HEAD_GIVES))

    def __call__(self, taken: Iterable[Taken], numbers: Mapping[str, Array]) -> tuple[Doubles, Floats]:
        """Return scores [n] and embeddings [n, d] of frames, with these numbers in place of the head's own."""
        used = {**self._own, **numbers}
        outs = [self._graph({**frame, **used}, HEAD_GIVES) for frame in taken]
        scores, embeddings = (np.concatenate([out[name] for out in outs]) for name in HEAD_GIVES)
        return scores.astype(np.float64), embeddings.astype(np.float32)
