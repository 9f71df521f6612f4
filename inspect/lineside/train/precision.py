"""`export.precision: auto`: a model in int8 beside one in float32, and int8 only where it loses nothing and gains time.

Both are trained in full, each with heads and thresholds of its own, for what would be deployed is what must be judged.
Comparing features was rejected: what an error of theirs does to a score depends on the head. That int8 is taken is
decided on images that give scores to the threshold: by what both models agree on, and by nothing that makes a threshold
look better than it is. Yet no theorem covers scores that chose their model, so that its thresholds are empirical, held
out or not (`unguaranteed`). Deciding on other images was rejected: a handful of good ones has none to spare.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from lineside.contract import INPUT_FRAME, Precision, Verdict
from lineside.contract_thresholds import Threshold
from lineside.export.parity import TOLERANCE_REL, decide
from lineside.graph.run import Graph, parallel
from lineside.recipe import Export
from lineside.synth.drift import drifted, spread_of
from lineside.synth.spoil import KINDS, spoil
from lineside.train.calibration import Calibration
from lineside.train.images import References

Pixels = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
Load = Callable[[], Pixels]

INT8_TOLERANCE_REL = 0.02
"""Of a score, between machines. Measured on ball-screw drives (25 frames, weights of the float32 opening changed by
3e-7 and by 1e-6 of themselves): scores differ by up to 1.0 %, cells of the map by up to 4.9 % of its largest value; in
float32 by 5e-6 and 3e-5."""
LEAST_RANK = 0.995
"""Spearman's rank correlation of the scores."""
LEAST_FRAMES = 200
"""Good frames, the same in other light and sharpness, and the same with synthetic defects, together."""
MOST_GOODS, MOST_MEASURED = 100, 25
"""Good frames that are scored, and those whose spread in light and sharpness the drifted copies get."""
CHOSEN = "No guarantee: these scores also decided between int8 and fp32."
WARM, ROUNDS, FASTER = 3, 40, 0.75
"""Rounds that are not counted, rounds in which both are timed one after the other, and the share of them in which int8
must be the faster (by chance in less than 1 of 500 trials)."""


@dataclass(frozen=True)
class Compared:
    """A model in int8 beside the one in float32.

    Attributes
    ----------
    rank : float
        Spearman's rank correlation of their scores.
    frames : int
        That were scored.
    flipped : tuple of str
        Images of the calibration, good and defective, that they judge differently, each by its own thresholds.
    speedup : float
        Time of the whole graph in float32 over that in int8, median of the rounds.
    faster : float
        Share of the rounds in which int8 was faster.
    """

    rank: float
    frames: int
    flipped: tuple[str, ...]
    speedup: float
    faster: float

    @property
    def taken(self) -> bool:
        """Whether int8 is used."""
        return self.rank >= LEAST_RANK and not self.flipped and self.faster >= FASTER

    def in_words(self) -> str:
        """Say what is used, with the numbers."""
        count = len(self.flipped) or "no"
        verdicts = f"{count} calibration verdict{'s differ' if len(self.flipped) > 1 else ' differs'}"
        named = f" ({', '.join(self.flipped[:3])}{' …' if len(self.flipped) > 3 else ''})" if self.flipped else ""
        return (
            f"Precision: {'int8' if self.taken else 'fp32'}. Scores of int8 and fp32 have a rank correlation of "
            f"{self.rank:.4f} over {self.frames} frames ({LEAST_RANK} was wanted), {verdicts}{named}, and int8 takes "
            f"{1.0 / self.speedup:.2f} of the time here, faster in {self.faster:.0%} of {ROUNDS} rounds."
        )


def tolerance_rel(export: Export) -> float:
    """Return the relative difference of scores that another machine may show."""
    return INT8_TOLERANCE_REL if export.precision == "int8" else TOLERANCE_REL


def unguaranteed(threshold: Threshold) -> Threshold:
    """Return what may be said of a threshold where its own scores helped to decide which model is deployed."""
    if threshold.kind != "guaranteed":
        return threshold
    return replace(threshold, kind="empirical", statement=f"{CHOSEN} {threshold.statement}")


def stated_precision(export: Export) -> Precision:
    """Return what the contract says of a model that was trained with these settings."""
    if export.precision != "int8":
        return Precision("fp32", 32, "The network computes in float32.")
    activations = "The network computes in integers: uint8 activations, int8 weights with a scale for each channel"
    moved = (
        f"Where another processor's float32 differs in the last digit, an activation takes the next step: scores may "
        f"differ by up to {INT8_TOLERANCE_REL:.0%} there, and a part that is as near to the threshold may be judged "
        "otherwise."
    )
    if export.target == "vnni":
        why = "for processors with VNNI alone: on others products of 8 bits saturate, and the vectors show it"
        return Precision("int8", 8, f"{activations}, {why}. {moved}")
    why = "of 7 bits in dense convolutions, whose products fit on processors without VNNI as well"
    return Precision("int8", 7, f"{activations}, {why}. {moved}")


