"""The stress test as a whole: counts that are known by heart, images of known class, files, page and command."""

import csv
import dataclasses
import hashlib
import io
import json
import shutil
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from flat_parts import BAD_RGB, GOOD_RGB, paint, paint_parts
from images import picture, write
from lineside.batch.labels import rate
from lineside.bench.disturbance import Disturbance, disturbances
from lineside.bench.stress import Progress, stress
from lineside.bench.stress_files import stress_csv, stress_document, write_stress
from lineside.bench.stress_images import images_in, images_of_recipe
from lineside.bench.stress_result import Curve, LevelResult, StressResult
from lineside.bench.stress_words import crossing_words, escapes_words, summary_words
from lineside.cli import stress as command_module
from lineside.errors import BundleError, ImageError, LinesideError, StorageError, UsageError
from lineside.report.curve import Line, curves
from lineside.report.stress import render_stress, stress_section
from lineside.runtime import Inspector
from tiny import seal

NAMED = {item.name: item for item in disturbances(3)}


def only(name: str, *levels: float) -> list[Disturbance]:
    """One disturbance with these levels."""
    return [dataclasses.replace(NAMED[name], levels=levels)]


@pytest.fixture
def result(inspector: Inspector, images: Path) -> StressResult:
    """Gain on three good parts (score 10) and two bad ones (110): NG above 20, no call below a mean level of 5."""
    return stress(inspector, images_in(images), items=only("gain", 0.05, 0.15, 0.5, 1.5, 2.5), workers=1)


def level(words: str, good: dict[str, int], number: float = 1.0) -> LevelResult:
    """A level with good images alone."""
    return LevelResult(number, words, good, {})


def curve(*levels: LevelResult, neutral: float = 0.0) -> Curve:
    """A curve whose limit is 10 %."""
    return Curve("x", "what", neutral, True, levels, 0.1)


# ---- counting


def test_verdicts_follow_the_score(result: StressResult) -> None:
    """The score grows with the gain: good parts turn NG above 2, bad ones pass below 0.18, dark frames get no call."""
    assert result.undisturbed.good == {"OK": 3}
    assert result.undisturbed.defective == {"NG": 2}
    by_level = {item.level: item for item in result.curves[0].levels}
    assert by_level[2.5].overkill == rate(3, 3)
    assert by_level[1.5].overkill == rate(0, 3)
    assert by_level[0.15].escapes == rate(2, 2)
    assert by_level[0.05].good_no_call == rate(3, 3)
    assert by_level[0.05].overkill.share is None


def test_the_strength_at_which_overkill_is_too_much(result: StressResult) -> None:
    """Outward from the neutral level, on each side; it says the share with its n."""
    below, above = result.curves[0].crossings()
    assert below.first is None
    assert "where none got a call" in crossing_words(below)
    assert above.first is not None
    assert crossing_words(above) == "gain 2.5: 100.0 %, 3 of 3"


def test_the_first_level_above_the_limit_counts_even_if_later_ones_are_below() -> None:
    """First means weakest; exactly at the limit is not above it."""
    found = curve(level("a", {"OK": 9, "NG": 1}, 1), level("b", {"OK": 8, "NG": 2}, 2), level("c", {"OK": 10}, 3))
    (above,) = found.crossings()
    assert above.first is not None
    assert above.first.words == "b"


def test_workers_do_not_change_the_result(inspector: Inspector, images: Path, result: StressResult) -> None:
    """Several threads give what one gives."""
    again = stress(inspector, images_in(images)[::-1], items=only("gain", 0.05, 0.15, 0.5, 1.5, 2.5), workers=3)
    assert stress_document(again) == stress_document(result)
    assert render_stress(again) == render_stress(result)


def test_a_draw_is_the_same_under_every_level(inspector: Inspector, images: Path) -> None:
    """At most so many of each side, by seed; what is left out is counted."""
    for index in range(3, 9):
        paint(images / f"good/{index}.png", GOOD_RGB)
    found = stress(inspector, images_in(images), items=only("gain", 0.5), per_level=2)
    assert (found.n_good, found.n_defective, found.n_left_out) == (2, 2, 7)
    assert sum(found.curves[0].levels[0].good.values()) == 2


def test_progress_ends_at_its_total(inspector: Inspector, images: Path) -> None:
    """Every frame is counted once, unreadable images with all of theirs."""
    (images / "good/broken.png").write_bytes(b"no image")
    seen: list[Progress] = []
    stress(inspector, images_in(images), items=only("gain", 0.5, 2.0), progress=seen.append, workers=2)
    assert seen[-1] == Progress(18, 18)


def test_all_disturbances_run_by_default(inspector: Inspector, images: Path) -> None:
    """Without items, every disturbance for the model's channels, with examples."""
    found = stress(inspector, images_in(images), per_level=1)
    assert [item.name for item in found.curves] == list(NAMED)
    assert all(len(item.examples) == 5 for item in found.curves)


# ---- hostile input


