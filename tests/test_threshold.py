"""Thresholds: the conformal rule, what it promises, and what it refuses to promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from lineside.calibrate.crossfit import grouped_folds, holdout
from lineside.calibrate.threshold import overkill_threshold
from lineside.contract_thresholds import Threshold
from lineside.errors import UsageError
from lineside.evidence import holdout_parts, parts_needed, supported_overkill


def limit(scores: list[float], overkill: float, groups: list[str] | None = None, held_out: bool = True) -> Threshold:
    """Find a threshold with plain words."""
    names = groups or [str(i) for i in range(len(scores))]
    values = np.array(scores, np.float32)
    return overkill_threshold(values, names, overkill, crossfit="held-out parts", held_out=held_out)


def test_the_rule_on_a_tiny_case() -> None:
    """Of 19 scores and a wish of 10 %, the threshold lies just above the 18th in ascending order, below the 19th."""
    found = limit([float(i) for i in range(1, 20)], 0.10)
    assert 18.0 < found.value <= 18.02
    assert found.supported_overkill == pytest.approx(0.10)


def test_too_few_parts_give_the_strictest_they_support_and_say_so() -> None:
    """20 parts cannot promise 1 %: the largest score is taken, and 4.8 % and the 99 parts needed are named."""
    found = limit([float(i) for i in range(20)], 0.01)
    assert 19.0 < found.value <= 19.02
    assert found.supported_overkill == pytest.approx(1 / 21)
    assert "99 good parts" in found.statement
    assert "4.8 %" in found.statement


def test_a_wish_of_nearly_everything_still_has_a_rank() -> None:
    """The smallest score at least, and numbers that are numbers."""
    found = limit([1.0, 2.0, 3.0], 0.9999999999)
    assert found.rule.startswith("just above score 1 of 3")
    assert all(np.isfinite(end) for end in found.interval)


def test_findings_and_an_unmet_wish_are_both_said() -> None:
    """20 held-out parts of which one is NG by a finding, and a wish of 1 % at 95 %: neither sentence hides the other,
    and nothing is called guaranteed."""
    scores, names = np.array([*range(19), np.inf], np.float32), [str(i) for i in range(20)]
    made = overkill_threshold(scores, names, 0.01, crossfit="held-out parts", held_out=True, confidence=0.95)
    assert made.kind == "empirical"
    assert made.statement.startswith("No guarantee: from 20 good parts, held-out parts, the overkill is at most 28.3 %")
    assert "1 of them is NG by a finding, whatever the threshold, and so many that they decided" in made.statement
    assert "which needs 299 good parts, 279 more than now, and no finding among them; 20 support" in made.statement


def test_of_a_holdout_the_parts_of_the_recipe_are_named() -> None:
    """Ten of fifty parts were held out and the wish needs 19 such: 93 in the recipe, for a fifth of those is 19."""
    scores, names = np.arange(10, dtype=np.float32), [str(i) for i in range(10)]
    made = overkill_threshold(scores, names, 0.05, crossfit="held-out parts", held_out=True, kept_from=50)
    words = "which needs 19 held-out good parts, so 93 in the recipe, 43 more than the 50 now; 10 support 9.1 %"
    assert words in made.statement
    assert holdout_parts(93) == 19
    assert holdout_parts(92) == 18


def test_few_findings_leave_the_rank_and_its_guarantee() -> None:
    """One of 20 parts has a finding and a wish of 10 % takes the 19th score anyway: the theorem still covers it."""
    made = limit([*map(float, range(19)), math.inf], 0.1)
    assert made.rule.startswith("just above score 19 of 20")
    assert (made.kind, made.supported_overkill) == ("guaranteed", pytest.approx(2 / 21))
    assert "1 of them is NG by a finding, whatever the threshold." in made.statement
    assert "The wish was" not in made.statement


def test_cross_fitted_scores_are_called_empirical() -> None:
    """Only scores by the deployed model itself carry a guarantee."""
    assert limit([1.0, 2.0, 3.0], 0.3, held_out=False).kind == "empirical"
    assert "No guarantee" in limit([1.0, 2.0, 3.0], 0.3, held_out=False).statement
    assert limit([1.0, 2.0, 3.0], 0.3).kind == "guaranteed"


def test_frames_of_one_part_count_as_one() -> None:
    """Five shots of each of four parts support what four parts support, by each part's worst shot."""
    scores = [float(part * 10 + shot) for part in range(4) for shot in range(5)]
    found = limit(scores, 0.05, [str(part) for part in range(4) for _ in range(5)])
    assert (found.n, found.n_groups, found.value) == (20, 4, pytest.approx(34.0, rel=2e-3))
    assert found.supported_overkill == pytest.approx(0.2)


@given(st.integers(1, 200), st.floats(0.001, 0.9))
def test_the_interval_is_that_of_the_order_statistic(n: int, wish: float) -> None:
    """The interval's ends are the 2.5 % and 97.5 % points of Beta(n + 1 - k, k), and hold the supported overkill."""
    found = limit([float(i) for i in range(n)], wish)
    k = math.floor(found.value) + 1
    assert found.interval == pytest.approx((beta.ppf(0.025, n + 1 - k, k), beta.ppf(0.975, n + 1 - k, k)))
    assert found.supported_overkill <= max(wish, 1 / (n + 1)) + 1e-9


