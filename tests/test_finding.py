"""Findings: what no patch shows raises the score, by one rule in graph, calibration and contract."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lineside.contract import Finding, QualityLimit, Verdict
from lineside.export.decision import DECISION_OUTPUTS, Decision, DecisionSettings, export_decision
from lineside.graph.run import Graph
from lineside.train.tail import fit_finding_limits

SETTINGS = DecisionSettings(quality_count=5, unfamiliar_bit=10, findings=((1, 3), (4,)))
LIMITS = np.array([[0.5, np.inf], [0.7, np.inf], [-np.inf, 8.0]], np.float32)
FLOOR = 6.0


@pytest.fixture(scope="module")
def decision() -> Graph:
    """The exported decision with two findings: of two numbers, and of one."""
    return Graph(export_decision(SETTINGS))


def feed(quality: np.ndarray, score: float = 1.0, novelty: float = 0.5, gate: int = 0) -> dict[str, np.ndarray]:
    """Return what the decision takes, NG above 3, REVIEW above 2, unfamiliar above 9."""
    count = len(quality)
    one = {"threshold_ng": 3.0, "threshold_review": 2.0, "unfamiliar_limit": 9.0, "finding_floor": FLOOR}
    return {
        "patch_score": np.full(count, score, np.float32),
        "front_gate": np.full(count, gate, np.int64),
        "front_quality": quality.astype(np.float32),
        "novelty": np.full(count, novelty, np.float32),
        "finding_limits": LIMITS,
        **{name: np.array([value], np.float32) for name, value in one.items()},
    }


def row(rotation: float = 1.0, match: float = 1.0, shading: float = 1.0) -> np.ndarray:
    """Return quality numbers [1, 5] of which three matter."""
    return np.array([[0.0, rotation, 0.0, match, shading]], np.float32)


@pytest.mark.parametrize(
    ("quality", "score", "verdict"),
    [
        (row(), 1.0, Verdict.OK),
        (row(rotation=0.4), 1.0, Verdict.OK),
        (row(match=0.6), 1.0, Verdict.OK),
        (row(rotation=0.4, match=0.6), FLOOR, Verdict.NG),
        (row(rotation=0.5, match=0.6), 1.0, Verdict.OK),
        (row(shading=8.0), 1.0, Verdict.OK),
        (row(shading=8.1), FLOOR, Verdict.NG),
        (row(rotation=0.1, match=0.1, shading=20.0), FLOOR, Verdict.NG),
    ],
)
def test_a_finding_needs_all_of_its_numbers(
    quality: np.ndarray, score: float, verdict: Verdict, decision: Graph
) -> None:
    """Every number of a finding must lie beyond its limit, at it does not count; any finding raises the score."""
    out = decision(feed(quality))
    assert out["score"].tolist() == [score]
    assert Verdict(int(out["verdict"][0])) == verdict


def test_a_worse_patch_score_stays_what_it_is(decision: Graph) -> None:
    """The floor raises a score and never lowers one."""
    assert decision(feed(row(shading=9.0), score=7.5))["score"].tolist() == [7.5]


@pytest.mark.parametrize(("gate", "novelty", "bits"), [(4, 0.5, 4), (0, 9.5, 1024), (4, 9.5, 1028), (0, 9.0, 0)])
def test_the_gate_goes_before_a_finding(gate: int, novelty: float, bits: int, decision: Graph) -> None:
    """A frame that gets no call gets none for a finding either; novelty beyond its limit is a bit of the gate."""
    out = decision(feed(row(shading=9.0), gate=gate, novelty=novelty))
    assert out["gate"].tolist() == [bits]
    assert Verdict(int(out["verdict"][0])) == (Verdict.NO_CALL if bits else Verdict.NG)
    assert out["quality"][0, -1] == pytest.approx(novelty)


def test_without_findings_the_score_is_that_of_the_patches() -> None:
    """A front without such numbers has a decision without findings."""
    given = {name: torch.from_numpy(value) for name, value in feed(row(shading=99.0)).items()}
    out = Decision(DecisionSettings(5, 10, ()))(**given)
    assert dict(zip(DECISION_OUTPUTS, out, strict=True))["score"].tolist() == [1.0]


def test_a_limit_of_the_contract_counts_beyond_and_not_at_it() -> None:
    """Lower and upper ends, each of which may be open."""
    finding = Finding("f", "words", (QualityLimit("a", 0.5, None), QualityLimit("b", None, 8.0)))
    assert finding.holds({"a": 0.4, "b": 8.1})
    assert not finding.holds({"a": 0.5, "b": 8.1})
    assert not finding.holds({"a": 0.4, "b": 8.0})


@pytest.mark.parametrize("goods", [1, 2, 3])
def test_one_or_two_goods_learn_no_finding(goods: int) -> None:
    """The golden part is made of them: they say nothing of how far another good part may differ from it."""
    names = ("match", "rotation", "shading")
    quality = np.tile(np.array([[1.0, 0.9, 0.0]], np.float32), (goods, 1))
    settings = SimpleNamespace(gate=SimpleNamespace(quality_names=names))
    front: Any = SimpleNamespace(
        decision=SimpleNamespace(settings=settings),
        gate=np.zeros(goods, np.int64),
        outputs={"front_quality": quality},
    )
    limits = fit_finding_limits(front, np.arange(goods))
    assert limits.shape == (3, 2)
    assert np.isfinite(limits).any() == (goods == 3)
