"""The deployed head and its threshold: folds, hold-out, frames without a say, and heads whose scores do not compare."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lineside.dataset import Sample
from lineside.errors import UsageError
from lineside.evidence import holdout_parts
from lineside.recipe import Calibrate
from lineside.train.calibration import Calibration, calibrated
from lineside.train.images import FrameReader, References
from lineside.train.method import FittedHead, Judged
from lineside.train.progress import Journal, SilentProgress
from lineside.train.tail import FLOOR_FACTOR
from lineside.transfer.augment import Augmenter

COUNT = 12


def judged(position: int) -> Judged:
    """A frame's judgement that tells its position."""
    return Judged(1.0 + 0.01 * position, 0.5, refused=False, found=False)


@dataclass
class Stub:
    """A method whose heads are what a test says; it keeps what it was asked."""

    unit: Callable[[Sequence[int]], str] = lambda _: "memory"
    """What a head chooses of the second of two choices."""
    judge: Callable[[int], Judged] = judged
    prefers_holdout: bool = False
    withheld: frozenset[int] = frozenset()
    classes: Any = None
    seen: frozenset[int] = frozenset()
    fits: list[tuple[int, ...]] = field(default_factory=list)
    scored: list[tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    def fit_each(self, many: Sequence[Sequence[int]]) -> Iterator[FittedHead]:
        """Fit one after the other."""
        return map(self.fit, many)

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Return a head that knows these positions."""
        fitted = tuple(positions)
        self.fits.append(fitted)
        unit = ("plain", "memory" if 1 in self.withheld else self.unit(fitted))

        def judge(wanted: Sequence[int]) -> list[Judged]:
            self.scored.append((fitted, tuple(wanted)))
            return [self.judge(position) for position in wanted]

        decision = SimpleNamespace(words=("Pose is off.",), choices=("pose none",))
        front, classes = SimpleNamespace(decision=decision), self.classes
        head: Any = SimpleNamespace(front=front, words=(), unit=unit, judge=judge, classes=classes)
        return head  # type: ignore[no-any-return]


def run(
    method: Stub, groups: Sequence[str] | None = None, labels: Sequence[str] | None = None, **calibrate: Any
) -> tuple[Calibration, list[str]]:
    """Calibrate a stub; return what came of it and the decisions. Parts with labels are sorted."""
    groups = groups or [f"part{i}" for i in range(COUNT)]
    labels = labels or ["good"] * len(groups)
    named = enumerate(zip(groups, labels, strict=True))
    samples = tuple(Sample(Path(), f"{i}.png", "train", label, None, group) for i, (group, label) in named)
    loaded: Any = SimpleNamespace(recipe=SimpleNamespace(calibrate=Calibrate(**calibrate), seed=0))
    reader, augmenter = FrameReader(3, 8), Augmenter("none", 0)
    references = References(samples, reader, augmenter, copies=0, sorts=len(set(labels)) > 1)
    journal = Journal(SilentProgress())
    made = calibrated(loaded, method, references, journal)  # type: ignore[arg-type]
    return made, journal.decisions


def test_every_frame_is_scored_by_a_head_that_has_not_seen_its_part() -> None:
    """Folds leave whole parts out, every frame is scored once, and the deployed head is fitted on all, last."""
    method = Stub()
    groups = [f"part{i // 2}" for i in range(COUNT)]
    made, _ = run(method, groups, folds=3)
    assert sorted(position for _, scored in method.scored for position in scored) == list(range(COUNT))
    for fitted, scored in method.scored:
        assert not {groups[i] for i in fitted} & {groups[i] for i in scored}
    assert method.fits[-1] == tuple(range(COUNT))
    assert made.threshold.n == COUNT
    assert made.threshold.n_groups == COUNT // 2
    assert made.own == {}


def test_a_hold_out_deploys_the_head_that_gave_the_scores() -> None:
    """One fit, its scores are recorded as the deployed head's own, and they carry the guarantee."""
    method = Stub(prefers_holdout=True)
    made, _ = run(method)
    assert len(method.fits) == 1
    assert made.own == made.scores
    assert not set(made.scores) & set(method.fits[0])
    assert made.threshold.kind == "guaranteed"
    assert made.goods.kept_from is not None
    assert holdout_parts(made.goods.kept_from) == made.threshold.n_groups


@pytest.mark.parametrize("odd", ["fold", "deployed"])
def test_heads_whose_scores_do_not_compare_are_never_mixed(odd: str) -> None:
    """One head of places among heads of memories, or the other way: all are fitted again without places."""

    def unit(fitted: Sequence[int]) -> str:
        deployed = len(fitted) == COUNT
        return "place" if deployed == (odd == "deployed") and (deployed or 0 not in fitted) else "memory"

    method = Stub(unit)
    made, decisions = run(method, folds=3)
    assert made.head.unit == ("plain", "memory")
    assert method.withheld == {1}
    assert any("disagree (memory or place)" in words for words in decisions)
    assert len(made.scores) == COUNT
    assert method.fits[-4:] == [*(fitted for fitted, _ in method.scored[-3:]), tuple(range(COUNT))]


def test_heads_that_agree_keep_their_places() -> None:
    """Where every fold and the deployed head use places, nothing is fitted twice."""
    method = Stub(lambda _: "place")
    made, decisions = run(method, folds=3)
    assert (made.head.unit, method.withheld, len(method.fits)) == (("plain", "place"), frozenset(), 4)
    assert not any("disagree" in words for words in decisions)


def test_frames_that_get_no_call_have_no_say() -> None:
    """A refused frame has no score, however bad it is, and the record says how many there are."""
    method = Stub(judge=lambda i: Judged(100.0, 9.0, refused=True, found=False) if i == 3 else judged(i))
    made, decisions = run(method, folds=3)
    assert 3 not in made.scores
    assert made.threshold.n == COUNT - 1
    assert made.threshold.value < 2.0
    assert any(f"1 of {COUNT} good frames are outside the gate's limits" in words for words in decisions)


def test_a_good_frame_with_a_finding_never_sets_the_threshold() -> None:
    """It is NG whatever the threshold: this lies among the other scores, and the statement counts the frame."""
    method = Stub(judge=lambda i: Judged(0.5, 0.5, refused=False, found=i == 5) if i == 5 else judged(i))
    made, _ = run(method, folds=3)
    others = [score for position, score in made.scores.items() if position != 5]
    assert made.threshold.value == pytest.approx(max(others), rel=2e-3)
    assert made.scores[5] == pytest.approx(FLOOR_FACTOR * made.threshold.value)
    assert "1 of them is NG by a finding" in made.threshold.statement
    assert made.threshold.supported_overkill >= 2 / (made.threshold.n + 1) - 1e-9


def test_a_found_frame_of_a_hold_out_is_not_compared_with_the_graph() -> None:
    """Its score is the graph's floor, which follows from the threshold: only patch scores are recorded."""
    groups = set[int]()

    def judge(position: int) -> Judged:
        groups.add(position)
        return Judged(1.0 + position, 0.5, refused=False, found=position != min(groups))

    made, _ = run(Stub(prefers_holdout=True, judge=judge))
    assert len(made.own) <= 1


def test_findings_on_every_good_frame_leave_no_threshold() -> None:
    """Then nothing is left to take one from, which is said."""
    with pytest.raises(UsageError, match="NG by a finding"):
        run(Stub(judge=lambda i: Judged(1.0, 0.5, refused=False, found=True)))


def test_no_threshold_is_taken_from_nothing() -> None:
    """A gate that refuses every good frame, and a score that is no number, are said in one line."""
    with pytest.raises(UsageError, match="refuses every good frame"):
        run(Stub(judge=lambda i: Judged(1.0, 9.0, refused=True, found=False)))
    with pytest.raises(UsageError, match=r"4\.png.*nan"):
        run(Stub(judge=lambda i: Judged(float("nan"), 0.5, refused=False, found=False) if i == 4 else judged(i)))


def test_folds_that_decide_otherwise_are_counted() -> None:
    """The record says how many folds chose another light or pose than the deployed front."""
    method = Stub()
    original = method.fit

    def fit(positions: Sequence[int]) -> FittedHead:
        head: Any = original(positions)
        head.front.decision.choices = ("pose rigid",) if 0 not in positions else ("pose none",)
        return head  # type: ignore[no-any-return]

    method.fit = fit  # type: ignore[method-assign]
    _, decisions = run(method, folds=4)
    assert any(words.startswith("1 of 4 folds") for words in decisions)


def test_frames_that_the_trunk_was_adapted_on_are_fitted_and_never_scored() -> None:
    """They are in every fold's fit and in none's scores, and the threshold says that they have no say."""
    seen = frozenset({2, 3, 7})
    method = Stub(seen=seen)
    made, _ = run(method, folds=3)
    assert sorted(position for _, scored in method.scored for position in scored) == sorted(set(range(COUNT)) - seen)
    assert all(seen <= set(fitted) for fitted in method.fits)
    assert set(made.scores) == set(range(COUNT)) - seen
    assert made.threshold.n == COUNT - len(seen)
    assert "3 good frames that the backbone was fitted on have no say" in made.threshold.rule


def test_the_good_ones_alone_set_the_threshold_of_sorted_parts() -> None:
    """Defective parts are scored too, for the accuracy that is stated; every fold holds a block of each class."""
    labels = ["dent"] * 4 + ["good"] * 8

    def judge(i: int) -> Judged:
        return Judged(float(i if i >= 4 else 99), 0.0, refused=False, found=False, called=int(i > 3))

    method = Stub(judge=judge, classes=SimpleNamespace(names=("dent", "good")))
    made, _ = run(method, labels=labels, folds=4)
    assert sorted(made.scores) == list(range(4, 12))
    assert made.threshold.value < 12
    assert sorted((one.truth, one.called) for one in made.told) == [("dent", "dent")] * 4 + [("good", "good")] * 8
    for fitted, scored in method.scored:
        assert len(fitted) == 9
        assert {labels[i] for i in scored} == {"dent", "good"}


def test_where_no_class_is_good_all_of_them_set_the_threshold() -> None:
    """Every class is then a kind of good part."""
    made, _ = run(Stub(), labels=["nut"] * 6 + ["bolt"] * 6, folds=3)
    assert sorted(made.scores) == list(range(12))


LABELS = ["good"] * 8 + ["dent"] * 4


def test_sorted_defects_serve_a_wish_for_escape() -> None:
    """Where the score is fitted on defects too, the folds' scores of them decide, and nothing is guaranteed."""
    made, decisions = run(Stub(), labels=LABELS, folds=4, escape=0.01)
    assert 1.07 < made.threshold.value < 1.08
    assert (made.threshold.kind, made.threshold.n_defects, made.threshold.n_groups) == ("empirical", 4, 8)
    assert made.escapes.overall.n == 4
    assert any(words.startswith("0 of 4 defective parts are OK") for words in decisions)


def test_refused_defects_have_no_say() -> None:
    """A frame without a call is not OK; it is counted apart."""
    made, _ = run(
        Stub(judge=lambda i: Judged(0.1, 9.0, refused=True, found=False) if i == 9 else judged(i)),
        labels=LABELS,
        folds=4,
        escape=0.01,
    )
    assert made.escapes.overall.n == 3
    assert "1 more images got no call" in made.escapes.statement


def test_a_wish_that_defects_decide_waits_for_them() -> None:
    """Where defects are scored later, the threshold is one by the good images and says nothing yet."""
    made, decisions = run(Stub(), folds=3, escape=0.01, review=0.2)
    assert made.threshold.wish.kind == "overkill"
    assert made.review is made.threshold
    assert not any(words.startswith("Threshold") for words in decisions)


def test_a_band_for_review_is_noted() -> None:
    """Twelve parts and a quarter: three lie between the thresholds."""
    made, decisions = run(Stub(), folds=3, review=0.25)
    between = [s for s in made.scores.values() if made.review.value < s <= made.threshold.value]
    assert len(between) == 3
    assert any(words.startswith("REVIEW above") for words in decisions)


def test_a_fixed_threshold_is_what_was_written() -> None:
    """Two of twelve parts lie above 1.095."""
    made, _ = run(Stub(), folds=3, threshold=1.095)
    assert made.threshold.value == pytest.approx(1.095)
    assert made.threshold.supported_overkill == pytest.approx(3 / 13)