def test_no_good_image_is_said(inspector: Inspector, images: Path) -> None:
    """Nothing is known of overkill then, and nothing is made up."""
    found = stress(inspector, [(images / "scratch/0.png", "scratch")], items=only("gain", 0.5))
    assert found.undisturbed.overkill.share is None
    assert "no good image" in summary_words(found)
    assert "no good image" in render_stress(found)


def test_good_images_alone_have_no_escapes(inspector: Inspector, images: Path) -> None:
    """A dash, not zero."""
    found = stress(inspector, [(images / "good/0.png", "ok")], items=only("gain", 0.5))
    assert found.n_good == 1
    assert escapes_words(found.curves[0], found.undisturbed) == "–"


def test_an_unreadable_image_is_named_and_not_counted(inspector: Inspector, images: Path) -> None:
    """It says nothing about the model."""
    (images / "good/broken.png").write_bytes(b"no image")
    found = stress(inspector, images_in(images), items=only("gain", 0.5))
    assert found.n_good == 3
    assert found.unreadable == ("imgs/good/broken.png",)
    assert "broken.png" in render_stress(found)


def test_images_that_do_not_fit_the_model_are_an_error(inspector: Inspector, tmp_path: Path) -> None:
    """16-bit frames for an 8-bit model: none can be read, so there is no result."""
    path = write(tmp_path / "good/a.png", picture(1).astype("uint16") * 256)
    with pytest.raises(ImageError, match="none of the images"):
        stress(inspector, [(path, "good")], items=only("gain", 0.5))


def test_grey_files_are_taken_by_a_colour_model(inspector: Inspector, tmp_path: Path) -> None:
    """As everywhere: the one channel is repeated, and all disturbances apply."""
    path = write(tmp_path / "good/a.png", picture(1, channels=1))
    assert stress(inspector, [(path, "good")], items=only("cast", 15.0)).n_good == 1


def test_no_image_is_an_error(inspector: Inspector) -> None:
    """And so are numbers that make no sense."""
    with pytest.raises(ImageError, match="at least one image"):
        stress(inspector, [])
    for wrong in ({"per_level": 0}, {"seed": -1}, {"workers": 0}):
        with pytest.raises(UsageError, match="at least one"):
            stress(inspector, [(Path("a.png"), "good")], **wrong)  # type: ignore[arg-type]


# ---- images of known class


def test_a_folder_says_the_classes(images: Path) -> None:
    """Good beside one folder per defect."""
    assert [label for _, label in images_in(images)] == ["good"] * 3 + ["scratch"] * 2


def test_the_training_side_is_never_taken(tmp_path: Path) -> None:
    """Where there is test/, nothing of train/ is used, nor any mask."""
    paint_parts(tmp_path / "test")
    paint(tmp_path / "train/good/0.png", GOOD_RGB)
    paint(tmp_path / "ground_truth/scratch/0_mask.png", BAD_RGB)
    assert len(images_in(tmp_path)) == 5
    assert all("test" in path.parts for path, _ in images_in(tmp_path))


def test_unknown_truth_is_refused(images: Path, tmp_path: Path) -> None:
    """Loose images, folders without a good one, an empty folder, no folder: each is said."""
    with pytest.raises(UsageError, match="no such folder"):
        images_in(tmp_path / "absent")
    paint(images / "loose.png", GOOD_RGB)
    with pytest.raises(ImageError, match="truth is unknown"):
        images_in(images)
    with pytest.raises(ImageError, match="no good images"):
        images_in(images / "good")
    shutil.rmtree(images / "good")
    with pytest.raises(ImageError, match="the folders scratch"):
        images_in(images)


