"""What each wish makes of honest scores: where the threshold lies, and what is said of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lineside.binomial import clopper_pearson, upper_bound
from lineside.calibrate.escape import escape_statement
from lineside.calibrate.honest import Honest, just_above, just_below
from lineside.calibrate.wishes import Thresholds, thresholds
from lineside.contract_thresholds import Wish
from lineside.errors import UsageError

INF = float("inf")
ESCAPE = Wish("escape", 0.001)
COST = Wish("cost", overkill_cost=0.4, escape_cost=250.0, defect_rate_ppm=800.0)
FIVE = Wish("overkill", 0.05)


def honest(
    scores: Sequence[float], label: str = "scratch", groups: Sequence[str] | None = None, held_out: bool = True
) -> Honest:
    """Return scores of parts, each another unless groups say otherwise."""
    names = tuple(groups or (f"{label}{i:03d}" for i in range(len(scores))))
    return Honest(np.array(scores, np.float32), names, (label,) * len(scores), held_out, "held-out parts")


GOODS = honest([float(i) for i in range(1, 21)], "good")


def found(wish: Wish, defects: Honest | None = None, goods: Honest = GOODS, review: float | None = None) -> Thresholds:
    """Find thresholds."""
    return thresholds(wish, review, goods, defects)


def test_thirty_defects_support_what_they_support() -> None:
    """Just below the smallest of 30; 3.2 % on average, 9.5 % with confidence, and 999 are needed for the wish."""
    made = found(ESCAPE, honest([float(i) for i in range(18, 48)])).ng
    assert 17.98 < made.value < 18.0
    assert made.supported == pytest.approx(1 / 31)
    assert (made.kind, made.n_defects, made.n_groups) == ("guaranteed", 30, 20)
    for words in ("30 defective parts", "3.2 %", "9.5 %", "needs 999", "strictest used here", "3 of 20 good parts"):
        assert words in made.statement


def test_a_wish_that_is_supported_takes_its_rank() -> None:
    """Of 39 defects and a wish of 10 % the fourth smallest is still NG, and nothing is said to be missing."""
    made = found(Wish("escape", 0.1), honest([float(i) for i in range(100, 139)])).ng
    assert 102.8 < made.value < 103.0
    assert made.supported == pytest.approx(0.1)
    assert "strictest" not in made.statement


def test_of_a_defect_in_several_frames_the_worst_counts() -> None:
    """As on the line, where one NG frame rejects a part: the threshold lies below the lowest of the parts' highest."""
    defects = honest([50.0, 40.0, 90.0, 60.0, 70.0, 80.0], groups=["a", "a", "b", "b", "c", "c"])
    made = found(ESCAPE, defects).ng
    assert 49.9 < made.value < 50.0
    assert made.n_defects == 3
    assert "3 defective parts (6 frames, the worst of each counts)" in made.statement
    told = escape_statement(made, replace(made, value=45.0), defects)
    assert (told.overall.missed, told.overall.n) == (0, 3)


def test_an_escape_by_defects_says_when_the_overkill_there_is_of_cross_fitted_scores() -> None:
    """The defects are held out, the good parts are not: the escape is guaranteed, what is counted of overkill is not;
    with held-out good parts nothing is missing."""
    defects, caveat = honest([30.0, 31.0]), "That is if cross-fitted scores were the deployed model's own."
    crossed = honest([float(i) for i in range(1, 21)], "good", held_out=False)
    made = found(ESCAPE, defects, crossed).ng
    assert made.kind == "guaranteed"
    assert f"0 of 20 good parts, with 95 % confidence at most 13.9 %. {caveat}" in made.statement
    assert caveat not in found(ESCAPE, defects).ng.statement


@pytest.mark.parametrize("wish", [FIVE, ESCAPE, COST, Wish("fixed", score=15.5)])
def test_every_threshold_says_what_must_be_exchangeable(wish: Wish) -> None:
    """Beside every number: production like these parts, and one shot of a part, or its shots grouped."""
    said = found(wish, honest([30.0, 31.0]), review=0.2)
    for statement in (said.ng.statement, said.review.statement, said.escapes.statement):
        assert "production is exchangeable with these" in statement
        assert "one shot of a part, or its shots grouped" in statement


def test_defects_that_a_finding_makes_ng_need_no_threshold() -> None:
    """All of them are NG whatever it is: it lies above every score there is."""
    made = found(ESCAPE, honest([INF, INF])).ng
    assert 20.0 < made.value < 20.1
    assert found(ESCAPE, honest([INF, 30.0])).escapes.overall.missed == 0


