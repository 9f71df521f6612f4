"""`lineside compare`: which runs, on which images, what is written down, and what is said of it."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from images import write_folder, write_recipe
from lineside.bench.compare import RUNS_FILE, Step, compare
from lineside.bench.compare_draw import drawn
from lineside.bench.compare_files import comparison_csv
from lineside.bench.compare_plan import Job, parse_shots, parse_variants, plan
from lineside.bench.compare_row import Measures, Row, Scores
from lineside.bench.compare_summary import mean_of, summarise
from lineside.bench.compare_table import compare_table
from lineside.calibrate.metrics import auroc
from lineside.dataset import load_dataset
from lineside.errors import BundleError, RecipeError, UsageError
from lineside.recipe import load_recipe
from lineside.report.compare import render_comparison
from lineside.report.lines import Point, Series, lines

COUNTS = {"train/good": 12, "train/dent": 4, "test/good": 3, "test/dent": 2}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe folder with a dozen good training images and four dents."""
    write_folder(tmp_path / "images", COUNTS)
    return write_recipe(tmp_path, "transfer: {memory: 64}\n")


def row(label: str, seed: int, value: float = 0.9, shots: int = 8, error: str | None = None) -> Row:
    """Return a run whose defects score higher than the good in about `value` of the pairs."""
    rng = np.random.default_rng(seed)
    shift = {0.5: 0.0, 0.9: 1.8, 1.0: 50.0}[value]
    scores = Scores(tuple(rng.normal(0, 1, 30)), tuple(rng.normal(shift, 1, 20)))
    measures = Measures(value, None, None, 0.1, 0.2, 0.0, None, 10.0 + seed, 7.0, 3.0)
    key = f"{label} {shots} {seed}"
    if error is not None:
        return Row(key, "p", label, "lineside", shots, None, seed, "abc", error, None)
    return Row(key, "p", label, "lineside", shots, None, seed, "abc", None, measures, scores)


def jobs(recipe: Path, labels: str = "a=lineside b=lineside", seeds: int = 2) -> tuple[Job, ...]:
    """Return the plan of two numbers of shots."""
    loaded = load_recipe(recipe)
    return plan(loaded, load_dataset(loaded), parse_variants([labels]), (2, 8), seeds)


def test_a_method_is_a_name_or_a_labelled_variation() -> None:
    """Values are a recipe's: numbers, lists whose commas part nothing, words."""
    plain, varied = parse_variants(["anomalib.Padim s=lineside,transfer.memory=512,transfer.taps=[8,16]"])
    assert (plain.label, dict(plain.changes)) == ("anomalib.Padim", {"transfer.method": "anomalib.Padim"})
    changes = {"transfer.method": "lineside", "transfer.memory": 512, "transfer.taps": [8, 16]}
    assert (varied.label, dict(varied.changes)) == ("s", changes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lineside lineside", "'lineside' comes twice"),
        ("a=", "expected a method"),
        ("a=lineside,memory=3", "a dotted key"),
        ("a=lineside,capture.group=x", "must be the same for every method"),
        ("a=lineside,transfer.memory=[", "no value of a recipe"),
        ("", "at least one method"),
    ],
)
def test_methods_that_are_not_understood_are_refused(text: str, said: str) -> None:
    """The message says what is wrong with which."""
    with pytest.raises(UsageError, match=said):
        parse_variants([text])


def test_a_wrong_key_is_refused_before_anything_runs(recipe: Path) -> None:
    """A variation is checked like a recipe, nearest key included."""
    with pytest.raises(RecipeError, match="unknown key 'memori'; did you mean 'memory'"):
        jobs(recipe, "a=lineside,transfer.memori=3")


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("anomalib.Nope", "anomalib has no model 'Nope'"),
        ("anomalib.EfficientAd", "a folder that holds .*; transfer.reference_images"),
        ("anomalib.SuperADD", "'dinov3-license'"),
        ("lineside,transfer.licences=[mit]", "licence 'apache-2.0'"),
        ("lineside,transfer.taps=[7]", "has the strides 2, 4, 8, 16, 32; found 7"),
        ("lineside,transfer.backbone=timm:resnet18.nope", "timm has no weights 'resnet18.nope'"),
    ],
)
def test_a_method_that_cannot_be_trained_is_refused_before_any_other_is(recipe: Path, method: str, said: str) -> None:
    """Not at its turn, hours later; the variant is named."""
    with pytest.raises(UsageError, match=rf"--methods: odd: .*{said}") as caught:
        jobs(recipe, f"a=lineside odd={method}")
    assert caught.value.exit_code == 2


