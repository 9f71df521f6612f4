"""What the thresholds promise beside what came of it, for every wish, and that the reports say it."""

import html
import re
from dataclasses import replace

import pytest

from lineside.batch.labels import LabelSummary, rate, summarise_labels
from lineside.batch.summary import Limits
from lineside.bench.evaluation.plant import in_the_plant
from lineside.bench.evaluation.promise import promise_of, wished_costs
from lineside.binomial import beta_quantile
from lineside.contract import Contract
from lineside.contract_thresholds import Escapes, EscapeStatement, Wish
from lineside.report.origin import ALIKE, guarantee_box, threshold_section
from tiny import tiny_contract

NONE = rate(0, 0)
ESCAPES = EscapeStatement(
    Escapes("all", 0, 40, 0.0722), (Escapes("dent", 0, 10, 0.2589), Escapes("stain", 0, 30, 0.095)), 0.95, "Stated."
)


def limited(wish: Wish, supported: float | None, **more: object) -> Contract:
    """A contract whose threshold of NG serves a wish."""
    contract = tiny_contract()
    limit = replace(contract.threshold_ng, wish=wish, supported=supported, **more)  # type: ignore[arg-type]
    return replace(contract, threshold_ng=limit, threshold_review=limit)


def labels(overkill: tuple[int, int], **missed: tuple[int, int]) -> LabelSummary:
    """Count k of n good parts NG, and of each defect class k of n OK."""
    counts = {"good": {"NG": overkill[0], "OK": overkill[1] - overkill[0]}}
    counts |= {name: {"OK": k, "NG": n - k} for name, (k, n) in missed.items()}
    return summarise_labels(counts, {})


@pytest.mark.parametrize(
    ("k", "n", "kept", "words"),
    [
        (
            1,
            100,
            "open",
            "not contradict the stated 5.0 %: .* 100 good test parts it is contradicted from 29 of",
        ),
        (1, 1, "open", "stated 5.0 %: 100.0 % .* But 1 good test part is too few to contradict it"),
        (0, 2, "open", "stated 5.0 %: 0.0 % .* But 2 good test parts are too few to contradict it"),
        (0, 200, "better", "is below the stated 5.0 %"),
        (14, 100, "within", "above the stated 5.0 %: 14.0 % .* leave up to 20.0 % open"),
        (60, 100, "exceeded", "overkill of 5.0 % is not kept"),
        (0, 0, "unknown", "no good test part got a call"),
    ],
)
def test_a_wished_overkill_is_held_against_what_came_of_it(k: int, n: int, kept: str, words: str) -> None:
    """Four answers and none; the tiny contract states 5 % and leaves 0 to 20 % open."""
    found = promise_of(tiny_contract(), labels((k, n)), NONE)
    (one,) = found.compared
    assert (one.what, one.promised, one.kept) == ("overkill", True, kept)
    assert re.search(words, found.sentence)


@pytest.mark.parametrize(
    ("k", "kept", "words"),
    [
        (0, "better", "keeps what was guaranteed, at most 10.0 % with 90 % confidence: 0.0 % (0 of 100)"),
        (12, "open", "does not contradict what was guaranteed, at most 10.0 % with 90 % confidence: 12.0 %"),
        (30, "exceeded", "The guaranteed overkill, at most 10.0 % with 90 % confidence, is not kept: 30.0 %"),
    ],
)
def test_a_wish_with_a_confidence_is_a_bound(k: int, kept: str, words: str) -> None:
    """It is held against the bound, and not against what is to be expected on average."""
    wish = Wish("overkill", 0.1, confidence=0.9)
    contract = limited(wish, 0.1, upper=0.1, supported_overkill=0.04, confidence=0.9, kind="guaranteed")
    found = promise_of(contract, labels((k, 100)), NONE)
    (one,) = found.compared
    assert (one.kept, one.stated, one.promised) == (kept, 0.1, True)
    assert words in found.sentence


