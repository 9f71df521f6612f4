"""Gauge R&R and kappa against published examples, and where they end."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from lineside.calibrate.agreement import cohen_kappa, fleiss_kappa
from lineside.calibrate.bias import bias_of
from lineside.calibrate.gauge import gauge_rr
from lineside.errors import UsageError

AIAG = """
0.29 -0.56 1.34 0.47 -0.80 0.02 0.59 -0.31 2.26 -1.36
0.41 -0.68 1.17 0.50 -0.92 -0.11 0.75 -0.20 1.99 -1.25
0.64 -0.58 1.27 0.64 -0.84 -0.21 0.66 -0.17 2.01 -1.31
0.08 -0.47 1.19 0.01 -0.56 -0.20 0.47 -0.63 1.80 -1.68
0.25 -1.22 0.94 1.03 -1.20 0.22 0.55 0.08 2.12 -1.62
0.07 -0.68 1.34 0.20 -1.28 0.06 0.83 -0.34 2.19 -1.50
0.04 -1.38 0.88 0.14 -1.46 -0.29 0.02 -0.46 1.77 -1.49
-0.11 -1.13 1.09 0.20 -1.07 -0.67 0.01 -0.56 1.45 -1.77
-0.15 -0.96 0.67 0.11 -1.45 -0.49 0.21 -0.49 1.87 -2.16
"""
"""AIAG, Measurement Systems Analysis, 4th edition, table III-B 6: three appraisers, three trials each, ten parts."""


def aiag() -> np.ndarray:
    """Return the manual's example, [parts, appraisers, trials]."""
    rows = np.array([[float(value) for value in line.split()] for line in AIAG.strip().splitlines()])
    return rows.reshape(3, 3, 10).transpose(2, 0, 1)


def test_gauge_rr_is_that_of_the_manual() -> None:
    """AIAG's ANOVA report: EV 0.199933, AV 0.226838, GRR 0.302373, PV 1.042327, TV 1.085; 27.9 %, ndc 4."""
    study = gauge_rr(aiag())
    assert study.repeatability == pytest.approx(0.199933, abs=1e-6)
    assert study.reproducibility == pytest.approx(0.226838, abs=1e-6)
    assert study.grr == pytest.approx(0.302373, abs=2e-6)
    assert study.part == pytest.approx(1.042327, abs=2e-6)
    assert study.total == pytest.approx(1.085, abs=5e-4)
    assert study.interaction_p == pytest.approx(0.974, abs=1e-3)
    assert (study.interaction, round(100 * study.share, 1), study.categories) == (0.0, 27.9, 4)
    assert study.verdict == "marginal"


def test_components_are_those_that_the_scores_were_made_of() -> None:
    """A large simulated study gives back its standard deviations, the interaction among them."""
    rng = np.random.default_rng(0)
    parts, operators, repeats = 300, 40, 4
    scores = 3.0 * rng.standard_normal((parts, 1, 1)) + 0.5 * rng.standard_normal((1, operators, 1))
    scores = scores + 0.4 * rng.standard_normal((parts, operators, 1))
    study = gauge_rr(scores + 0.2 * rng.standard_normal((parts, operators, repeats)))
    assert study.part == pytest.approx(3.0, rel=0.1)
    assert study.repeatability == pytest.approx(0.2, rel=0.02)
    assert study.interaction == pytest.approx(0.4, rel=0.02)
    assert study.reproducibility == pytest.approx(np.hypot(0.5, 0.4), rel=0.15)


def test_one_station_has_a_repeatability_alone() -> None:
    """Without operators to compare, the system is its repeatability; exact repeats leave no limit to categories."""
    scores = aiag()[:, :1]
    study = gauge_rr(scores)
    assert (study.reproducibility, study.interaction_p) == (0.0, None)
    assert study.grr == study.repeatability > 0
    exact = gauge_rr(np.repeat(scores[:, :, :1], 3, axis=2))
    assert (exact.grr, exact.categories, exact.share) == (0.0, None, 0.0)


def test_bias_is_that_of_the_manual() -> None:
    """AIAG's 15 readings of a part of 6.00 (4th edition, chapter III, section B): bias 0.0067, s 0.2120, 14 degrees of
    freedom, interval -0.1107 to 0.1241, which is that of scipy's t test too; 0 lies in it."""
    readings = [5.8, 5.7, 5.9, 5.9, 6.0, 6.1, 6.0, 6.1, 6.4, 6.3, 6.0, 6.1, 6.2, 5.6, 6.0]
    study = bias_of(np.array(readings) - 6.0, "shot")
    assert study.sd is not None
    assert study.interval is not None
    assert (round(study.value, 4), round(study.sd, 4), study.n) == (0.0067, 0.2120, 15)
    assert [round(end, 4) for end in study.interval] == [-0.1107, 0.1241]
    known = stats.ttest_1samp(readings, 6.0).confidence_interval()
    assert study.interval == pytest.approx((known.low - 6.0, known.high - 6.0))
    assert not study.found
    assert study.spread == "-0.1107 to 0.1241 (15 shots)"


