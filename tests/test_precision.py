"""Models in int8: trained and proven, chosen only where nothing is lost, and stated in the contract."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from torch import nn

from caps import cap, folder_of
from conftest import Trained, train_part, write_part
from javascript import agree, node_verify
from lineside.calibrate.crossfit import grouped_folds
from lineside.calibrate.honest import Honest
from lineside.calibrate.wishes import thresholds
from lineside.contract import Precision
from lineside.contract_thresholds import Wish
from lineside.graph.quantise import NotQuantisableError
from lineside.graph.trunk import export_backbone
from lineside.recipe import Export
from lineside.runtime import Inspector, verify_bundle
from lineside.train import precision, ranges, run
from lineside.train.calibration import Calibration
from lineside.train.line import adapt, extend
from lineside.train.precision import Compared, flipped, frames_to_rank, rank_correlation, stated_precision
from lineside.train.ranges import RANGED, Int8, range_frames
from lineside.train.run import Deployable, deployable

GOOD = Compared(rank=0.996, frames=240, flipped=(), speedup=1.3, faster=1.0)
WORSE = {
    "rank": (replace(GOOD, rank=0.9949), "rank correlation of 0.9949 over 240 frames (0.995 was wanted)"),
    "verdict": (replace(GOOD, flipped=("a.png",)), "1 calibration verdict differs (a.png)"),
    "time": (replace(GOOD, speedup=0.8, faster=0.1), "takes 1.25 of the time here, faster in 10% of 40 rounds"),
}


@pytest.fixture(scope="module")
def small8(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The small part, trained in int8."""
    return train_part(write_part(tmp_path_factory.mktemp("small8"), more="export: {precision: int8}\n"))


def test_int8_is_taken_where_nothing_is_lost() -> None:
    """Ranks and verdicts are kept and time is saved: int8, with the numbers in words."""
    assert GOOD.taken
    assert GOOD.in_words() == (
        "Precision: int8. Scores of int8 and fp32 have a rank correlation of 0.9960 over 240 frames (0.995 was "
        "wanted), no calibration verdict differs, and int8 takes 0.77 of the time here, faster in 100% of 40 rounds."
    )


@pytest.mark.parametrize(("found", "words"), WORSE.values(), ids=WORSE.keys())
def test_each_loss_alone_refuses_int8(found: Compared, words: str) -> None:
    """One of the three is enough, and the words say which."""
    assert not found.taken
    assert found.in_words().startswith("Precision: fp32. ")
    assert words in found.in_words()


def test_ranks_are_compared_and_not_values() -> None:
    """A monotone change keeps the correlation at 1; scores that are all alike rank nothing."""
    scores = np.random.default_rng(0).random(50)
    assert rank_correlation(scores, np.exp(3 * scores)) == pytest.approx(1.0)
    assert rank_correlation(scores, -scores) == pytest.approx(-1.0)
    assert rank_correlation(scores, np.ones(50)) == 0.0


def honest(scores: list[float], label: str) -> Honest:
    """Return scores for a threshold, a part each."""
    names = tuple(f"{label}{i}" for i in range(len(scores)))
    return Honest(np.array(scores, np.float32), names, (label,) * len(names), label != "good", "cross-fitted")


def calibration(
    scores: dict[int, float], wish: Wish = Wish("overkill", 0.2), defects: dict[str, float] | None = None
) -> Calibration:
    """Return what a threshold was taken from: scores of good parts by position, and of defective ones by name."""
    goods = honest(list(scores.values()), "good")
    found = thresholds(wish, None, goods, honest(list(defects.values()), "dent") if defects else None)
    called: Any = dict.fromkeys(scores)
    head: Any = None
    return Calibration(head, called, goods, found.ng, found.review, found.escapes, defects=defects or {})


NAMES = [f"{i}.png" for i in range(11)]
SCORES = {i: float(i) for i in range(11)}


def test_scores_of_another_size_flip_nothing() -> None:
    """Each model judges by its own threshold."""
    larger = {i: 10.0 * score for i, score in SCORES.items()}
    assert flipped((calibration(SCORES), calibration(larger)), NAMES) == ()


def test_a_verdict_that_differs_is_named() -> None:
    """Two images change places across the threshold."""
    swapped = {**SCORES, 4: 10.0, 10: 4.0}
    assert flipped((calibration(SCORES), calibration(swapped)), NAMES) == ("4.png", "10.png")


