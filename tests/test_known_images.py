"""Which images a model knows: by file, by part, by what it sees in them; and that an evaluation leaves them out."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from flat_parts import BAD_RGB, GOOD_RGB, lines, paint
from lineside.bench.evaluation.run import EvaluateOptions, Evaluation, evaluate_images
from lineside.capture.known_looks import LOOKS_FILE
from lineside.errors import BundleError, ImageError
from lineside.export.known_images import SAME_REL, file_sha256, known_images, picture_of
from lineside.export.state import pack_state
from lineside.export.threshold_images import MOST, THRESHOLD_IMAGES_FILE, threshold_images
from lineside.runtime import Inspector
from tiny import seal, write_tiny_bundle

OWN_RGB = (103, 61, 97)
"""Colour of the training image; no other image has it."""


def bundle_with(folder: Path, group: str | None = None, trained: Path | None = None, **state: np.ndarray) -> Path:
    """Write a tiny bundle with a lock that names one training and one test image, and a state where asked."""
    bundle = write_tiny_bundle(folder)
    own = hashlib.sha256(trained.read_bytes()).hexdigest() if trained else "a" * 64
    images = [
        {"name": "train/good/p1_0.png", "split": "train", "group": "p1", "sha256": own},
        {"name": "test/good/p2_0.png", "split": "test", "group": "p2", "sha256": "b" * 64},
    ]
    document = {"recipe": {"capture": {"group": group}}, "images": images}
    (bundle / "recipe.lock.yaml").write_text(yaml.safe_dump(document))
    if state:
        (bundle / "state.npz").write_bytes(pack_state(state))
    seal(bundle)
    return bundle


def bundle_that_learned(folder: Path, rgb: tuple[int, int, int]) -> Path:
    """Write a tiny bundle whose state holds the embedding of a flat frame."""
    plain = Inspector(write_tiny_bundle(folder / "plain"))
    seen = plain.inspect(np.full((16, 16, 3), rgb, np.uint8)).embedding
    return bundle_with(folder / "own", embeddings=seen[None])


def evaluated(bundle: Path, images: Path | str) -> Evaluation:
    """Evaluate into ``out``."""
    return evaluate_images(Inspector(bundle), [images], "out", EvaluateOptions())


def test_files_and_parts_are_known(tmp_path: Path) -> None:
    """A file by its content; by its part only where the recipe has a pattern; test images are not learned from."""
    known = known_images(bundle_with(tmp_path / "a", r"(?P<part>p\d)_"))
    assert known.learned(Path("x.png"), "a" * 64)
    assert known.learned(Path("p1_7.png"), "c" * 64)
    assert not known.learned(Path("p2_7.png"), "b" * 64)
    assert not known.learned(Path("x.png"), "c" * 64)
    assert not known_images(bundle_with(tmp_path / "b")).learned(Path("p1_7.png"), "c" * 64)


def test_a_test_image_that_copies_a_training_image_is_known_with_it(tmp_path: Path) -> None:
    """As the lock says it: the file is learned from, and the evaluation names the training image."""
    bundle = bundle_with(tmp_path / "a")
    document = yaml.safe_load((bundle / "recipe.lock.yaml").read_text())
    document["images"][1]["copy_of"] = "train/good/p1_0.png"
    (bundle / "recipe.lock.yaml").write_text(yaml.safe_dump(document))
    seal(bundle)
    known = known_images(bundle)
    assert known.learned(Path("x.png"), "b" * 64)
    twins = {"x.png": known.names["b" * 64]}
    assert "x.png = train/good/p1_0.png, y.png." in known.left_out(["x.png", "y.png"], twins)


def test_parts_are_those_of_the_names_although_copies_joined_them(tmp_path: Path) -> None:
    """A training image of part p3 whose group became p1, as a copy, still makes p3 a part that was learned from."""
    bundle = bundle_with(tmp_path / "a", r"(?P<part>p\d)_")
    document = yaml.safe_load((bundle / "recipe.lock.yaml").read_text())
    document["images"].append({"name": "train/good/p3_0.png", "split": "train", "group": "p1", "sha256": "d" * 64})
    (bundle / "recipe.lock.yaml").write_text(yaml.safe_dump(document))
    seal(bundle)
    assert known_images(bundle).learned(Path("p3_9.png"), "e" * 64)


def test_a_picture_is_known_by_its_embedding(tmp_path: Path) -> None:
    """Within the tolerance, relative to the length; a bundle without embeddings knows none."""
    rows = np.array([[3.0, 4.0], [30.0, 40.0]], np.float32)
    known = known_images(bundle_with(tmp_path / "a", embeddings=rows))
    assert known.looks_learned(np.array([3.0, 4.0 + 4.0 * SAME_REL], np.float32), "")
    assert not known.looks_learned(np.array([3.0, 4.0 + 6.0 * SAME_REL], np.float32), "")
    assert not known_images(bundle_with(tmp_path / "b")).looks_learned(rows[0], "")


@pytest.mark.parametrize(
    ("group", "embeddings", "ways", "unseen"),
    [
        (None, False, "files", "other pictures of training parts, and images saved anew,"),
        (None, True, "files and embeddings", "other pictures of training parts, and defective ones saved anew,"),
        (r"(p\d)", True, "files, parts and embeddings", "defective ones saved anew"),
    ],
)
def test_it_says_how_it_compares(tmp_path: Path, group: str | None, embeddings: bool, ways: str, unseen: str) -> None:
    """And what it would not notice."""
    state = {"embeddings": np.ones((1, 3), np.float32)} if embeddings else {}
    said = known_images(bundle_with(tmp_path / "a", group, **state)).compared
    assert said == f"compared by {ways}; {unseen} would not be noticed"


def test_a_bundle_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    """Neither lock nor state."""
    known = known_images(write_tiny_bundle(tmp_path / "bare"))
    assert known.compared is None
    assert not known.learned(Path("x.png"), "a" * 64)


@pytest.mark.parametrize("text", ["- 1", "images: 3", "{", "images: [{split: train}]"])
def test_a_lock_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    """In one sentence, with the file."""
    bundle = write_tiny_bundle(tmp_path / "a")
    (bundle / "recipe.lock.yaml").write_text(text)
    seal(bundle)
    with pytest.raises(BundleError, match=r"recipe\.lock\.yaml.*Copy the bundle again"):
        known_images(bundle)


def test_what_cannot_be_read_has_no_hash(tmp_path: Path) -> None:
    """Its row will say so."""
    assert file_sha256(tmp_path / "gone.png") == ""


def test_many_names_are_cut() -> None:
    """A sentence names twelve, and counts the rest."""
    said = known_images(Path("nowhere")).left_out([f"{i}.png" for i in range(14)])
    assert said.startswith("14 images were left out, since the model learned from them: 0.png, 1.png, ")
    assert said.endswith(", 11.png and 2 more.")


def test_an_evaluation_leaves_out_what_looks_learned(images: Path, tmp_path: Path) -> None:
    """A training picture in another format is counted nowhere, neither now nor by the run that goes on with it."""
    copy = paint(images / "good/copy.bmp", OWN_RGB)
    bundle = bundle_that_learned(tmp_path / "bundles", OWN_RGB)
    made = evaluated(bundle, images)
    before = len(lines("out"))
    assert made.left_out == (copy.as_posix(),)
    assert made.numbers.images == made.summary.total == before - 1
    assert "copy.bmp" not in Path("out/results.csv").read_text()
    again = evaluated(bundle, images)
    assert (again.left_out, again.numbers.labels) == (made.left_out, made.numbers.labels)
    page = Path("out/report.html").read_text()
    assert "1 image was left out, since the model learned from it: " in page
    assert "compared by files and embeddings" in page


def test_an_evaluation_leaves_out_what_a_class_learned(images: Path, tmp_path: Path) -> None:
    """An example of a defect class is known by its pixels, although neither lock nor embeddings name it."""
    learned = picture_of(np.full((12, 12, 3), BAD_RGB, np.uint8))
    bundle = bundle_with(tmp_path / "own", class_pictures=np.array([learned]))
    paint(images / "scratch/other.png", (201, 60, 90))
    made = evaluated(bundle, images)
    assert made.left_out == tuple((images / f"scratch/{i}.png").as_posix() for i in range(2))
    assert made.numbers.images == 4


def test_an_evaluation_leaves_out_parts_of_the_training(images: Path, tmp_path: Path) -> None:
    """Another picture of a training part, by the recipe's pattern."""
    bundle = bundle_with(tmp_path / "own", r"(?P<part>p\d)_")
    for name in ("p1_9", "p2_9"):
        paint(Path(f"shots/good/{name}.png"), GOOD_RGB)
    made = evaluated(bundle, "shots")
    assert made.left_out == ("shots/good/p1_9.png",)
    assert [part.name for part in made.parts] == ["p2"]


