"""`lineside evaluate` on the tiny bundles: what is counted, what is refused, which limit ends with which exit code."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
import yaml
from typer.testing import CliRunner

from classed import write_classed_bundle
from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, lines, paint
from lineside.bench.evaluation.limits import Limits, judge_limits, load_limits
from lineside.bench.evaluation.run import EvaluateOptions, Evaluation, evaluate_images
from lineside.bench.evaluation.words import localisation_words
from lineside.cli import evaluate as command_module
from lineside.errors import ImageError, LinesideError, RecipeError, UsageError
from lineside.runtime import Inspector
from tiny import write_tiny_bundle


@pytest.fixture
def parts(images: Path) -> Path:
    """Good parts of which one is red, scratched ones of which one is pale, one picture too dark."""
    paint(images / "good/red.png", BAD_RGB)
    paint(images / "good/dark.png", DARK_RGB)
    paint(images / "scratch/pale.png", GOOD_RGB)
    return images


def evaluated(inspector: Inspector, images: Path | str, **options: object) -> Evaluation:
    """Evaluate into ``out``."""
    return evaluate_images(inspector, [images], "out", EvaluateOptions(**options))  # type: ignore[arg-type]


def run(*arguments: object) -> tuple[int, str, str]:
    """Run the command: exit code, stdout, stderr; a LinesideError as main shows it."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("evaluate")(command_module.command)
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    if isinstance(result.exception, LinesideError):
        return result.exception.exit_code, result.stdout, result.exception.message
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


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
    rows = {row["partId"]: row["duration_ms"] for row in lines("out")}
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


def test_of_a_folder_with_test_in_it_only_that_is_taken(images: Path, inspector: Inspector) -> None:
    """The MVTec layout: train/ stays out, masks are found beside test/."""
    paint(Path("set/train/good/0.png"), GOOD_RGB)
    paint(Path("set/test/good/1.png"), GOOD_RGB)
    paint(Path("set/test/scratch/1.png"), BAD_RGB)
    paint(Path("set/ground_truth/scratch/1_mask.png"), (255, 255, 255))
    made = evaluated(inspector, "set")
    assert [part.worst.path for part in made.parts] == ["set/test/good/1.png", "set/test/scratch/1.png"]
    assert made.numbers.masks == 1


def test_the_models_own_training_images_are_left_out(images: Path, tmp_path: Path) -> None:
    """The lock names them by content: a renamed copy is left out too, and it is said; all of them is an error."""
    bundle = write_tiny_bundle(tmp_path / "locked")
    trained = paint(tmp_path / "t.png", (101, 60, 90))
    lock = {
        "recipe": {"capture": {"group": None}},
        "images": [{"split": "train", "group": "t", "sha256": hashlib.sha256(trained.read_bytes()).hexdigest()}],
    }
    (bundle / "recipe.lock.yaml").write_text(yaml.safe_dump(lock))
    paint(images / "good/copy.png", (101, 60, 90))
    made = evaluated(Inspector(bundle), images)
    assert (len(made.left_out), made.numbers.parts) == (1, 5)
    assert "good/copy.png" not in Path("out/results.jsonl").read_text()
    assert "1 image was left out, since the model learned from it: " in Path("out/report.html").read_text()
    paint(Path("own/good/0.png"), (101, 60, 90))
    with pytest.raises(ImageError, match="all 1 images are the model's own training images"):
        evaluate_images(Inspector(bundle), ["own"], "out2")


def test_the_recipes_group_is_taken_from_the_bundle(images: Path, tmp_path: Path) -> None:
    """What the recipe says of parts holds for the evaluation."""
    bundle = write_tiny_bundle(tmp_path / "grouped")
    lock = {"recipe": {"capture": {"group": r"(?P<part>p\d)"}}, "images": []}
    (bundle / "recipe.lock.yaml").write_text(yaml.safe_dump(lock))
    paint(Path("shots/good/p1_a.png"), GOOD_RGB)
    paint(Path("shots/good/p1_b.png"), GOOD_RGB)
    assert evaluated(Inspector(bundle), "shots").numbers.parts == 1


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


