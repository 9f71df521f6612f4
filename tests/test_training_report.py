"""The report of a training run: the same bytes each time, the numbers, the pictures, and what it admits not to know."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from lineside.binomial import clopper_pearson
from lineside.contract import Finding, QualityLimit, Verdict
from lineside.report.training import CALIBRATION_SHOWN, pages
from lineside.train.card import card, limits
from lineside.train.recipe_regions import DrawnRegion
from lineside.train.record import Evaluation, ScoredImage, TrainingRecord
from report_pages import Page, section
from training_records import FRONT, page_of, scored, with_classes

NOBODY = Evaluation(good=0, defective=0, overkill=0, escapes=0, no_call=0, auroc=None, escapes_by_class=())


def test_the_page_is_the_same_each_time(record: TrainingRecord, tmp_path: Path) -> None:
    """A bundle is reproducible: another run's times and another folder do not change a byte."""
    later = dataclasses.replace(record, stage_seconds=(("fit", 99.5),), out=tmp_path / "elsewhere")
    assert pages(record) == pages(later)
    assert list(pages(record)) == ["report.html"]
    assert str(tmp_path) not in pages(record)["report.html"].decode()


def test_the_page_needs_nothing_but_itself(record: TrainingRecord) -> None:
    """No script, no frame, no stylesheet, no picture from outside, and every link stays on the page."""
    page = page_of(record)
    assert not {"script", "link", "iframe", "object", "base", "form"} & {name for name, _ in page.elements}
    assert page.all("img")
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.all("img"))
    ids = {f"#{attributes['id']}" for attributes in page.all("section")}
    assert {str(link["href"]) for link in page.all("a")} == ids


def test_the_page_says_how_the_model_did(record: TrainingRecord) -> None:
    """Overkill and escapes with n and exact interval, AUROC, and the classes one by one."""
    text = page_of(record).text
    assert "made from 3 good images." in text
    assert "1 of 2 good images NG (overkill) and 1 of 3 defective images OK (escapes)" in text
    for k, n, words in ((1, 2, "good images called NG"), (1, 3, "defective images called OK")):
        low, high = clopper_pearson(k, n)
        assert f"({k} of {n} {words}; 95 % interval {100 * low:.1f} to {100 * high:.1f} %)" in text
    assert "0.8333 (95 % interval 0.2345 to 0.9876" in text
    assert "scratch3133.3 %0.8 to 90.6 %" in text


def test_the_page_says_what_the_model_is_made_of(record: TrainingRecord) -> None:
    """Threshold with its statement, parity, preprocessing, decisions, counts, licences, hashes, versions."""
    text = page_of(record).text
    contract = record.contract
    for words in ("A test's threshold: it promises nothing.", "fixed by the test", "empirical", "0.0 % to 20.0 %"):
        assert words in text
    for words in ("12 frames", "3e-07", "8 × 8 px", "Memory of 128 patches."):
        assert words in text
    for words in ("some-net", "Apache-2.0", "abababababab", "lineside test", "good32", "scratch13"):
        assert words in text
    for digest in (record.model_sha256, contract.recipe_sha256, contract.data_sha256):
        assert digest in text


def test_the_page_says_what_was_decided_of_light_and_pose(record: TrainingRecord) -> None:
    """Steps, reasons with what was measured, and the golden part; once, not among the other decisions again."""
    page = page_of(record)
    told = section(page, "exposuregain 0.4 to 2.5", "Not tested")
    assert all(words in told for words in FRONT.words)
    assert "exposurewithoutwithspread0.06250.05" in told
    assert "poseunexplained none0.4elsewhere shift" not in told
    assert "poseunexplained none0.4" in told
    assert [image["alt"] for image in page.all("img")].count("golden part") == 1
    assert all(page.text.count(words) == 1 for words in FRONT.words)


def test_the_page_tells_limits_beside_what_the_goods_showed(record: TrainingRecord) -> None:
    """Each number with its reason, least and greatest good value and its limits; the reasons in words below."""
    limits = section(page_of(record), "Limits", "What the reasons mean")
    assert "mean_level61.588.255·" in limits
    assert "exposurethe frame is too dark or too bright" in page_of(record).text


