"""The statistics of an evaluation: equal to scikit-learn's, anomalib's and scipy's, and honest at their limits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.bench.evaluation.plant import Costs, check_plant, costs_of, in_the_plant
from lineside.binomial import clopper_pearson
from lineside.calibrate.auroc_interval import BOTH, DELONG, NEWCOMBE, auroc_area, delong_variance, newcombe_interval
from lineside.calibrate.control import binomial_limits, ewma_chart, p_chart, subgroup_bounds
from lineside.calibrate.metrics import auroc, average_precision
from lineside.calibrate.probability import class_calibration, mean_interval
from lineside.errors import UsageError

SCORES = st.lists(st.integers(0, 5), min_size=1, max_size=30)


@settings(deadline=None)
@given(SCORES, SCORES)
def test_average_precision_is_scikit_learns(good: list[int], defect: list[int]) -> None:
    """With ties, the same number as sklearn's."""
    metrics = pytest.importorskip("sklearn.metrics")
    truth = [0] * len(good) + [1] * len(defect)
    assert average_precision(good, defect) == pytest.approx(
        metrics.average_precision_score(truth, good + defect), abs=1e-12
    )


def test_areas_are_anomalibs() -> None:
    """Image AUROC and average precision of the same scores, as the metrics of the field give them."""
    pytest.importorskip("anomalib")
    import torch
    from anomalib.metrics.auroc import _AUROC
    from torchmetrics.classification import BinaryAveragePrecision

    rng = np.random.default_rng(3)
    good, defect = rng.normal(0, 1, 60).astype(np.float32), rng.normal(1.5, 1, 40).astype(np.float32)
    scores, truth = torch.from_numpy(np.concatenate([good, defect])), torch.tensor([0] * 60 + [1] * 40)
    theirs = _AUROC(task="binary") if "task" in _AUROC.__init__.__code__.co_varnames else _AUROC()
    theirs.update(torch.sigmoid(scores), truth)
    assert auroc(good.tolist(), defect.tolist()) == pytest.approx(float(theirs.compute()), abs=1e-6)
    precision = BinaryAveragePrecision()(torch.sigmoid(scores), truth)
    assert average_precision(good.tolist(), defect.tolist()) == pytest.approx(float(precision), abs=1e-6)


def test_nothing_on_one_side_has_no_area() -> None:
    """Without good or without defective parts nothing is made up."""
    assert average_precision([], [1.0]) is None
    assert average_precision([1.0], []) is None
    assert auroc_area([], [1.0]) is None


def slow_delong(good: np.ndarray, defect: np.ndarray) -> float:
    """Variance by the definition: every pair, one by one."""
    won = np.array([[float(d > g) + 0.5 * float(d == g) for g in good] for d in defect])
    return float(won.mean(axis=1).var(ddof=1) / len(defect) + won.mean(axis=0).var(ddof=1) / len(good))


def test_delongs_variance_is_that_of_all_pairs() -> None:
    """Sorted search gives what the double loop gives, ties included."""
    rng = np.random.default_rng(1)
    good, defect = rng.integers(0, 9, 23).astype(np.float64), rng.integers(3, 14, 17).astype(np.float64)
    assert delong_variance(good, defect) == pytest.approx(slow_delong(good, defect), rel=1e-12)


@pytest.mark.parametrize("apart", [0.5, 2.0])
@pytest.mark.parametrize(("good", "defective"), [(40, 30), (100, 1), (100, 3), (3, 100), (9, 9), (10, 100)])
def test_the_auroc_interval_covers(good: int, defective: int, apart: float) -> None:
    """Of 1000 seeded test sets the 95 % interval holds the true area in 92 % and more, also of a handful of parts."""
    rng, truth = np.random.default_rng(7), 0.5 * (1 + math.erf(apart / 2.0))  # normal: Phi(apart / sqrt 2)
    inside = 0
    for _ in range(1000):
        found = auroc_area(rng.normal(0, 1, good), rng.normal(apart, 1, defective))
        assert found is not None
        inside += found.interval[0] <= truth <= found.interval[1]
    assert inside / 1000 >= 0.92
    if min(good, defective) >= 30:
        assert inside / 1000 <= 0.97