@given(st.floats(0.0005, 0.9))
def test_parts_needed_is_the_smallest_number_that_supports_the_wish(wish: float) -> None:
    """One part fewer would not do."""
    n = parts_needed(wish)
    assert 1 / (n + 1) <= wish + 1e-6
    assert n == 0 or 1 / n > wish - 1e-6


@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.integers(2, 10), st.integers(0, 99))
def test_folds_never_split_a_part_and_score_every_image_once(parts: list[int], count: int, seed: int) -> None:
    """Every image is scored in one fold, by a fit that saw no image of its part."""
    groups = [str(part) for part in parts]
    if len(set(groups)) < 2:
        with pytest.raises(UsageError, match="at least 2 parts"):
            grouped_folds(groups, count)
        return
    folds = grouped_folds(groups, count)
    assert sorted(i for fold in folds for i in fold.score) == list(range(len(groups)))
    for fold in (*folds, holdout(groups, seed)):
        assert not {groups[i] for i in fold.fit} & {groups[i] for i in fold.score}
        assert fold.fit
        assert fold.score


def test_neighbours_by_name_share_a_fold() -> None:
    """Pictures taken one after another are alike: a fold is a block of them, not every fifth."""
    groups = [f"{number:03d}" for number in range(23)]
    folds = grouped_folds(groups, 5)
    assert folds[0].score == (0, 1, 2, 3, 4)
    assert all(fold.score[-1] - fold.score[0] == len(fold.score) - 1 for fold in folds)


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40), st.floats(0.01, 0.9))
def test_the_threshold_is_on_no_score_and_passes_none(scores: list[float], wish: float) -> None:
    """It lies above the score of its rank and below the next larger one, so that rounding turns no verdict."""
    found = limit(scores, wish)
    rank = int(found.rule.split()[3])
    ascending = np.sort(np.array(scores, np.float32))
    assert found.value > ascending[rank - 1]
    larger = ascending[ascending > ascending[rank - 1]]
    assert not len(larger) or found.value <= larger[0]


def confident(n: int, overkill: float, sure: float, held_out: bool = True) -> Threshold:
    """Find a threshold for a wish with a confidence, from parts that score 1 to n."""
    scores, names = np.arange(1, n + 1, dtype=np.float32), [str(i) for i in range(n)]
    return overkill_threshold(scores, names, overkill, crossfit="x", held_out=held_out, confidence=sure)


def test_the_largest_of_fifty_nine_keeps_five_per_cent_with_confidence() -> None:
    """The number that statisticians know; with 93 parts the second largest does, and 58 are one too few."""
    assert confident(59, 0.05, 0.95).rule.startswith("just above score 59 of 59")
    assert confident(92, 0.05, 0.95).rule.startswith("just above score 92 of 92")
    assert confident(93, 0.05, 0.95).rule.startswith("just above score 92 of 93")
    short = confident(58, 0.05, 0.95)
    assert "The wish was 5 % with 95 % confidence, which needs 59 good parts, 1 more than now; 58" in short.statement
    assert short.supported == pytest.approx(1.0 - 0.05 ** (1 / 58))


def test_a_wish_with_a_confidence_is_guaranteed_only_where_scores_were_held_out() -> None:
    """Cross-fitted scores make it empirical, and the statement begins with that."""
    sure, fitted = confident(59, 0.05, 0.95), confident(59, 0.05, 0.95, held_out=False)
    assert (sure.kind, fitted.kind) == ("guaranteed", "empirical")
    assert "with 95 % confidence the overkill is at most 5.0 %" in sure.statement
    assert fitted.statement.startswith("No guarantee: from 59 good parts, x, the overkill is at most 5.0 % with 95 %")
    assert sure.wish.in_words == "an overkill of at most 5 % with 95 % confidence"
    assert sure.confidence == 0.95


@given(st.integers(1, 300), st.floats(0.001, 0.9), st.floats(0.5, 0.999))
def test_the_rank_is_the_smallest_that_keeps_the_wish(n: int, wish: float, sure: float) -> None:
    """By scipy: P(Beta(n + 1 - k, k) <= wish) reaches the confidence at k and not at k - 1."""
    made = confident(n, wish, sure)
    k = int(made.rule.split()[3])
    assert made.upper == pytest.approx(beta.ppf(sure, n + 1 - k, k), abs=1e-9)
    if k < n:
        assert beta.cdf(wish, n + 1 - k, k) >= sure - 1e-6
    if k > 1:
        assert beta.cdf(wish, n + 2 - k, k - 1) < sure + 1e-6


@given(st.floats(0.001, 0.9), st.floats(0.5, 0.999))
def test_parts_needed_for_a_confidence_is_the_smallest_number(wish: float, sure: float) -> None:
    """With that many the largest score keeps the wish, with one fewer it does not."""
    n = parts_needed(wish, sure)
    assert supported_overkill(n, sure) <= wish + 1e-6
    assert n == 1 or supported_overkill(n - 1, sure) > wish - 1e-6
    assert beta.ppf(sure, 1, n) == pytest.approx(supported_overkill(n, sure))
