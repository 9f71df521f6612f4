"""`lineside check`: everything that is wrong with a recipe's images is found before training, and nothing else is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

import images
from lineside.calibrate.crossfit import holdout
from lineside.capture.check import check_recipe
from lineside.capture.findings import CheckReport
from lineside.cli import check
from lineside.errors import RecipeError
from lineside.evidence import holdout_parts, holdout_total
from lineside.recipe import load_recipe

ROOT = Path(__file__).parents[1]
app = typer.Typer()
app.command()(check.command)


def problems(folder: Path) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return what a check finds, as plain values."""
    return [(p.severity, p.text, p.files) for p in report(folder).problems]


def report(folder: Path) -> CheckReport:
    """Check a recipe folder."""
    return check_recipe(load_recipe(folder))


def run(*arguments: str | Path) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_a_sound_folder_has_no_problems(sound: Path) -> None:
    """Nothing is found where nothing is wrong, and the numbers are right."""
    found = report(sound)
    assert found.problems == ()
    assert found.exit_code == 0
    assert found.counts == {"train/good": 20, "train/dent": 2, "test/good": 4, "test/dent": 3}
    assert (found.sizes, found.file_channels, found.frame_channels) == ({"64x48": 29}, {"rgb": 29}, 3)
    assert found.groups == 20
    assert found.likeness is not None
    assert found.likeness.typical_distance is not None
    assert found.likeness.typical_distance > 3 * found.likeness.near_limit


def test_every_unreadable_file_is_listed_with_its_reason(sound: Path) -> None:
    """Broken files do not stop the check: each is named, and the exit code is 3."""
    (sound / "images/test/good/empty.png").write_bytes(b"")
    (sound / "images/train/good/text.png").write_text("no image")
    found = report(sound)
    assert found.problems[0].text == "2 of 31 images cannot be used"
    assert found.problems[0].files == (
        "test/good/empty.png: an empty file (0 bytes); copy it again.",
        "train/good/text.png: not a JPEG, PNG, BMP or TIFF image (it begins with b'no image').",
    )
    assert found.exit_code == 3


def test_an_exact_copy_across_the_split_is_named_once(sound: Path) -> None:
    """The same file in train and test is an exact copy, not a near one as well."""
    shutil.copy(sound / "images/train/good/000.png", sound / "images/test/good/copy.png")
    text = "the same picture in train and in test: it says nothing about new parts, and is not tested on"
    assert problems(sound) == [("warning", text, ("test/good/copy.png = train/good/000.png (same file)",))]


def test_equal_pixels_in_another_format_are_a_copy(sound: Path) -> None:
    """A PNG saved again as BMP is the same picture."""
    images.write(sound / "images/train/good/copy.bmp", images.picture(3000))
    assert problems(sound) == [
        (
            "warning",
            "the same picture twice in train: it counts as one part",
            ("train/good/000.png = train/good/copy.bmp (same pixels)",),
        )
    ]


def test_the_same_picture_under_two_labels_is_named(sound: Path) -> None:
    """A picture that stands as good and as defect is a mistake of one of them."""
    shutil.copy(sound / "images/train/good/000.png", sound / "images/train/dent/copy.png")
    assert [text for _, text, _ in problems(sound)] == [
        "the same picture under two labels; one of them is wrong",
        "the same picture twice in train: it counts as one part",
    ]


@pytest.mark.parametrize("change", ["jpeg", "darker", "noise"])
def test_a_near_copy_across_the_split_is_named(tmp_path: Path, change: str) -> None:
    """A picture saved as JPEG, at another exposure or as the next frame of a still part is near; others are not."""
    rng = np.random.default_rng(0)
    for i in range(20):
        images.write(tmp_path / f"images/train/good/{i}.png", images.picture(i, 200, 200))
    images.write(tmp_path / "images/test/good/other.png", images.picture(99, 200, 200))
    image = images.picture(7, 200, 200).astype(float)
    path = tmp_path / f"images/test/good/copy.{'jpg' if change == 'jpeg' else 'png'}"
    changed = {"jpeg": image, "darker": image * 0.8, "noise": image + rng.normal(0, 1, image.shape)}[change]
    images.write(path, np.clip(changed, 0, 255).round().astype(np.uint8))
    found = report(images.write_recipe(tmp_path))
    assert found.likeness is not None
    assert [(pair.first, pair.second) for pair in found.likeness.near] == [
        ("train/good/7.png", f"test/good/{path.name}")
    ]
    assert "a good image's nearest neighbour is typically" in found.problems[0].text


