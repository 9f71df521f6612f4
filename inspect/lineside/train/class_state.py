"""What a bundle keeps of its class head, so that examples can be added later: every example's embedding, no image."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.errors import BundleError, UsageError
from lineside.export.known_images import PICTURES
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.meta import Start

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]

ADAPTER = "class_start_adapter"


@dataclass(frozen=True, eq=False)
class ClassState:
    """What `fit_classes` was given.

    Attributes
    ----------
    names : tuple of str
        Columns.
    method : str
        As the recipe wishes it, such as ``auto``; not what was chosen.
    unknown : float
        0 to 1; see `transfer.classes.unknown` of the recipe.
    seed : int
    examples : Examples
        Embeddings as the graph's inner value ``class_embedding`` has them, with those of copies and within masks.
    goods : ndarray of float32 [m, D]
        Embeddings of good frames.
    start : Start or None
        What was meta-learnt to begin from.
    pictures : tuple of str
        `lineside.export.known_images.picture_of` every example that is no copy, in the order of the rows.
    parts : tuple of str
        Name of each physical part, by its number in the examples' groups: a further image of it joins it.
    """

    names: tuple[str, ...]
    method: str
    unknown: float
    seed: int
    examples: Examples
    goods: Floats
    start: Start | None
    pictures: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def has_copies(self) -> bool:
        """Whether turned copies stand among the examples."""
        return self.examples.turned is not None and bool(self.examples.turned.any())

    def arrays(self) -> dict[str, Array]:
        """Return what ``state.npz`` keeps, by names that begin with ``class_``."""
        rows = self.examples
        settings: dict[str, object] = {"method": self.method, "unknown": self.unknown, "seed": self.seed}
        kept: dict[str, Array] = {
            "class_names": np.array(self.names, np.str_),
            "class_embeddings": rows.embeddings.astype(np.float32),
            "class_labels": rows.labels,
            "class_groups": rows.groups,
            "class_original": rows.original,
            "class_turned": np.zeros(len(rows.labels), np.bool_) if rows.turned is None else rows.turned,
            PICTURES: np.array(self.pictures, np.str_),
            "class_parts": np.array(self.parts, np.str_),
            "class_goods": self.goods.astype(np.float32),
        }
        if self.start is not None:
            kept[ADAPTER] = self.start.adapter
            settings["start"] = {
                "method": self.start.method, "sources": self.start.sources, "episodes": self.start.episodes
            }  # fmt: skip
        return {**kept, "class_settings": np.array(json.dumps(settings, sort_keys=True))}


def class_state(arrays: Mapping[str, Array], where: str) -> ClassState:
    """Read what a bundle kept of its class head.

    Raises
    ------
    BundleError
        When something is missing or cannot be read.
    """
    try:
        settings = json.loads(str(arrays["class_settings"]))
        start = None
        if "start" in settings:
            told = settings["start"]
            adapter = arrays[ADAPTER].astype(np.float32)
            start = Start(told["method"], adapter, tuple(told["sources"]), int(told["episodes"]))
        return ClassState(
            names=tuple(arrays["class_names"].tolist()),
            method=str(settings["method"]),
            unknown=float(settings["unknown"]),
            seed=int(settings["seed"]),
            examples=_examples(arrays),
            goods=arrays["class_goods"].astype(np.float32),
            start=start,
            pictures=tuple(arrays[PICTURES].tolist()),
            parts=tuple(arrays["class_parts"].tolist()),
        )
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise BundleError(
            f"{where}: keeps no examples of the classes that could be added to ({error}). Train the recipe again: "
            "every training with classes writes them."
        ) from None


def _examples(arrays: Mapping[str, Array]) -> Examples:
    return Examples(
        embeddings=arrays["class_embeddings"].astype(np.float32),
        labels=arrays["class_labels"].astype(np.int64),
        groups=arrays["class_groups"].astype(np.int64),
        original=arrays["class_original"].astype(np.bool_),
        turned=arrays["class_turned"].astype(np.bool_),
    )
