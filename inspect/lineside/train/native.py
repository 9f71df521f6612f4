"""lineside's own method: a pretrained trunk and a memory of good patches."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.contract import Component, Fitted
from lineside.export.parity import reference_score
from lineside.graph.run import Graph, parallel
from lineside.graph.trunk import GOLDEN_LEVEL, Trunk, export_trunk
from lineside.normalise.front import Front
from lineside.normalise.golden import golden_level
from lineside.recipe import LoadedRecipe
from lineside.train.images import References
from lineside.train.method import FittedHead, Floats, Pixels
from lineside.train.progress import Journal
from lineside.train.setup import exposure_refused, frame_levels, front_settings
from lineside.transfer.backbone import Backbone, load_backbone
from lineside.transfer.head import Features, HeadShape, HeadValues, export_head, fit_head, head_shape, tap_name

LEVELS_KEPT = 2
"""Golden levels whose features are held: rounding leaves at most two neighbours, but for very uneven light."""


class NativeMethod:
    """Trunk exported, head exported with its numbers as inputs; see `lineside.train.method.Method`."""

    prefers_holdout = False

    def __init__(self, loaded: LoadedRecipe, references: References, journal: Journal) -> None:
        recipe = loaded.recipe
        journal.stage("backbone")
        backbone = load_backbone(
            recipe.transfer.backbone, recipe.transfer.taps, recipe.transfer.licences, Path(loaded.folder)
        )
        front = Front(front_settings(recipe, references.reader.channels, backbone.mean, backbone.std))
        journal.stage("export of front and trunk")
        self.trunk: Trunk = export_trunk(front, backbone.module, [tap_name(s) for s in backbone.strides])
        working_wh = recipe.normalise.working_wh
        self.shape: HeadShape = head_shape(
            backbone.strides, backbone.channels, working_wh, recipe.transfer.projection, recipe.transfer.memory
        )
        self.map_wh = self.shape.map_wh
        self.embedding = f"mean of the frame's {self.shape.dimensions}-dimensional patch embeddings"
        self.components = (*backbone.components, _own_component())
        self.fitted: tuple[Fitted, ...] = _fitted()
        self.neutral_outputs: Mapping[str, str] = {}
        self._seed = recipe.seed
        self._references = references
        self._journal = journal
        self._head = export_head(self.shape)
        self._head_graph = Graph(self._head)
        self._gain_limits = front.settings.gain_limits
        journal.stage("light", len(references.samples))
        self._levels = frame_levels(self.trunk, references, journal)
        self._features: dict[float, dict[int, Floats]] = {}
        journal.note(_described(backbone, self.shape, references))

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Fit golden level, scales and memory on these good frames and their copies."""
        level = golden_level([self._levels[i] for i in positions])
        features = self._features_at(level)
        rows = self._references.rows(positions, with_copies=True)
        values = fit_head(self.shape, {stride: array[rows] for stride, array in features.items()}, self._seed)
        constants: dict[str, npt.NDArray[np.generic]] = {GOLDEN_LEVEL: np.array([level], np.float32)}
        constants.update(values.feed(self.shape))
        return FittedHead(
            model=self._head,
            constants=constants,
            refused=lambda position: exposure_refused(self._levels[position], level, self._gain_limits),
            score=partial(self._score, level, values),
            reference=partial(self._reference, level, values),
        )

    def _score(self, level: float, values: HeadValues, positions: Sequence[int]) -> Floats:
        features, feed = self._features_at(level), values.feed(self.shape)

        def one(row: int) -> float:
            taps = {tap_name(stride): array[row : row + 1] for stride, array in features.items()}
            return float(self._head_graph({**taps, **feed}, ("score",))["score"][0])

        rows = self._references.rows(positions, with_copies=False)
        return np.array(list(parallel(one, rows.tolist())), np.float32)

    def _reference(self, level: float, values: HeadValues, frame: Pixels) -> float:
        taps = self.trunk.run(frame, level, self.trunk.taps)
        features: Features = {s: taps[tap_name(s)].astype(np.float32) for s in self.shape.strides}
        return reference_score(self.shape, values, features)

    def _features_at(self, level: float) -> dict[int, Floats]:
        """Features of all references at a golden level, computed once for each level."""
        if level not in self._features:
            references = self._references
            count = len(references.samples) * references.rows_per_frame
            self._journal.stage(f"features (golden level {level:g})", count)
            stacked = self.trunk.stack(references.frames(), count, level, self.trunk.taps, self._journal.step)
            while len(self._features) >= LEVELS_KEPT:
                del self._features[next(iter(self._features))]
            self._features[level] = {s: stacked[tap_name(s)].astype(np.float32, copy=False) for s in self.shape.strides}
        return self._features[level]


def _own_component() -> Component:
    return Component(
        "method", "lineside patch memory, after PatchCore (Roth et al., 2022)", "lineside", "apache-2.0", ""
    )


def _fitted() -> tuple[Fitted, ...]:
    again = "fitted again in every fold without the fold's parts and without all their augmented copies"
    return (
        Fitted("golden mean level", again),
        Fitted("scale of each tap", again),
        Fitted("patch memory", again),
        Fitted("projection", "random, drawn from the recipe's seed; no image has a say in it"),
    )


def _copies_in_words(count: int) -> str:
    """Return "1 augmented copy" or "2 augmented copies"."""
    return f"{count} augmented {'copy' if count == 1 else 'copies'}"


def _described(backbone: Backbone, shape: HeadShape, references: References) -> str:
    strides = "/".join(str(s) for s in backbone.strides)
    copies = references.rows_per_frame - 1
    return (
        f"Backbone {backbone.components[0].name}, strides {strides}; {shape.dimensions} dimensions a patch, "
        f"{shape.grid_hw[1]}×{shape.grid_hw[0]} patches a frame, memory of up to {shape.memory} patches from "
        f"{len(references.samples)} good frames" + (f" and {_copies_in_words(copies)} of each." if copies else ".")
    )
