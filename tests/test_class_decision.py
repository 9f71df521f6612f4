"""Which class a part is called at the end of the graph, and how that is proven."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from classed import classed_contract
from lineside.contract import NO_DEFECT_CLASS, UNKNOWN_DEFECT_CLASS, Contract, Verdict
from lineside.contract_thresholds import Threshold
from lineside.errors import ParityError
from lineside.export.decision import DECISION_OUTPUTS, Decision, DecisionSettings, export_decision
from lineside.export.parity import ClassAnswer, ClassProof, ParityCase, ParityRecord, decide_class, prove_parity
from lineside.graph.run import Graph
from lineside.train.evaluate import evaluate
from tiny import tiny_contract

BOTH = DecisionSettings(quality_count=1, unfamiliar_bit=3, findings=(), classes=2, defects=2)
WITH_GOOD = DecisionSettings(quality_count=1, unfamiliar_bit=3, findings=(), classes=3, defects=2)
KINDS = DecisionSettings(quality_count=1, unfamiliar_bit=3, findings=(), classes=2, defects=2, names_ok=True)
SCORES = {Verdict.OK: 1.0, Verdict.REVIEW: 2.5, Verdict.NG: 9.0, Verdict.NO_CALL: 9.0}


def given(verdict: Verdict, prob: list[float], called: int) -> dict[str, np.ndarray]:
    """Return what the decision takes, of a frame that gets this verdict."""
    one = {"threshold_ng": 3.0, "threshold_review": 2.0, "unfamiliar_limit": 9.0, "finding_floor": 6.0}
    return {
        "patch_score": np.array([SCORES[verdict]], np.float32),
        "front_gate": np.array([verdict is Verdict.NO_CALL], np.int64),
        "front_quality": np.zeros((1, 1), np.float32),
        "novelty": np.zeros(1, np.float32),
        "finding_limits": np.zeros((1, 2), np.float32),
        "class_probability": np.array([prob], np.float32),
        "class_called": np.array([called], np.int64),
        "class_likeness": np.array([0.25], np.float32),
        **{name: np.array([value], np.float32) for name, value in one.items()},
    }


@pytest.mark.parametrize(
    ("settings", "verdict", "prob", "called", "expected"),
    [
        (BOTH, Verdict.OK, [0.1, 0.9], 1, NO_DEFECT_CLASS),
        (BOTH, Verdict.NO_CALL, [0.1, 0.9], 1, NO_DEFECT_CLASS),
        (BOTH, Verdict.NG, [0.1, 0.9], 1, 1),
        (BOTH, Verdict.REVIEW, [0.8, 0.2], 0, 0),
        (BOTH, Verdict.NG, [0.1, 0.9], UNKNOWN_DEFECT_CLASS, UNKNOWN_DEFECT_CLASS),
        (WITH_GOOD, Verdict.NG, [0.1, 0.3, 0.6], 2, 1),
        (WITH_GOOD, Verdict.OK, [0.1, 0.0, 0.9], 2, NO_DEFECT_CLASS),
        (KINDS, Verdict.OK, [0.1, 0.9], 1, 1),
        (KINDS, Verdict.OK, [0.9, 0.1], UNKNOWN_DEFECT_CLASS, UNKNOWN_DEFECT_CLASS),
        (KINDS, Verdict.NO_CALL, [0.1, 0.9], 1, NO_DEFECT_CLASS),
    ],
)
def test_what_is_not_ok_is_called_its_likeliest_defect(
    settings: DecisionSettings, verdict: Verdict, prob: list[float], called: int, expected: int
) -> None:
    """Never good, nothing without a call; where all classes are good, what is OK is named too. NumPy says the same."""
    tensors = {name: torch.from_numpy(value) for name, value in given(verdict, prob, called).items()}
    out = dict(zip(DECISION_OUTPUTS, Decision(settings)(**tensors), strict=True))
    assert Verdict(int(out["verdict"][0])) is verdict
    assert out["defect_class"].tolist() == [expected]
    assert out["class_prob"].tolist() == tensors["class_probability"].tolist()
    assert out["class_p_value"].tolist() == [0.25]
    answer = ClassAnswer(np.array(prob), frozenset({called}))
    assert decide_class(answer, verdict, settings.defects, names_ok=settings.names_ok) == {expected}


def test_the_exported_decision_calls_the_same() -> None:
    """Of a batch with all verdicts; the probabilities pass through."""
    frames = [given(verdict, [0.4, 0.6], called) for verdict in Verdict for called in (1, UNKNOWN_DEFECT_CLASS)]
    shared = {name for name in frames[0] if name.startswith(("threshold", "unfamiliar", "finding"))}
    feed = {n: frames[0][n] if n in shared else np.concatenate([f[n] for f in frames]) for n in frames[0]}
    out = Graph(export_decision(BOTH))(feed)
    tensors = {name: torch.from_numpy(value) for name, value in feed.items()}
    for name, value in zip(DECISION_OUTPUTS, Decision(BOTH)(**tensors), strict=True):
        np.testing.assert_array_equal(out[name], value.numpy())
    assert set(out["defect_class"].tolist()) == {-1, 1, -2}


LIMIT: Threshold = tiny_contract(3.0).threshold_ng


def proven(found: int, prob: list[float], answer: ClassAnswer) -> tuple[ParityRecord, ...]:
    """Prove a graph that says NG, this class and these probabilities, against a reference's answer."""

    def graph(feed: object, outputs: object = None) -> dict[str, np.ndarray]:
        return {
            "score": np.array([9.0], np.float32), "verdict": np.array([1]), "gate": np.array([0]),
            "quality": np.zeros((1, 0), np.float32), "defect_class": np.array([found]),
            "class_prob": np.array([prob], np.float32), "class_p_value": np.array([0.25], np.float32),
        }  # fmt: skip

    case = ParityCase("a", "test", "dent", lambda: np.zeros((2, 2, 3), np.uint8))
    step: Callable[[], None] = lambda: None  # noqa: E731
    proof = ClassProof(lambda _: answer, 2, names_ok=False)
    return prove_parity(graph, lambda _: 9.0, LIMIT, LIMIT, [case], step, None, proof)  # type: ignore[arg-type]


