"""Sorting parts into the classes of their folders, as a method beside the anomaly heads.

Everything, the front too, is fitted on images of all classes; every fold of the calibration fits all of it again, so
that the accuracy that is stated and the scores behind the threshold come from models that never saw the part.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.contract import Component, Fitted
from lineside.contract_thresholds import LeastDefect, RegionLimit
from lineside.dataset import GOOD
from lineside.export.decision import CLASS_PROBABILITY
from lineside.export.parity import ClassAnswer
from lineside.graph.join import join, select_outputs
from lineside.graph.run import Graph
from lineside.graph.trunk import Reduction, Trunk, export_front, tap_grids
from lineside.normalise.front import FrontSettings
from lineside.recipe import LoadedRecipe
from lineside.train.classes import class_answer, class_constants, class_part
from lineside.train.episodes import Pooler, start_of
from lineside.train.front_fit import FittedFront, FrontFitter
from lineside.train.images import References
from lineside.train.method import FittedClasses, FittedHead, Judged
from lineside.train.progress import Journal
from lineside.train.setup import FRONT_FITTED, REFITTED, anchor_frame, front_request, usual_frame_wh
from lineside.train.sorting_images import Turner
from lineside.train.tail import HeadRun, finish
from lineside.transfer.adaptation_gate import Outcome
from lineside.transfer.backbone import load_backbone
from lineside.transfer.class_sort import DRIFT, export_class_score, export_drift
from lineside.transfer.class_weight import export_region_weight, weight_reference
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import ClassFit, fit_classes
from lineside.transfer.classes.head import Classified, classify_reference
from lineside.transfer.classes.meta import Start
from lineside.transfer.classes.pooling import CLASS_EMBEDDING, CLASS_WEIGHT, PoolShape, export_pool, pool_reference
from lineside.transfer.classes.tail import Cells, cells_of, may_tune, tail_reference, tuned_embeddings
from lineside.transfer.head import REGION, tap_name

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
Arrays = dict[str, npt.NDArray[np.generic]]


class SortingMethod:
    """Trunk with the pooling behind it, and a class head on what comes out; see `lineside.train.method.Method`."""

    prefers_holdout = False
    withheld: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()
    least_defect: LeastDefect | None = None
    regions: tuple[RegionLimit, ...] = ()
    adaptation: Outcome | None = None

    def __init__(self, loaded: LoadedRecipe, references: References, journal: Journal) -> None:
        recipe = loaded.recipe
        journal.stage("backbone")
        working_wh = recipe.normalise.working_wh(usual_frame_wh(references))
        backbone = load_backbone(
            recipe.transfer.backbone, recipe.transfer.taps, recipe.transfer.licences, Path(loaded.folder), working_wh
        )
        self._taps = tuple(tap_name(number) for number in range(len(backbone.channels)))
        journal.stage("export of the backbone")
        self._backbone_model = backbone.exported(self._taps, working_wh)
        grids = tap_grids(self._backbone_model)
        self.map_wh = (working_wh[0] // 4, working_wh[1] // 4)
        self.embedding = f"mean of the frame's {backbone.channels[-1]}-dimensional features of the deepest stage used"
        self.components: tuple[Component, ...] = (*backbone.components, _own_component())
        self.fitted: tuple[Fitted, ...] = (*FRONT_FITTED, Fitted("class head", REFITTED))
        self.neutral_outputs: Mapping[str, str] = {"anomaly_map": "0: parts are sorted, not looked at for anomalies"}
        found = sorted({sample.label for sample in references.samples} - {GOOD})
        self._has_good = any(sample.is_good for sample in references.samples)
        self._names = (*found, *((GOOD,) if self._has_good else ()))
        self._classes, self._seed = recipe.transfer.classes, recipe.seed
        self._loaded, self._references, self._journal = loaded, references, journal
        self._pool = PoolShape(tuple(backbone.channels), grids, max(grids, key=np.prod))
        self._behind = self._pooling()
        self._starts: list[Start | None] = []
        self._heads: dict[tuple[tuple[int, ...], ...], onnx.ModelProto] = {}
        height, width = self._pool.grid_hw
        request = front_request(loaded, references, backbone.mean, backbone.std, (width, height), blank_outside=False)
        anchor = anchor_frame(loaded, references)
        counts = [sum(sample.label == name for sample in references.samples) for name in self._names]
        rows = references.rows_per_frame * len(references.samples)
        self._tunes = may_tune(recipe.transfer.classes.method, counts, rows, self._pool)
        kept = (CLASS_EMBEDDING, DRIFT, *((*self._taps, CLASS_WEIGHT) if self._tunes else ()))
        self._fronts = FrontFitter(request, references, anchor, self._build, kept, journal)
        journal.note(_described(backbone.components[0].name, backbone.strides, self._names, references))

    def fit_each(self, many: Sequence[Sequence[int]]) -> Iterator[FittedHead]:
        """Fit heads one after the other, their fronts side by side."""
        self._fronts.decide(many)
        return map(self.fit, many)

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Fit front and classes on these frames and their copies."""
        front = self._fronts.fit(positions)
        self._journal.stage(f"classes of {len(positions)} frames")
        goods = [i for i in positions if self._references.samples[i].is_good]
        of_goods = _embeddings(front, self._references.rows(goods, with_copies=False))
        examples, wished = self._examples(front, positions), self._classes
        fit = fit_classes(examples, of_goods, wished.method, wished.unknown, self._seed, self._start(front))
        run = HeadRun(
            model=self._exported(fit, front.outputs[DRIFT].shape[1]),
            constants=class_constants(fit),
            wanted=(*self._taps, REGION),
            run=partial(self._run, front, fit),
            reference=lambda outputs: self._score(classify_reference(fit.values, self._pooled(outputs, fit))),
            words=fit.words,
            unit=("classes",),
        )
        fitted = self._references.rows(positions, with_copies=False)
        head = finish(front, run, fitted, self._references, self.map_wh)
        seen = Graph(select_outputs(front.trunk.joined(front.decision.values), run.wanted))

        def answer(frame: Pixels) -> ClassAnswer:
            return class_answer(fit.values, self._pooled(seen({"frame": frame[None]}), fit))

        def judge(scored: Sequence[int]) -> list[Judged]:
            at = self._references.rows(scored, with_copies=False)
            called = classify_reference(fit.values, self._embedded(front, fit, at)).prob.argmax(axis=1)
            return [replace(one, called=int(c)) for one, c in zip(head.judge(scored), called, strict=True)]

        classes = FittedClasses(self._names, "classify", fit, answer, replace(examples, cells=None), of_goods)
        return replace(head, judge=judge, classes=classes)

    def _start(self, front: FittedFront) -> Start | None:
        """Meta-learn once: other parts' images do not depend on the fold."""
        if not self._starts:
            settings = front.decision.settings
            pool = dict(self._behind)["class_pool"]
            pooler = Pooler(self._backbone_model, pool, self._pool.grid_hw, settings, masked=False)
            self._starts.append(start_of(self._loaded, pooler, self._journal))
        return self._starts[0]

    def _build(self, settings: FrontSettings, values: Mapping[str, Floats], reduction: Reduction) -> Trunk:
        trunk = export_front(settings, values, reduction).before(self._backbone_model, self._taps)
        model = trunk.model
        for name, part in self._behind:
            model = join(model, part, f"{name}/")
        return replace(trunk, model=model)

    def _pooling(self) -> "tuple[tuple[str, onnx.ModelProto], ...]":
        """What stands behind the backbone and holds nothing fitted: training keeps its output instead of the taps."""
        deepest, grid = self._taps[-1], self._pool.grids_hw[-1]
        return (
            ("class_weight", export_region_weight(self._pool.grid_hw)),
            ("class_pool", export_pool(self._pool)),
            ("drift", export_drift(deepest, self._pool.channels[-1], grid)),
        )

    def _examples(self, front: FittedFront, positions: Sequence[int]) -> Examples:
        """Rows of frames that the gate lets through, copies with them; of a class that it refuses whole, all rows."""
        samples = self._references.samples
        groups = {group: number for number, group in enumerate(sorted({s.group for s in samples}))}
        called = {
            samples[i].label for i in positions if front.gate[self._references.rows([i], with_copies=False)[0]] == 0
        }
        rows: list[tuple[int, int, int, bool]] = []
        for i in positions:
            sample, first = samples[i], int(self._references.rows([i], with_copies=False)[0])
            label, group = self._names.index(sample.label), groups[sample.group]
            for row in self._references.rows([i], with_copies=True).tolist():
                if front.gate[row] == 0 or sample.label not in called:
                    rows.append((row, label, group, row == first))
        at, labels, numbers, original = (np.array(column) for column in zip(*rows, strict=True))
        turned = ~original if isinstance(self._references.augmenter, Turner) else None
        return Examples(_embeddings(front, at), labels, numbers, original, turned, self._cells(front, at))

    def _cells(self, front: FittedFront, at: npt.NDArray[np.int64]) -> Cells | None:
        """Return what the trunk's tail may be tuned on, where it may."""
        if not self._tunes:
            return None
        taps = [front.outputs[name].astype(np.float32, copy=False) for name in self._taps]
        return cells_of(self._pool, taps, front.outputs[CLASS_WEIGHT].astype(np.float32, copy=False)).take(at)

    def _embedded(self, front: FittedFront, fit: ClassFit, at: npt.NDArray[np.int64]) -> Floats:
        """Return the embeddings that a fitted head stands on."""
        cells = self._cells(front, at)
        return _embeddings(front, at) if fit.tail is None or cells is None else tuned_embeddings(fit.tail, cells)

    def _exported(self, fit: ClassFit, drift: int) -> "onnx.ModelProto":
        """Export class head and score; shapes alone matter, so that folds share it."""
        fed = class_constants(fit)
        shapes = tuple(value.shape for name, value in fed.items() if name != "class_calibration")
        if shapes not in self._heads:
            score = export_class_score(
                len(self._names), drift, self.map_wh, has_good=self._has_good, probability=CLASS_PROBABILITY
            )
            self._heads[shapes] = join(class_part(fit), score, "score/")
        return self._heads[shapes]

    def _run(self, front: FittedFront, fit: ClassFit, row: int) -> Arrays:
        at = np.array([row])
        score = self._score(classify_reference(fit.values, self._embedded(front, fit, at)))
        return {"score": np.array([score], np.float32), "embedding": front.outputs[DRIFT][at].astype(np.float32)}

    def _score(self, said: Classified) -> float:
        """Score one frame: the rule of `lineside.transfer.class_sort`, in NumPy."""
        return float(said.prob[0, :-1].sum() if self._has_good else said.strangeness[0])

    def _pooled(self, outputs: Arrays, fit: ClassFit) -> npt.NDArray[np.float64]:
        """Tune and pool one frame's taps in NumPy: [1, D]."""
        weight = weight_reference(None, outputs[REGION][0, 0])
        taps = {i: outputs[tap] for i, tap in enumerate(self._taps)}
        if fit.tail is not None:
            return tail_reference(fit.tail, taps, weight[None, None])
        return pool_reference(self._pool, taps, weight[None, None])


def _embeddings(front: FittedFront, rows: npt.NDArray[np.int64]) -> Floats:
    return front.outputs[CLASS_EMBEDDING][rows].astype(np.float32, copy=False)


def _own_component() -> Component:
    return Component("method", "lineside classes from pooled features", "lineside", "apache-2.0", "")


def _described(network: str, strides: Sequence[int], names: Sequence[str], references: References) -> str:
    copies = references.rows_per_frame - 1
    return (
        f"Backbone {network}, strides {'/'.join(map(str, strides))}; sorting into {', '.join(names)} from "
        f"{len(references.samples)} images" + (f" and {copies} copies of each." if copies else ".")
    )
