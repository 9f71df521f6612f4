"""What follows every head alike: whether the frame shows this part at all, and the findings that no patch shows."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.contract import Finding, QualityLimit
from lineside.contract_thresholds import Threshold
from lineside.export.decision import FINDING_LIMITS, UNFAMILIAR_LIMIT, DecisionSettings
from lineside.graph.join import rename_output, select_outputs
from lineside.graph.onnx_export import export_module
from lineside.graph.run import Graph, parallel
from lineside.normalise.front import FrontSettings
from lineside.normalise.gate_limits import LEAST_GOODS
from lineside.normalise.gate_rules import UNFAMILIAR
from lineside.train.front_fit import FittedFront
from lineside.train.images import References
from lineside.train.line_state import tail_state
from lineside.train.method import FittedClasses, FittedHead, Judged, Reference, State
from lineside.transfer.familiar import RANK, Familiarity, fit_familiarity, reference_novelty
from lineside.transfer.place_map import PlaceMap

if TYPE_CHECKING:
    import onnx

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]

FLOOR_FACTOR = 2.0
"""A finding raises the score to twice the threshold: full colour on the heatmap's scale."""
FEATURE_ROTATION, FEATURE_MATCH, FEATURE_GAP = 0.5, 0.8, 0.1
"""A feature is missing where the rotation is at most half as certain as with good frames (1) and the picture matches
the golden part by less than 0.8 of what they do, and by 0.1 less than the worst of them. Measured on rendered caps:
good frames match from 0.90 up, of 10 some have a rotation as uncertain as 0.09; without their print they match 0.53 to
0.65 with rotations of at most 0.33."""
SHADING_SHARE = 1.5
LEAST_SHADING = 8.0
"""A shading step counts beyond 1.5 × the largest of the good frames, and beyond 8 of their robust spreads."""


@dataclass(frozen=True)
class HeadRun:
    """A fitted head, ready to be run and to be put behind the trunk."""

    model: "onnx.ModelProto"
    """Takes outputs of the trunk and `constants`; gives score, anomaly_map, embedding."""
    constants: Mapping[str, npt.NDArray[np.generic]]
    wanted: tuple[str, ...]
    """Outputs of the trunk that `reference` takes."""
    run: Callable[[int], Arrays]
    """score, embedding and, where there is one, anomaly_map of a row of the front's outputs, by ONNX Runtime."""
    reference: Callable[[Arrays], float]
    """Its score from the trunk's outputs of one frame, another way."""
    words: tuple[str, ...] = ()
    """What was decided about it."""
    least_spread: float | None = None
    """Of the embedding, see `lineside.transfer.familiar.fit_familiarity`."""
    unit: tuple[str, ...] = ()
    """What was chosen of each choice: scores of heads that chose alike can be compared."""
    state: Callable[[], State] | None = None
    """What of it the bundle keeps for later; None: nothing."""


@dataclass(frozen=True)
class FindingRule:
    """Columns of quality, and what it means when all of them are beyond their limits."""

    name: str
    words: str
    quality: tuple[str, ...]


FEATURE = FindingRule(
    "expected_feature_not_found",
    "the part is there, but nothing shows how it is turned: print, mark or another expected feature is missing",
    ("rotation", "match"),
)
SHADING = FindingRule(
    "shading", "a part of it is darker or brighter than the rest in a way that no lamp explains", ("shading",)
)


def finding_rules(settings: FrontSettings) -> tuple[FindingRule, ...]:
    """Return the findings that a front's numbers can amount to."""
    names = settings.gate.quality_names
    return tuple(rule for rule in (FEATURE, SHADING) if set(rule.quality) <= set(names))


def decision_settings(
    settings: FrontSettings, classes: FittedClasses | None = None, tolerances: tuple[float, ...] = ()
) -> DecisionSettings:
    """Return what the end of the graph is made from."""
    names = settings.gate.quality_names
    columns = tuple(tuple(names.index(name) for name in rule.quality) for rule in finding_rules(settings))
    if classes is None:
        return DecisionSettings(len(names), UNFAMILIAR, columns)
    told = len(classes.names), classes.defects, classes.names_ok
    return DecisionSettings(len(names), UNFAMILIAR, columns, *told, tolerances)