def test_a_variation_changes_its_key_and_leaves_the_others(recipe: Path) -> None:
    """The recipe's own value stands where the variation says nothing, and the seed is added."""
    (variant,) = parse_variants(["a=lineside,normalise.size=128"])
    changed = variant.of(load_recipe(recipe), 3).recipe
    assert (changed.transfer.memory, changed.normalise.size, changed.seed) == (64, 128, 3)


def test_shots_are_numbers_or_all(recipe: Path) -> None:
    """All stands for what is there, and the default stops there; more than that, or another word, is refused."""
    loaded = load_recipe(recipe)
    dataset = load_dataset(loaded)
    variants = parse_variants(["lineside"])
    assert [job.shots for job in plan(loaded, dataset, variants, parse_shots("1,all"), 1)] == [1, 12]
    assert [job.shots for job in plan(loaded, dataset, variants, None, 1)] == [1, 2, 4, 8]
    with pytest.raises(UsageError, match="asks for 50, found 12"):
        plan(loaded, dataset, variants, (50,), 1)
    with pytest.raises(UsageError, match="found '1,many'"):
        parse_shots("1,many")


def test_draws_are_nested_and_leave_the_test_images(recipe: Path) -> None:
    """The images of few shots are among those of more; another seed draws others; tests are never drawn from."""
    dataset = load_dataset(load_recipe(recipe))
    few, more, other = drawn(dataset, 3, 0, 2), drawn(dataset, 8, 0, None), drawn(dataset, 3, 1, 2)
    assert len(few.select("train", good=True)) == 3
    assert len(few.select("train", good=False)) == 2
    assert len(more.select("train", good=False)) == 4
    assert set(few.samples) < set(more.samples)
    assert set(few.select("train", good=True)) != set(other.select("train", good=True))
    assert few.select("test") == dataset.select("test")