@pytest.mark.parametrize(
    "wish",
    [
        Wish("escape", 0.1),
        Wish("cost", overkill_cost=1.0, escape_cost=50.0, defect_rate_ppm=20_000.0),
        Wish("overkill", 0.2),
    ],
)
def test_a_defect_that_one_model_lets_pass_is_named(wish: Wish) -> None:
    """Good parts are judged alike, and a defect is OK in int8 alone, or refused by its gate alone."""
    dents = {f"dent/{i}.png": 20.0 + i for i in range(20)}
    whole = calibration(SCORES, wish, dents)
    assert flipped((whole, whole), NAMES) == ()
    lost = replace(whole, defects={**dents, "dent/3.png": -1.0})
    refused = replace(whole, defects={name: score for name, score in dents.items() if name != "dent/5.png"})
    assert flipped((whole, lost), NAMES) == ("dent/3.png",)
    assert flipped((whole, refused), NAMES) == flipped((refused, whole), NAMES) == ("dent/5.png",)


def test_no_call_of_one_model_is_a_verdict_that_differs() -> None:
    """A good image that only one of the gates lets through is named; one that neither does is not."""
    some, fewer = ({i: score for i, score in SCORES.items() if i not in gone} for gone in ((5,), (3, 5)))
    assert flipped((calibration(some), calibration(fewer)), NAMES) == ("3.png",)


@pytest.mark.parametrize("count", [3, 8, 120])
def test_at_least_two_hundred_frames_are_ranked(count: int) -> None:
    """Good ones first, then as many drifted as defective copies, the same each time; the good ones stay as they are."""
    goods = [np.random.default_rng(i).integers(60, 180, (24, 32, 3), np.uint8) for i in range(count)]
    made = frames_to_rank([lambda frame=frame: frame for frame in goods], 7)  # type: ignore[misc]
    assert len(made) >= 200
    assert (len(made) - count) % (2 * count) == 0
    first, second = ([load() for load in frames_to_rank([lambda f=f: f for f in goods], 7)] for _ in range(2))  # type: ignore[misc]
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first, goods, strict=False))
    changed = sum(not np.array_equal(frame, goods[i % count]) for i, frame in enumerate(first[count:]))
    assert changed > 0.75 * (len(made) - count)


