"""Exact intervals and the quantiles behind them, against scipy's."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from lineside.binomial import beta_interval, beta_quantile, clopper_pearson, contradicting, upper_bound


@example(1_000_000, 1_000_000, 0.95)
@example(3000, 1_000_000, 0.95)
@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([0.8, 0.95, 0.99]))
def test_bounds_are_those_of_scipy(k: int, n: int, confidence: float) -> None:
    """Two-sided and one-sided, at three confidences."""
    k = min(k, n)
    both = stats.binomtest(k, n).proportion_ci(confidence, "exact")
    assert clopper_pearson(k, n, confidence) == pytest.approx((both.low, both.high), rel=1e-8, abs=1e-12)
    above = stats.binomtest(k, n, alternative="less").proportion_ci(confidence, "exact")
    assert upper_bound(k, n, confidence) == pytest.approx(above.high, rel=1e-8)


@given(st.floats(0.01, 0.99), st.floats(0.5, 300), st.floats(0.5, 300))
def test_quantiles_of_beta_are_those_of_scipy(p: float, a: float, b: float) -> None:
    """Also where a and b are no whole numbers."""
    assert beta_quantile(p, a, b) == pytest.approx(stats.beta.ppf(p, a, b), rel=1e-7, abs=1e-12)
    assert beta_interval(a, b, p) == pytest.approx(stats.beta.interval(p, a, b), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(("n", "share", "least"), [(1, 0.05, None), (2, 0.05, 2), (100, 0.05, 11), (0, 0.5, None)])
def test_the_count_that_contradicts_a_share_is_the_smallest(n: int, share: float, least: int | None) -> None:
    """The interval of one less still contains the share; with one part every count does."""
    assert contradicting(n, share) == least
    assert clopper_pearson(n if least is None else least - 1, n)[0] <= share


def test_none_missed_of_thirty_is_known_to_the_plant() -> None:
    """0 of 30: at most 9.5 % with 95 % confidence; of nothing nothing is known."""
    assert upper_bound(0, 30) == pytest.approx(0.0950, abs=5e-5)
    assert (upper_bound(0, 0), upper_bound(3, 3)) == (1.0, 1.0)
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="0 <= k <= n"):
        upper_bound(4, 3)
    with pytest.raises(ValueError, match="k=3, n=2"):
        clopper_pearson(3, 2)