def test_a_comparison_goes_on_where_it_was(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is not run again, not even after a line was cut off; what failed is."""
    ran: list[str] = []

    def run(job: Job, key: str) -> Row:
        ran.append(key)
        return dataclasses.replace(row(job.variant.label, job.seed), key=key, error="no" if key == "2" else None)

    monkeypatch.setattr("lineside.bench.compare.run_job", run)
    planned, keys, out = jobs(recipe), [str(i) for i in range(8)], tmp_path / "out"
    compare(planned[:3], keys[:3], out)
    with (out / RUNS_FILE).open("a") as file:
        file.write('{"key": "cut off')
    ran.clear()
    told: list[Step] = []
    rows = compare(planned, keys, out, told=told.append)
    assert ran == keys[2:]
    assert [r.key for r in rows] == keys
    assert [step.done for step in told] == list(range(1, 9))
    ran.clear()
    compare(planned[:2], keys[:2], out, fresh=True)
    assert ran == keys[:2]


def test_a_file_of_something_else_is_refused(recipe: Path, tmp_path: Path) -> None:
    """A line that is no run names its file and the way out."""
    (tmp_path / RUNS_FILE).write_text('{"key": 3}\n')
    with pytest.raises(BundleError, match=r"runs\.jsonl:1: .*--fresh"):
        compare(jobs(recipe), [str(i) for i in range(8)], tmp_path)


def test_a_run_that_fails_is_a_row_with_its_error(recipe: Path) -> None:
    """The error is kept, and nothing is raised."""
    from lineside.bench.compare_run import run_job

    (job, *_) = jobs(recipe)
    failed = run_job(dataclasses.replace(job, recipe=recipe / "gone"), "key")
    assert failed.measures is None
    assert failed.error is not None
    assert "gone" in failed.error


def test_a_row_survives_its_file() -> None:
    """What is read is what was written, failures too."""
    for one in (row("a", 1), row("a", 1, error="no")):
        assert Row.from_json(one.to_json(), "here") == one


def test_the_mean_has_students_interval() -> None:
    """1, 2, 3: 2 ± 4.303 / sqrt(3), and one number has no interval."""
    mean = mean_of([1.0, 2.0, 3.0])
    assert mean.interval is not None
    assert mean.interval == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)
    assert mean_of([1.0]).interval is None


def test_differences_are_paired_and_signed() -> None:
    """A method that ranks at random lies below one that ranks perfectly, by a half; equal ones differ by nothing."""
    rows = [row(label, seed, value, shots) for label, value in (("best", 1.0), ("guess", 0.5), ("same", 1.0))
            for seed in range(3) for shots in (8, 16)]  # fmt: skip
    found = {(d.label, d.shots): d for d in summarise(rows, 200).differences}
    assert set(found) == {(label, n) for label in ("guess", "same") for n in (8, 16, None)}
    guess, same = found["guess", None], found["same", None]
    assert guess.value == pytest.approx(-0.5, abs=0.1)
    assert guess.interval[0] < guess.value < guess.interval[1] < 0
    assert (same.value, same.interval) == (0.0, (0.0, 0.0))


def test_class_accuracies_are_paired_too() -> None:
    """Right in three of four images less right in two of them is a quarter; no score is needed for that."""
    right = {"a": (True, True, False, False), "b": (True, True, True, False)}
    rows = [dataclasses.replace(row(label, 0), scores=Scores(class_right=right[label])) for label in "ab"]
    (found,) = summarise(rows, 200).differences
    assert (found.measure, found.label, found.value) == ("class_accuracy", "b", 0.25)
    assert found.interval[0] == 0.0
    assert found.interval[1] <= 1.0


def test_a_difference_is_that_of_the_measured_aurocs() -> None:
    """The value is the mean over seeds of one AUROC less the other, ties counted half."""
    rows = [row("a", seed, 1.0) for seed in range(2)] + [row("b", seed, 0.9) for seed in range(2)]
    expected = [auroc(r.scores.good, r.scores.defective) for r in rows]
    assert None not in expected
    (found,) = summarise(rows, 50).differences
    assert found.value == pytest.approx(np.mean(expected[2:]) - np.mean(expected[:2]), abs=1e-12)


def test_a_failed_run_stands_in_table_and_csv() -> None:
    """What failed is said with its reason; the mean is over the others."""
    summary = summarise([row("a", 0), row("a", 1), row("b", 0, error="out of luck")], 50)
    text = io.StringIO()
    Console(file=text, width=200).print(compare_table(summary))
    assert "b: failed: out of luck" in text.getvalue()
    a, b = comparison_csv(summary).splitlines()[1:]
    assert a.startswith("p,8,a,2,0.9,0.9,0.9,")
    assert b.startswith("p,8,b,0,,")
    assert b.endswith("out of luck")


def test_the_table_fits_a_console() -> None:
    """A hundred characters hold every measure; half the interval stands below its mean."""
    measures = Measures(0.9, 0.95, 0.8, 0.1, 0.2, 0.01, 0.7, 123.4, 12.3, 3.1)
    rows = [dataclasses.replace(row("lineside", seed), measures=measures, scores=Scores()) for seed in range(2)]
    rows[0] = dataclasses.replace(rows[0], measures=dataclasses.replace(measures, auroc=0.92))
    text = io.StringIO()
    Console(file=text, width=100).print(compare_table(summarise(rows)))
    assert "…" not in text.getvalue()
    assert "0.9100" in text.getvalue()
    assert "± 0.1271" in text.getvalue()


def test_the_page_stands_alone_and_holds_every_number() -> None:
    """One file, no script, nothing fetched; a method's mean stands in its table and in its plot."""
    summary = summarise([row(label, seed, shots=n) for label in "ab" for seed in range(2) for n in (8, 16)], 50)
    page = render_comparison(summary)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<figure>") == 3  # AUROC, overkill, escapes: nothing else was measured
    assert "a, 16: 0.9000" in page
    assert "+0.0000 (+0.0000 to +0.0000)" in page


def test_rows_of_another_program_are_told_apart() -> None:
    """Page and console say when rows come from different sources."""
    other = dataclasses.replace(row("b", 0), program="def")
    for second, said in ((other, True), (row("b", 0), False)):
        summary, text = summarise([row("a", 0), second], 50), io.StringIO()
        Console(file=text, width=200).print(compare_table(summary))
        assert ("different versions" in render_comparison(summary)) is said
        assert ("different versions" in text.getvalue()) is said


def test_a_plots_axis_holds_its_numbers() -> None:
    """The ends are round, lie about the numbers, and never beyond 0 and 1."""
    drawing = lines(["1", "2"], [Series("a", (Point(0.83, (0.79, 0.87), ""), Point(0.97, (0.93, 1.01), "")))], "t", "u")
    assert all(f">{value}</text>" in drawing for value in ("0.75", "0.80", "1.00"))
    assert ">1.05<" not in drawing
