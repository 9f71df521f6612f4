"""Training with classes on small rendered parts, end to end: both, and parts that are only sorted. Slow."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from caps import cap, cap_part, folder_of, other_camera
from conftest import Trained, train_part, write_part
from lineside.capture.decode import read_image
from lineside.contract import OUTPUTS, Verdict
from lineside.contract_thresholds import Wish
from lineside.dataset import load_dataset
from lineside.errors import BundleError, UsageError
from lineside.graph.rewrite import constants, read_model
from lineside.recipe import varied
from lineside.report.line import line_pages
from lineside.runtime import Inspector, verify_bundle
from lineside.train.deploy import rethresholded
from lineside.train.line import adapt, calibrate, extend, extend_classes
from lineside.train.progress import Journal, SilentProgress
from lineside.train.thresholds import with_defects

pytestmark = pytest.mark.slow
KINDS = ("missing_print", "stain")


def write_defects(images: Path, count: int, *, masks: bool = True) -> None:
    """Render defects to learn from, with their masks, into train/<class>."""
    for kind in KINDS:
        for i in range(count):
            part = cap_part(3000 + i, kind)
            path, mask = images / "train" / kind / f"{i:03d}.png", images / "ground_truth" / kind / f"t{i:03d}_mask.png"
            path = path.with_stem(f"t{i:03d}")
            for file, picture in ((path, part.image[..., ::-1]), (mask, np.asarray(part.mask > 0, np.uint8) * 255)):
                file.parent.mkdir(parents=True, exist_ok=True)
                if masks or file is path:
                    cv2.imwrite(str(file), picture)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The part of `small` with two kinds of defect to learn from; the recipe says nothing of classes."""
    folder = write_part(tmp_path_factory.mktemp("told"))
    write_defects(folder / "images", 5)
    return train_part(folder)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Caps with and without print, sorted: two kinds of good part and one in test that nobody has seen."""
    folder = write_part(tmp_path_factory.mktemp("kinds"), goods=6, test_goods=3, test_defects=3)
    (folder / "images" / "train" / "good").rename(folder / "images" / "train" / "printed")
    (folder / "images" / "test" / "good").rename(folder / "images" / "test" / "printed")
    write_defects(folder / "images", 6, masks=False)
    for path in (folder / "images" / "train" / "stain").iterdir():
        path.unlink()
    (folder / "images" / "train" / "stain").rmdir()
    recipe = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(recipe.replace("transfer: {", "transfer: {task: classify, "))
    return train_part(folder)


def rows(trained: Trained) -> list[dict[str, str]]:
    """Return parity.csv but for disturbed copies."""
    with (trained.bundle / "parity.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] != "disturbed"]


def test_defect_folders_are_enough_to_tell_classes(told: Trained) -> None:
    """Both is chosen, the contract says from how many images and how good, and the test images agree."""
    contract, result = told.record.contract, told.record.evaluation
    assert contract.class_names == KINDS
    assert contract.classes is not None
    assert contract.classes.task == "both"
    assert contract.classes.images == dict.fromkeys(KINDS, 5)
    assert contract.classes.n == 10
    assert contract.classes.accuracy is not None
    assert contract.classes.temperature is not None
    assert contract.classes.temperature > 1.0
    assert f"(temperature {contract.classes.temperature:.3g})" in contract.classes.statement
    assert result.classes is not None
    assert result.classes.accuracy is not None
    assert result.classes.accuracy >= 0.75
    assert "defect_class" not in contract.neutral_outputs


@pytest.mark.parametrize("which", ["told", "kinds"])
def test_the_written_file_tells_what_training_recorded(which: str, request: pytest.FixtureRequest) -> None:
    """Every image: verdict, class and score from the bundle on disk; probabilities sum to one; the bundle is sound."""
    trained: Trained = request.getfixturevalue(which)
    inspector = Inspector(trained.bundle)
    for row in rows(trained):
        result = inspector.inspect(read_image(trained.images / row["name"]))
        assert result.verdict.name == row["verdict"]
        assert result.defect_class == inspector.contract.class_name(int(row["defect_class"]))
        assert result.score == pytest.approx(float(row["score"]), rel=1e-5)
        assert sum(result.class_prob.values()) == pytest.approx(1.0, abs=1e-5)
    assert verify_bundle(trained.bundle).vectors >= 2


def test_good_parts_have_no_class_and_defects_have_one(told: Trained) -> None:
    """The class follows the verdict, whatever the probabilities say."""
    inspector = Inspector(told.bundle)
    for row in rows(told):
        result = inspector.inspect(read_image(told.images / row["name"]))
        assert (result.defect_class is None) == (result.verdict in (Verdict.OK, Verdict.NO_CALL))


def test_defects_to_learn_from_do_not_move_the_threshold(told: Trained, small: Trained) -> None:
    """Score and threshold are those of the same part without them."""
    assert small.record.contract.threshold_ng == told.record.contract.threshold_ng
    assert small.record.contract.class_names == ()
    scores = {image.name: image.score for image in small.record.tested}
    for image in told.record.tested:
        assert image.name.startswith("train/") or image.score == pytest.approx(scores[image.name], rel=1e-5)


def test_escapes_are_stated_from_the_defects_that_no_score_was_fitted_on(told: Trained) -> None:
    """Five of each class by the deployed graph's own scores; those of test/ are not among them."""
    contract = told.record.contract
    escapes, scores = contract.escapes, {row["name"]: float(row["score"]) for row in rows(told)}
    assert {one.label: one.n for one in escapes.classes} == dict.fromkeys(KINDS, 5)
    limit = contract.threshold_ng.value
    missed = sum(score <= limit for name, score in scores.items() if name.startswith(("train/miss", "train/stain")))
    assert (escapes.overall.missed, escapes.overall.n) == (missed, 10)