def test_a_perfect_separation_is_no_certainty() -> None:
    """Where no pair is wrong the interval still has a width, more with fewer parts, and says how it was found."""
    many, few = auroc_area([0.0] * 100, [1.0] * 70), auroc_area([0.0] * 5, [1.0] * 5)
    assert many is not None
    assert few is not None
    assert (many.method, many.interval[1]) == (NEWCOMBE, 1.0)
    assert few.interval[0] < 0.75 < 0.95 < many.interval[0] < 1.0
    mixed, handful = auroc_area([*range(20)], [*range(5, 25)]), auroc_area([0.0, 1.0, 2.0], [1.5, 3.0])
    assert mixed is not None
    assert handful is not None
    assert (mixed.method, handful.method) == (DELONG, BOTH)


def test_newcombes_interval_solves_its_equation() -> None:
    """At each end the distance to the area is z standard deviations of that end."""
    low, high = newcombe_interval(0.9, 30, 20, 1.96)
    for end in (low, high):
        spread = 1 + 24 * ((1 - end) / (2 - end) + end / (1 + end))
        assert abs(0.9 - end) == pytest.approx(1.96 * math.sqrt(end * (1 - end) * spread / 600), rel=1e-6)
    assert low < 0.9 < high


def test_class_calibration_is_scikit_learns() -> None:
    """Brier score of several classes, and the calibration error by hand from sklearn's own curve."""
    calibration, metrics = pytest.importorskip("sklearn.calibration"), pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    p = rng.dirichlet([1.0, 2.0, 3.0], 200)
    truth = np.array([rng.choice(3, p=row) for row in p])
    found = class_calibration(p, truth.tolist())
    assert found is not None
    each = [metrics.brier_score_loss(truth == k, p[:, k]) for k in range(3)]
    assert found.brier == pytest.approx(sum(each), abs=1e-12)
    right, said = calibration.calibration_curve(p.argmax(axis=1) == truth, p.max(axis=1), n_bins=10)
    assert [one.right for one in found.bins] == pytest.approx(right.tolist())
    assert [one.confidence for one in found.bins] == pytest.approx(said.tolist())
    assert found.ece == pytest.approx(sum(b.n * abs(b.confidence - b.right) for b in found.bins) / 200)
    assert class_calibration(np.zeros((0, 3)), []) is None


def test_intervals_of_calibration_hold_the_truth() -> None:
    """Probabilities that are exact, of 8 and of 60 parts: over 2,000 draws each the calibration error's interval holds
    0, and the Brier score's holds its mean, in 95 % at least; the error itself is never 0."""
    rng, draws = np.random.default_rng(6), 2000
    for n in (8, 60):
        said = rng.dirichlet([0.3, 0.3], n)
        truth = (rng.random((draws, n)) < said[:, 1]).astype(int)
        found = [class_calibration(said, row.tolist()) for row in truth]
        mean = float((2 * said[:, 0] * said[:, 1]).mean())  # of the Brier score, over outcomes
        errors = np.array([one.ece_interval for one in found if one])
        briers = np.array([one.brier_interval for one in found if one])
        assert np.mean(errors[:, 0] == 0.0) >= 0.95
        assert np.mean((briers[:, 0] <= mean) & (mean <= briers[:, 1])) >= 0.95
        assert min(one.ece for one in found if one) > 0.0


def test_probabilities_that_are_wrong_are_found_out() -> None:
    """90 % said where half is right: of 100 parts the interval leaves no way to 0 and holds 0.4, of 8 parts it does."""
    said, half = np.tile([0.1, 0.9], (100, 1)), [0, 1] * 50
    found, few = class_calibration(said, half), class_calibration(said[:2], half[:2])
    assert found is not None
    assert few is not None
    assert 0.25 < found.ece_interval[0] < 0.4 < found.ece_interval[1] < 0.55
    assert few.ece_interval[0] == 0.0


