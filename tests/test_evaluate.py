"""What `evaluate` counts, what it takes for truth, and what it refuses, on the tiny bundles."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from classed import write_classed_bundle
from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, half_red, lines, paint, paint_kinds
from images import picture, write
from lineside.batch.summary import ENOUGH_FOR_P99, Percentiles
from lineside.bench.evaluation.numbers import Timing
from lineside.bench.evaluation.run import EvaluateOptions, Evaluation, evaluate_images
from lineside.bench.evaluation.words import calibration_words, localisation_words, timing_words
from lineside.binomial import clopper_pearson
from lineside.errors import ImageError, UsageError
from lineside.runtime import Inspector


def evaluated(inspector: Inspector, images: Path | str, **options: object) -> Evaluation:
    """Evaluate into ``out``."""
    return evaluate_images(inspector, [images], "out", EvaluateOptions(**options))  # type: ignore[arg-type]


# ---- what is counted


def test_rates_count_calls_and_no_call_is_never_ok(parts: Path, inspector: Inspector) -> None:
    """Overkill 1 of 4, escapes 1 of 3; the dark picture is counted apart and is no first pass."""
    n = evaluated(inspector, parts).numbers
    assert (n.labels.overkill.k, n.labels.overkill.n) == (1, 4)
    assert (n.labels.escapes.k, n.labels.escapes.n) == (1, 3)
    assert (n.no_call.k, n.no_call.n) == (1, 8)
    assert (n.good_passed.k, n.good_passed.n) == (3, 5)
    assert n.auroc is not None
    assert n.auroc.value == pytest.approx(8.5 / 12)  # by hand: scores 10, 10, 10, 110 against 110, 110, 10
    assert (n.auroc.good, n.auroc.defective) == (4, 3)


def test_the_worst_frame_of_a_part_counts(images: Path, inspector: Inspector) -> None:
    """One NG frame makes the part NG, whatever the others; one without a call keeps it from OK and out of rates."""
    for name, rgb in {"p1_a": GOOD_RGB, "p1_b": BAD_RGB, "p2_a": GOOD_RGB, "p2_b": DARK_RGB, "p3_a": GOOD_RGB}.items():
        paint(Path(f"shots/good/{name}.png"), rgb)
    paint(Path("shots/scratch/q1_a.png"), DARK_RGB)
    paint(Path("shots/scratch/q1_b.png"), BAD_RGB)
    made = evaluated(inspector, "shots", pattern=r"(?P<part>[pq]\d)_")
    verdicts = {part.name: (part.verdict, part.frames) for part in made.parts}
    assert verdicts == {"p1": ("NG", 2), "p2": ("NO_CALL", 2), "p3": ("OK", 1), "q1": ("NG", 2)}
    assert (made.numbers.labels.overkill.k, made.numbers.labels.overkill.n) == (1, 2)
    assert (made.numbers.labels.escapes.k, made.numbers.labels.escapes.n) == (0, 1)
    assert (made.numbers.images, made.numbers.parts, made.numbers.frames_per_part) == (7, 4, 2)
    times = {part.name: part.duration_ms for part in made.parts}
    rows = {Path(row["path"]).stem: row["duration_ms"] for row in lines("out")}
    assert times["p1"] == pytest.approx(rows["p1_a"] + rows["p1_b"])


def test_a_part_with_a_frame_that_cannot_be_read_is_not_ok(images: Path, inspector: Inspector) -> None:
    """What was not seen may have been the defect."""
    paint(Path("shots/good/p1_a.png"), GOOD_RGB)
    Path("shots/good/p1_b.png").write_bytes(b"")
    paint(Path("shots/good/p2_a.png"), GOOD_RGB)
    made = evaluated(inspector, "shots", pattern=r"(p\d)_")
    assert {part.name: part.verdict for part in made.parts} == {"p1": "unreadable", "p2": "OK"}
    assert made.exit_code == 3


def test_one_part_under_two_labels_is_refused(images: Path, inspector: Inspector) -> None:
    """A pattern that throws good and scratched parts together names both files and the way out."""
    with pytest.raises(UsageError, match=r"stands under two labels: .*good/0.png and .*scratch/0.png.*--group"):
        evaluated(inspector, images, pattern=r"(\d)")
    with pytest.raises(UsageError, match="no regular expression"):
        evaluated(inspector, images, pattern="(")
    with pytest.raises(UsageError, match="'zzz' fits no file name"):
        evaluated(inspector, images, pattern="zzz")


def test_of_a_folder_with_test_in_it_only_that_is_taken(images: Path, inspector: Inspector) -> None:
    """The MVTec layout: train/ stays out, masks are found beside test/."""
    paint(Path("set/train/good/0.png"), GOOD_RGB)
    paint(Path("set/test/good/1.png"), GOOD_RGB)
    paint(Path("set/test/scratch/1.png"), BAD_RGB)
    paint(Path("set/ground_truth/scratch/1_mask.png"), (255, 255, 255))
    made = evaluated(inspector, "set")
    assert [part.worst.path for part in made.parts] == ["set/test/good/1.png", "set/test/scratch/1.png"]
    assert made.numbers.masks == 1


def test_folders_that_tell_no_truth_are_refused(images: Path, inspector: Inspector) -> None:
    """A flat folder of one day's images is not a folder of defects called 'today'."""
    paint(Path("today/0.png"), GOOD_RGB)
    with pytest.raises(ImageError, match=r"tell no truth: found today \(1\).*use lineside inspect"):
        evaluated(inspector, "today")


