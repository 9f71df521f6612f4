"""Classes that are tolerated: score and verdict inside the graph, the proof, what is refused, and what escapes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import images
from conftest import Trained, train_part, write_part
from lineside.capture.check import check_recipe
from lineside.capture.decode import read_image
from lineside.contract import UNKNOWN_DEFECT_CLASS, Verdict
from lineside.dataset import load_dataset
from lineside.errors import ParityError, RecipeError
from lineside.export.decision import DECISION_OUTPUTS, Decision, DecisionSettings, export_decision
from lineside.export.parity import ClassAnswer, ClassProof, ParityCase, ParityRecord, Tolerance, prove_parity
from lineside.graph.rewrite import read_model, with_outputs
from lineside.graph.run import Graph
from lineside.recipe import load_recipe
from lineside.runtime import Inspector, verify_bundle
from lineside.train.line import calibrate, extend_classes
from lineside.wish_images import refuse_intolerable
from test_class_decision import LIMIT
from test_class_training import write_defects
from tiny import tiny_contract

SETTINGS = DecisionSettings(1, 3, ((0,),), classes=2, defects=2, tolerances=(1.5, 1.0))


def decided(score: float, prob: list[float], called: int, quality: float = 0.0, ng: float = 3.0) -> tuple[float, int]:
    """Return score and verdict of a frame; a quality above 1 is a finding."""
    feed = {
        "patch_score": [score], "front_gate": np.zeros(1, np.int64), "front_quality": [[quality]], "novelty": [0.0],
        "threshold_ng": [ng], "threshold_review": [ng * 2 / 3], "unfamiliar_limit": [9.0],
        "finding_limits": [[-9.0, 1.0]], "finding_floor": [2 * ng], "class_probability": [prob],
        "class_called": np.array([called], np.int64), "class_likeness": [0.5],
    }  # fmt: skip
    arrays = {name: np.asarray(value, None if name in INTEGERS else np.float32) for name, value in feed.items()}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    out = dict(zip(DECISION_OUTPUTS, Decision(SETTINGS)(**tensors), strict=True))
    exported = Graph(export_decision(SETTINGS))(arrays)
    for name, value in out.items():
        np.testing.assert_array_equal(exported[name], value.numpy())
    return float(out["score"][0]), int(out["verdict"][0])


INTEGERS = ("front_gate", "class_called")


@pytest.mark.parametrize(
    ("score", "called", "verdict"),
    [
        (3.5, 0, Verdict.REVIEW), (4.6, 0, Verdict.NG), (2.9, 0, Verdict.OK), (3.1, 0, Verdict.REVIEW),
        (3.1, 1, Verdict.NG), (2.1, 1, Verdict.REVIEW), (3.1, UNKNOWN_DEFECT_CLASS, Verdict.NG),
    ],
)  # fmt: skip
def test_a_tolerated_class_reaches_its_factor_times_both_thresholds(
    score: float, called: int, verdict: Verdict
) -> None:
    """1.5 times 3 and 2; another class and what is unknown reach one time."""
    prob = [0.2, 0.8] if called == 1 else [0.8, 0.2]
    said, found = decided(score, prob, called)
    assert Verdict(found) is verdict
    assert said == pytest.approx(score / (1.5 if called == 0 else 1.0))


def test_an_overridden_threshold_is_multiplied_too() -> None:
    """Score and verdict go on to agree."""
    assert decided(3.5, [0.8, 0.2], 0, ng=2.0)[1] == Verdict.NG
    assert decided(2.5, [0.8, 0.2], 0, ng=2.0)[1] == Verdict.REVIEW


def test_a_finding_is_not_tolerated() -> None:
    """A part without its print is NG, whatever class it is called by."""
    assert decided(0.1, [0.8, 0.2], 0, quality=2.0) == (6.0, Verdict.NG)


def proven(score: float, prob: list[float], answer: ClassAnswer, *, finding: bool = False) -> tuple[ParityRecord, ...]:
    """Prove a graph that gives a score, by a reference of 9 that knows nothing of classes."""

    def graph(feed: object, outputs: object = None) -> dict[str, np.ndarray]:
        return {
            "score": np.array([score], np.float32), "verdict": np.array([1]), "gate": np.array([0]),
            "quality": np.zeros((1, 0), np.float32), "defect_class": np.array([int(np.argmax(prob))]),
            "class_prob": np.array([prob], np.float32), "class_p_value": np.ones(1, np.float32),
        }  # fmt: skip

    case = ParityCase("a", "test", "dent", lambda: np.zeros((2, 2, 3), np.uint8))
    step: Callable[[], None] = lambda: None  # noqa: E731
    tolerance = Tolerance((1.5, 1.0), lambda _: finding)
    proof = ClassProof(lambda _: answer, 2, names_ok=False)
    return prove_parity(graph, lambda _: 9.0, LIMIT, LIMIT, [case], step, None, proof, tolerance)  # type: ignore[arg-type]


def test_the_proof_divides_by_the_reference_own_class() -> None:
    """6 is proven of what is called by the tolerated class and of nothing else; 9 of a finding."""
    stain, other = ClassAnswer(np.array([0.8, 0.2]), frozenset({0})), ClassAnswer(np.array([0.2, 0.8]), frozenset({1}))
    assert proven(6.0, [0.8, 0.2], stain)[0].reference_score == pytest.approx(6.0)
    assert proven(9.0, [0.2, 0.8], other)[0].reference_score == 9.0
    assert proven(9.0, [0.8, 0.2], stain, finding=True)[0].reference_score == 9.0
    for score, prob, answer in ((9.0, [0.8, 0.2], stain), (6.0, [0.2, 0.8], other)):
        with pytest.raises(ParityError, match="the reference"):
            proven(score, prob, answer)


RECIPE = "calibrate: {class_factors: {stain: 1.5}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("calibrate: {class_factors: {stain: 0.9}}", "calibrate.class_factors: expected numbers of 1 or more by the"),
        ("calibrate: {class_factors: {stain: 2.0}, escape: 0.1}", "defects that are tolerated escape as they should"),
        ("calibrate: {class_factors: {stain: 2.0}, threshold: 0.0}", "a threshold of 0 has no multiple"),
        (
            "transfer: {task: anomaly}\ncalibrate: {class_factors: {stain: 2.0}}",
            "only allowed where classes of defects",
        ),
        ("transfer: {method: anomalib.Padim}\n" + RECIPE, "only allowed where classes of defects are told"),
        ("transfer: {classes: {method: none}}\n" + RECIPE, "only allowed where classes of defects are told"),
    ],
)
def test_a_factor_that_cannot_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """By key and remedy, before any image is looked at."""
    (tmp_path / "images").mkdir()
    with pytest.raises(RecipeError) as caught:
        load_recipe(images.write_recipe(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("good", "stain", "dent"), None),
        (("good", "dent", "rust"), "there are no training images of stain; the classes in train/ are dent, rust"),
        (("good", "stain"), "classes are told from two classes of defects in train/ on, and there is one"),
        (("good",), "and there is none"),
    ],
)
def test_check_and_training_refuse_classes_without_images(
    tmp_path: Path, folders: tuple[str, ...], message: str | None
) -> None:
    """Both say the same."""
    images.write_folder(tmp_path / "images", {f"train/{name}": 20 if name == "good" else 2 for name in folders})
    loaded = load_recipe(images.write_recipe(tmp_path, RECIPE))
    said = [problem.text for problem in check_recipe(loaded).problems if problem.severity == "error"]
    if message is None:
        assert said == []
        return
    assert message in said[0]
    with pytest.raises(RecipeError, match=r"calibrate\.class_factors: ") as caught:
        refuse_intolerable(loaded, load_dataset(loaded))
    assert message in str(caught.value)


def test_the_contract_names_what_is_tolerated_and_its_danger() -> None:
    """In the classes' order for the graph, in words for people."""
    contract = dataclasses.replace(tiny_contract(), class_names=("dent", "stain"), class_factors={"stain": 1.5})
    assert contract.tolerances == (1.0, 1.5)
    assert "stain up to 1.5 times" in str(contract.tolerance_words)
    assert "called so by mistake is tolerated too" in str(contract.tolerance_words)
    assert (tiny_contract().tolerances, tiny_contract().tolerance_words) == ((), None)