@pytest.mark.parametrize("n", [1, 20, 300])
def test_a_mean_at_its_end_is_bounded_as_a_count_is(n: int) -> None:
    """No part of n wrong: by Hoeffding's inequality as by Clopper and Pearson, a bootstrap would give no width."""
    assert mean_interval(0.0, n) == pytest.approx((0.0, clopper_pearson(0, n)[1]), abs=1e-9)
    assert mean_interval(1.0, n) == pytest.approx((clopper_pearson(n, n)[0], 1.0), abs=1e-9)
    low, high = mean_interval(0.5, n)
    assert low < clopper_pearson(n // 2, n)[0] + 0.5 / n
    assert high > clopper_pearson(n // 2, n)[1]


def test_sure_and_right_is_perfect_sure_and_wrong_is_the_worst() -> None:
    """The ends of both scales."""
    sure = np.eye(2)[[0, 1, 1]]
    best, worst = class_calibration(sure, [0, 1, 1]), class_calibration(sure, [1, 0, 0])
    assert best is not None
    assert worst is not None
    assert (best.brier, best.ece, worst.brier, worst.ece) == (0.0, 0.0, 2.0, 1.0)


# ---- the plant


def test_the_plants_share_of_defects_decides_what_ng_means() -> None:
    """90 % caught at 5 % overkill: by Bayes 1.4 % of the NG are defective at 800 ppm, 94.7 % at one in two."""
    good, bad = {"OK": 95, "NG": 5}, {"OK": 10, "NG": 90}
    rare, even = in_the_plant(good, bad, 800.0, None), in_the_plant(good, bad, 500_000.0, None)
    assert rare is not None
    assert even is not None
    assert rare.ppv.value == pytest.approx(0.0008 * 0.9 / (0.0008 * 0.9 + 0.9992 * 0.05))
    assert even.ppv.value == pytest.approx(0.9 / 0.95)
    assert rare.ppv.interval[0] < 0.0142 < rare.ppv.interval[1]
    assert sum(sum(row.values()) for row in rare.ppm.values()) == pytest.approx(1e6)
    assert rare.ppm["defective"]["OK"] == pytest.approx(80.0)
    assert rare.first_pass_yield.value == pytest.approx(0.9992 * 0.95 + 0.0008 * 0.1)


def test_a_part_without_a_call_is_in_the_million_and_never_ok() -> None:
    """NO_CALL has its own column; an unreadable file is no part of the plant."""
    made = in_the_plant({"OK": 8, "NO_CALL": 2, "unreadable": 5}, {"NG": 1}, 1000.0, Costs(1.0, 100.0))
    assert made is not None
    assert made.ppm["good"]["NO_CALL"] == pytest.approx(0.2 * 999_000)
    assert made.ppm["good"]["OK"] == pytest.approx(0.8 * 999_000)
    assert made.cost_per_thousand is not None
    assert made.cost_per_thousand.value == 0.0
    assert made.cost_per_thousand.interval[1] > 0.0


def test_costs_are_those_of_both_mistakes() -> None:
    """By hand: 1000 parts at 800 ppm, 5 % overkill at 0.4 and 10 % escapes at 250."""
    made = in_the_plant({"OK": 95, "NG": 5}, {"OK": 10, "NG": 90}, 800.0, Costs(0.4, 250.0))
    assert made is not None
    assert made.cost_per_thousand is not None
    assert made.cost_per_thousand.value == pytest.approx(1000 * (0.9992 * 0.05 * 0.4 + 0.0008 * 0.1 * 250))


def test_without_one_side_there_is_no_plant() -> None:
    """Good parts alone tell nothing of what is called OK and is defective."""
    assert in_the_plant({"OK": 5}, {}, 800.0, None) is None


@pytest.mark.parametrize(
    ("rate", "costs", "words"),
    [
        (None, Costs(1, 1), "name that with --defect-rate-ppm"),
        (0.0, None, "between 0 and 1000000"),
        (2e6, None, "between 0 and 1000000"),
        (800.0, Costs(-1, 1), "--cost-overkill must be 0 or more"),
        (800.0, Costs(1, math.inf), "--cost-escape must be 0 or more"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_the_remedy(
    rate: float | None, costs: Costs | None, words: str
) -> None:
    """Prevalence missing for a cost, or out of range: one clear sentence."""
    with pytest.raises(UsageError, match=words):
        check_plant(rate, costs)


def test_one_cost_alone_is_refused() -> None:
    """A cost of one mistake says nothing without the other's."""
    with pytest.raises(UsageError, match="--cost-escape is missing"):
        costs_of(1.0, None)
    assert costs_of(None, None) is None


# ---- control charts


@pytest.mark.parametrize(("share", "n"), [(0.06, 4), (0.5, 10), (0.001, 2000), (0.9, 33)])
def test_limits_of_a_share_are_the_binomials(share: float, n: int) -> None:
    """The largest share that is not improbable, against scipy's binomial distribution."""
    binom = pytest.importorskip("scipy.stats").binom(n, share)
    low, high = (round(end * n) for end in binomial_limits(share, n))
    assert binom.sf(high - 1) > 0.00135 >= binom.sf(high)
    assert binom.cdf(low) > 0.00135 >= binom.cdf(low - 1)


def test_nothing_rejected_and_all_rejected_have_no_width() -> None:
    """Shares of 0 and 1 leave nothing to chance."""
    assert binomial_limits(0.0, 9) == (0.0, 0.0)
    assert binomial_limits(1.0, 9) == (1.0, 1.0)


def test_a_steady_line_stays_inside_and_a_burst_does_not() -> None:
    """One bad part in twenty, evenly: no alarm; the same number in a row: one."""
    steady = p_chart([i % 20 == 0 for i in range(500)])
    burst = p_chart([200 <= i < 225 for i in range(500)])
    assert steady is not None
    assert burst is not None
    assert (len(steady.points), steady.outside, steady.centre) == (25, 0, 0.05)
    assert burst.outside >= 1
    assert {point.first for point in burst.points if point.outside} <= {200, 220}


def test_the_ewma_sees_a_small_shift_that_lasts() -> None:
    """A shift of one standard deviation half-way leaves the limits, noise alone does not."""
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 1, 200)
    shifted = noise + np.repeat([0.0, 1.0], 100)
    still, moved = ewma_chart(noise.tolist()), ewma_chart(shifted.tolist())
    assert still is not None
    assert moved is not None
    assert still.outside == 0
    assert moved.outside > 3


def test_the_ewmas_limits_are_roberts() -> None:
    """With subgroups of one size: L sigma / sqrt(n) sqrt(lambda / (2 - lambda) (1 - (1 - lambda)^(2 i)))."""
    values = np.random.default_rng(0).normal(5, 2, 100)
    chart = ewma_chart(values.tolist())
    assert chart is not None
    groups = values.reshape(25, 4)
    sigma = math.sqrt(((groups - groups.mean(axis=1, keepdims=True)) ** 2).sum() / 75)
    for i, point in enumerate(chart.points, 1):
        half = 3 * sigma / 2 * math.sqrt(0.2 / 1.8 * (1 - 0.8 ** (2 * i)))
        assert point.upper - chart.centre == pytest.approx(half)


@given(st.integers(0, 2000))
def test_every_image_is_in_one_subgroup(n: int) -> None:
    """Subgroups follow one another without a gap, or there are none because there are too few images."""
    bounds = subgroup_bounds(n)
    assert bool(bounds) == (n >= 20)
    assert [i for first, end in bounds for i in range(first, end)] == (list(range(n)) if bounds else [])


def test_too_few_images_make_no_chart() -> None:
    """Nineteen images are no basis for limits."""
    assert p_chart([True] * 19) is None
    assert ewma_chart([1.0] * 19) is None