def test_a_good_value_beyond_its_limit_is_marked(record: TrainingRecord) -> None:
    """A reader sees at once which good images the gate would refuse."""
    dark = dataclasses.replace(FRONT, good_ranges={"mean_level": (3.0, 88.25)})
    marked = [cell.get("class") for cell in page_of(dataclasses.replace(record, front=dark)).all("td")]
    assert marked.count("outside") == 1
    assert "outside" not in [cell.get("class") for cell in page_of(record).all("td")]


def test_a_finding_is_told_with_its_limits_and_in_words(record: TrainingRecord) -> None:
    """The table names it beside its number, and the card of an image that it concerns says it as a sentence."""
    pale = Finding("pale", "the part is paler than any good one", (QualityLimit("mean_level", None, 95.0),))
    page = page_of(dataclasses.replace(record, contract=dataclasses.replace(record.contract, findings=(pale,))))
    assert "mean_levelNG: pale61.588.25·95" in page.text
    ng = section(page, "Good test images called NG", "that the threshold was taken from")
    assert "1.png" in ng  # a mean level of (130 + 60 + 90) / 3, which is below 95
    assert "paler" not in ng
    lower = Finding("pale", "the part is paler than any good one", (QualityLimit("mean_level", None, 90.0),))
    found = page_of(dataclasses.replace(record, contract=dataclasses.replace(record.contract, findings=(lower,))))
    assert "the part is paler" in section(found, "Good test images called NG", "that the threshold was taken from")


def test_numbers_of_one_finding_name_each_other(record: TrainingRecord) -> None:
    """A reader sees that neither alone is NG."""
    both = (QualityLimit("mean_level", None, 90.0), QualityLimit("novelty", None, 7.0))
    contract = dataclasses.replace(
        record.contract,
        findings=(Finding("pale", "pale", both),),
        quality_names=("mean_level", "novelty"),
        quality_limits=((5.0, None), (None, None)),
    )
    text = page_of(dataclasses.replace(record, contract=contract, tested=())).text
    assert "mean_levelNG: pale, only with novelty" in text
    assert "noveltyNG: pale, only with mean_level" in text


def test_the_frame_size_is_told_where_it_matters(record: TrainingRecord) -> None:
    """Card and page name the only size that gets a verdict, and say any size where all do."""
    assert "of any size" in page_of(record).text
    assert "of any size" in card(record)
    contract = dataclasses.replace(
        record.contract,
        quality_names=("mean_level", "frame_width_px", "frame_height_px"),
        quality_limits=((5.0, None), (1279.5, 1280.5), (1023.5, 1024.5)),
    )
    fixed = dataclasses.replace(record, contract=contract, tested=())
    words = "of 1280×1024 px (others get no call)"
    assert words in page_of(fixed).text
    assert words in card(fixed)


def test_what_was_not_tested_is_what_the_card_says(record: TrainingRecord) -> None:
    """Card and page share their words."""
    text = page_of(record).text
    words = list(limits(record))
    assert len(words) == 5
    assert all(sentence in text and f"- {sentence}" in card(record) for sentence in words)


def test_without_test_images_the_page_says_so(record: TrainingRecord) -> None:
    """Nothing is known of escapes then, and no rate is invented."""
    text = page_of(dataclasses.replace(record, evaluation=NOBODY, tested=())).text
    assert text.count("There were no test images") == 2
    assert "AUROC" not in text
    assert "Upward: good images; solid the 3 of the calibration" in text


def test_one_kind_of_test_image_is_enough_for_its_rate(record: TrainingRecord) -> None:
    """With good test images alone overkill is told, and escapes are said to be unknown."""
    goods = Evaluation(good=2, defective=0, overkill=1, escapes=0, no_call=0, auroc=None, escapes_by_class=())
    text = page_of(dataclasses.replace(record, evaluation=goods)).text
    assert "On the test images it called 1 of 2 good images NG (overkill)." in text
    assert "no image to tell (defective images called OK)" in text