def test_ranges_come_from_a_block_of_neighbours() -> None:
    """One part in ten, at least one and at most eight, with all its frames."""
    for parts, count in ((2, 1), (8, 1), (60, 6), (200, 8)):
        chosen = range_frames([f"p{i // 2:03d}" for i in range(2 * parts)], range(2 * parts))
        assert len(chosen) == 2 * count
        assert {i // 2 for i in chosen} == set(range(chosen[0] // 2, chosen[0] // 2 + count))


@pytest.mark.parametrize("parts", [2, 7, 50, 173])
@pytest.mark.parametrize("count", [2, 5, 10])
def test_ranges_are_fitted_again_without_the_fold(parts: int, count: int) -> None:
    """A fold takes them from parts that it does not score; all but two folds at most take them from the same parts as
    the deployed model, and so have its very backbone."""
    groups = [f"p{i:03d}" for i in range(parts)]
    deployed = range_frames(groups, range(parts))
    folds = grouped_folds(groups, count)
    chosen = [range_frames(groups, fold.fit) for fold in folds]
    assert not any(set(some) & set(fold.score) for some, fold in zip(chosen, folds, strict=True))
    assert {len(some) for some in chosen} == {len(deployed)}
    assert sum(some != deployed for some in chosen) in (1, 2)


def test_the_contract_says_what_the_weights_are_for() -> None:
    """Seven bits for every processor, eight for those with VNNI, and that others then fail the vectors."""
    assert stated_precision(Export()).network == "fp32"
    any_, vnni = (stated_precision(Export(precision="int8", target=target)) for target in ("any", "vnni"))  # type: ignore[arg-type]
    assert (any_.weight_bits, vnni.weight_bits) == (7, 8)
    assert "without VNNI as well" in any_.statement
    assert "scores may differ by up to 2% there" in any_.statement
    assert "for processors with VNNI alone" in vnni.statement


def test_an_int8_bundle_is_proven_and_stated(small8: Trained) -> None:
    """Its vectors hold, its contract names precision and ranges, and every part gave a score."""
    assert verify_bundle(small8.bundle).vectors > 0
    contract = Inspector(small8.bundle).contract
    assert (contract.precision.network, contract.precision.weight_bits) == ("int8", 7)
    assert RANGED in contract.fitted
    assert contract.score_tolerance_rel == 0.02
    assert contract.threshold_ng.n == len(small8.references.samples)


def test_folds_with_the_same_ranges_share_one_backbone(small8: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantised once for each choice of parts; what is asked for again is the very same."""
    images: list[Sequence[int]] = []

    def remember(_: Int8, chosen: Sequence[int]) -> Sequence[int]:
        images.append(chosen)
        return chosen

    monkeypatch.setattr(Int8, "_images", remember)
    monkeypatch.setattr(ranges, "quantised", lambda model, chosen, **_: model)
    request: Any = None
    backbone = export_backbone(nn.Conv2d(3, 4, 3), ("tap0",), (8, 8), "test: one convolution")
    anchor, journal = np.zeros((8, 8, 3), np.uint8), run.Journal(run.SilentProgress())
    made = Int8(backbone, {}, request, small8.references, anchor, journal, vnni=False)
    whole, without, other = made.build(range(14)), made.build(range(10)), made.build(range(5))
    assert whole is without
    assert other is not whole
    assert images == [(6,), (0,)]


def test_the_whole_int8_graph_is_standard_and_smaller(small: Trained, small8: Trained) -> None:
    """The backbone's weights are a quarter; front and head stay float32, and no operator is foreign."""
    model = onnx.load(small8.bundle / "model.onnx")
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    assert model.opset_import[0].version <= 21
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QuantizeLinear") >= 30
    saved = (small.bundle / "model.onnx").stat().st_size - (small8.bundle / "model.onnx").stat().st_size
    assert saved > 1_500_000


def test_the_head_of_an_int8_model_is_that_of_float32(small: Trained, small8: Trained) -> None:
    """Whatever it was fitted to, memory, projection and pooling, is equal bit for bit; only the backbone differs."""

    def numbers(trained: Trained) -> dict[str, bytes]:
        held = onnx.load(trained.bundle / "model.onnx").graph.initializer
        fitted = ("memory", "place", "pool", "projection", "sharp")
        return {item.name: item.SerializeToString() for item in held if item.name.startswith(fitted)}

    assert max(len(value) for value in numbers(small8).values()) > 10_000
    assert numbers(small8) == numbers(small)


def test_an_int8_model_separates_as_the_float_one_does(small: Trained, small8: Trained) -> None:
    """Every defect of the test scores above every good part, as in float32."""
    for trained in (small, small8):
        tested = trained.record.tested
        goods, defects = ([one.score for one in tested if (one.label == "good") is good] for good in (True, False))
        assert min(defects) > max(goods)


def test_node_reproduces_the_vectors_of_an_int8_bundle(small8: Trained) -> None:
    """Integers give the same verdicts there, and scores within the tolerance that the contract states."""
    done = node_verify(small8.bundle)
    assert done.returncode == 0, done.stderr
    agree([json.loads(line) for line in done.stdout.splitlines()], small8.bundle)


def test_an_int8_bundle_follows_its_line(small8: Trained, tmp_path: Path) -> None:
    """It is adapted and extended like any other, and stays in int8."""
    frames = folder_of(tmp_path / "frames", {f"{i:03d}": cap(500 + i) for i in range(12)})
    adapt(small8.bundle, [frames], tmp_path / "adapted")
    extend(small8.bundle, [frames], tmp_path / "extended")
    for made in ("adapted", "extended"):
        assert verify_bundle(tmp_path / made).vectors > 0
        assert Inspector(tmp_path / made).contract.precision == Inspector(small8.bundle).contract.precision


class Tried:
    """Stands in for a training: remembers the precisions, and may refuse int8."""

    def __init__(self, made: Deployable, *, refuses: bool = False) -> None:
        self.made, self.refuses, self.asked = made, refuses, list[str]()

    def __call__(self, loaded: Any, dataset: Any, journal: Any) -> Deployable:
        """Return the model, its contract with the precision that was asked for."""
        asked = loaded.recipe.export.precision
        self.asked.append(asked)
        journal.note(f"trained in {asked}")
        if self.refuses and asked == "int8":
            raise NotQuantisableError("export.precision: not this network.")
        stated = Precision(asked, {"fp32": 32, "int8": 7}[asked], f"{asked}.")
        return replace(self.made, contract=replace(self.made.contract, precision=stated))


def chosen(
    small: Trained,
    monkeypatch: pytest.MonkeyPatch,
    found: Compared,
    *,
    refuses: bool = False,
    held_out: bool = False,
) -> tuple[Deployable, Sequence[str]]:
    """Run `auto` on stand-ins; return what was chosen and the journal's decisions."""
    bundle = Inspector(small.bundle)
    model = (small.bundle / "model.onnx").read_bytes()
    made = Deployable(small.references, small.calibration, bundle.contract, model)
    if held_out:
        ng = replace(small.calibration.threshold, kind="guaranteed", statement="From held-out parts.")
        calibration = replace(small.calibration, threshold=ng, review=ng)
        contract = replace(bundle.contract, threshold_ng=ng, threshold_review=ng)
        made = replace(made, calibration=calibration, contract=contract)
    tried = Tried(made, refuses=refuses)
    monkeypatch.setattr(run, "_deployable", tried)
    monkeypatch.setattr(run, "compare", lambda *_: found)
    recipe = small.loaded.recipe
    export = recipe.export.model_copy(update={"precision": "auto"})
    loaded = replace(small.loaded, recipe=recipe.model_copy(update={"export": export}))
    journal = run.Journal(run.SilentProgress())
    dataset: Any = SimpleNamespace()
    deployed = deployable(loaded, dataset, journal)
    assert tried.asked == ["fp32", "int8"]
    return deployed, journal.decisions


@pytest.mark.parametrize(("found", "wanted"), [(GOOD, "int8"), (WORSE["rank"][0], "fp32")])
def test_auto_returns_the_one_and_says_why(
    small: Trained, monkeypatch: pytest.MonkeyPatch, found: Compared, wanted: str
) -> None:
    """Contract, graph and journal carry the choice and its numbers; the dropped training leaves no decisions."""
    deployed, decisions = chosen(small, monkeypatch, found)
    assert deployed.contract.precision.network == wanted
    assert deployed.contract.precision.statement == f"{wanted}. {found.in_words()}"
    assert {p.key: p.value for p in onnx.load_from_string(deployed.model).metadata_props}["lineside"] == (
        deployed.contract.to_json()
    )
    assert decisions == [f"trained in {wanted}", found.in_words()]


def test_auto_falls_back_where_int8_cannot_be(small: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that cannot be quantised is trained in float32, and the reason is told."""
    deployed, decisions = chosen(small, monkeypatch, GOOD, refuses=True)
    assert deployed.contract.precision.network == "fp32"
    assert decisions == ["trained in fp32", "Precision: fp32. export.precision: not this network."]


@pytest.mark.parametrize("refuses", [False, True], ids=["compared", "not quantisable"])
def test_scores_that_chose_the_model_guarantee_nothing(
    small: Trained, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    """Held-out scores that int8 and fp32 were compared by are empirical, in contract, graph and calibration; where
    only float32 could be, nothing was chosen and the guarantee stays."""
    deployed, decisions = chosen(small, monkeypatch, GOOD, refuses=refuses, held_out=True)
    limits = deployed.contract.threshold_ng, deployed.contract.threshold_review, deployed.calibration.threshold
    assert {limit.kind for limit in limits} == {"guaranteed" if refuses else "empirical"}
    said = "" if refuses else "No guarantee: these scores also decided between int8 and fp32. "
    assert {limit.statement for limit in limits} == {f"{said}From held-out parts."}
    assert deployed.calibration.review is deployed.calibration.threshold
    assert sum("No guarantee" in words for words in decisions) == (not refuses)
    assert deployed.contract.to_json() in deployed.model.decode("utf-8", "ignore")


def test_a_model_is_its_own_equal(small: Trained) -> None:
    """Compared with itself it ranks alike and flips nothing; the other is faster in about half of the rounds."""
    model = (small.bundle / "model.onnx").read_bytes()
    found = precision.compare((model, model), (small.calibration, small.calibration), small.references, 0)
    assert (found.rank, found.flipped) == (pytest.approx(1.0), ())
    assert found.frames >= 200
    assert 0.5 < found.speedup < 2.0
