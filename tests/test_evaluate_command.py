"""`lineside evaluate`: limits, red rabbits, exit codes, what is printed and written."""

import json
from functools import partial
from pathlib import Path

import pytest

import commands
from classed import write_classed_bundle
from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, half_red, lines, paint, paint_kinds
from lineside.bench.evaluation.limits import Limits, judge_limits, load_limits
from lineside.bench.evaluation.plant import Costs
from lineside.bench.evaluation.run import EvaluateOptions, evaluate_images
from lineside.binomial import upper_bound
from lineside.cli import evaluate
from lineside.errors import RecipeError
from lineside.runtime import Inspector

run = partial(commands.run, "evaluate", evaluate.command)


# ---- limits


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
    code, out, _ = run(bundle, parts, "--limits", limits_file("overkill: 0.3\nauroc: 0.7\nno_call: 0.2\np95_ms: 1e6\n"))
    assert code == 0
    assert "It keeps every limit that was set." in out


@pytest.mark.parametrize(
    ("text", "code", "words"), [("p99_ms: 1e6", 2, "needs 299 images"), ("p99_ms: 1e-6", 1, "broken")]
)
def test_a_handful_of_images_keeps_no_p99(parts: Path, bundle: Path, text: str, code: int, words: str) -> None:
    """The slowest of them may lie below it: it can be broken, and is never kept."""
    found, out, _ = run(bundle, parts, "--limits", limits_file(text))
    assert found == code
    assert words in " ".join(out.split())


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("aupro: 0.9", (), "aupro needs masks of defects"),
        ("takt_share: 0.9", (), "takt_share needs --takt"),
        ("ppv: 0.1", (), "ppv needs --defect-rate-ppm"),
        ("cost_per_thousand: 5", ("--defect-rate-ppm", "800"), "needs --cost-overkill, --cost-escape"),
        ("ece: 0.1", (), "ece needs named parts of classes"),
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
        (
            "escape_bound_by_class:\n  dent: -1",
            r"limits.yaml:2: escape_bound_by_class.dent: expected a number from 0 to 1",
        ),
        ("overkill: true", r"limits.yaml:1: overkill: expected a number from 0 to 1; found true"),
        ("escape_by_class: {dent: no}", r"limits.yaml:1: escape_by_class: expected classes with"),
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
    half_red(paint_kinds() / "dull/1.png", Path("kinds/ground_truth/dull/1_mask.png"))
    options = EvaluateOptions(defect_rate_ppm=800.0, takt_s=1.0, costs=Costs(1.0, 1.0))
    made = evaluate_images(Inspector(write_classed_bundle(tmp_path / "classed")), ["kinds"], "out", options)
    values = {name: {"green": 0.1} if name.endswith("_by_class") else 0.5 for name in Limits.model_fields}
    answers = judge_limits(Limits.model_validate(values), made.numbers)
    assert {one.name for one in answers if one.state == "not judged"} <= {"p99_ms", "takt_share"}  # of a few images
    assert len(answers) == len(Limits.model_fields)
    by_name = {one.name: one for one in answers}
    assert by_name["escape_by_class.green"].state == "broken"
    green = next(one.wrong for one in made.numbers.labels.classes if one.name == "green")
    assert by_name["escape_bound_by_class.green"].found == upper_bound(green.k, green.n)
    escapes = made.numbers.labels.escapes
    assert by_name["escape_bound"].found == upper_bound(escapes.k, escapes.n)
    assert by_name["auroc"].upper is False
    assert by_name["overkill"].upper is True


# ---- red rabbits


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


# ---- what is printed and written


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
