"""Fitting the front on some good frames: pose, light, region and limits, each decision included.

Every fold of the cross-fitting calls this anew without its own frames, the automatic decisions too, so nothing of the
front has seen what it is judged by. What costs time is shared where that is honest: the reductions, which hold nothing
fitted, and exported graphs, which depend on the settings alone and take the fitted numbers as inputs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.graph.run import parallel
from lineside.graph.trunk import Reduction, Trunk, export_front, export_reduction
from lineside.normalise.front import GATE_LIMITS, FrontSettings
from lineside.normalise.front_fit import FrontDecision, FrontRequest, decide_front
from lineside.normalise.gate_limits import NO_LIMIT, fit_limits, gate_of
from lineside.normalise.gate_rules import GATE_BITS, GATE_WORDS, GateSettings
from lineside.recipe_normalise import Gate
from lineside.train.images import References
from lineside.train.progress import Journal
from lineside.train.reductions import Reductions, reduce_all
from lineside.train.together import together
from lineside.transfer.familiar import novelty_limit

if TYPE_CHECKING:
    import onnx

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]
Build = Callable[[FrontSettings, Mapping[str, Floats], Reduction], Trunk]
"""Exports a front of these settings, with whatever backbone stands behind it; of the values only shapes matter."""

Change = Callable[[Pixels, int], Sequence[Pixels]]
"""See `FrontFitter.changed`."""


@dataclass(frozen=True)
class FittedFront:
    """A front fitted on some good frames, and what it made of all of them.

    Attributes
    ----------
    trunk : Trunk
    decision : FrontDecision
        Settings, fitted values (limits included), and the reasons.
    outputs : mapping of name to ndarray [rows, ...]
        Of every good frame, and of the copies of those that it was fitted on; of other copies NaN: taps or working
        tensors, region and quality.
    gate : ndarray of int64 [rows]
        By the fitted limits; what is NaN is refused.
    novelty_limit : float
    seed : int
    margin : float
        The recipe's, that gate and novelty limit were learned with; negative where it wants no gate.
    """

    trunk: Trunk
    decision: FrontDecision
    outputs: Mapping[str, npt.NDArray[np.generic]]
    gate: npt.NDArray[np.int64]
    novelty_limit: float
    seed: int
    margin: float


COPIES = 16
"""Bytes that deciding a front needs for each of all frames' reductions: working images in single precision, thrice."""
OTHERWISE = "Look at them with `lineside preview`, or set normalise.gate.mode to off."
REMEDIES = {
    "exposure": "Widen normalise.light.gain_limits, or take brighter pictures.",
    "light": "Widen normalise.light.gradient_limit, or even out the light.",
    "pose_range": "Widen normalise.pose.angle_deg, shift or scale.",
    "frame_size": "Set export.frame to the images' size, or to null.",
}
"""What to do when a limit that the recipe states refuses every good image, by bit."""


