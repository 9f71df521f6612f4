"""`lineside calibrate`: a deployed bundle gets other thresholds by new images, and nothing else changes."""

import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from caps import cap, folder_of
from commands import invoke
from conftest import Trained
from lineside.bench.evaluation.run import evaluate_images
from lineside.contract import Verdict
from lineside.contract_thresholds import Wish
from lineside.errors import ImageError, LinesideError, UsageError
from lineside.export.bundle_files import read_sums
from lineside.export.known_images import known_images
from lineside.export.sbom import SBOM_FILE
from lineside.export.state import read_state
from lineside.export.threshold_images import THRESHOLD_IMAGES_FILE
from lineside.report.line import line_pages
from lineside.runtime import Inspector, verify_bundle
from lineside.train.line import calibrate, extend
from tiny import seal


def write_caps(folder: Path, seeds: range, defect: str | None = None) -> Path:
    """Render caps as `small` has them."""
    return folder_of(folder, {f"{seed:05d}": cap(seed, defect) for seed in seeds})


@pytest.fixture(scope="module")
def goods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve good caps that no model has seen."""
    return write_caps(tmp_path_factory.mktemp("new") / "good", range(5000, 5012))


@pytest.fixture(scope="module")
def stains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six stained caps."""
    return write_caps(tmp_path_factory.mktemp("new") / "stain", range(6000, 6006), "stain")