def test_well_aligned_good_parts_are_no_copies(tmp_path: Path) -> None:
    """Parts in a fixture that differ by little more than noise are alike, and no duplicates."""
    rng = np.random.default_rng(0)
    part = images.picture(0, 200, 200).astype(float)
    for side, count in (("train", 20), ("test", 10)):
        for i in range(count):
            grain = images.picture(int(rng.integers(2**31)), 200, 200).astype(float) - 128
            shot = part + 0.05 * grain + rng.normal(0, 1, part.shape)
            images.write(tmp_path / f"images/{side}/good/{i}.png", np.clip(shot, 0, 255).round().astype(np.uint8))
    found = report(images.write_recipe(tmp_path))
    assert found.problems == ()
    assert found.likeness is not None
    assert found.likeness.typical_distance is not None
    assert found.likeness.typical_distance < 3


def test_masks_that_fit_nothing_are_empty_or_of_another_size(sound: Path) -> None:
    """Each mask must fit an image, in size, and mark something."""
    folder = sound / "images/ground_truth/dent"
    images.write(folder / "000_mask.png", np.full((48, 64), 255, np.uint8))
    images.write(folder / "001_mask.png", np.zeros((48, 64), np.uint8))
    images.write(folder / "002_mask.png", np.full((64, 48), 255, np.uint8))
    images.write(folder / "003_mask.png", np.full((48, 64), 255, np.uint8))
    (sound / "images/train/dent/000.png").rename(sound / "images/train/dent/t000.png")
    (sound / "images/train/dent/001.png").rename(sound / "images/train/dent/t001.png")
    images.write(folder / "t000_mask.png", np.full((48, 64), 255, np.uint8))
    (folder / "t001_mask.png").write_bytes(b"")
    assert problems(sound) == [
        (
            "error",
            "masks cannot be read",
            ("ground_truth/dent/t001_mask.png: an empty file (0 bytes); copy it again.",),
        ),
        (
            "error",
            "masks are of another size than their image; draw them on the image as it is",
            ("ground_truth/dent/002_mask.png: 48x64, test/dent/002.png: 64x48",),
        ),
        (
            "warning",
            "masks are empty; a defect image needs its defect marked, or no mask at all",
            ("ground_truth/dent/001_mask.png",),
        ),
        (
            "warning",
            "masks fit no image; a mask is named <image>_mask.png or <image>.png",
            ("ground_truth/dent/003_mask.png",),
        ),
    ]
    assert report(sound).exit_code == 3


def test_a_mask_name_on_both_sides_is_named(sound: Path) -> None:
    """A training image of the same name as a masked test image gets no mask, and that is said."""
    images.write(sound / "images/ground_truth/dent/000_mask.png", np.full((48, 64), 255, np.uint8))
    text = "images under train/ share their name with one under test/, which the mask is taken for; rename them"
    assert problems(sound) == [("warning", text, ("train/dent/000.png",))]


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        (
            "calibrate: {overkill: 0.01}",
            "20 good parts can support an overkill of 4.8% at best, and 1.0% is asked for: that needs 99, 79 more. "
            "Add good images, or set calibrate.overkill: 0.048",
        ),
        (
            "calibrate: {confidence: 0.95}",
            "20 good parts can support an overkill of 13.9% with 95% confidence at best, and 5.0% is asked for: that "
            "needs 59, 39 more. Add good images, or set calibrate.overkill: 0.14",
        ),
        (
            "calibrate: {crossfit: holdout}",
            "4 good parts (held out of 20) can support an overkill of 20.0% at best, and 5.0% is asked for: that "
            "needs 93, 73 more. Add good images, or set calibrate.overkill: 0.2",
        ),
        (
            "transfer: {method: anomalib.Padim}",
            "4 good parts (held out of 20) can support an overkill of 20.0% at best, and 5.0% is asked for: that "
            "needs 93, 73 more. Add good images, or set calibrate.overkill: 0.2",
        ),
    ],
)
def test_too_few_good_parts_for_the_wish(sound: Path, recipe: str, text: str) -> None:
    """What n good parts can support at best, 1 / (n + 1), and how many the wish needs are said."""
    images.write_recipe(sound, recipe)
    assert problems(sound) == [("warning", text, ())]


def test_nineteen_parts_are_enough_for_one_in_twenty(tmp_path: Path) -> None:
    """The limit is exact: 19 good parts support 5 %, 18 do not."""
    images.write_folder(tmp_path / "images", {"train/good": 19})
    images.write_recipe(tmp_path)
    assert problems(tmp_path) == []
    (tmp_path / "images/train/good/018.png").unlink()
    assert [text.split(" can")[0] for _, text, _ in problems(tmp_path)] == ["18 good parts"]