def test_a_wish_for_escape_is_served_by_the_defects_to_learn_from(told: Trained) -> None:
    """The threshold lies just below the least of ten, by the deployed graph; test images have no say."""
    loaded = varied(told.loaded, {"calibrate.escape": 0.01, "calibrate.review": 0.2})
    old = told.record.contract
    model = (told.bundle / "model.onnx").read_bytes()
    journal, dataset = Journal(SilentProgress()), load_dataset(loaded)
    made = with_defects(loaded, dataset, told.references, told.calibration, (model, old), journal)
    scores = {row["name"]: float(row["score"]) for row in rows(told)}
    shown = {name: score for name, score in scores.items() if name.startswith(("train/miss", "train/stain"))}
    assert all(score in (np.inf, pytest.approx(shown[name], rel=1e-5)) for name, score in made.defects.items())
    assert made.defects.keys() == shown.keys()
    least = min(shown.values())
    assert made.threshold.value == pytest.approx(least, rel=2e-3)
    assert made.threshold.value < least
    assert (made.threshold.kind, made.threshold.n_defects) == ("guaranteed", 10)
    assert made.review.value < made.threshold.value
    assert any("needs 99 defective parts" in words for words in journal.decisions)
    contract = replace(old, threshold_ng=made.threshold, threshold_review=made.review, escapes=made.escapes)
    given = constants(read_model(rethresholded(model, contract), "model"))
    assert (given["threshold_ng"], given["threshold_review"]) == (made.threshold.value, made.review.value)


def test_a_vector_carries_a_class(told: Trained) -> None:
    """A port to another language is shown a class too."""
    vectors = json.loads((told.bundle / "vectors" / "vectors.json").read_text())["vectors"]
    assert {0, 1} & {vector["outputs"]["defect_class"] for vector in vectors}


def test_any_batch_gives_every_output(told: Trained) -> None:
    """Of the contract's shape, finite, for one frame or seven."""
    inspector = Inspector(told.bundle)
    for batch in (1, 7):
        out = inspector.raw_outputs(np.random.default_rng(0).integers(0, 256, (batch, 96, 140, 3), dtype=np.uint8))
        assert out["class_prob"].shape == (batch, 2)
        assert out["defect_class"].shape == out["class_p_value"].shape == (batch,)
        assert ((out["class_p_value"] > 0) & (out["class_p_value"] <= 1)).all()
        assert all(np.isfinite(out[name]).all() for name in OUTPUTS)