def half_red(path: Path, mask: Path) -> None:
    """Write a part that is red on its left half, and its mask."""
    image = np.full((16, 16, 3), GOOD_RGB[::-1], np.uint8)
    image[:, :8] = (40, 60, 240)  # BGR
    truth = np.zeros((16, 16), np.uint8)
    truth[:, :8] = 255
    for file, array in ((path, image), (mask, truth)):
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), array)


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
    made = evaluate_images(Inspector(write_classed_bundle(tmp_path / "classed")), [_classes()], "out")
    assert made.numbers.calibration is not None
    p = np.array([[1 - 60 / 255, 60 / 255], [1 - 200 / 255, 200 / 255]])
    truth = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert made.numbers.calibration.n == 2
    assert made.numbers.calibration.brier == pytest.approx(float(((p - truth) ** 2).sum(axis=1).mean()), abs=1e-6)


def _classes() -> Path:
    paint(Path("kinds/good/0.png"), GOOD_RGB)
    paint(Path("kinds/dull/0.png"), (200, 60, 90))
    paint(Path("kinds/green/0.png"), (250, 200, 90))
    paint(Path("kinds/green/missed.png"), (100, 200, 90))
    return Path("kinds")


# ---- limits and red rabbits


def limits_file(text: str) -> Path:
    """Write a file of limits into the working folder."""
    Path("limits.yaml").write_text(text)
    return Path("limits.yaml")


def test_a_broken_limit_is_exit_code_1_and_named(parts: Path, bundle: Path) -> None:
    """The table says which; everything is written before."""
    code, out, _ = run(bundle, parts, "--out", "out", "--limits", limits_file("overkill: 0.1\nescape: 0.5\n"))
    assert code == 1
    assert "at most 10.0 %" in out
    assert "broken" in out
    assert "It cannot be released: 1 of 2 limits is broken." in out
    document = json.loads(Path("out/evaluation.json").read_text())
    assert document["broken"] == ["overkill: 25.0 %, at most 10.0 %"]
    assert [one["state"] for one in document["limits"]] == ["broken", "kept"]


def test_limits_that_are_kept_are_exit_code_0(parts: Path, bundle: Path) -> None:
    """And the console says that it may go."""
    code, out, _ = run(bundle, parts, "--limits", limits_file("overkill: 0.3\nauroc: 0.7\nno_call: 0.2\np99_ms: 1e6\n"))
    assert code == 0
    assert "It keeps every limit that was set." in out


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("aupro: 0.9", (), "aupro needs masks of defects"),
        ("takt_share: 0.9", (), "takt_share needs --takt"),
        ("ppv: 0.1", (), "ppv needs --defect-rate-ppm"),
        ("cost_per_thousand: 5", ("--defect-rate-ppm", "800"), "needs --cost-overkill, --cost-escape"),
        ("ece: 0.1", (), "ece needs named images of classes"),
        ("escape_by_class: {dent: 0.1}", (), "escape_by_class.dent needs defective parts of the class dent"),
    ],
)
def test_a_limit_without_what_it_needs_is_refused_before_anything_is_judged(
    parts: Path, bundle: Path, text: str, more: tuple[str, ...], words: str
) -> None:
    """It is an error with the remedy, no pass, and no image was judged in vain."""
    code, _, message = run(bundle, parts, "--out", "out", "--limits", limits_file(text), *more)
    assert code == 2
    assert words in message
    assert "Add what is missing, or take them out of the file" in message
    assert not Path("out").exists()


def test_a_limit_that_no_call_leaves_open_is_no_pass(images: Path, bundle: Path) -> None:
    """Every defective picture was refused: escapes are unknown, the exit code is 2 and the results are there."""
    paint(Path("set/good/0.png"), GOOD_RGB)
    paint(Path("set/scratch/0.png"), DARK_RGB)
    code, out, _ = run(bundle, "set", "--out", "out", "--limits", limits_file("escape: 0.5\noverkill: 1.0\n"))
    assert code == 2
    assert "not judged: needs defective parts with a call" in " ".join(out.split())
    assert "these images cannot answer 1 limit" in out
    assert Path("out/report.html").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("overkil: 0.1", r"limits.yaml:1: overkil: unknown key 'overkil'; did you mean 'overkill'"),
        ("escape: 5", r"limits.yaml:1: escape: expected a number from 0 to 1; found 5"),
        ("overkill: 0.1\nescape: much", r"limits.yaml:2: escape: expected a number from 0 to 1; found the text"),
        ("escape_by_class: {dent: 2}", r"escape_by_class.dent: expected a number from 0 to 1; found 2"),
        ("p99_ms: 0", r"p99_ms: expected a number above 0; found 0"),
        ("overkill: null", "no limit is set in it"),
        ("", "the file is empty. Expected limits"),
    ],
)
def test_a_file_of_limits_that_is_wrong_names_line_and_remedy(images: Path, text: str, words: str) -> None:
    """Unknown keys, values out of range, nothing in it."""
    with pytest.raises(RecipeError, match=words):
        load_limits(limits_file(text))