def test_the_galleries_are_in_order(record: TrainingRecord) -> None:
    """Escapes from the lowest score up, of test and training; calibration images from the highest score down."""
    page = page_of(record)
    escapes = section(page, "Defective images called OK, 2 of 4", "Good test images called NG")
    assert 0 < escapes.index("train/scratch/t.png") < escapes.index("test/scratch/near.png")
    assert "clear.png" not in escapes
    assert "test/good/1.png" in section(page, "Good test images called NG, 1 of 2", "that the threshold was taken from")
    worst = section(page, "that the threshold was taken from", "Not tested")
    places = [worst.index(f"train/good/{i}.png") for i in (1, 2, 0)]
    assert places == sorted(places)
    assert len(page.all("img")) == 2 * (2 + 1 + 3) + 1


def test_a_gallery_has_an_end(record: TrainingRecord, tmp_path: Path) -> None:
    """However many calibration images there are, the page stays small; it says that there are more."""
    many = tuple(scored(tmp_path, f"train/good/{i:03d}.png", 95) for i in range(CALIBRATION_SHOWN + 5))
    page = page_of(dataclasses.replace(record, calibration=many, tested=()))
    assert len(page.all("img")) == 2 * CALIBRATION_SHOWN + 1
    assert f"The highest of the {CALIBRATION_SHOWN + 5} scores" in page.text


def test_every_wrong_image_is_shown_worst_first(record: TrainingRecord, tmp_path: Path) -> None:
    """However many escapes and overkills there are, all are there: the first open, the others on pages that unfold."""
    missed = tuple(scored(tmp_path, f"test/scratch/m{i:02d}.png", 91 + i % 19) for i in range(40))
    extra = tuple(scored(tmp_path, f"test/good/o{i:02d}.png", 120 + i) for i in range(30))
    page = page_of(dataclasses.replace(record, tested=(*missed, *extra)))
    escapes = section(page, "Defective images called OK, 40 of 40", "Good test images called NG")
    order = sorted(missed, key=lambda image: (image.score, image.name))
    places = [escapes.index(image.name) for image in order]
    assert places == sorted(places)
    overkill = section(page, "Good test images called NG, 30 of 30", "that the threshold was taken from")
    places = [overkill.index(f"o{i:02d}.png") for i in reversed(range(30))]
    assert places == sorted(places)
    assert len(page.all("img")) == 2 * (40 + 30 + 3) + 1