def test_sorted_parts_are_named_when_they_are_ok(kinds: Trained) -> None:
    """Without a folder of good ones every class is good, the map is neutral, and the score is a distance."""
    contract = kinds.record.contract
    assert contract.class_names == ("missing_print", "printed")
    assert contract.classes is not None
    assert contract.classes.names_good_parts
    assert contract.neutral_outputs["anomaly_map"].startswith("0")
    assert contract.classes.n == 12
    result = kinds.record.evaluation
    assert (result.good, result.defective) == (6, 3)
    assert result.classes is not None
    assert result.classes.right >= 5
    inspector = Inspector(kinds.bundle)
    named = inspector.inspect(read_image(kinds.images / "train" / "printed" / "000.png"))
    assert (named.verdict, named.defect_class) == (Verdict.OK, "printed")
    assert not named.anomaly_map.any()


@pytest.fixture(scope="module")
def extended(told: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of two kinds of defect, told a third by five images, and one more of a kind that it knows."""
    folder = tmp_path_factory.mktemp("extended")
    for kind, seeds in (("scratch", range(4000, 4005)), ("stain", range(4000, 4001))):
        folder_of(folder / kind, {str(seed): cap(seed, kind) for seed in seeds})
    defects = {kind: [folder / kind] for kind in ("scratch", "stain")}
    extend_classes(told.bundle, defects, folder / "model", pages=line_pages)
    return folder / "model"


def test_a_third_class_joins_a_deployed_model(told: Trained, extended: Path) -> None:
    """It verifies, old test images keep score, verdict and class, and new ones of the new class get its name."""
    assert verify_bundle(extended).vectors >= 2
    old, new = Inspector(told.bundle), Inspector(extended)
    assert new.contract.class_names == (*KINDS, "scratch")
    assert new.contract.threshold_ng == old.contract.threshold_ng
    same = []
    for row in rows(told):
        frame = read_image(told.images / row["name"])
        before, after = old.inspect(frame), new.inspect(frame)
        assert (after.score, after.verdict) == (before.score, before.verdict)
        same.append(after.defect_class == before.defect_class)
    assert np.mean(same) >= 0.9
    fresh = [cap(seed, "scratch") for seed in range(4100, 4106)]
    found = [result.defect_class for result in map(new.inspect, fresh) if result.verdict is Verdict.NG]
    assert found.count("scratch") >= max(1, 0.6 * len(found))


def test_its_papers_say_what_was_added(extended: Path) -> None:
    """Contract, card and report count old and new images, and void no promise of the score."""
    contract = Inspector(extended).contract
    assert contract.classes is not None
    assert contract.classes.images == {"missing_print": 5, "stain": 6, "scratch": 5}
    assert contract.lineage[0].how == "extended"
    assert contract.image_counts["extend/scratch"] == 5
    card, page = ((extended / name).read_text() for name in ("card.md", "report.html"))
    assert "New: scratch" in card
    assert "holds for this one too" in card
    assert "5 scratch" in page
    assert "does not hold for this one" not in page


def test_an_extended_model_can_be_extended_again(extended: Path, tmp_path: Path) -> None:
    """The new examples were kept too: one of them again is known."""
    with pytest.raises(UsageError, match="examples of these classes already"):
        extend_classes(extended, {"scratch": [extended.parent / "scratch"]}, tmp_path / "model")


@pytest.fixture(scope="module")
def followed(told: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of two kinds of defect, adapted to another camera by 12 caps that are known to be good."""
    folder = tmp_path_factory.mktemp("followed")
    frames = folder_of(folder / "frames", {f"{i:03d}": other_camera(cap(500 + i)) for i in range(12)})
    adapt(told.bundle, [frames], folder / "model", known_good=True, pages=line_pages)
    return folder / "model"


def rightly_named(bundle: Path) -> int:
    """Count defects by the other camera, of 24, whose likeliest class is theirs."""
    inspector = Inspector(bundle)
    told = [
        (kind, inspector.inspect(other_camera(cap(seed, kind))).class_prob)
        for kind in KINDS
        for seed in range(5000, 5012)
    ]
    return sum(max(prob, key=lambda name: prob[name]) == kind for kind, prob in told)


def test_classes_are_told_by_another_camera(told: Trained, followed: Path) -> None:
    """Good parts are OK, defects NG, and more of them are called what they are than before; it verifies."""
    assert verify_bundle(followed).vectors >= 2
    new = Inspector(followed)
    goods = [new.inspect(other_camera(cap(900 + i))) for i in range(6)]
    bad = [new.inspect(other_camera(cap(5000 + i, kind))) for kind in KINDS for i in range(4)]
    assert sum(one.verdict == Verdict.OK for one in goods) >= 4
    assert sum(one.verdict == Verdict.NG for one in bad) >= 7
    after = rightly_named(followed)
    assert after > rightly_named(told.bundle)
    assert after >= 21


def test_the_accuracy_by_the_old_camera_is_void(told: Trained, followed: Path) -> None:
    """The contract gives none, and contract, lineage and card say so; the number of before is told as such."""
    old, new = told.record.contract.classes, Inspector(followed).contract.classes
    assert old is not None
    assert new is not None
    assert (new.accuracy, new.n, new.interval) == (None, 0, (0.0, 1.0))
    assert (new.images, new.method, new.temperature) == (old.images, old.method, old.temperature)
    assert new.statement.startswith("Void")
    assert f"Before it changed, {100 * old.accuracy:.1f} %" in new.statement  # type: ignore[operator]
    assert "named rightly on the changed line is not known" in Inspector(followed).contract.lineage[0].statement
    assert new.statement in (followed / "card.md").read_text()


def test_an_adapted_model_learns_classes_and_goods_of_its_line(followed: Path, tmp_path: Path) -> None:
    """By the other camera: a third class, then good parts, then thresholds; the class is told to the end."""

    def shown(name: str, seeds: range, kind: str | None = None) -> Path:
        return folder_of(tmp_path / name, {str(seed): other_camera(cap(seed, kind)) for seed in seeds})

    steps = [tmp_path / f"model{number}" for number in range(3)]
    extend_classes(followed, {"scratch": [shown("scratch", range(4000, 4005), "scratch")]}, steps[0])
    extend(steps[0], [shown("goods", range(6000, 6004))], steps[1])
    bad = {"scratch": [shown("bad", range(4200, 4203), "scratch")]}
    calibrate(steps[1], [shown("new", range(6100, 6112))], bad, steps[2], wish=Wish("overkill", 0.1))
    assert verify_bundle(steps[2]).vectors >= 1
    model = Inspector(steps[2])
    assert [one.how for one in model.contract.lineage] == ["calibrated", "extended", "extended", "adapted"]
    assert model.contract.class_names == (*KINDS, "scratch")
    assert model.contract.classes is not None
    assert "before the line changed" in model.contract.classes.statement
    assert sum(model.inspect(other_camera(cap(6200 + i))).verdict == Verdict.OK for i in range(6)) >= 4
    found = [model.inspect(other_camera(cap(seed, "scratch"))) for seed in range(4100, 4106)]
    named = [one.defect_class for one in found if one.verdict is Verdict.NG]
    assert named.count("scratch") >= max(1, 0.6 * len(named))


def test_a_model_that_sorts_parts_does_not_follow(kinds: Trained, tmp_path: Path) -> None:
    """Its score comes from the classes, of which unlabelled frames say nothing."""
    with pytest.raises(BundleError, match="sorts parts"):
        adapt(kinds.bundle, [kinds.images / "train" / "printed"], tmp_path / "model")