def locked(bundle: Path, root: Path, images: str) -> Path:
    """Copy a bundle and give it a lock file that names the images below `root`."""
    copy = root / "models/tiny"
    shutil.copytree(bundle, copy)
    folder = root / "data"
    listed = [
        {
            "name": path.relative_to(folder).as_posix(),
            "split": "test" if "test" in path.parts else "train",
            "label": path.parent.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*.png"))
    ]
    lock = {"recipe": {"part": "tiny", "images": images}, "images": listed}
    (copy / "recipe.lock.yaml").write_text(yaml.safe_dump(lock))
    seal(copy)
    return copy


@pytest.fixture
def known(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle in models/tiny whose recipe's images lie in data/."""
    monkeypatch.chdir(tmp_path)
    paint_parts(tmp_path / "data/test")
    paint(tmp_path / "data/train/good/0.png", GOOD_RGB)
    return locked(bundle, tmp_path, "../../data")


def test_the_recipes_own_test_images(known: Path) -> None:
    """Those that the lock names on the test side, found from the bundle."""
    found = images_of_recipe(known)
    assert [label for _, label in found] == ["good"] * 3 + ["scratch"] * 2


def test_other_images_than_the_recipes_are_refused(known: Path) -> None:
    """A model that is tested on other images than it says is tested on nothing."""
    paint(Path("data/test/good/1.png"), BAD_RGB)
    with pytest.raises(UsageError, match="another SHA-256"):
        images_of_recipe(known)
    Path("data/test/good/1.png").unlink()
    with pytest.raises(UsageError, match="no longer there"):
        images_of_recipe(known)
    shutil.rmtree("data")
    with pytest.raises(UsageError, match="--images"):
        images_of_recipe(known)


@pytest.mark.parametrize("text", ["", "- 1", "recipe: 3\nimages: []", "images: [1]\nrecipe: {images: a, part: b}", "{"])
def test_a_broken_lock_is_refused(known: Path, text: str) -> None:
    """Nothing is guessed from it."""
    (known / "recipe.lock.yaml").write_text(text)
    seal(known)
    with pytest.raises(BundleError, match=r"recipe\.lock\.yaml"):
        images_of_recipe(known)


def test_a_bundle_without_a_lock_asks_for_images(bundle: Path) -> None:
    """The remedy is named."""
    with pytest.raises(UsageError, match="--images"):
        images_of_recipe(bundle)


# ---- files and page


def test_the_table_has_a_line_per_level(result: StressResult) -> None:
    """Each with k, n and interval, a share of nothing left empty."""
    rows = list(csv.DictReader(io.StringIO(stress_csv(result))))
    assert [row["words"] for row in rows] == [
        "undisturbed",
        "gain 0.05",
        "gain 0.15",
        "gain 0.5",
        "gain 1.5",
        "gain 2.5",
    ]
    assert (rows[-1]["overkill"], rows[-1]["overkill_k"], rows[-1]["overkill_n"]) == ("1.0000", "3", "3")
    assert rows[1]["overkill"] == ""


def test_files_are_written_and_replaced(result: StressResult, tmp_path: Path) -> None:
    """A folder that is there already keeps what else lies in it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    (tmp_path / "out/stress.csv").write_text("old")
    names = {path.name for path in write_stress(result, tmp_path / "out")}
    assert names == {"stress.csv", "stress.json", "stress.html"}
    assert "old" not in (tmp_path / "out/stress.csv").read_text()
    assert (tmp_path / "out/mine.txt").exists()
    document = json.loads((tmp_path / "out/stress.json").read_text())
    assert document["disturbances"][0]["overkill_exceeds_limit"][1]["first_level"] == 2.5


def test_a_file_in_the_way_is_said(result: StressResult, tmp_path: Path) -> None:
    """Exit code 4, and the remedy."""
    (tmp_path / "out").touch()
    with pytest.raises(StorageError, match="--out"):
        write_stress(result, tmp_path / "out")


def test_the_page_is_whole_and_fetches_nothing(result: StressResult) -> None:
    """No script, no address; every level's numbers are in it."""
    page = render_stress(result)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "gain 2.5: 100.0 %, 3 of 3" in page
    assert page.count("<svg") >= 2


def test_names_are_escaped(result: StressResult) -> None:
    """A part may be called anything."""
    page = render_stress(dataclasses.replace(result, part="<script>x", unreadable=("<b>.png",)))
    assert "<script" not in page
    assert "<b>.png" not in page


def test_the_section_stands_alone(result: StressResult) -> None:
    """For another page: one section with its anchor."""
    found = stress_section(result)
    assert found.startswith('<section id="stress-test">')
    assert found.count("<h2>") == 1


def test_a_gap_where_no_image_got_a_call() -> None:
    """A line ends before a level with no share, and goes on behind it; no number is drawn for it."""
    rates = (rate(0, 4), rate(1, 4), rate(0, 0), rate(2, 4))
    drawing = curves("abcd", "abcd", [Line("overkill", "ng", rates)], 0, 0.1)
    assert drawing.count("<circle") == 3
    assert drawing.count("<path") == 1


def test_undisturbed_overkill_is_said_first(result: StressResult) -> None:
    """A model that is wrong already needs no disturbance."""
    worse = dataclasses.replace(result, undisturbed=level("undisturbed", {"NG": 1, "OK": 2}))
    assert summary_words(worse).startswith("Undisturbed already, 1 of 3 good images")


# ---- the command


def app() -> typer.Typer:
    """The command alone."""
    made = typer.Typer()
    made.command()(command_module.command)
    return made


def test_the_command_uses_the_recipes_images(known: Path) -> None:
    """Without --images and --out: the test images, and stress/<part>."""
    done = CliRunner().invoke(app(), [str(known), "--per-level", "1"])
    assert done.exit_code == 0, done.output
    assert Path("stress/tiny/stress.html").is_file()
    assert "1 good image and 1 defective" in done.output


def test_the_command_prints_json_alone(bundle: Path, images: Path) -> None:
    """With --json stdout is one document; an unreadable image gives exit code 3."""
    (images / "good/broken.png").write_bytes(b"no image")
    words = [str(bundle), "--images", str(images), "--out", "out", "--per-level", "9", "--json"]
    done = CliRunner().invoke(app(), words)
    assert done.exit_code == 3
    assert json.loads(done.stdout)["unreadable"] == ["imgs/good/broken.png"]


@pytest.mark.parametrize("words", [["--images", "absent"], ["--images", "imgs/good"]])
def test_the_command_refuses_what_it_cannot_use(bundle: Path, images: Path, words: list[str]) -> None:
    """One clear error, and no folder is written."""
    done = CliRunner().invoke(app(), [str(bundle), *words])
    assert isinstance(done.exception, LinesideError)
    assert not Path("stress").exists()