def test_every_limit_can_be_judged(images: Path, tmp_path: Path) -> None:
    """Each key of the file has a rule; with everything given none stays open."""
    half_red(_classes() / "dull/1.png", Path("kinds/ground_truth/dull/1_mask.png"))
    options = {"defect_rate_ppm": 800.0, "takt_s": 1.0, "costs": command_costs()}
    made = evaluated(Inspector(write_classed_bundle(tmp_path / "classed")), "kinds", **options)
    values = {name: 0.5 for name in Limits.model_fields if name != "escape_by_class"}
    answers = judge_limits(Limits(**values, escape_by_class={"green": 0.1}), made.numbers)
    assert [one.name for one in answers if one.state == "not judged"] == []
    assert len(answers) == len(Limits.model_fields)
    by_name = {one.name: one for one in answers}
    assert by_name["escape_by_class.green"].state == "broken"
    assert by_name["auroc"].upper is False
    assert by_name["overkill"].upper is True


def command_costs() -> object:
    """Costs of one for each mistake."""
    from lineside.bench.evaluation.plant import Costs

    return Costs(1.0, 1.0)


def test_a_red_rabbit_that_passes_is_exit_code_1_and_named(parts: Path, bundle: Path) -> None:
    """REVIEW, NO_CALL and OK are all not NG."""
    paint(Path("rabbits/scratch/bad.png"), BAD_RGB)
    paint(Path("rabbits/scratch/pale.png"), GOOD_RGB)
    paint(Path("rabbits/scratch/dark.png"), DARK_RGB)
    code, out, _ = run(bundle, parts, "--out", "out", "--red-rabbits", "rabbits")
    assert code == 1
    assert "2 of 3 were not NG" in out
    assert "rabbits/scratch/pale.png: OK" in out
    assert "rabbits/scratch/dark.png: NO_CALL" in out
    assert "bad.png" not in out
    passed = json.loads(Path("out/evaluation.json").read_text())["red_rabbits"]["passed"]
    assert [one["worst"] for one in passed] == ["rabbits/scratch/dark.png", "rabbits/scratch/pale.png"]


def test_red_rabbits_that_are_all_caught_pass(parts: Path, bundle: Path) -> None:
    """Exit code 0, and an empty folder is no pass."""
    paint(Path("rabbits/bad.png"), BAD_RGB)
    code, out, _ = run(bundle, parts, "--red-rabbits", "rabbits")
    assert (code, "all 1 were NG" in out) == (0, True)
    Path("empty").mkdir()
    code, _, words = run(bundle, parts, "--red-rabbits", "empty")
    assert (code, "no image in it" in words) == (3, True)


# ---- the command


def test_the_command_prints_and_writes_everything(parts: Path, bundle: Path) -> None:
    """In the default folder: table, JSON, rows, sheet, report; the exit code is 0 without a limit."""
    code, out, _ = run(bundle, parts, "--takt", "2", "--defect-rate-ppm", "800")
    assert code == 0
    for words in ("1 of 4 good parts called NG", "promise", "DeLong", "share of takt", "a million parts of the plant"):
        assert words in out
    names = {path.name for path in Path("evaluations/tiny").iterdir()}
    assert {"evaluation.json", "results.jsonl", "results.csv", "report.html", "summary.json"} <= names
    assert {row["label"] for row in lines("evaluations/tiny")} == {"good", "scratch"}


def test_json_is_all_of_stdout_and_finite(parts: Path, bundle: Path) -> None:
    """--json prints one document, standard JSON, the same as the file's."""
    code, out, _ = run(bundle, parts, "--json", "--out", "out", "--takt", "1")
    assert code == 0
    assert json.loads(out) == json.loads(Path("out/evaluation.json").read_text())
    assert json.loads(out)["evaluation"]["labels"]["overkill"]["k"] == 1


def test_a_takt_that_is_none_is_refused(parts: Path, bundle: Path) -> None:
    """A time of nothing is a slip."""
    code, _, words = run(bundle, parts, "--takt", "0")
    assert (code, "in seconds, above 0" in words) == (2, True)


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