def test_cross_fitted_defects_promise_nothing() -> None:
    """Where parts are sorted no head gave all scores."""
    made = found(ESCAPE, honest([30.0, 31.0], held_out=False))
    assert made.ng.kind == "empirical"
    assert "No guarantee" in made.ng.statement
    assert "No guarantee" in made.escapes.statement


@pytest.mark.parametrize("wish", [ESCAPE, COST])
@pytest.mark.parametrize("defects", [None, Honest(np.zeros(0, np.float32), (), (), True, "x", no_call=4)])
def test_a_wish_without_its_images_is_one_sentence(wish: Wish, defects: Honest | None) -> None:
    """It names the wish, what is missing, and the remedy."""
    with pytest.raises(UsageError, match=r"no defective images .*Give some, or wish an overkill\.") as raised:
        found(wish, defects)
    assert ("all 4 of them got no call" in raised.value.message) == (defects is not None)


def test_the_cheapest_threshold_by_hand() -> None:
    """Overlapping scores: with dear escapes it lies below every defect, with dear overkills above every good part."""
    goods, defects = honest([1.0, 2.0, 3.0, 4.0], "good"), honest([3.5, 5.0, 6.0, 7.0])
    dear_escape = Wish("cost", overkill_cost=1.0, escape_cost=1e6, defect_rate_ppm=500_000.0)
    dear_overkill = Wish("cost", overkill_cost=1e6, escape_cost=1.0, defect_rate_ppm=500_000.0)
    made = found(dear_escape, defects, goods).ng
    assert made.value == pytest.approx(3.25)
    assert found(dear_overkill, defects, goods).ng.value == pytest.approx(4.5)
    assert (made.kind, made.n_groups, made.n_defects) == ("empirical", 4, 4)
    assert "4 good parts" in made.statement
    assert "rejects 1 and misses 0, which is cheapest: 0.125 a part" in made.statement


def test_a_cost_is_stated_as_it_comes_out_without_the_parts_that_are_judged() -> None:
    """Each good part and the defective one beside it by a threshold that the others chose, one by one by hand; parts
    without which there is nothing to choose by count as mistakes."""
    goods, bads = [1.0, 2.0, 3.0, 4.0], [3.5, 5.0, 6.0, 7.0]
    wish = Wish("cost", overkill_cost=1.0, escape_cost=1e6, defect_rate_ppm=500_000.0)
    made = found(wish, honest(bads), honest(goods, "good")).ng
    others = []
    for good, bad in zip(goods, bads, strict=True):
        rest = honest([b for b in bads if b != bad]), honest([g for g in goods if g != good], "good")
        limit = found(wish, *rest).ng.value
        others.append((good > limit, bad <= limit))
    rejected, missed = np.sum(others, axis=0)
    assert (rejected, missed) == (2, 1)
    assert made.supported == pytest.approx(0.5 * 2 / 4 + 0.5 * 1e6 * 1 / 4)
    assert made.supported_overkill == pytest.approx(3 / 5)
    assert "2 are rejected and 1 missed" in made.statement
    alone = found(wish, honest([5.0]), honest([1.0], "good")).ng
    assert (alone.supported, alone.supported_overkill) == (pytest.approx(0.5 + 0.5e6), 1.0)


def test_what_the_images_chose_is_never_called_guaranteed() -> None:
    """A band below a threshold that the same good parts chose by cost has no guarantee, and says why; below one by
    defects it has one; one that was given has none, for nobody can know whether these parts were looked at."""
    by_cost = found(COST, honest([30.0, 31.0]), review=0.1)
    assert (by_cost.ng.kind, by_cost.review.kind) == ("empirical", "empirical")
    assert by_cost.review.statement.startswith("No guarantee: ")
    assert "The threshold of NG was chosen by the same parts." in by_cost.review.statement
    assert "No guarantee" in by_cost.ng.statement
    by_defects = found(Wish("escape", 0.5), honest([15.5, 30.0, 31.0]), review=0.1)
    assert (by_defects.ng.kind, by_defects.review.kind) == ("guaranteed", "guaranteed")
    given = found(Wish("fixed", score=15.5), review=0.1)
    assert (given.ng.kind, given.review.kind) == ("empirical", "empirical")
    assert "where the threshold of NG was not chosen by looking at these parts" in given.review.statement


def test_a_band_that_the_threshold_cuts_short_has_no_guarantee() -> None:
    """Two good parts lie below the given threshold and the band takes both: how many there are was not known before."""
    short = found(Wish("fixed", score=2.5), review=0.2).review
    assert (short.kind, short.supported) == ("empirical", pytest.approx(2 / 21))