def test_parts_are_counted_not_images(tmp_path: Path) -> None:
    """Twenty views of four parts are four parts; training then uses four folds, which is no error."""
    for i in range(20):
        images.write(tmp_path / f"images/train/good/p{i % 4}_{i}.png", images.picture(i))
    images.write_recipe(tmp_path, "capture: {group: '^(p[0-9])'}\n")
    found = report(tmp_path)
    assert found.groups == 4
    assert found.problems[0].text == (
        "4 good parts to train on: calibration uses 4 folds instead of the 5 of calibrate.folds, since each needs a "
        "part"
    )
    assert (found.problems[0].severity, found.exit_code) == ("warning", 0)


def test_one_good_part_is_too_few_to_train(tmp_path: Path) -> None:
    """Training refuses a single part, so the check does, and names no wish that could be met."""
    images.write_folder(tmp_path / "images", {"train/good": 1})
    found = report(images.write_recipe(tmp_path))
    assert [p.text for p in found.problems] == [
        "1 good part to train on, and at least 2 are needed. Add good images, or mend capture.group if it takes "
        "different parts for one"
    ]
    assert found.exit_code == 2


@pytest.mark.parametrize("parts", [2, 3, 8, 92, 93, 94])
def test_the_check_counts_the_held_out_parts_as_training_does(parts: int) -> None:
    """The check's number of held-out parts, and of the parts needed for some, is that of the split itself."""
    held = len(holdout([f"p{i}" for i in range(parts)], seed=0).score)
    assert holdout_parts(parts) == held
    assert holdout_parts(holdout_total(held)) == held
    assert holdout_total(held) <= parts
    assert holdout_total(held) == 2 or holdout_parts(holdout_total(held) - 1) < held


def test_what_the_check_proposes_is_a_recipe_without_warning(tmp_path: Path) -> None:
    """With three parts one is held out; the overkill that is proposed is allowed, and supported."""
    images.write_folder(tmp_path / "images", {"train/good": 3})
    found = report(images.write_recipe(tmp_path, "calibrate: {crossfit: holdout}"))
    assert found.problems[0].text.startswith("1 good part (held out of 3) can support an overkill of 50.0% at best")
    proposed = found.problems[0].text.rsplit(" ", 1)[1]
    images.write_recipe(tmp_path, f"calibrate: {{crossfit: holdout, overkill: {proposed}}}")
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("anomalib.Patchcor", "anomalib has no model 'Patchcor'. The nearest is anomalib.Patchcore."),
        ("anomalib.VlmAd", "anomalib.VlmAd cannot be used: it asks a language model for a text"),
    ],
)
def test_a_method_that_cannot_be_trained_is_refused(sound: Path, method: str, reason: str) -> None:
    """A misspelt or refused model is no recipe that is ready to train: the error names file, line and key."""
    images.write_recipe(sound, f"transfer:\n  method: {method}\n")
    with pytest.raises(RecipeError) as caught:
        run(sound)
    assert str(caught.value).startswith(f"{sound / 'recipe.yaml'}:4: transfer.method: {reason}")


@pytest.mark.parametrize(
    ("transfer", "key", "reason"),
    [
        ("licences: [mit]", "backbone", "the backbone EfficientNet-Lite0 .* has the licence 'apache-2.0'"),
        ("licences: [mit]\n  method: anomalib.Patchcore", "method", "anomalib's licence 'apache-2.0'"),
        ("taps: [7, 8]", "taps", "this backbone has the strides 2, 4, 8, 16, 32; found 7"),
        ("taps: [8, 64]\n  backbone: timm:resnet18.a1_in1k", "taps", "this backbone has the strides .*; found 64"),
        ("backbone: timm:resnet1", "backbone", "timm has no model 'resnet1'"),
        ("method: anomalib.Fastflow", "backbone", "takes only these: resnet18, .* found tf_efficientnet_lite0"),
    ],
)
def test_what_training_would_refuse_of_the_network_is_refused(
    sound: Path, transfer: str, key: str, reason: str
) -> None:
    """Licences, and taps that a network does not have: never ready to train."""
    images.write_recipe(sound, f"transfer:\n  {transfer}\n")
    with pytest.raises(RecipeError, match=rf"transfer\.{key}: .*{reason}"):
        run(sound)