def finding_floor(threshold: Threshold) -> float:
    """Score that a finding raises a frame to: well above the threshold, whatever its patches say."""
    return float(np.float32(FLOOR_FACTOR * max(abs(threshold.value), 1e-6)))


def fit_finding_limits(front: FittedFront, rows: npt.NDArray[np.int64]) -> Floats:
    """Return least and greatest values [k, 2] of the findings' columns, from good frames that the gate let through.

    Fewer than three frames find nothing: the golden part is made of them, so that they match it, and are lit like
    it, as no other good part is (rendered caps at one and two: every further one would be NG by its shading).
    """
    settings = front.decision.settings
    if len(rows) < LEAST_GOODS:
        columns = sum(len(rule.quality) for rule in finding_rules(settings))
        return np.tile(np.array([[-np.inf, np.inf]], np.float32), (columns, 1))
    passed = rows[front.gate[rows] == 0]
    quality = front.outputs["front_quality"][passed if len(passed) else rows].astype(np.float64)
    names = settings.gate.quality_names
    limits: list[tuple[float, float]] = []
    for rule in finding_rules(settings):
        if rule is FEATURE:
            lowest = float(quality[:, names.index("match")].min())
            limits += [(FEATURE_ROTATION, np.inf), (min(FEATURE_MATCH, lowest - FEATURE_GAP), np.inf)]
        else:
            highest = float(quality[:, names.index("shading")].max())
            limits.append((-np.inf, max(LEAST_SHADING, SHADING_SHARE * highest)))
    return np.array(limits, np.float32).reshape(-1, 2)


