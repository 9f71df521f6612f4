"""What lineside's own patch head promises against what it keeps, on draws of synthetic features.

Projection (whitened on the draw), both memories by k-centre and augmented copies are on, and the calibration is the
training's own code. The truth of a deployed head is its share of rejected images among new ones of the same law.

A draw is one new good part judged by one head that was freshly fitted and calibrated. Parts that share a head share
its luck, so they are no independent draws: every error here is that of the mean over heads, each counted once with the
share of its own new parts (the estimate for clusters of equal size; Cameron and Miller, 2015). Fitting a
head costs a thousand times what judging a part does, so there are fewer heads than draws.
"""

import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch

from head_draws import DrawnMethod, calibration_of, draw, leaky_scores, scored
from lineside.calibrate.threshold import overkill_threshold
from lineside.contract_thresholds import Threshold
from lineside.transfer.head_fit import HeadFit
from lineside.transfer.head_scores import scores

NEW = 100
"""New parts that each deployed head judges."""
FEW, HELD_OUT = 60, 600
"""Heads of the quick tests, and of that with a hold-out, where a head is fitted once and no fold."""
MANY = int(os.environ.get("LINESIDE_HEADS", "120"))
"""Heads of each slow test with folds; ``LINESIDE_HEADS=2000`` calibrates as often as the draws of scores are made."""
SHOTS = 5
"""Of each part, where parts have several."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are quicker by one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rejected(rng: np.random.Generator, head: HeadFit, limit: Threshold) -> float:
    """Share of new good images that a deployed head calls NG."""
    return float((scored(head, draw(rng, NEW, copies=0)) > limit.value).mean())


def threshold_of(own: npt.NDArray[np.float32]) -> Threshold:
    """Take a threshold for an overkill of 5 % from scores, each of another part."""
    return overkill_threshold(own, [f"{i:03d}" for i in range(len(own))], 0.05, crossfit="x", held_out=False)


def error(shares: list[float]) -> float:
    """Three standard errors of the mean over heads, each with the share [0 to 1] of its own new parts."""
    return float(3.0 * np.std(shares, ddof=1) / np.sqrt(len(shares)))


def kept(n: int, heads: int, seed: int, crossfit: str = "folds") -> tuple[list[float], Threshold]:
    """Calibrate as training does, `heads` times on n fresh images; return the overkill of each, and one threshold."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(heads):
        method = DrawnMethod(draw(rng, n))
        limit = calibration_of(method, n, overkill=0.05, crossfit=crossfit).threshold
        found.append(rejected(rng, method.last[0], limit))
    return found, limit


def test_heads_of_the_simulation_are_those_of_training() -> None:
    """Whitened, two memories, and scored all at once as one by one."""
    rng = np.random.default_rng(0)
    method = DrawnMethod(draw(rng, 8))
    calibration_of(method, 8)
    head, new = method.last[0], draw(rng, 5, copies=0)
    assert head.unit == ("nearest", "whitened", "memory")
    assert head.values.memory is not None
    assert head.values.sharp_memory is not None
    np.testing.assert_allclose(scored(head, new), scores(head.shape, head.values, new), rtol=1e-4)


def test_cross_fitting_keeps_its_word_and_what_has_seen_the_images_does_not() -> None:
    """Eight images, 60 heads: honest scores reject less than promised; a projection or memory that saw them far more.

    The promise is 1 / 9. Scored by the deployed head itself, or left out of the memory alone, the images look so much
    better than new ones do that nearly every new one is rejected.
    """
    honest, limit = kept(8, FEW, seed=1)
    assert limit.kind == "empirical"
    assert limit.supported_overkill == pytest.approx(1 / 9)
    assert np.mean(honest) <= 1 / 9 + error(honest)
    rng, seen, leaked = np.random.default_rng(2), [], []
    for _ in range(FEW):
        rows = draw(rng, 8)
        own, head = leaky_scores(rows, 8)
        leaked.append(rejected(rng, head, threshold_of(own)))
        seen.append(rejected(rng, head, threshold_of(scored(head, rows.firsts()))))
    assert np.mean(leaked) > 0.5
    assert np.mean(seen) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 20, 59])
def test_the_deployed_head_rejects_no_more_than_promised(n: int) -> None:
    """8, 20 and 59 images: the mean overkill of 120 deployed heads, 12,000 draws of a part, is within the promise.

    Three standard errors by head are at most 0.3 of the promise, so that the comparison says something.
    With 2,000 heads each: 0.058 ± 0.005 of 0.111 promised, 0.027 ± 0.002 of 0.048, 0.034 ± 0.002 of 0.050.
    """
    found, limit = kept(n, MANY, seed=n)
    assert limit.supported_overkill == pytest.approx({8: 1 / 9, 20: 1 / 21, 59: 3 / 60}[n])
    assert error(found) <= 0.3 * limit.supported_overkill
    assert np.mean(found) <= limit.supported_overkill + error(found)


@pytest.mark.slow
def test_parts_with_several_shots_keep_the_promise_and_shots_taken_for_parts_break_it() -> None:
    """Eight parts, five shots each, 60 heads. By part the heads reject no more than promised; taken for forty parts,
    a shot is scored by heads that have seen its siblings, and the realised overkill is a multiple of the promise."""
    rng, shares, stated = np.random.default_rng(5), dict[int, list[float]](), dict[int, float]()
    for shots in (SHOTS, 1):
        for _ in range(FEW):
            method = DrawnMethod(draw(rng, 8, shots=SHOTS))
            limit = calibration_of(method, 8 * SHOTS // shots, shots, overkill=0.05).threshold
            above = scored(method.last[0], draw(rng, NEW, copies=0, shots=SHOTS)) > limit.value
            shares.setdefault(shots, []).append(float(above.reshape(SHOTS, NEW).any(axis=0).mean()))
        stated[shots] = limit.supported_overkill
    assert stated == pytest.approx({SHOTS: 1 / 9, 1: 2 / 41})
    assert np.mean(shares[SHOTS]) <= stated[SHOTS] + error(shares[SHOTS])
    assert np.mean(shares[1]) > 3.0 * stated[1] + error(shares[1])


@pytest.mark.slow
def test_a_hold_out_keeps_what_it_guarantees() -> None:
    """600 heads on 40 images, 8 of them held out: the guaranteed mean, and the 95 % bound for 95 % of the heads."""
    found, limit = kept(40, HELD_OUT, seed=3, crossfit="holdout")
    assert (limit.kind, limit.n) == ("guaranteed", 8)
    assert np.mean(found) <= limit.supported_overkill + error(found)
    assert np.mean(found) >= 0.8 * limit.supported_overkill
    noise = 0.02  # of a share that is counted on 100 new images
    assert np.mean(np.array(found) <= limit.upper + noise) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / HELD_OUT)