def compare(
    models: tuple[bytes, bytes],
    calibrations: tuple[Calibration, Calibration],
    references: References,
    seed: int,
) -> Compared:
    """Compare two deployed graphs, float32 first.

    Parameters
    ----------
    models : (bytes, bytes)
    calibrations : (Calibration, Calibration)
        What their thresholds were taken from.
    references : References
    seed : int
        Of the disturbances and defects.
    """
    graphs = Graph(models[0]), Graph(models[1])
    loads = [references.reader.lazily(references.samples[i]) for i in references.good_positions[:MOST_GOODS]]
    scores = np.array(list(parallel(partial(_scored, graphs), frames_to_rank(loads, seed))))
    seconds = _timed(graphs, loads[0]())
    return Compared(
        rank=rank_correlation(scores[:, 0], scores[:, 1]),
        frames=len(scores),
        flipped=flipped(calibrations, [sample.name for sample in references.samples]),
        speedup=float(np.median(seconds[:, 0] / seconds[:, 1])),
        faster=float((seconds[:, 1] < seconds[:, 0]).mean()),
    )


def frames_to_rank(goods: Sequence[Load], seed: int) -> list[Load]:
    """Return at least 200 frames: good ones, and drifted and defective copies of them, made when they are called.

    Parameters
    ----------
    goods : sequence of callable
        Each gives a good frame [H, W, C].
    seed : int
    """
    spread, kinds = spread_of([load() for load in goods[:MOST_MEASURED]]), sorted(KINDS)
    copies = max(1, math.ceil((LEAST_FRAMES - len(goods)) / (2 * len(goods))))

    def drift(number: int) -> Pixels:
        return drifted(goods[number % len(goods)](), spread, np.random.default_rng([seed, number, 0]))

    def defect(number: int) -> Pixels:
        frame, other = (goods[at % len(goods)]() for at in (number, number + 1))
        rng, kind = np.random.default_rng([seed, number, 1]), kinds[number % len(kinds)]
        everywhere = np.ones(frame.shape[:2], np.bool_)
        return spoil(frame, other if other.shape == frame.shape else frame, everywhere, kind, rng).image

    made = [partial(make, number) for make in (drift, defect) for number in range(copies * len(goods))]
    return [*goods, *made]


def rank_correlation(first: Doubles, second: Doubles) -> float:
    """Return Spearman's rank correlation; 0 where all scores of one are the same."""
    from scipy.stats import spearmanr

    if first.min() == first.max() or second.min() == second.max():
        return 0.0
    return float(spearmanr(first, second).statistic)


def flipped(calibrations: tuple[Calibration, Calibration], names: Sequence[str]) -> tuple[str, ...]:
    """Return names of the images that the two judge differently, each by its own thresholds; good ones first.

    Parameters
    ----------
    calibrations : (Calibration, Calibration)
    names : sequence of str
        Of the good images, by position.
    """
    verdicts = [_verdicts(one, names) for one in calibrations]
    judged = list(dict.fromkeys([*names, *verdicts[0], *verdicts[1]]))
    return tuple(name for name in judged if verdicts[0].get(name) is not verdicts[1].get(name))


def _verdicts(one: Calibration, names: Sequence[str]) -> dict[str, Verdict]:
    """Verdicts by name, of the images that got a call."""
    goods = zip((names[i] for i in one.called), one.goods.scores, strict=True)
    limits = one.threshold.value, one.review.value
    return {name: decide(float(score), 0, *limits) for name, score in (*goods, *one.defects.items())}


def _scored(graphs: tuple[Graph, Graph], load: Load) -> list[float]:
    frame = load()[None]
    return [float(graph({INPUT_FRAME: frame}, ("score",))["score"][0]) for graph in graphs]


def _timed(graphs: tuple[Graph, Graph], frame: Pixels) -> Doubles:
    """Return seconds [rounds, 2] that one thread spends in each graph, one after the other, the first turn changing."""
    seconds = np.zeros((ROUNDS, 2))
    for turn in range(-WARM, ROUNDS):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.thread_time()
            graphs[which]({INPUT_FRAME: frame[None]})
            if turn >= 0:
                seconds[turn, which] = time.thread_time() - start
    return seconds