def test_bounds_on_parts_that_chose_the_threshold_hold_at_any_they_may_choose() -> None:
    """By cost those of overkill and of all escapes, by escape those of a class, are those of one part in n more sure;
    that of a wished escape is of its rank, whatever a band takes away."""
    bads = honest([15.5, 30.0, 31.0, 32.0])
    by_cost = found(COST, bads)
    rejected = int((GOODS.scores > by_cost.ng.value).sum())
    assert by_cost.ng.upper == upper_bound(rejected, 20, 1 - 0.05 / 20)
    assert by_cost.ng.interval == clopper_pearson(rejected, 20, 1 - 0.05 / 20)
    assert by_cost.escapes.overall.upper == upper_bound(by_cost.escapes.overall.missed, 4, 1 - 0.05 / 4)
    by_escape = found(Wish("escape", 0.4), bads, review=0.6)
    (one,) = by_escape.escapes.classes
    assert (by_escape.escapes.overall.missed, one.missed) == (0, 0)
    assert by_escape.escapes.overall.upper == upper_bound(1, 4)
    assert one.upper == upper_bound(0, 4, 1 - 0.05 / 4)
    assert "the bounds hold although it was" in by_escape.escapes.statement
    assert found(FIVE, bads).escapes.overall.upper == upper_bound(1, 4)


def test_an_inspection_that_saves_nothing_is_told_so() -> None:
    """Rare defects that look like good parts: at these costs everything is better called OK, or everything NG."""
    goods, defects = honest([5.0, 6.0, 7.0], "good"), honest([1.0, 2.0])
    rare = Wish("cost", overkill_cost=10.0, escape_cost=1.0, defect_rate_ppm=10.0)
    common = Wish("cost", overkill_cost=1.0, escape_cost=100.0, defect_rate_ppm=900_000.0)
    assert "call every part OK" in found(rare, defects, goods).ng.statement
    assert "call every part NG" in found(common, defects, goods).ng.statement


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=30),
    st.lists(st.integers(0, 40), min_size=1, max_size=30),
    st.floats(0.1, 100),
    st.floats(100, 900_000),
)
def test_no_threshold_is_cheaper(good: list[int], bad: list[int], escape_cost: float, ppm: float) -> None:
    """Every place between two scores, tried one by one, costs as much or more."""
    wish = Wish("cost", overkill_cost=1.0, escape_cost=escape_cost, defect_rate_ppm=ppm)
    made = found(wish, honest([float(b) for b in bad]), honest([float(g) for g in good], "good")).ng
    p = ppm * 1e-6
    costs = [
        (1 - p) * np.mean([g > t for g in good]) + p * escape_cost * np.mean([b <= t for b in bad])
        for t in np.arange(-0.5, 41.0)
    ]
    cost = (1 - p) * np.mean(np.array(good) > made.value) + p * escape_cost * np.mean(np.array(bad) <= made.value)
    assert cost == pytest.approx(min(costs), abs=1e-9)


def test_a_fixed_threshold_is_taken_as_it_is() -> None:
    """To float32, with the overkill counted there."""
    made = found(Wish("fixed", score=18.5)).ng
    assert made.value == 18.5
    assert made.supported is None
    assert made.supported_overkill == pytest.approx(3 / 21)
    assert "2 of 20 good parts" in made.statement
    wide, narrow = upper_bound(2, 20, 1 - 0.05 / 20), upper_bound(2, 20)
    assert (made.kind, made.upper) == ("empirical", wide)
    assert made.interval == clopper_pearson(2, 20, 1 - 0.05 / 20)
    assert f"with 95 % confidence at most {100 * wide:.1f} % however the score was chosen" in made.statement
    assert f"at most {100 * narrow:.1f} % where it was not chosen by looking at these parts." in made.statement
    assert "if cross-fitted" not in made.statement
    crossed = honest([float(i) for i in range(1, 21)], "good", held_out=False)
    said = found(Wish("fixed", score=18.5), goods=crossed).ng.statement
    assert "Both hold if cross-fitted scores were the deployed model's own." in said


def test_no_band_is_wished_none_is_made() -> None:
    """Both thresholds are the same one."""
    made = found(FIVE)
    assert made.review is made.ng