def test_the_check_loads_no_training_package(sound: Path) -> None:
    """A recipe with an anomalib model is checked without torch."""
    images.write_recipe(sound, "transfer: {method: anomalib.Padim}")
    code = (
        "import sys\nfrom lineside.cli import check\nimport typer\n"
        f"try:\n    check.command({str(sound)!r})\nexcept typer.Exit:\n    pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'anomalib', 'timm', 'albumentations')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


def test_output_among_the_images_is_named(sound: Path) -> None:
    """What lineside wrote among the images is left out, and the check says where it lies."""
    shutil.copytree(sound / "images/test/dent", sound / "images/train/good/results/overlays")
    (sound / "images/train/good/results/run.json").write_text("{}")
    text = "folders that lineside wrote lie among the images, and are left out; better write them elsewhere with --out"
    assert problems(sound) == [("warning", text, ("train/good/results/overlays",))]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux alone")
def test_odd_names_beside_the_images_are_shown_escaped(sound: Path) -> None:
    """An empty folder and a mask for nothing whose names are not UTF-8 are warnings that can be printed."""
    (sound / "images/test" / os.fsdecode(b"r\xff")).mkdir()
    mask = images.write(sound / "images/ground_truth/dent/t.png", np.full((48, 64), 255, np.uint8))
    mask.rename(mask.with_name(os.fsdecode(b"m\xff.png")))
    result = run(sound)
    assert result.exit_code == 0
    assert "  test/r\\xff\n" in result.stdout
    files = [each["files"] for each in json.loads(run(sound, "--json").stdout)["problems"]]
    assert files == [["test/r\\xff"], ["ground_truth/dent/m\\xff.png"]]


def test_several_sizes_are_listed(sound: Path) -> None:
    """Images of another size than most are named."""
    images.write(sound / "images/test/good/big.png", images.picture(500, 96, 128))
    text = "2 sizes of image, most of them 64x48; a camera in one place gives one"
    assert problems(sound) == [("warning", text, ("test/good/big.png: 128x96",))]
    assert report(sound).sizes == {"64x48": 29, "128x96": 1}


def test_an_empty_class_folder_is_named(sound: Path) -> None:
    """A folder without an image is probably a copy that went wrong."""
    (sound / "images/test/rust").mkdir()
    assert problems(sound) == [("warning", "folders hold no images", ("test/rust",))]


def test_grey_goods_make_grey_frames_and_a_colour_file_among_them_is_refused(tmp_path: Path) -> None:
    """auto: grey good images mean a grey camera, which cannot have taken a colour picture."""
    images.write_folder(tmp_path / "images", {"train/good": 20, "test/good": 2}, channels=1)
    images.write(tmp_path / "images/test/good/colour.png", images.picture(7))
    images.write(tmp_path / "images/test/good/equal.png", np.repeat(images.picture(8, channels=1), 3, axis=2))
    found = report(images.write_recipe(tmp_path))
    assert found.frame_channels == 1
    assert [p.files for p in found.problems] == [
        (
            "test/good/colour.png: a colour image, but one channel is needed; set capture.color: rgb in the recipe, or "
            "save grey images.",
        )
    ]


def test_grey_among_colour_goods_is_named(sound: Path) -> None:
    """A grey file among colour ones is taken as colour, and that is said."""
    images.write(sound / "images/train/good/grey.png", images.picture(7, channels=1))
    text = "good training images are grey and others colour; all are taken as colour. Set capture.color to say which"
    assert problems(sound) == [("warning", text, ("train/good/grey.png",))]
    images.write_recipe(sound, "capture: {color: rgb}\n")
    assert problems(sound) == []


def test_files_of_another_bit_depth_are_named(tmp_path: Path) -> None:
    """8-bit files under a 12-bit recipe are refused with the remedy."""
    images.write_folder(tmp_path / "images", {"train/good": 20})
    found = report(images.write_recipe(tmp_path, "capture: {bit_depth: 12}\n"))
    assert found.problems[0].text == "20 of 20 images cannot be used"
    assert "set capture.bit_depth: 8" in found.problems[0].files[0]
    assert (len(found.problems), found.exit_code) == (1, 3)
    assert found.likeness is None


def test_progress_is_told_image_by_image(sound: Path) -> None:
    """The caller hears of every image."""
    heard: list[tuple[int, int]] = []
    check_recipe(load_recipe(sound), lambda done, total: heard.append((done, total)))
    assert heard == [(i, 29) for i in range(1, 30)]


@pytest.mark.parametrize("name", ["caps", "weave"])
def test_the_sample_data_is_sound(name: str) -> None:
    """The recipes that ship with the project have nothing to warn of."""
    assert report(ROOT / "recipes" / name).problems == ()


@pytest.mark.skipif("LINESIDE_DATA" not in os.environ, reason="LINESIDE_DATA, the folder of real images, is not set")
@pytest.mark.slow
def test_real_images_are_sound(tmp_path: Path) -> None:
    """On real ball screws nothing is a duplicate and nothing unreadable."""
    data = Path(os.environ["LINESIDE_DATA"]) / "bsd"
    found = report(images.write_recipe(tmp_path, images=data.as_posix()))
    assert found.problems == ()
    assert found.counts == {"train/good": 100, "test/good": 100, "test/pitting": 73}