@pytest.fixture(scope="module")
def tolerant(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The part of `small` with two kinds of defect, of which missing print is tolerated up to four thresholds."""
    folder = write_part(tmp_path_factory.mktemp("tolerant"))
    write_defects(folder / "images", 5)
    text = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(text.replace("folds: 2", "folds: 2, class_factors: {missing_print: 4.0}"))
    return train_part(folder)


@pytest.mark.slow
def test_the_bundle_tolerates_one_class_alone(tolerant: Trained) -> None:
    """An image's score is that of its patches, divided by four just where it is called so; findings are not."""
    inspector, contract = Inspector(tolerant.bundle), tolerant.record.contract
    graph, divided = Graph(with_outputs(read_model(tolerant.record.model, "m"), ("patch_score",))), 0
    for path in sorted(tolerant.images.glob("t*/*/*.png")):
        frame = read_image(path)
        out = graph({"frame": frame[None]}, ("score", "patch_score", "quality"))
        quality = dict(zip(contract.quality_names, out["quality"][0].astype(float).tolist(), strict=True))
        result, ratio = inspector.inspect(frame), float(out["patch_score"][0]) / float(out["score"][0])
        assert (result.verdict is Verdict.NG) == (result.score > contract.threshold_ng.value)
        if contract.found(quality):
            assert result.verdict is Verdict.NG
        elif result.verdict is Verdict.NG:
            assert ratio == pytest.approx(4.0 if result.defect_class == "missing_print" else 1.0)
        else:
            likeliest = max(result.class_prob, key=lambda name: result.class_prob[name])
            assert ratio == pytest.approx(4.0 if likeliest == "missing_print" else 1.0)
        divided += ratio == pytest.approx(4.0)
    assert divided >= 3
    assert verify_bundle(tolerant.bundle).vectors >= 1
    page = (tolerant.bundle / "card.md").read_text()
    assert "missing_print up to 4 times" in page


@pytest.mark.slow
def test_escapes_are_counted_as_if_every_defect_were_tolerated(tolerant: Trained) -> None:
    """The class head has learned from these images, so their own names prove nothing: each is divided by four."""
    contract = tolerant.record.contract
    graph = Graph(with_outputs(read_model(tolerant.record.model, "m"), ("patch_score",)))
    limit, missed = contract.threshold_ng.value, 0
    for path in sorted((tolerant.images / "train").glob("[ms]*/*.png")):
        out = graph({"frame": read_image(path)[None]}, ("patch_score", "quality"))
        quality = dict(zip(contract.quality_names, out["quality"][0].astype(float).tolist(), strict=True))
        missed += not contract.found(quality) and float(out["patch_score"][0]) / 4.0 <= limit
    assert (contract.escapes.overall.missed, contract.escapes.overall.n) == (missed, 10)
    assert "tolerated most" in contract.escapes.statement


@pytest.mark.slow
def test_new_images_are_counted_by_the_class_that_they_are_called(tolerant: Trained, tmp_path: Path) -> None:
    """`lineside calibrate` takes the deployed graph's own verdicts; `extend --defect` voids what was counted."""
    test = tolerant.images / "test"
    defects = {kind: [test / kind] for kind in ("missing_print", "stain")}
    record = calibrate(tolerant.bundle, [test / "good"], defects, tmp_path / "new")
    inspector = Inspector(tmp_path / "new")
    verdicts = [inspector.inspect(read_image(path)).verdict for path in sorted(test.glob("[ms]*/*.png"))]
    assert record.contract.escapes.overall.missed == sum(verdict is Verdict.OK for verdict in verdicts)
    assert record.contract.class_factors == {"missing_print": 4.0}
    grown = extend_classes(tolerant.bundle, {"stain": [test / "stain"]}, tmp_path / "grown")
    assert grown.contract.class_factors == {"missing_print": 4.0}
    assert grown.contract.escapes.overall.n == 0
    assert verify_bundle(tmp_path / "grown").vectors >= 1