@pytest.fixture(scope="module")
def calibrated(small: Trained, goods: Path, stains: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model for an overkill of 20 %, with a band for REVIEW."""
    out = tmp_path_factory.mktemp("calibrated") / "model"
    wish = Wish("overkill", 0.2)
    calibrate(small.bundle, [goods], {"stain": [stains]}, out, wish=wish, review=0.25, pages=line_pages)
    return out


def test_the_supply_chain_file_follows_the_model(small: Trained, calibrated: Path) -> None:
    """The changed bundle's names its own model and, before it, the parent's, whose file is kept; sums list both."""
    model = json.loads((calibrated / SBOM_FILE).read_text())["metadata"]["component"]
    hashes = [of["hashes"][0]["content"] for of in (model, *model["pedigree"]["ancestors"])]
    assert hashes == [hashlib.sha256((at / "model.onnx").read_bytes()).hexdigest() for at in (calibrated, small.bundle)]
    assert (calibrated / "parent" / SBOM_FILE).read_bytes() == (small.bundle / SBOM_FILE).read_bytes()
    assert {SBOM_FILE, f"parent/{SBOM_FILE}"} <= set(read_sums(calibrated))


def test_the_threshold_is_guaranteed_by_the_new_images(small: Trained, calibrated: Path, goods: Path) -> None:
    """Of 12 good parts the rank of 20 %, by the deployed graph's own scores: one that a theorem covers."""
    limit = Inspector(calibrated).contract.threshold_ng
    old = Inspector(small.bundle)
    scores = sorted(old.inspect(cv2.imread(str(path))[..., ::-1]).score for path in goods.iterdir())
    assert (limit.kind, limit.n_groups, limit.wish) == ("guaranteed", 12, Wish("overkill", 0.2))
    assert scores[10] < limit.value < scores[11]
    assert limit.supported_overkill == pytest.approx(2 / 13)
    assert (
        "None of them is a copy of a training image (compared by files, embeddings and small versions of "
        in limit.statement
    )


def test_scores_stay_and_verdicts_follow_both_thresholds(small: Trained, calibrated: Path, goods: Path) -> None:
    """The same score as the parent's, and OK, REVIEW and NG by what the contract says."""
    old, new = Inspector(small.bundle), Inspector(calibrated)
    ng, review = new.contract.threshold_ng.value, new.contract.threshold_review.value
    assert review < ng
    seen = set()
    for path in goods.iterdir():
        frame = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        result = new.inspect(frame)
        assert result.score == old.inspect(frame).score
        wanted = Verdict.NG if result.score > ng else Verdict.REVIEW if result.score > review else Verdict.OK
        assert result.verdict == wanted
        seen.add(wanted)
    assert seen == {Verdict.OK, Verdict.REVIEW, Verdict.NG}


def test_the_bundle_is_whole_and_keeps_its_lineage(small: Trained, calibrated: Path) -> None:
    """It verifies, names its parent and what was done, keeps the parent's papers, and has the scores it stands on."""
    assert verify_bundle(calibrated).vectors >= 2
    contract = Inspector(calibrated).contract
    (ancestor,) = contract.lineage
    assert (ancestor.how, ancestor.parent_sha256, ancestor.frames) == ("calibrated", small.record.model_sha256, 18)
    assert (contract.image_counts["calibrate/good"], contract.image_counts["calibrate/stain"]) == (12, 6)
    assert (calibrated / "parent" / "card.md").is_file()
    assert len(read_state(calibrated)["scores"]) == 12
    assert json.loads((calibrated / "line.json").read_text())["how"] == "calibrated"
    for page in ("card.md", "report.html"):
        text = (calibrated / page).read_text()
        assert "REVIEW" in text
        assert contract.escapes.statement[:40] in text
    card = (calibrated / "card.md").read_text()
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert {"## Intended use", "## Out of scope", "## When the line changes", "## Licences"} <= set(headings)
    assert "lineside calibrate MODEL --good" in card
    assert all(part.name in card and part.licence in card for part in contract.components)


def test_the_images_of_the_calibration_do_not_confirm_it(
    calibrated: Path, goods: Path, stains: Path, tmp_path: Path
) -> None:
    """The bundle, and one extended from it, knows them all by their pixels; on them alone there is no evaluation."""
    assert THRESHOLD_IMAGES_FILE in read_sums(calibrated)
    with pytest.raises(ImageError, match=r"all 18 images are .* or its thresholds were taken from them"):
        evaluate_images(Inspector(calibrated), [goods, stains], tmp_path / "evaluation")
    more = write_caps(tmp_path / "more", range(5300, 5303))
    extend(calibrated, [more], tmp_path / "extended")
    assert known_images(tmp_path / "extended").calibrated == known_images(calibrated).calibrated


def test_another_calibration_names_its_own_images_alone(calibrated: Path, stains: Path, tmp_path: Path) -> None:
    """Those of the one before have no say any more."""
    fresh = write_caps(tmp_path / "fresh", range(5400, 5404))
    calibrate(calibrated, [fresh], {"stain": [stains]}, tmp_path / "model")
    first, second = known_images(calibrated).calibrated, known_images(tmp_path / "model").calibrated
    assert first is not None
    assert second is not None
    assert (len(first.pictures), len(second.pictures)) == (18, 10)
    assert len(first.pictures & second.pictures) == 6


def test_escapes_are_stated_by_class(calibrated: Path) -> None:
    """All six stains are NG: at most 39.3 % escape."""
    escapes = Inspector(calibrated).contract.escapes
    (stain,) = escapes.classes
    assert (stain.label, stain.n) == ("stain", 6)
    assert escapes.overall.missed == 0
    assert escapes.overall.upper == pytest.approx(1 - 0.05 ** (1 / 6))


def test_images_that_the_model_learned_from_have_no_say(small: Trained, goods: Path, tmp_path: Path) -> None:
    """By file, by picture where it was saved anew, and as a near copy; a picture given twice counts once."""
    folder = tmp_path / "mixed"
    shutil.copytree(goods, folder)
    trained = sorted((small.images / "train" / "good").iterdir())
    shutil.copy(trained[0], folder / "same_file.png")
    cv2.imwrite(str(folder / "same_picture.bmp"), cv2.imread(str(trained[1])))
    shutil.copy(folder / "05000.png", folder / "again.png")
    cv2.imwrite(str(folder / "compressed.jpg"), cv2.imread(str(trained[2])), [cv2.IMWRITE_JPEG_QUALITY, 90])
    record = calibrate(small.bundle, [folder], {}, tmp_path / "model")
    assert record.contract.threshold_ng.n == 12
    told = " ".join(record.decisions)
    names = [f"train/good/{path.name}" for path in trained[1:3]]
    assert (
        "3 images were left out, since the model learned from them: "
        f"compressed.jpg = {names[1]}, same_file.png, same_picture.bmp = {names[0]}." in told
    )
    assert "1 images are copies of others" in told


def test_training_images_alone_promise_nothing(small: Trained, tmp_path: Path) -> None:
    """They are refused in one sentence, and nothing is written."""
    with pytest.raises(UsageError, match=r"trained on all 14 good images .* Give good images that it has not seen"):
        calibrate(small.bundle, [small.images / "train" / "good"], {}, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_test_images_are_named(small: Trained, tmp_path: Path) -> None:
    """They may be used, but what the evaluation said of them no longer judges these thresholds."""
    record = calibrate(small.bundle, [small.images / "test" / "good"], {}, tmp_path / "model")
    assert any("4 are test images of the recipe" in words for words in record.decisions)


def test_the_bundles_own_wish_is_kept(goods: Path, calibrated: Path, tmp_path: Path) -> None:
    """Without options wish and band are the bundle's; a review of 0 ends the band; lineage grows."""
    record = calibrate(calibrated, [goods], {}, tmp_path / "kept")
    assert record.contract.threshold_ng.wish == Wish("overkill", 0.2)
    assert record.contract.threshold_review.wish == Wish("review", 0.25)
    assert [one.how for one in record.contract.lineage] == ["calibrated", "calibrated"]
    assert record.contract.escapes.overall.n == 0
    ended = calibrate(calibrated, [goods], {}, tmp_path / "ended", review=0.0).contract
    assert ended.threshold_review == ended.threshold_ng


def test_an_escape_can_be_wished(small: Trained, goods: Path, stains: Path, tmp_path: Path) -> None:
    """The threshold lies below the least stain, and when the model is extended its overkill is kept and said."""
    wish = Wish("escape", 0.01)
    contract = calibrate(small.bundle, [goods], {"stain": [stains]}, tmp_path / "model", wish=wish).contract
    limit = contract.threshold_ng
    assert (limit.kind, limit.n_defects, limit.supported) == ("guaranteed", 6, pytest.approx(1 / 7))
    assert "needs 99 defective parts" in limit.statement
    more = write_caps(tmp_path / "more", range(5100, 5103))
    extended = extend(tmp_path / "model", [more], tmp_path / "extended").contract
    assert extended.threshold_ng.wish.kind == "overkill"
    assert "use `lineside calibrate` to serve the wish again" in extended.threshold_ng.statement
    assert extended.escapes.overall.n == 0


def test_a_band_stays_when_a_model_is_extended(calibrated: Path, tmp_path: Path) -> None:
    """The wish for REVIEW is served again from old and new scores."""
    more = write_caps(tmp_path / "more", range(5200, 5203))
    contract = extend(calibrated, [more], tmp_path / "extended").contract
    assert contract.threshold_review.wish == Wish("review", 0.25)
    assert contract.threshold_review.value < contract.threshold_ng.value


def test_one_picture_is_not_good_and_defective(small: Trained, goods: Path, tmp_path: Path) -> None:
    """Such a contradiction is named with both files."""
    folder = tmp_path / "stain"
    folder.mkdir()
    shutil.copy(goods / "05001.png", folder / "x.png")
    with pytest.raises(UsageError, match=r"x\.png is given as stain, and the same picture, .*05001\.png, as good"):
        calibrate(small.bundle, [goods], {"stain": [folder]}, tmp_path / "model")


def test_a_bundle_without_state_is_calibrated_too(small: Trained, goods: Path, tmp_path: Path) -> None:
    """Other methods keep no state: the new bundle is proven by its parent's scores, and has none either."""
    bundle = tmp_path / "bundle"
    shutil.copytree(small.bundle, bundle)
    (bundle / "state.npz").unlink()
    seal(bundle)
    record = calibrate(bundle, [goods], {}, tmp_path / "model", wish=Wish("fixed", score=0.5))
    assert record.contract.threshold_ng.value == 0.5
    assert "compared by files" in record.contract.threshold_ng.statement
    assert not (tmp_path / "model" / "state.npz").exists()
    assert verify_bundle(tmp_path / "model").vectors >= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--overkill", "0"], "--overkill: expected a share above 0"),
        (["--overkill", "0.1", "--escape", "0.1"], "--escape: overkill and escape are both named"),
        (["--confidence", "0.9"], "--confidence: only counts with --overkill: add that"),
        (
            ["--confidence", "0.9", "--escape", "0.1"],
            "--confidence: only counts with --overkill, and the wish is escape",
        ),
        (["--overkill", "0.1", "--confidence", "1"], "--confidence: expected a number between 0 and 1"),
        (["--cost-overkill", "1"], "--cost-escape: is missing beside the other cost"),
        (["--cost-overkill", "1", "--cost-escape", "9"], "add --defect-rate-ppm, such as 800"),
        (["--escape", "0.01"], "there are no defective images to take it from"),
        (["--review", "1.5"], "--review: expected a number between 0 and 1"),
        (["--defect", "stain"], "expected CLASS=PATH"),
        (["--defect", "good=x"], "good parts are given by --good"),
    ],
)
def test_a_wrong_wish_is_one_sentence(
    small: Trained, goods: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    """Each names the option and the remedy; nothing is written."""
    done = invoke("calibrate", small.bundle, "--good", goods, "--out", tmp_path / "model", *options)
    assert isinstance(done.exception, LinesideError)
    assert message in done.exception.message
    assert not (tmp_path / "model").exists()


def test_the_command_replaces_a_bundle_and_keeps_the_old_one(small: Trained, goods: Path, tmp_path: Path) -> None:
    """In place, as adapt and extend do; the JSON names both thresholds."""
    bundle = tmp_path / "model"
    shutil.copytree(small.bundle, bundle)
    before = hashlib.sha256((bundle / "model.onnx").read_bytes()).hexdigest()
    done = invoke("calibrate", bundle, "--good", goods, "--overkill", 0.3, "--confidence", 0.6, "--json")
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    wish = Inspector(bundle).contract.threshold_ng.wish
    assert (wish.share, wish.confidence) == (0.3, 0.6)
    assert told["threshold"]["after"] == Inspector(bundle).contract.threshold_ng.value
    previous = tmp_path / "model.previous" / "model.onnx"
    assert hashlib.sha256(previous.read_bytes()).hexdigest() == before