def test_the_band_lies_below_ng_and_says_how_wide_it_is() -> None:
    """20 parts and 10 %: two of them in the band, 2 / 21 of new ones, with the wish beside it."""
    made = found(FIVE, review=0.1)
    assert 20.0 < made.ng.value < 20.03
    assert 18.0 < made.review.value < 18.03
    assert made.review.supported == pytest.approx(2 / 21)
    assert made.review.supported_overkill == pytest.approx(3 / 21)
    assert made.review.wish == Wish("review", 0.1)
    assert "9.5 % of good parts are to be expected in REVIEW" in made.review.statement


@pytest.mark.parametrize("held_out", [True, False])
def test_where_a_class_is_tolerated_review_alone_promises_nothing(held_out: bool) -> None:
    """What is divided goes from NG to REVIEW: only both together are bounded, and that is what is said."""
    goods = honest([float(i) for i in range(1, 21)], "good", held_out=held_out)
    made = found(FIVE, review=0.1, goods=replace(goods, tolerated=True)).review
    assert made.kind == "empirical"
    assert made.statement.startswith("No guarantee of REVIEW alone: a good part that is called by a tolerated class")
    assert "together get at most 14.3 % of good parts on average, and with 95 % confidence at most 28.3 %" in (
        made.statement
    )
    assert ("if cross-fitted scores were" in made.statement) is not held_out
    assert "to be expected in REVIEW" not in made.statement
    plain = found(FIVE, review=0.1, goods=goods).review
    assert (plain.kind, plain.value) == ("guaranteed" if held_out else "empirical", made.value)


def test_findings_that_decide_ng_leave_the_band_without_a_guarantee() -> None:
    """The band lies below a threshold that findings chose, of held-out parts as well."""
    goods = honest([*(float(i) for i in range(1, 20)), INF], "good")
    made = found(FIVE, review=0.1, goods=goods)
    assert (made.ng.kind, made.review.kind) == ("empirical", "empirical")
    assert made.review.statement.startswith("No guarantee: from 20 good parts, held-out parts, 9.5 % of good parts")
    assert made.review.supported_overkill == pytest.approx(5 / 21)


@pytest.mark.parametrize(("wish", "share"), [(FIVE, 0.03), (Wish("fixed", score=15.5), 0.03)])
def test_a_band_finer_than_the_images_is_none(wish: Wish, share: float) -> None:
    """20 parts cannot tell 3 %: nothing goes to REVIEW, and how many would be needed is said."""
    made = found(wish, review=share)
    assert made.review.value == made.ng.value
    assert made.review.supported == 0.0
    assert "needs 33 good parts, 13 more than now; there were 20" in made.review.statement


def test_where_every_good_part_is_ng_there_is_no_band() -> None:
    """A threshold below all of them leaves nobody to review, and that is the reason given."""
    made = found(Wish("fixed", score=0.5), review=0.2)
    assert made.review.value == made.ng.value
    assert "only 0 of 20 lie below the threshold of NG" in made.review.statement


def test_escapes_are_counted_by_class_and_below_review() -> None:
    """REVIEW is not OK: a defect in the band does not escape."""
    defects = Honest(
        np.array([17.0, 18.5, 30.0, 40.0], np.float32), ("a", "b", "c", "d"), ("dent", "dent", "dent", "scratch"),
        True, "held-out parts", no_call=2,
    )  # fmt: skip
    with_band, without = found(FIVE, defects, review=0.1).escapes, found(FIVE, defects).escapes
    assert (with_band.overall.missed, without.overall.missed) == (1, 2)
    dent, scratch = without.classes
    assert (dent.label, dent.missed, dent.n) == ("dent", 2, 3)
    assert (scratch.label, scratch.missed, scratch.n) == ("scratch", 0, 1)
    assert scratch.upper == pytest.approx(0.95)
    assert "2 more images got no call" in without.statement


def test_no_defects_no_word_of_escapes() -> None:
    """Nothing is known, and that is said."""
    told = found(FIVE).escapes
    assert (told.overall.n, told.overall.upper, told.classes) == (0, 1.0, ())
    assert told.statement.startswith("Of escapes nothing is known")


@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40, unique=True), st.data())
def test_thresholds_part_the_scores_at_their_rank(scores: list[float], data: st.DataObject) -> None:
    """Just above the k-th score k are OK; just below the k-th k - 1 are, where a float32 lies between two scores."""
    ascending = np.sort(np.array(scores, np.float32))
    assume((np.nextafter(ascending[:-1], np.float32(np.inf)) < ascending[1:]).all())
    k = data.draw(st.integers(1, len(ascending)))
    assert (ascending <= np.float32(just_above(ascending, k))).sum() == k
    assert (ascending <= np.float32(just_below(ascending, k))).sum() == k - 1