def found(front: FittedFront, limits: Floats, quality: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Whether quality numbers [n, q] amount to a finding: the rule of `lineside.export.decision`, in NumPy."""
    settings = decision_settings(front.decision.settings)
    values = quality[:, list(settings.finding_columns)].astype(np.float32)
    beyond = iter(((values < limits[:, 0]) | (values > limits[:, 1])).T)
    holds = [np.all([next(beyond) for _ in columns], axis=0) for columns in settings.findings]
    return np.any(np.stack(holds), axis=0) if holds else np.zeros(len(quality), np.bool_)


def findings(settings: FrontSettings, limits: Floats) -> tuple[Finding, ...]:
    """Return the findings for the contract."""

    def bound(value: np.float32) -> float | None:
        return float(value) if np.isfinite(value) else None

    rows = iter(limits)

    def limit(name: str) -> QualityLimit:
        low, high = next(rows)
        return QualityLimit(name, bound(low), bound(high))

    return tuple(
        Finding(rule.name, rule.words, tuple(limit(name) for name in rule.quality)) for rule in finding_rules(settings)
    )


@dataclass(frozen=True, eq=False)
class _Said:
    """What a head says of some rows: scores, embeddings [n, d], highest values of their maps."""

    scores: list[float]
    embeddings: Floats
    peaks: list[float]


class _Asked:
    """A head that is asked about each row once."""

    def __init__(self, run: Callable[[int], Arrays]) -> None:
        self._run = run
        self._known: dict[int, tuple[float, npt.NDArray[np.generic], float]] = {}

    def __call__(self, rows: npt.NDArray[np.int64]) -> _Said:
        """Return what it says of rows."""
        new = [row for row in rows.tolist() if row not in self._known]
        for row, out in zip(new, parallel(self._run, new), strict=True):
            peak = float(out["anomaly_map"].max()) if "anomaly_map" in out else 0.0
            self._known[row] = float(out["score"][0]), out["embedding"][0], peak
        scores, embeddings, peaks = zip(*(self._known[row] for row in rows.tolist()), strict=True)
        return _Said(list(scores), np.stack(embeddings).astype(np.float32), list(peaks))


def finish(
    front: FittedFront, head: HeadRun, rows: npt.NDArray[np.int64], references: References, map_wh: tuple[int, int]
) -> FittedHead:
    """Fit what stands behind the head, and put all parts together.

    Parameters
    ----------
    front : FittedFront
    head : HeadRun
    rows : ndarray of int64
        Of the good frames that everything is fitted on, copies left out.
    references : References
    map_wh : tuple of int
        Size of the anomaly map.
    """
    passed, asked = rows[front.gate[rows] == 0], _Asked(head.run)
    embeddings = asked(passed).embeddings
    familiar = fit_familiarity(embeddings, front.seed, head.least_spread)
    limit = front.novelty_limit
    limits = fit_finding_limits(front, rows)
    constants = {
        **front.decision.values,
        **head.constants,
        **familiar,
        UNFAMILIAR_LIMIT: np.array([limit], np.float32),
        FINDING_LIMITS: limits if len(limits) else np.zeros((1, 2), np.float32),
    }

    @functools.cache  # of the deployed head alone it is asked
    def deployed() -> Graph:
        return Graph(select_outputs(front.trunk.joined(front.decision.values), (*head.wanted, "front_quality")))

    def judge(positions: Sequence[int]) -> list[Judged]:
        at = references.rows(positions, with_copies=False)
        said = asked(at)
        novelty = reference_novelty(said.embeddings, familiar)
        refused = (front.gate[at] != 0) | (novelty > limit)
        raised = found(front, limits, front.outputs["front_quality"][at])
        columns = (said.scores, novelty.tolist(), refused.tolist(), raised.tolist(), said.peaks)
        return [Judged(*row) for row in zip(*columns, strict=True)]

    def reference(frame: Pixels) -> Reference:
        out = deployed()({"frame": frame[None]})
        return Reference(head.reference(out), bool(found(front, limits, out["front_quality"])[0]))

    parts = (
        *_head_and_map(front.decision.settings, head.model, map_wh),
        ("familiar", export_familiarity(embeddings.shape[1])),
    )
    kept = head.state and functools.partial(_state, head.state, front, passed, embeddings)
    return FittedHead(front, head.words, head.unit, parts, constants, limits, judge, reference, state=kept)


def _state(
    head: Callable[[], State], front: FittedFront, passed: npt.NDArray[np.int64], embeddings: npt.NDArray[np.generic]
) -> State:
    return {**head(), **tail_state(front, front.outputs["front_quality"][passed], embeddings)}


def export_familiarity(size: int) -> "onnx.ModelProto":
    """Export the novelty of embeddings of this many dimensions, its values still inputs."""
    import torch

    module = Familiarity()
    shapes = ((size,), (size, RANK), (RANK + 1,))
    inputs = {"embedding": torch.zeros(2, size)}
    inputs.update({name: torch.zeros(shape) for name, shape in zip(module.value_names, shapes, strict=True)})
    return export_module(module, inputs, ("novelty",), {"embedding": {0: "N"}}, key="familiarity")


def _head_and_map(
    settings: FrontSettings, head: "onnx.ModelProto", map_wh: tuple[int, int]
) -> "tuple[tuple[str, onnx.ModelProto], ...]":
    """The head, and behind it, where there is a pose, what puts its map back into the frame."""
    head = rename_output(head, "score", "patch_score")
    if settings.pose is None:
        return (("head", head),)
    placed = rename_output(head, "anomaly_map", "golden_map")
    return (("head", placed), ("map", _export_place_map(settings, map_wh)))


def _export_place_map(settings: FrontSettings, map_wh: tuple[int, int]) -> "onnx.ModelProto":
    import torch

    perspective = settings.pose is not None and settings.pose.model == "perspective"
    inputs = {
        "golden_map": torch.zeros(2, map_wh[1], map_wh[0]),
        "transform": torch.eye(3).repeat(2, 1, 1),
        "frame_wh": torch.tensor([float(side) for side in settings.working_wh]),
    }
    dynamic = {"golden_map": {0: "N"}, "transform": {0: "N"}}
    module = PlaceMap(settings.working_wh, map_wh, map_wh, perspective)
    return export_module(
        module, inputs, ("anomaly_map",), dynamic, key=repr((settings.working_wh, map_wh, perspective))
    )