def test_overridden_thresholds_are_not_evaluated(images: Path, bundle: Path) -> None:
    """What is evaluated is what is deployed."""
    with pytest.raises(UsageError, match="the model's own thresholds"):
        evaluated(Inspector(bundle, threshold_ng=50.0), images)


# ---- masks


def test_a_resumed_run_compares_the_same_maps(images: Path, inspector: Inspector) -> None:
    """What an earlier call judged is looked at again, so that both say the same."""
    half_red(images / "stain/0.png", images / "ground_truth/stain/0_mask.png")
    first = evaluated(inspector, images).numbers.localisation
    again = evaluated(inspector, images).numbers.localisation
    assert first.pixel_auroc is not None
    assert first == again


def test_a_mask_of_another_size_is_refused(images: Path, inspector: Inspector) -> None:
    """A mask must be drawn on the image as it is."""
    half_red(images / "stain/0.png", images / "ground_truth/stain/0_mask.png")
    cv2.imwrite(str(images / "ground_truth/stain/0_mask.png"), np.full((4, 4), 255, np.uint8))
    with pytest.raises(ImageError, match="mask of the image's 16x16 px, found 4x4"):
        evaluated(inspector, images)


def test_boxes_are_the_truth_where_there_are_no_masks(images: Path, inspector: Inspector) -> None:
    """The same rectangle says the same as a mask and as a box; the words say which it was, and a mask goes first."""
    half_red(images / "stain/0.png", images / "ground_truth/stain/0_mask.png")
    masked = evaluated(inspector, images, fresh=True).numbers
    (images / "boxes.csv").write_text("image,x1,y1,x2,y2\nstain/0.png,0,0,8,16\n")
    both = evaluated(inspector, images, fresh=True).numbers
    (images / "ground_truth/stain/0_mask.png").unlink()
    boxed = evaluated(inspector, images, fresh=True).numbers
    assert [(n.masks, n.boxed) for n in (masked, both, boxed)] == [(1, 0), (1, 0), (0, 1)]
    assert masked.localisation.pixel_auroc is not None
    assert masked.localisation == both.localisation == boxed.localisation
    assert "1 of them by boxes" in localisation_words(boxed)[0][1]
    assert "points at the defects" not in Path("out/report.html").read_text()
    assert "boxes" not in localisation_words(both)[0][1]


def test_a_box_is_judged_where_it_lies(images: Path, inspector: Inspector) -> None:
    """Boxes on the other half turn the pixel AUROC around; a file that names none of the images is refused."""
    half_red(images / "stain/0.png", images / "ground_truth/stain/0_mask.png")
    (images / "ground_truth/stain/0_mask.png").unlink()
    areas = []
    for left in (0, 8):
        (images / "stain/boxes.csv").write_text(f"image,x1,y1,x2,y2\n0.png,{left},0,{left + 8},16\n")
        areas.append(evaluated(inspector, images, fresh=True).numbers.localisation.pixel_auroc)
    assert areas[0] > 0.9 > 0.5 > areas[1]
    (images / "stain/boxes.csv").write_text("image,x1,y1,x2,y2\nelsewhere.png,0,0,8,16\n")
    with pytest.raises(ImageError, match="none of its images"):
        evaluated(inspector, images, fresh=True)


# ---- classes


def test_probabilities_of_classes_are_judged(images: Path, tmp_path: Path) -> None:
    """Named images of known classes only; n is said."""
    made = evaluate_images(Inspector(write_classed_bundle(tmp_path / "classed")), [paint_kinds()], "out")
    assert made.numbers.calibration is not None
    p = np.array([[1 - 60 / 255, 60 / 255], [1 - 200 / 255, 200 / 255]])
    truth = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert made.numbers.calibration.n == 2
    assert made.numbers.calibration.brier == pytest.approx(float(((p - truth) ** 2).sum(axis=1).mean()), abs=1e-6)


