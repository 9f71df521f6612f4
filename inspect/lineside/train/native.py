"""lineside's own method: a pretrained trunk and a memory of good patches."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.contract import Component, Fitted
from lineside.export.head_reference import HeadReference
from lineside.graph.join import fixed, map_outputs
from lineside.graph.run import Graph
from lineside.least_defect import least_defect
from lineside.normalise.front_fit import FrontRequest
from lineside.recipe import LoadedRecipe
from lineside.train.adapting import ADAPTED, Score, adapted_backbone, try_adaptation
from lineside.train.changes import Mirror, Spoil
from lineside.train.front_fit import FittedFront, FrontFitter, behind_front
from lineside.train.images import References
from lineside.train.line_state import HeadKept, head_state
from lineside.train.method import FittedHead, State
from lineside.train.pool_regions import pool_regions, refuse_unseen, region_limits
from lineside.train.progress import Journal
from lineside.train.ranges import RANGED, Int8
from lineside.train.setup import FRONT_FITTED, REFITTED, anchor_frame, front_request, usual_frame_wh
from lineside.train.tail import HeadRun, finish
from lineside.train.together import at_once, together
from lineside.transfer.adaptation_gate import Outcome
from lineside.transfer.align import resized_weights, tap_statistics
from lineside.transfer.backbone import Backbone, load_backbone
from lineside.transfer.backbone_apart import ApartExport
from lineside.transfer.extend import covering_radius, place_counts
from lineside.transfer.head import (
    REGION,
    Features,
    HeadShape,
    export_head,
    head_shape,
    tap_name,
)
from lineside.transfer.head_fit import CHOSEN_ON, Choice, HeadFit, fit_best
from lineside.transfer.memory import entries_for
from lineside.transfer.rows import Rows, patches_of

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]

COPIES = 16
"""Bytes that a head's fit needs for each number of its frames' embeddings: features, and embeddings, chosen, twice."""


class NativeMethod:
    """Trunk exported, head exported with its numbers as inputs; see `lineside.train.method.Method`."""

    prefers_holdout = False

    def __init__(self, loaded: LoadedRecipe, references: References, journal: Journal) -> None:
        recipe = loaded.recipe
        journal.stage("backbone")
        frame_wh = usual_frame_wh(references)
        working_wh = recipe.normalise.working_wh(frame_wh)
        self._backbone = load_backbone(
            recipe.transfer.backbone, recipe.transfer.taps, recipe.transfer.licences, Path(loaded.folder), working_wh
        )
        self._taps = tuple(tap_name(number) for number in range(len(self._backbone.channels)))
        journal.stage("export of the backbone")
        self._exporting = ApartExport(self._backbone, self._taps, working_wh)
        grids_hw = self._exporting.grids_hw
        self.least_defect = least_defect(loaded, frame_wh, max(grids_hw, key=math.prod)[::-1])
        self._shape: HeadShape = head_shape(
            self._backbone.channels,
            grids_hw,
            working_wh,
            recipe.transfer.projection,
            entries_for(len(references.samples)) if recipe.transfer.memory == "auto" else recipe.transfer.memory,
            self.least_defect.patches if self.least_defect else 1,
            pool_regions(loaded, frame_wh, working_wh, max(grids_hw, key=math.prod)),
        )
        self.regions = region_limits(self._shape.regions)
        self.map_wh = self._shape.map_wh
        self.embedding = _embedding_in_words(self._shape.dimensions)
        self.fitted: tuple[Fitted, ...] = (*FRONT_FITTED, *_fitted())
        self.seen: frozenset[int] = frozenset()
        self.adaptation: Outcome | None = None
        self.neutral_outputs: Mapping[str, str] = {}
        self.withheld: frozenset[int] = frozenset()
        self._transfer = recipe.transfer
        self._seed = recipe.seed
        self._references = references
        groups = [sample.group for sample in references.samples]
        self._parts = [groups.index(group) for group in groups]
        self._journal = journal
        self._heads: dict[HeadShape, onnx.ModelProto] = {}
        height, width = self._shape.grid_hw
        request = front_request(
            loaded, references, self._backbone.mean, self._backbone.std, (width, height), blank_outside=False
        )
        anchor = anchor_frame(loaded, references)
        maps = self._adapt(request, anchor) if recipe.transfer.adapt == "try" else {}
        self._int8: Int8 | None = None
        if recipe.export.precision == "int8":
            vnni = recipe.export.target == "vnni"
            self._int8 = Int8(self._exporting.model, maps, request, references, anchor, journal, vnni=vnni)
            self.fitted = (*self.fitted, RANGED)
        self.components = (*self._backbone.components, _own_component())
        build = behind_front(lambda: map_outputs(self._exporting.model, maps), self._taps)
        self._fronts = FrontFitter(request, references, anchor, build, self._taps, journal)
        journal.note(_described(self._backbone, self._shape, references))
        if self.least_defect:
            journal.note(self.least_defect.statement)
        for region in self.regions:
            journal.note(f"Region {region.statement}")

    def _adapt(self, request: FrontRequest, anchor: npt.NDArray[np.uint8]) -> dict[str, Floats]:
        """Return maps behind the taps, by name, where the adapted trunk is better; none where it is not."""
        frozen, grid = Graph(self._exporting.model), self._shape.grid_hw
        tried = try_adaptation(request, self._references, anchor, frozen, self._taps, self._scorer, grid, self._journal)
        self.adaptation = tried.outcome
        if tried.maps:
            self.seen |= tried.seen
            self.fitted = (*self.fitted, ADAPTED)
            self._backbone = adapted_backbone(self._backbone, tried.maps)
        return dict(zip(self._taps, tried.maps, strict=True)) if tried.maps else {}

    def _scorer(self, features: Features, regions: Floats, frames: Sequence[int], posed: bool) -> Score:
        """Fit a head for the adaptation's contest."""
        choice = Choice(position=posed, whiten="off", way=self._transfer.distance)
        fit = fit_best(self._shape, Rows(features, regions, frames), self._seed, choice)
        graph = Graph(fixed(self._exported(fit.shape), fit.values.feed(fit.shape)))

        def score(taps: Features, region: Floats) -> float:
            named = {tap_name(number): tap for number, tap in taps.items()}
            return float(graph({**named, REGION: region}, ("score",))["score"][0])

        return score

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Fit front, scales and memory on these good frames and their copies."""
        (head,) = self.fit_each([positions])
        return head

    def fit_each(self, many: Sequence[Sequence[int]]) -> Iterator[FittedHead]:
        """Fit heads side by side, as many at a time as there is memory for."""
        self._fronts.decide(many)
        places = math.prod(self._shape.grid_hw) * self._shape.dimensions
        bytes_each = COPIES * len(self._references.samples) * self._references.rows_per_frame * places
        some = at_once(bytes_each)
        for start in range(0, len(many), some):
            yield from self._fit_some(many[start : start + some], bytes_each)

    def _fit_some(self, many: Sequence[Sequence[int]], bytes_each: int) -> Iterator[FittedHead]:
        fronts = [self._fronts.fit(positions) for positions in many]
        parts = [self._known(front, positions) for front, positions in zip(fronts, many, strict=True)]
        for known in parts:
            refuse_unseen(self._shape.regions, known.inside(self._shape.grid_hw))
        frames = " and ".join(str(len(known.frames)) for known in parts)
        self._journal.stage(f"head on {frames} frames", len(many))
        fits = together(self._learned, list(zip(fronts, parts, many, strict=True)), bytes_each)
        for front, known, positions, fit in zip(fronts, parts, many, fits, strict=True):
            yield self._finished(self._deployed(front, positions), known, positions, fit)

    def _deployed(self, front: FittedFront, positions: Sequence[int]) -> FittedFront:
        """Return the front with the backbone that the graph gets: the one it was fitted with, or that one in int8."""
        return self._fronts.behind(front, self._int8.build(positions)) if self._int8 else front

    def _known(self, front: FittedFront, positions: Sequence[int], *, with_copies: bool = True) -> Rows:
        """Features of frames, and of their copies, that the gate lets through."""
        rows = self._references.rows(positions, with_copies=with_copies)
        passed = rows[front.gate[rows] == 0]
        return self._rows(
            {name: front.outputs[name][passed] for name in (*self._taps, REGION)},
            (passed // self._references.rows_per_frame).tolist(),
        )

    def _learned(self, given: tuple[FittedFront, Rows, Sequence[int]]) -> HeadFit:
        front, known, positions = given
        posed = front.decision.settings.pose is not None
        mirrored = None
        if not posed and self._transfer.mirror:
            mirrored = self._rows(*self._fronts.changed(front, positions, Mirror(len(positions))))
        spoiled = None if posed else partial(self._spoiled, front, positions)
        fit = fit_best(self._shape, known, self._seed, self._choice(posed), mirrored, spoiled)
        self._journal.step()
        return fit

    def _finished(self, front: FittedFront, known: Rows, positions: Sequence[int], fit: HeadFit) -> FittedHead:
        self.embedding = _embedding_in_words(fit.shape.dimensions)
        exported, values = self._exported(fit.shape), fit.values.feed(fit.shape)
        head = HeadRun(
            model=exported,
            constants=values,
            wanted=(*self._taps, REGION),
            run=partial(self._run, front, Graph(fixed(exported, values))),
            reference=partial(_reference, HeadReference(fit.shape, fit.values)),
            words=fit.words,
            unit=fit.unit,
            state=partial(_state, fit, known, partial(self._known, front, positions, with_copies=False)),
        )
        fitted = self._references.rows(positions, with_copies=False)
        return finish(front, head, fitted, self._references, self.map_wh)

    def _spoiled(self, front: FittedFront, positions: Sequence[int]) -> Rows:
        """Some of the frames with synthetic defects."""
        some = np.random.default_rng(self._seed).permutation(positions)[:CHOSEN_ON].tolist()
        return self._rows(*self._fronts.changed(front, some, Spoil(self._references.samples, self._seed)))

    def _rows(self, outputs: Arrays, frames: Sequence[int]) -> Rows:
        features = {i: outputs[name].astype(np.float32, copy=False) for i, name in enumerate(self._taps)}
        region = outputs[REGION].astype(np.float32, copy=False)
        return Rows(features, region, frames, [self._parts[frame] for frame in frames])

    def _choice(self, posed: bool) -> Choice:
        """What the head may choose of what `HeadFit.unit` names, in its order."""
        position, whitening, fixed = (number not in self.withheld for number in range(3))
        whiten = "off" if self._transfer.whiten == "auto" and not whitening else self._transfer.whiten
        return Choice(posed and position, whiten, self._transfer.distance, fixed=fixed)

    def _exported(self, shape: HeadShape) -> "onnx.ModelProto":
        if shape not in self._heads:
            self._heads[shape] = export_head(shape)
        return self._heads[shape]

    def _run(self, front: FittedFront, graph: Graph, row: int) -> Arrays:
        taken = {name: front.outputs[name][row : row + 1] for name in (*self._taps, REGION)}
        return graph(taken, ("score", "anomaly_map", "embedding"))


def _reference(head: HeadReference, outputs: Arrays) -> float:
    features: Features = {i: outputs[tap_name(i)].astype(np.float32) for i in range(len(head.shape.channels))}
    return head.score(features, outputs[REGION].astype(np.float32))


def _state(fit: HeadFit, known: Rows, given: Callable[[], Rows]) -> State:
    """Gather what the bundle keeps of the head: `known` is what it was fitted on, `given` what its graph is given."""
    firsts = given()
    assert known.regions is not None  # the front gives them
    assert firsts.regions is not None
    taps = tuple(
        tap_statistics(tap, resized_weights(firsts.regions, (tap.shape[2], tap.shape[3])))
        for _, tap in sorted(firsts.features.items())
    )
    shape, values = fit.shape, fit.values
    patches, counts = patches_of(shape, known, values.projections)
    radius = sharp_radius = 0.0
    if values.memory is not None:
        radius = covering_radius(patches[counts], values.memory)
    if values.sharp_memory is not None:
        plain, _ = patches_of(shape, known, values.projections, averaged=False)
        sharp_radius = covering_radius(plain[counts], values.sharp_memory)
    place = place_counts(values.place, patches, counts, known.frames) if values.place is not None else None
    return head_state(shape, HeadKept(taps, radius, place, sharp_radius, fit.sharp_counts))


def _embedding_in_words(dimensions: int) -> str:
    return f"mean of the frame's {dimensions}-dimensional patch embeddings"


def _own_component() -> Component:
    return Component(
        "method", "lineside patch memory, after PatchCore (Roth et al., 2022)", "lineside", "apache-2.0", ""
    )


def _fitted() -> tuple[Fitted, ...]:
    return (
        Fitted("scale of each tap", REFITTED),
        Fitted("what patches are compared with, and whether the embedding is whitened", REFITTED),
        Fitted("weights of border patches, and levels and powers of the pooling", REFITTED),
        Fitted("projection", "random, drawn from the recipe's seed; whitened, it is " + REFITTED),
    )


def _copies_in_words(count: int) -> str:
    """Return "1 augmented copy" or "2 augmented copies"."""
    return f"{count} augmented {'copy' if count == 1 else 'copies'}"


def _described(backbone: Backbone, shape: HeadShape, references: References) -> str:
    copies = references.rows_per_frame - 1
    return (
        f"Backbone {backbone.components[0].name}, {', '.join(backbone.taps)}; {shape.dimensions} dimensions a patch, "
        f"{shape.grid_hw[1]}×{shape.grid_hw[0]} patches a frame, memory of up to {shape.memory} patches from "
        f"{len(references.samples)} good frames" + (f" and {_copies_in_words(copies)} of each." if copies else ".")
    )