def test_an_equal_class_is_proven_and_recorded() -> None:
    """The record carries what the graph said."""
    (record,) = proven(1, [0.2, 0.8], ClassAnswer(np.array([0.2001, 0.7999]), frozenset({1})))
    assert record.defect_class == 1


@pytest.mark.parametrize(
    ("found", "prob", "called"),
    [(0, [0.2, 0.8], 1), (1, [0.21, 0.79], 1), (1, [0.2, 0.8], -2), (-2, [0.2, 0.8], 1), (-1, [0.2, 0.8], 1)],
)
def test_another_class_or_probability_refuses_the_export(found: int, prob: list[float], called: int) -> None:
    """One flipped class is as bad as a flipped verdict."""
    with pytest.raises(ParityError, match="class"):
        proven(found, prob, ClassAnswer(np.array([0.2, 0.8]), frozenset({called})))


@pytest.mark.parametrize(("bounds", "refused"), [((0.2, 0.25), False), ((0.25, 0.3), False), ((0.26, 0.9), True)])
def test_another_p_value_refuses_the_export(bounds: tuple[float, float], refused: bool) -> None:
    """The graph says 0.25; on an edge of the reference both of its sides pass."""
    answer = ClassAnswer(np.array([0.2, 0.8]), frozenset({1}), bounds)
    if not refused:
        assert proven(1, [0.2, 0.8], answer)
        return
    with pytest.raises(ParityError, match=r"class p-value is 0\.25, the reference's 0\.26 to 0\.9"):
        proven(1, [0.2, 0.8], answer)