def test_the_class_of_a_part_is_counted_once(images: Path, tmp_path: Path) -> None:
    """Four shots of one part are one answer, to accuracy and to probabilities, and the intervals are those of parts."""
    for number in range(4):
        paint(Path(f"kinds/green/g1_{number}.png"), (250, 200, 90))
    paint(Path("kinds/dull/d1_0.png"), (200, 60, 90))
    inspector = Inspector(write_classed_bundle(tmp_path / "classed"))
    made = evaluate_images(inspector, ["kinds"], "out", EvaluateOptions(pattern="^([a-z][0-9])_"))
    assert made.numbers.classes is not None
    right = made.numbers.classes.right
    assert right is not None
    assert (right.k, right.n, made.numbers.images) == (2, 2, 5)
    found, p = made.numbers.calibration, np.array([200 / 255, 1 - 60 / 255])
    assert found is not None
    assert (found.n, sum(one.n for one in found.bins)) == (2, 2)
    assert found.brier == pytest.approx(float(np.mean(2 * (1 - p) ** 2)), abs=1e-6)
    assert (found.ece_interval[0], len(found.bins)) == (0.0, 1)
    assert found.ece_interval[1] == pytest.approx(p.mean() - clopper_pearson(2, 2)[0], abs=1e-6)
    assert "2 parts by the class of the worst image" in calibration_words(found)


@pytest.mark.parametrize(("n", "words"), [(298, "298 images tell no p99"), (1200, "; 1,200 images")])
def test_few_images_tell_no_p99(n: int, words: str) -> None:
    """Of fewer than 299 all may lie below it with more than 5 % probability, and that is said."""
    said = timing_words(Timing(Percentiles(1.0, 2.0, 3.0), Percentiles(1.0, 2.0, 3.0), 1, None, n))
    assert said[0][1].endswith(words) or f"{words}: the slowest of them may lie below it" in said[0][1]
    assert 0.99**ENOUGH_FOR_P99 <= 0.05 < 0.99 ** (ENOUGH_FOR_P99 - 1)


# ---- going on


def test_an_evaluation_does_not_go_on_with_an_inspection(parts: Path, inspector: Inspector) -> None:
    """An inspection of the same images may hold training images; --fresh starts over."""
    from lineside.batch import InspectOptions, inspect_images

    inspect_images(inspector, [parts], "out", InspectOptions(labels=True))
    with pytest.raises(UsageError, match=r"purpose: inspect, now evaluate"):
        evaluated(inspector, parts)
    assert evaluated(inspector, parts, fresh=True).numbers.parts == 8


def test_results_of_images_that_are_gone_are_refused(parts: Path, inspector: Inspector) -> None:
    """A resumed evaluation never counts what is no longer there."""
    evaluated(inspector, parts)
    (parts / "good/red.png").unlink()
    with pytest.raises(UsageError, match=r"1 of the results are of images that are no longer among these.*--fresh"):
        evaluated(inspector, parts)
    assert evaluated(inspector, parts, fresh=True).numbers.labels.overkill.k == 0


def test_pictures_of_one_part_count_once(tmp_path: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture saved anew and another frame of a part are no further draws; the same part damaged is another one."""
    monkeypatch.chdir(tmp_path)
    shots = {f"good/{seed}.png": picture(seed, 160, 160) for seed in range(8)}
    noise = np.random.default_rng(0).normal(0, 1, shots["good/5.png"].shape)
    burst = np.clip(shots["good/5.png"] + noise, 0, 255).round().astype(np.uint8)
    shots |= {"good/anew.bmp": shots["good/2.png"], "good/burst.png": burst, "dent/0.png": burst}
    for name, shown in shots.items():
        write(Path("line") / name, shown)
    made = evaluated(inspector, "line")
    assert (made.numbers.images, made.numbers.parts, made.numbers.labels.overkill.n) == (11, 9, 8)
    pairs = [["line/good/2.png", "line/good/anew.bmp"], ["line/good/5.png", "line/good/burst.png"]]
    assert sorted(map(list, made.copies)) == pairs
    told = json.loads(Path("out/evaluation.json").read_text())
    assert told["images_of_one_part"] == [list(one) for one in made.copies]
    assert "line/good/2.png, line/good/anew.bmp" in Path("out/report.html").read_text()