@pytest.mark.parametrize(
    ("missed", "kept", "words"),
    [
        (0, "better", "realised escape is below the guaranteed 10.0 %"),
        (3, "open", "does not contradict the guaranteed 10.0 %"),
        (13, "within", "above the guaranteed 10.0 %: 26.0 % .* the 19 calibration parts leave up to 26.0 % open"),
        (40, "exceeded", "guaranteed escape of 10.0 % is not kept"),
    ],
)
def test_a_wished_escape_is_held_against_the_escapes(missed: int, kept: str, words: str) -> None:
    """Two spacings of twenty are promised; their share is Beta(2, 18), and the overkill was only counted."""
    contract = limited(Wish("escape", 0.1), 0.1, n_defects=19, kind="guaranteed")
    found = promise_of(contract, labels((0, 20), dent=(missed, 50)), NONE)
    escape, overkill = found.compared
    assert (escape.what, escape.promised, escape.kept) == ("escape", True, kept)
    assert escape.stated_interval[1] == pytest.approx(beta_quantile(0.975, 2, 18))
    assert re.search(words, found.sentence)
    assert (overkill.promised, "counted 5.0 %" in overkill.sentence) == (False, True)


def test_a_cost_promises_no_share_and_is_held_against_the_cost() -> None:
    """What 1,000 parts cost where it was chosen, and what the same mistakes cost here."""
    contract = limited(Wish("cost", None, 0.4, 250.0, 800.0), 0.015)
    wished = wished_costs(contract.threshold_ng.wish)
    assert wished is not None
    plant = in_the_plant({"OK": 90, "NG": 10}, {"OK": 5, "NG": 45}, *wished)
    found = promise_of(contract, labels((10, 100), dent=(5, 50)), NONE, plant)
    assert "No share was promised, but the lowest cost at 0.4 an overkill" in found.sentence
    assert "15 for 1,000 parts, each judged by a threshold chosen without it" in found.sentence
    here = 1000 * (0.9992 * 0.4 * 0.1 + 0.0008 * 250 * 0.1)
    assert f"Here the same mistakes cost {here:.4g} (" in found.sentence
    assert [one.promised for one in found.compared] == [False]
    alone = promise_of(contract, labels((10, 100)), NONE, None)
    assert "cannot be said: it needs good and defective parts" in alone.sentence


def test_a_given_threshold_promises_nothing() -> None:
    """What was counted at it stands beside what is counted here."""
    found = promise_of(limited(Wish("fixed", score=0.7), None), labels((2, 100)), NONE)
    assert found.sentence == "No share was promised: a threshold of 0.7 was given, whatever it does."
    assert "does not contradict the counted 5.0 %" in found.sentences[1]


def test_no_threshold_is_no_promise() -> None:
    """One good part: whatever was wished, nothing can be said."""
    escape = limited(Wish("escape", 0.1), None, n=0, n_groups=0)
    assert "has no threshold to speak of" in promise_of(escape, labels((0, 9), dent=(0, 9)), NONE).sentence
    overkill = limited(Wish("overkill", 0.1), None, n=0, n_groups=0)
    assert "has no threshold to speak of" in promise_of(overkill, labels((0, 9)), NONE).sentence


def banded(share: float | None = 0.1) -> Contract:
    """A contract with a band for REVIEW that two of twenty spacings make."""
    contract = tiny_contract()
    review = replace(contract.threshold_ng, value=10.0, wish=Wish("review", 0.1), supported=share, n_groups=19)
    return replace(contract, threshold_review=replace(review, statement="A band."), escapes=ESCAPES)


def test_the_band_is_held_against_the_good_parts_in_it() -> None:
    """Far more good parts in REVIEW than the band states; a band that could not be had is passed over."""
    found = promise_of(banded(), labels((0, 100)), rate(60, 100))
    one = found.compared[-1]
    assert (one.what, one.stated, one.kept) == ("review", 0.1, "exceeded")
    assert "stated share of good parts in REVIEW of 10.0 % is not kept: 60.0 % (60 of 100)" in " ".join(found.sentences)
    assert [one.what for one in promise_of(banded(0.0), labels((0, 100)), rate(0, 100)).compared] == ["overkill"]