def test_a_decision_without_classes_gives_the_neutral_p_value() -> None:
    """1: nothing is strange where no class is looked for."""
    feed = {name: value for name, value in given(Verdict.NG, [0.5, 0.5], 0).items() if not name.startswith("class_")}
    out = Graph(export_decision(DecisionSettings(quality_count=1, unfamiliar_bit=3, findings=())))(feed)
    assert out["class_p_value"].tolist() == [1.0]
    assert out["class_prob"].shape == (1, 0)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (0, ClassAnswer(np.array([0.4995, 0.5005]), frozenset({1}))),
        (1, ClassAnswer(np.array([0.4995, 0.5005]), frozenset({1, -2}))),
        (-2, ClassAnswer(np.array([0.4995, 0.5005]), frozenset({1, -2}))),
    ],
)
def test_on_an_edge_of_the_reference_either_answer_passes(found: int, answer: ClassAnswer) -> None:
    """Rounding alone decides there."""
    assert proven(found, [0.4995, 0.5005], answer)[0].defect_class == found


def record(label: str, verdict: str, defect_class: int, score: float = 1.0) -> ParityRecord:
    """Return a test image that was judged."""
    return ParityRecord(f"test/{label}", "test", label, score, verdict, 0, score, 0.0, defect_class)


def test_class_accuracy_counts_what_was_named() -> None:
    """An escape is no error of the class, unknown is one, and a class that was never trained does not count."""
    contract = classed_contract(("dent", "scratch"))
    proofs = [
        record("dent", "NG", 0), record("dent", "NG", 1), record("dent", "NG", -2), record("dent", "OK", -1),
        record("dent", "NO_CALL", -1), record("hole", "NG", 0), record("good", "OK", -1), record("good", "NG", 1),
    ]  # fmt: skip
    result = evaluate(proofs, [str(i) for i in range(len(proofs))], contract)
    assert result.classes is not None
    assert (result.classes.right, result.classes.named) == (1, 3)
    assert result.classes.accuracy == pytest.approx(1 / 3)
    assert ("dent", "OK", 1) in result.classes.confusion
    assert ("good", "scratch", 1) in result.classes.confusion
    assert (result.escapes, result.overkill) == (1, 1)


def test_where_all_classes_are_good_a_strange_folder_is_the_defect() -> None:
    """Overkill is counted over the trained kinds, escapes over the folders that nobody trained on."""
    contract = classed_contract(("bolt", "nut"), "classify")
    proofs = [
        record("bolt", "OK", 0), record("nut", "NG", -2, 8.0), record("wing", "OK", 0), record("wing", "NG", -2, 9.0),
    ]  # fmt: skip
    result = evaluate(proofs, [str(i) for i in range(len(proofs))], contract)
    assert (result.good, result.overkill, result.defective, result.escapes) == (2, 1, 2, 1)
    assert result.auroc == 0.625


def test_a_part_is_evaluated_once_as_its_worst_image() -> None:
    """Shots of one part are one draw for overkill, escapes, classes and their intervals."""
    contract = classed_contract(("dent", "scratch"))
    shots = [
        ("g1", record("good", "OK", -1)), ("g1", record("good", "NG", 1, 9.0)), ("g2", record("good", "OK", -1)),
        ("g2", record("good", "NO_CALL", -1)), ("d1", record("dent", "OK", -1)), ("d1", record("dent", "NG", 0, 9.0)),
        ("d2", record("dent", "OK", -1)), ("d2", record("dent", "OK", -1)), ("g1", record("dent", "NG", 0, 8.0)),
    ]  # fmt: skip
    result = evaluate([proof for _, proof in shots], [part for part, _ in shots], contract)
    assert (result.good, result.overkill, result.no_call) == (1, 1, 1)
    assert (result.defective, result.escapes, result.escapes_by_class) == (3, 1, (("dent", 1, 3),))
    assert result.classes is not None
    assert (result.classes.right, result.classes.named, result.unit) == (2, 2, "part")


def test_the_contract_with_classes_survives_its_json() -> None:
    """Written and read again it is the same; and it says what an index means."""
    contract = classed_contract(("dent", "scratch"))
    again = Contract.from_json(contract.to_json(), "here")
    assert again == contract
    assert [again.class_name(i) for i in (-2, -1, 0, 1)] == ["unknown", None, "dent", "scratch"]
    assert again.is_good("good")
    assert not again.is_good("dent")