def test_a_bias_without_spread_has_no_interval() -> None:
    """One reading, or readings that are all the same, say nothing of what others would be."""
    one, same = bias_of(np.array([0.2])), bias_of(np.full(4, 0.2))
    assert (one.sd, one.interval, one.found, one.spread) == (None, None, False, "no interval from 1 part")
    assert (same.sd, same.interval, same.found, same.spread) == (0.0, None, False, "no difference between 4 parts")


def test_a_bias_is_found_as_seldom_as_stated_where_there_is_none() -> None:
    """Ten parts with three shots each and no bias, 2,000 times: by part the interval holds 0 in 95 %; by shot it would
    not, since shots of one part are off together."""
    rng, by_part, by_shot = np.random.default_rng(3), [], []
    for _ in range(2000):
        apart = rng.standard_normal((10, 1)) + 0.3 * rng.standard_normal((10, 3))
        by_part.append(bias_of(apart.mean(axis=1)).found)
        by_shot.append(bias_of(apart.ravel()).found)
    assert np.mean(by_part) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
    assert np.mean(by_shot) > 0.15


@pytest.mark.parametrize("shape", [(1, 3, 3), (10, 3, 1)])
def test_too_small_a_study_is_refused(shape: tuple[int, int, int]) -> None:
    """One part, or no repeat, says nothing; the message says what is needed."""
    with pytest.raises(UsageError, match="at least 2 parts and 2 repeats"):
        gauge_rr(np.zeros(shape))


@pytest.mark.parametrize(("value", "message"), [(np.nan, "finite"), (0.1, "are equal")])
def test_scores_that_tell_nothing_are_refused(value: float, message: str) -> None:
    """Scores that are no numbers, or all one, make no share of a spread."""
    with pytest.raises(UsageError, match=message):
        gauge_rr(np.full((4, 2, 2), value))


@pytest.mark.parametrize(
    ("table", "published"), [(((44, 6), (3, 97)), 0.86), (((42, 5), (9, 94)), 0.79), (((43, 7), (8, 92)), 0.78)]
)
def test_cohens_kappa_is_that_of_the_manual(table: tuple[tuple[int, int], ...], published: float) -> None:
    """AIAG, chapter III, section C: appraisers A and B, B and C, A and C on 50 parts, three times each."""
    pairs = [(str(i), str(j)) for i in (0, 1) for j in (0, 1) for _ in range(table[i][j])]
    first, second = zip(*pairs, strict=True)
    kappa = cohen_kappa(first, second, [str(i // 3) for i in range(150)])
    assert round(kappa.value, 2) == published
    assert kappa.value == pytest.approx(cohen_kappa_score(first, second))
    assert kappa.interval is not None
    assert kappa.interval[0] < kappa.value < kappa.interval[1]
    assert (kappa.verdict, kappa.parts) == ("good", 50)


def test_fleiss_kappa_is_the_published_one() -> None:
    """The usual worked example of Fleiss' formula, 14 raters on 10 subjects in 5 categories: 0.210."""
    counts = (
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    )  # fmt: skip
    said = [[str(k) for k, number in enumerate(row) for _ in range(number)] for row in counts]
    kappa = fleiss_kappa(said)
    assert round(kappa.value, 3) == 0.210
    assert kappa.verdict == "poor"


def test_full_agreement_is_one_and_chance_is_none() -> None:
    """Everybody alike is 1, whatever is said; coins thrown have 0 inside the interval."""
    assert cohen_kappa(["OK"] * 4, ["OK"] * 4, list("abcd")).value == 1.0
    rng = np.random.default_rng(1)
    coins = rng.integers(0, 2, (2, 200)).astype(str).tolist()
    found = cohen_kappa(*coins, [str(i) for i in range(200)])
    assert found.interval is not None
    assert found.interval[0] < 0.0 < found.interval[1]
    assert found.spread == f"{found.interval[0]:.3f} to {found.interval[1]:.3f}"


def test_an_interval_of_no_width_is_none() -> None:
    """Ten parts on which nobody disagrees say no more than that: resampling them gives 1 each time. One part alone
    gives no interval either, whatever is said of it."""
    said = [["OK", "OK", "OK"]] * 6 + [["NG", "NG", "NG"]] * 4
    kappa = fleiss_kappa(said)
    assert (kappa.value, kappa.interval, kappa.spread) == (1.0, None, "no disagreement in 10 parts")
    for count in range(10, 60):
        first = [("OK", "NG", "REVIEW")[i % 7 % 3] for i in range(count)]
        same = cohen_kappa(first, first, [str(i) for i in range(count)])
        assert (same.interval, same.spread) == (None, f"no disagreement in {count} parts")
    alone = fleiss_kappa([["OK", "NG", "OK"]])
    assert (alone.interval, alone.spread) == (None, "no interval from 1 part")


def test_unequal_answers_are_refused() -> None:
    """Fleiss' formula takes equally many answers; anything else is said in numbers."""
    with pytest.raises(UsageError, match="found 2, 3"):
        fleiss_kappa([["OK", "NG"], ["OK", "OK", "NG"]])