def test_where_classes_are_tolerated_the_band_is_held_against_ng_and_review_together() -> None:
    """REVIEW alone is bounded by nothing there, so neither the promise nor the page states a share of it."""
    contract = replace(banded(), class_factors={"dent": 1.5})
    review = replace(contract.threshold_review, supported_overkill=0.15, interval=(0.02, 0.3))
    contract = replace(contract, threshold_review=review)
    one = promise_of(contract, labels((40, 100)), rate(20, 100)).compared[-1]
    assert (one.what, one.stated, one.found.k, one.kept) == ("together", 0.15, 60, "exceeded")
    limits = Limits(20.0, 10.0, overridden=False, contract=contract.threshold_ng)
    page = threshold_section(limits, contract)
    assert "Good parts in REVIEW to be expected" not in page
    assert "NG and REVIEW together, to be expected at most" in page


def test_escapes_stand_beside_their_bounds_class_by_class() -> None:
    """A class without a bound, a class without a test part, and a bound that is broken."""
    found = promise_of(banded(), labels((0, 10), dent=(3, 10), scratch=(1, 5), hole=(0, 5)), NONE)
    told = {one.label: (one.n, one.found.k, one.found.n, one.kept) for one in found.escapes}
    assert told == {
        "all": (40, 4, 20, "above"),
        "dent": (10, 3, 10, "above"),
        "hole": (0, 0, 5, "unknown"),
        "scratch": (0, 1, 5, "unknown"),
        "stain": (30, 0, 0, "unknown"),
    }
    assert (
        "at most 7.2 % escape (95 % confidence, from 0 of 40 defective parts); here 4 of 20" in found.escapes_sentence
    )
    assert promise_of(banded(), labels((0, 9), dent=(9, 10)), NONE).escapes[0].kept == "broken"
    assert promise_of(banded(), labels((0, 9), dent=(0, 10)), NONE).escapes[0].kept == "kept"


def test_where_nothing_is_stated_of_escapes_that_is_said() -> None:
    """The tiny contract knows of no defective part."""
    found = promise_of(tiny_contract(), labels((0, 9), dent=(0, 10)), NONE)
    assert found.escapes == ()
    assert "Of escapes the model states nothing" in found.sentences[-1]


def test_no_number_of_a_threshold_stands_without_what_it_needs() -> None:
    """Beside each that comes from cross-fitted scores: if they were the model's own; under all: exchangeable with
    production. Scores of the deployed model itself need the latter alone."""
    crossed = limited(
        Wish("overkill", 0.1), 0.05, statement="Said, if cross-fitted scores were the deployed model's own."
    )
    limits = Limits(20.0, 20.0, overridden=False, contract=crossed.threshold_ng)
    page, own = threshold_section(limits, crossed), threshold_section(limits, tiny_contract())
    for label in ("Overkill to be expected at most", "Overkill with 95 % confidence", "95 % interval of the overkill"):
        (value,) = re.findall(f"<dt>{label}</dt><dd>(.*?)</dd>", page)
        assert html.unescape(value).endswith(", if cross-fitted scores were the deployed model's own")
    assert "if cross-fitted" not in own
    assert ALIKE in page
    assert ALIKE in own


def test_the_box_says_review_and_escapes() -> None:
    """The statements of the contract to the letter; without a band none of REVIEW."""
    with_band, without = guarantee_box(banded()), guarantee_box(tiny_contract())
    assert "<strong>REVIEW: </strong>A band." in with_band
    assert "<strong>Escapes: </strong>Stated." in with_band
    assert "REVIEW" not in without
    assert "Of escapes nothing is known." in without