class FrontFitter:
    """Fits fronts on positions of good frames; holds reductions and exported graphs for all of them.

    Parameters
    ----------
    request : FrontRequest
    references : References
    anchor : ndarray of uint8 [H, W, C]
        The frame whose pose is the golden part's.
    build : callable
        See `Build`.
    wanted : sequence of str
        Outputs of the trunk that the head is fitted on.
    journal : Journal
    """

    def __init__(
        self,
        request: FrontRequest,
        references: References,
        anchor: Pixels,
        build: Build,
        wanted: Sequence[str],
        journal: Journal,
    ) -> None:
        self._request, self._references, self._anchor = request, references, anchor
        self._build, self._wanted, self._journal = build, tuple(wanted), journal
        self._reductions: dict[tuple[int, int], tuple[Reduction, Reductions]] = {}
        self._trunks: dict[tuple[FrontSettings, Build], Trunk] = {}
        self._decisions: dict[tuple[int, ...], FrontDecision] = {}

    def fit(self, positions: Sequence[int]) -> FittedFront:
        """Decide and fit on these good frames, then run the exported front on all frames, and on copies of these."""
        rows = self._references.rows(positions, with_copies=False)
        self.decide([positions])
        decision = self._decisions[tuple(positions)]
        trunk = self._trunk(decision, self._build)
        values = {**decision.values, GATE_LIMITS: open_limits(decision.settings.gate)}
        outputs = self._run(trunk, decision, values, self._references.rows(positions, with_copies=True))
        quality = outputs["front_quality"].astype(np.float32, copy=False)
        limits = front_limits(quality[rows], decision.settings.gate, self._request.normalise.gate)
        gate = gate_of(quality, limits, decision.settings.gate)
        _refuse_nothing_left(gate[rows])
        fitted, request = decision.with_values({GATE_LIMITS: limits}), self._request
        off = request.normalise.gate.mode == "off"
        margin = -1.0 if off else request.normalise.gate.margin
        strange = NO_LIMIT if off else novelty_limit(margin)
        return FittedFront(trunk, fitted, outputs, gate, strange, request.seed, margin)

    def behind(self, front: FittedFront, build: Build) -> FittedFront:
        """Return a fitted front with another backbone behind it, and what that makes of all frames without copies."""
        trunk = self._trunk(front.decision, build)
        outputs = self._run(trunk, front.decision, front.decision.values, np.array([], np.int64))
        return replace(front, trunk=trunk, outputs=outputs)

    def decide(self, many: Sequence[Sequence[int]]) -> None:
        """Decide fronts on several choices of good frames, side by side; `fit` knows them then."""
        wanted = [at for at in dict.fromkeys(map(tuple, many)) if at not in self._decisions]
        if not wanted:
            return
        reduction, reduced = self._reduced(self._request.search_middle_wh)
        anchor, counts = reduction(self._anchor)[0][0], sorted({len(at) for at in wanted})
        self._journal.stage(f"light and pose of {' or '.join(map(str, counts))} frames", len(wanted))

        def one(positions: tuple[int, ...]) -> FrontDecision:
            rows = self._references.rows(positions, with_copies=False)
            decision = decide_front(reduced.middle[rows], anchor, self._request)
            self._journal.step()
            return decision

        self._decisions.update(zip(wanted, together(one, wanted, COPIES * reduced.middle.nbytes), strict=True))

    def changed(self, front: FittedFront, positions: Sequence[int], change: Change) -> tuple[Arrays, list[int]]:
        """Run a fitted front on changed copies of good frames, such as mirror images.

        Parameters
        ----------
        front : FittedFront
        positions : sequence of int
            Of good frames; their augmented copies are left out.
        change : callable
            Reduction [h, w, C] and position -> changed reductions; it must not write into what it is given.

        Returns
        -------
        outputs : dict of str to ndarray [n, ...]
            Those that the head is fitted on, and `region`, of the copies that the gate lets through.
        shown : list of int [n]
            The position that each row shows.
        """
        settings, values = front.decision.settings, front.decision.values
        _, reduced = self._reduced(settings.middle_wh)
        rows = self._references.rows(positions, with_copies=False)
        made = [
            (p, row, copy) for p, row in zip(positions, rows, strict=True) for copy in change(reduced.middle[row], p)
        ]
        names = (*self._wanted, "region", "front_gate")

        def one(item: tuple[int, np.int64, Pixels]) -> Arrays:
            _, row, copy = item
            return front.trunk.graph({"middle": copy[None], "frame_wh": reduced.frame_wh[row], **values}, names)

        outs = list(parallel(one, made))
        passed = [i for i, out in enumerate(outs) if not out["front_gate"][0]]
        empty = {name: np.zeros((0, *front.outputs[name].shape[1:]), np.float32) for name in names[:-1]}
        stacked = {name: np.concatenate([outs[i][name] for i in passed]) for name in names[:-1]} if passed else empty
        return stacked, [made[i][0] for i in passed]

    def _reduced(self, middle_wh: tuple[int, int]) -> tuple[Reduction, Reductions]:
        if middle_wh not in self._reductions:
            self._journal.stage("export of the reduction")
            request, wanted = self._request, [middle_wh]
            if request.normalise.pose.model == "auto" and request.working_wh != middle_wh:
                wanted.append(request.working_wh)  # what is looked at where no pose is found
            made = [export_reduction(wh, request.channels) for wh in wanted]
            reduced = reduce_all(made, self._references, self._journal)
            self._reductions.update(zip(wanted, zip(made, reduced, strict=True), strict=True))
        return self._reductions[middle_wh]

    def _trunk(self, decision: FrontDecision, build: Build) -> Trunk:
        settings = decision.settings
        if (settings, build) not in self._trunks:
            reduction, _ = self._reduced(settings.middle_wh)
            self._journal.stage("export of front and trunk")
            values = {**decision.values, GATE_LIMITS: open_limits(settings.gate)}
            self._trunks[settings, build] = build(settings, values, reduction)
        return self._trunks[settings, build]

    def _run(
        self, trunk: Trunk, decision: FrontDecision, values: Mapping[str, Floats], fitted: npt.NDArray[np.int64]
    ) -> Arrays:
        """Run every row by itself, as on the line, and stack the outputs; copies that are not fitted on are NaN."""
        _, reduced = self._reduced(decision.settings.middle_wh)
        names = (*self._wanted, "region", "front_quality")
        firsts = self._references.rows(range(len(self._references.samples)), with_copies=False)
        rows, count = np.union1d(firsts, fitted).tolist(), len(reduced.middle)
        self._journal.stage("features", len(rows))

        def one(row: int) -> Arrays:
            feed = {"middle": reduced.middle[row : row + 1], "frame_wh": reduced.frame_wh[row], **values}
            out = trunk.graph(feed, names)
            self._journal.step()
            return out

        stacked: Arrays = {}
        for row, out in zip(rows, parallel(one, rows), strict=True):
            for name, value in out.items():
                if name not in stacked:
                    stacked[name] = np.full((count, *value.shape[1:]), np.nan, value.dtype)
                stacked[name][row] = value[0]
        return stacked


def behind_front(backbone: "Callable[[], onnx.ModelProto]", taps: Sequence[str]) -> Build:
    """Return what exports fronts with a backbone behind them, which is asked for when the front is there."""

    def build(settings: FrontSettings, values: Mapping[str, Floats], reduction: Reduction) -> Trunk:
        return export_front(settings, values, reduction).before(backbone(), taps)

    return build


def open_limits(settings: GateSettings) -> Floats:
    """Return limits [q, 2] that refuse nothing."""
    return np.tile(np.array([[-NO_LIMIT, NO_LIMIT]], np.float32), (len(settings.quality_names), 1))


def front_limits(quality: Floats, settings: GateSettings, asked: Gate) -> Floats:
    """Return the gate's limits [q, 2] from quality numbers of good frames; open where the recipe wants no gate."""
    return open_limits(settings) if asked.mode == "off" else fit_limits(quality, settings, asked.margin)


def _refuse_nothing_left(gate: npt.NDArray[np.int64]) -> None:
    """Refuse a front that lets none of the good frames through that it was fitted on: a stated limit is wrong."""
    if (gate == 0).any():
        return
    counts = [int((gate >> bit & 1).sum()) for bit in range(len(GATE_BITS))]
    bit = int(np.argmax(counts))
    raise UsageError(
        f"The gate refuses every good image, {counts[bit]} of {len(gate)} because {GATE_WORDS[bit]} "
        f"({GATE_BITS[bit]}). {REMEDIES.get(GATE_BITS[bit], OTHERWISE)}"
    )