def test_an_evaluation_leaves_out_what_the_thresholds_were_taken_from(images: Path, tmp_path: Path) -> None:
    """By pixels, under another name too, and by part; the model did not learn from them, so a calibration may."""
    bundle = bundle_with(tmp_path / "own", r"(?P<part>p\d)_")
    taken = threshold_images([picture_of(np.full((12, 12, 3), BAD_RGB, np.uint8))], ["p7"])
    (bundle / THRESHOLD_IMAGES_FILE).write_bytes(pack_state(taken.arrays()))
    seal(bundle)
    assert known_images(bundle).calibrated == taken
    paint(images / "scratch/other.png", (201, 60, 90))
    paint(images / "good/p7_3.png", (102, 60, 90))
    made = evaluated(bundle, images)
    gone = ("good/p7_3.png", "scratch/0.png", "scratch/1.png")
    assert sorted(made.left_out) == [(images / name).as_posix() for name in gone]
    assert made.numbers.images == 4
    page = Path("out/report.html").read_text()
    assert "the model learned from them, or its thresholds were taken from them" in page
    assert "copies of the 1 images that the thresholds were taken from" in page
    assert not known_images(bundle).learned(Path("p7_3.png"), "c" * 64)


def test_no_more_images_of_thresholds_are_kept_than_is_said() -> None:
    """And how many there were is told."""
    taken = threshold_images([hashlib.sha256(str(i).encode()).hexdigest() for i in range(MOST + 5)], [])
    assert (len(taken.pictures), taken.words) == (MOST, f"{MOST:,} of {MOST + 5:,}")
    assert taken.arrays()["pictures"].nbytes == 32 * MOST