def test_a_page_of_very_many_pictures_stays_below_15_mb(record: TrainingRecord, tmp_path: Path) -> None:
    """Pictures of noise, the largest there are: as many as fit are shown, of each kind some, and the page says so."""
    noise = np.random.default_rng(0).normal(0, 60, (320, 320, 3))

    def noisy(name: str, red: int) -> ScoredImage:
        made = scored(tmp_path, name, red)
        frame = np.clip(np.array((90, 60, red)) + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(made.path), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        return made

    missed = tuple(noisy(f"test/scratch/{i:03d}.png", 100) for i in range(100))
    wrong = tuple(noisy(f"test/good/{i:03d}.png", 150) for i in range(20))
    html = pages(dataclasses.replace(record, tested=(*missed, *wrong)))["report.html"]
    assert 11_000_000 < len(html) < 15_000_000
    page = Page(html.decode())
    escapes = section(page, "Defective images called OK, 100 of 100", "Good test images called NG")
    assert re.search(r"The first \d+ of 100 are shown, to keep the page below 15 MB; parity.csv names all.", escapes)
    overkill = section(page, "Good test images called NG, 20 of 20", "that the threshold was taken from")
    assert "The first 12 of 20 are shown" in overkill


def test_images_to_review_have_a_gallery_of_their_own(record: TrainingRecord, tmp_path: Path) -> None:
    """Good and defective alike, highest score first; without any there is no such section."""
    assert "for a person to decide" not in page_of(record).text
    unsure = [
        scored(tmp_path, f"test/{name}.png", red, Verdict.REVIEW) for name, red in (("good/a", 105), ("x/b", 108))
    ]
    page = page_of(dataclasses.replace(record, tested=(*record.tested, *unsure)))
    told = section(page, "for a person to decide", "that the threshold was taken from")
    assert 0 < told.index("test/x/b.png") < told.index("test/good/a.png")
    assert len(page.all("img")) == 2 * (2 + 1 + 3 + 2) + 1


def test_regions_are_drawn_on_the_golden_part(record: TrainingRecord) -> None:
    """Each with its name and what it means, on top of the picture; without regions nothing lies over it."""
    assert not page_of(record).all("polygon")
    corner = DrawnRegion("corner<", "NG beyond 0.5 times the threshold", (((0.0, 0.0), (0.5, 0.0), (0.0, 0.25)),))
    front = dataclasses.replace(FRONT, regions=(corner,))
    page = page_of(dataclasses.replace(record, front=front))
    assert {shape["points"] for shape in page.all("polygon")} == {"0.0,0.0 500.0,0.0 0.0,250.0"}
    told = section(page, "The golden part", "Not tested")
    assert "corner<: NG beyond 0.5 times the threshold" in told
    drawing = next(svg for svg in page.all("svg") if svg.get("class") == "regions")
    assert drawing["role"] == "img"


def test_the_page_says_which_scores_are_divided_for_tolerated_classes(record: TrainingRecord) -> None:
    """They stand on one axis with those of the calibration, which are not."""
    assert "tolerated" not in page_of(record).text
    tolerant = dataclasses.replace(with_classes(record).contract, class_factors={"scratch": 1.5})
    text = page_of(dataclasses.replace(with_classes(record), contract=tolerant)).text
    assert "are divided where the model calls a tolerated class (scratch 1.5)" in text


def test_images_without_a_call_stand_apart(record: TrainingRecord, tmp_path: Path) -> None:
    """A refused frame is neither overkill nor escape, and its reason is spelt out; without any there is no section."""
    assert "not fit for a verdict" not in page_of(record).text
    dark = scored(tmp_path, "test/good/dark.png", 91, Verdict.NO_CALL)
    refused = dataclasses.replace(dark, reasons=("exposure",))
    text = page_of(dataclasses.replace(record, tested=(*record.tested, refused))).text
    told = text[text.index("not fit for a verdict") :]
    assert told.index("the frame is too dark or too bright") < told.index("dark.png")
    assert "pale on top of them the 2 of the test" in text


def test_an_image_that_is_gone_is_said_so(record: TrainingRecord) -> None:
    """A page that lacks a picture is better than a training run that fails at its end."""
    record.calibration[0].path.unlink()
    page = page_of(record)
    assert "The image is no longer where it was inspected." in page.text
    assert len(page.all("img")) == 2 * (2 + 1 + 2) + 1


def test_no_name_becomes_markup(record: TrainingRecord, tmp_path: Path) -> None:
    """Files, classes, parts and decisions named like HTML are text, in every place where the page shows them."""
    evil = "<script>alert(1)<img src=x onerror=1>"
    image = dataclasses.replace(scored(tmp_path, "odd/0.png", 95), name=evil, label=evil)
    contract = dataclasses.replace(record.contract, part=evil, image_counts={f"train/{evil}": 1})
    evaluation = dataclasses.replace(record.evaluation, escapes_by_class=((evil, 1, 3),))
    page = page_of(
        dataclasses.replace(record, contract=contract, evaluation=evaluation, tested=(image,), decisions=(evil,))
    )
    assert "script" not in {name for name, _ in page.elements}
    assert all(str(picture["src"]).startswith("data:") for picture in page.all("img"))
    assert page.text.count(evil) >= 5


def test_the_report_room_is_torch_free() -> None:
    """Importing the page's module loads no torch."""
    code = "import sys, lineside.report.training; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_page_and_card_say_how_classes_are_told(record: TrainingRecord) -> None:
    """The statement, images of each class, and what the test images were called; nothing of it without classes."""
    text = page_of(with_classes(record)).text
    assert "A test's classes." in text
    assert "5 dent, 5 scratch" in text
    assert "66.7 % (2 of 3 named images right" in text
    assert "Folderdentscratchscratch12" in text
    words = card(with_classes(record))
    assert "calls a defect dent, scratch or unknown" in words
    assert "2 of 3 named images of these classes right (66.7 %" in words
    assert "does not name defects" in card(record)
    assert "Classes" not in page_of(record).text