@pytest.mark.parametrize("arrays", [{"total": np.array(1)}, {"pictures": np.zeros((2, 3), np.uint8)}])
def test_images_of_thresholds_that_are_none_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    """In one sentence, with the file."""
    whole = {"parts": np.array([], np.str_), "total": np.array(2)} | arrays
    (tmp_path / THRESHOLD_IMAGES_FILE).write_bytes(pack_state(whole))
    seal(tmp_path)
    with pytest.raises(BundleError, match=r"threshold_images\.npz: it names no images .* Copy the bundle again"):
        known_images(tmp_path)


@pytest.mark.parametrize("name", ["state.npz", LOOKS_FILE, THRESHOLD_IMAGES_FILE, "recipe.lock.yaml"])
@pytest.mark.parametrize("added", [False, True])
def test_what_is_not_as_it_was_written_is_refused(tmp_path: Path, name: str, added: bool) -> None:
    """Read or not, a file that was altered or added could let training images into an evaluation."""
    bundle = bundle_with(tmp_path / "own", embeddings=np.zeros((1, 3), np.float32))
    content = pack_state({"embeddings": np.ones((1, 3), np.float32)}) if name.endswith(".npz") else b"recipe: {}\n"
    (bundle / name).unlink(missing_ok=True)
    if not added:
        (bundle / name).write_bytes(b"as it was")
    seal(bundle)
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name}: altered or added after the bundle was written"):
        known_images(bundle)


def test_nothing_left_to_evaluate_is_an_error(images: Path, tmp_path: Path) -> None:
    """Whichever way they were found."""
    paint(Path("own/good/0.png"), OWN_RGB)
    bundle = bundle_that_learned(tmp_path / "bundles", OWN_RGB)
    with pytest.raises(ImageError, match="all 1 images are the model's own training images, or show parts of them"):
        evaluated(bundle, "own")


def test_a_renamed_training_image_is_left_out(images: Path, tmp_path: Path) -> None:
    """The lock names it by content, and it is said; where all are such images it is an error."""
    bundle = bundle_with(tmp_path / "locked", trained=paint(tmp_path / "t.png", (101, 60, 90)))
    paint(images / "good/copy.png", (101, 60, 90))
    made = evaluated(bundle, images)
    assert (len(made.left_out), made.numbers.parts) == (1, 5)
    assert "good/copy.png" not in Path("out/results.jsonl").read_text()
    assert "1 image was left out, since the model learned from it: " in Path("out/report.html").read_text()
    paint(Path("own/good/0.png"), (101, 60, 90))
    with pytest.raises(ImageError, match="all 1 images are the model's own training images"):
        evaluate_images(Inspector(bundle), ["own"], "out2")


def test_the_recipes_group_is_taken_from_the_bundle(images: Path, tmp_path: Path) -> None:
    """What the recipe says of parts holds for the evaluation."""
    bundle = bundle_with(tmp_path / "grouped", r"(?P<part>p\d)")
    for name in ("p3_a", "p3_b"):
        paint(Path(f"shots/good/{name}.png"), GOOD_RGB)
    assert evaluated(bundle, "shots").numbers.parts == 1
