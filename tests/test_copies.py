"""Copies of one part: found, kept on one side of every split, told with their pictures, and never guessed."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

import images
from conftest import write_part
from lineside.capture.copies import GAP, Copies, CopyPair, Look, grouped, load_grouped, look_at, same_parts
from lineside.capture.duplicates import closer
from lineside.data_lock import lock_document
from lineside.dataset import Dataset, Sample, load_dataset
from lineside.errors import ImageError, UsageError
from lineside.recipe import LoadedRecipe, load_recipe
from lineside.report.copies import SHOWN, copies_section
from lineside.report.training import pages
from lineside.train import train
from tiny import tiny_contract

SIDE_PX = 160


def shot(seed: int, sigma: float = 0.0) -> np.ndarray:
    """Return a picture of part `seed`; with noise, another frame of it."""
    image = images.picture(seed, SIDE_PX, SIDE_PX).astype(float)
    noise = np.random.default_rng(seed + 7).normal(0, sigma, image.shape) if sigma else 0.0
    return np.clip(image + noise, 0, 255).round().astype(np.uint8)


def write(root: Path, shots: dict[str, np.ndarray], text: str = "") -> LoadedRecipe:
    """Write images by name, and a recipe."""
    for name, image in shots.items():
        images.write(root / "images" / name, image)
    return load_recipe(images.write_recipe(root, text))


def groups(dataset: Dataset) -> list[set[str]]:
    """Return the images of each part that has several, by name."""
    named: dict[str, set[str]] = {}
    for sample in dataset.samples:
        named.setdefault(sample.group, set()).add(sample.name)
    return sorted((names for names in named.values() if len(names) > 1), key=min)


def named(pairs: Sequence[CopyPair]) -> set[tuple[str, str]]:
    """Return the pairs by name."""
    return {(pair.first.name, pair.second.name) for pair in pairs}


@pytest.mark.parametrize("seed", range(6))
def test_a_drawn_split_never_separates_copies(tmp_path: Path, seed: int) -> None:
    """However the seed draws, an exact copy, another frame and a defect of the same part are on its side."""
    shots = {f"good/{i}.png": shot(i) for i in range(12)}
    shots |= {"good/copy.bmp": shot(3), "good/frame.png": shot(5, sigma=1.0), "dent/frame.png": shot(5, sigma=1.5)}
    dataset, copies = load_grouped(write(tmp_path, shots, f"seed: {seed}\n"))
    assert groups(dataset) == [{"dent/frame.png", "good/5.png", "good/frame.png"}, {"good/3.png", "good/copy.bmp"}]
    sides = {sample.name: sample.split for sample in dataset.samples}
    assert all(len({sides[name] for name in names}) == 1 for names in groups(dataset))
    assert len({s.group for s in dataset.samples if s.is_good and s.split == "test"}) == 3
    assert not any(pair.across for pair in copies.pairs)
    assert "good/3.png = good/copy.bmp (the same pixels)" in copies.notes[0]


def test_without_copies_nothing_changes(tmp_path: Path) -> None:
    """The split, the groups and the lock are those of the plain listing."""
    loaded = write(tmp_path, {f"good/{i}.png": shot(i) for i in range(12)})
    dataset, copies = load_grouped(loaded)
    assert (copies.pairs, copies.unsure, copies.notes) == ((), (), ())
    assert lock_document(loaded, dataset) == lock_document(loaded, load_dataset(loaded))


def test_parts_by_name_become_one_where_they_share_a_copy(tmp_path: Path) -> None:
    """A near copy joins two whole parts of `capture.group`, not its two images alone."""
    shots = {f"train/good/p{part}_{i}.png": shot(10 * part + i) for part in range(6) for i in range(2)}
    shots["train/good/p4_9.png"] = shot(10, sigma=1.0)  # of p1_0
    dataset, _ = load_grouped(write(tmp_path, shots, "capture: {group: '^(p[0-9])_'}\n"))
    assert {s.group for s in dataset.samples} == {"p0", "p1", "p2", "p3", "p5"}
    assert {s.name[-8:-4] for s in dataset.samples if s.group == "p1"} == {"p1_0", "p1_1", "p4_0", "p4_1", "p4_9"}


def test_a_test_image_that_copies_a_training_image_does_not_count(tmp_path: Path) -> None:
    """It is in neither side's images nor counts; the lock names what it is a copy of."""
    shots = {f"train/good/{i}.png": shot(i) for i in range(10)} | {"test/good/new.png": shot(50)}
    shots |= {"test/good/same.png": shot(2), "test/good/frame.png": shot(4, sigma=1.0)}
    loaded = write(tmp_path, shots)
    dataset, copies = load_grouped(loaded)
    assert [s.name for s in dataset.select("test")] == ["test/good/new.png"]
    assert dataset.counts() == {"train/good": 10, "test/good": 1}
    assert named(copies.pairs) == {
        ("train/good/2.png", "test/good/same.png"),
        ("train/good/4.png", "test/good/frame.png"),
    }
    listed = {one["name"]: one for one in yaml.safe_load(lock_document(loaded, dataset))["images"]}
    assert listed["test/good/frame.png"]["copy_of"] == "train/good/4.png"
    assert "copy_of" not in listed["test/good/new.png"]
    assert "do not count in the evaluation" in copies.notes[0]


def test_a_part_before_and_after_damage_counts(tmp_path: Path) -> None:
    """A defect too small for the comparison must not leave the test: it is the hardest escape of all."""
    shots = {f"train/good/{i}.png": shot(i) for i in range(10)}
    scratched = shot(4)
    scratched[60:64, 20:140] //= 2
    loaded = write(tmp_path, shots | {"test/scratch/0.png": shot(4, sigma=1.0), "test/scratch/1.png": scratched})
    dataset, copies = load_grouped(loaded)
    assert len(dataset.select("test")) == 2
    assert [pair.second.name for pair in copies.pairs] == ["test/scratch/0.png"]
    assert "under another label" in copies.notes[0]


@pytest.mark.parametrize("label", ["good", "scratch"])
def test_a_copy_of_its_own_label_wins_over_a_nearer_one(tmp_path: Path, label: str) -> None:
    """A test image near training images of both labels is a copy of the one of its own, and tests nothing."""
    other = {"good": "scratch", "scratch": "good"}[label]
    shots = {f"train/good/{i}.png": shot(i) for i in range(10)}
    frame = shot(4, sigma=1.0)
    frame[0, 0, 0] ^= 1  # no exact copy of the nearer one
    shots |= {f"train/{label}/far.png": shot(4), f"train/{other}/near.png": shot(4, sigma=1.0)}
    shots |= {f"test/{label}/0.png": frame}
    del shots["train/good/4.png"]
    dataset, _ = load_grouped(write(tmp_path, shots))
    copies = {s.name: s.copy_of for s in dataset.samples}
    assert copies[f"test/{label}/0.png"] == f"train/{label}/far.png"
    assert not dataset.select("test")


def test_the_same_pixels_under_two_labels_are_a_mistake(tmp_path: Path) -> None:
    """That is said, and the test image does not count: the model learned that it is good."""
    shots = {f"train/good/{i}.png": shot(i) for i in range(6)} | {"test/dent/0.png": shot(2)}
    dataset, copies = load_grouped(write(tmp_path, shots))
    assert not dataset.select("test")
    assert any("one of them is wrong" in words for words in copies.notes)


@pytest.mark.parametrize("defects", [0, 3])
def test_parts_that_are_alike_by_nature_are_not_joined(tmp_path: Path, defects: int) -> None:
    """Parts that differ by no more than noise stay parts of their own, whether or not anything else is far away."""
    shots: dict[str, np.ndarray] = {}
    rng, still = np.random.default_rng(1), images.picture(0, SIDE_PX, SIDE_PX).astype(float)
    for i in range(30):
        noisy = still + rng.normal(0, 1.5, still.shape)
        shots[f"train/good/{i:02d}.png"] = np.clip(noisy, 0, 255).round().astype(np.uint8)
    shots |= {f"test/dent/{i}.png": shot(100 + i) for i in range(defects)}
    dataset, copies = load_grouped(write(tmp_path, shots))
    assert groups(dataset) == []
    assert len(copies.unsure) == 30
    assert "alike by nature" in copies.notes[0]


def test_a_pair_that_does_not_stand_out_is_not_joined() -> None:
    """With a third picture within twice the limit, two near ones are no copies; farther away it leaves them one."""
    limit = np.sqrt(2 * (1.0 + 0.2**2))  # of noise 1 in a picture of 64 x 64

    def looks(third: float) -> Copies:
        pattern = np.tile([40.0, 160.0], 2048)
        step = np.where(np.arange(4096) % 4 < 2, 1.0, -1.0)  # keeps the mean level
        rows = {"a": pattern, "b": pattern + 0.5 * limit * step, "c": pattern + third * limit * step}
        rows |= {f"far{i}": np.roll(np.repeat([30.0, 170.0], 2048), 300 * i) for i in range(6)}
        thumbs = {name: np.asarray(row, np.float32) for name, row in rows.items()}
        return found({name: Look(thumb, name, 4096, 1.0) for name, thumb in thumbs.items()})

    assert looks(0.5 + 0.95 * GAP).pairs == ()
    assert looks(0.5 + 0.95 * GAP).unsure == ("train/good/a.png", "train/good/b.png")
    assert named(looks(0.5 + 1.05 * GAP).pairs) == {("train/good/a.png", "train/good/b.png")}


def found(looks: dict[str, Look]) -> Copies:
    """Compare images that exist in name alone."""
    samples = [Sample(Path(n), f"train/good/{n}.png", "train", "good", None, f"train/good/{n}.png") for n in looks]
    dataset = Dataset(Path(), "mvtec", tuple(samples))
    loaded: LoadedRecipe = None  # type: ignore[assignment]  # where folders make the split it is not asked
    return grouped(loaded, dataset, {f"train/good/{name}.png": look for name, look in looks.items()})[1]


def test_new_images_of_one_part_are_told() -> None:
    """Without a recipe: the same pixels and another frame are one part, and join whole parts by name."""
    shots = [shot(seed) for seed in range(8)] + [shot(1), shot(5, sigma=1.0)]
    found = same_parts([look_at(one, noise=True) for one in shots])
    assert (found.sets, found.unsure) == (((1, 8), (5, 9)), ())
    assert found.names(["a", "b", "c", "b", "e", "f", "g", "h", "i", "a"]) == tuple("abcbeaghba")
    assert same_parts([]).sets == ()


def test_pictures_with_nothing_in_them_are_compared_with_none() -> None:
    """Blank tiles of a board are alike whatever they show, to the last pixel."""
    blank, shown = np.full(4096, 90, np.float32), np.tile(np.array([40, 140], np.float32), 2048)
    looks = {f"blank{i}": Look(blank, "same", 4096, 1.0) for i in range(4)}
    looks |= {f"shown{i}": Look(shown, "own", 4096, 1.0) for i in range(2)}
    assert named(found(looks).pairs) == {("train/good/shown0.png", "train/good/shown1.png")}


def test_closer_agrees_with_the_plain_loop() -> None:
    """Every pair below the limit once, over the edge of a block too."""
    thumbs = np.random.default_rng(2).uniform(0, 255, (540, 3)).astype(np.float32)
    apart = np.sqrt(((thumbs[:, None].astype(np.float64) - thumbs[None]) ** 2).mean(axis=2))
    first, second, distances = closer(thumbs, 12.0)
    expected = {(i, j) for i, j in zip(*np.nonzero(apart < 12.0), strict=True) if i < j}
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
    np.testing.assert_allclose(distances, apart[first, second], atol=1e-6)


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Before anything is trained."""
    loaded = write(tmp_path, {"train/good/0.png": shot(0), "train/good/1.png": shot(1)})
    (tmp_path / "images/train/good/1.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"good/1\.png: not a JPEG"):
        load_grouped(loaded)


def test_the_page_shows_each_pair_and_names_the_rest(tmp_path: Path) -> None:
    """Two pictures a pair, what follows from it, and a list of what is beyond the pictures."""
    shots = {f"train/good/{i:02d}.png": shot(i) for i in range(2 * SHOWN)}
    shots |= {f"train/good/{i:02d}b.png": shot(i) for i in range(SHOWN + 2)}
    _, copies = load_grouped(write(tmp_path, shots))
    text = copies_section(copies, tiny_contract().frame)["Copies"]
    assert text.count("<img") == 2 * SHOWN
    assert "2 more pairs" in text
    assert text.count("one part, both in train") == SHOWN + 2
    assert copies_section(Copies(), tiny_contract().frame) == {}


def test_copies_alone_are_too_few_parts(tmp_path: Path) -> None:
    """Six files of one picture are one part, and the refusal says so."""
    loaded = write(tmp_path, {f"train/good/{i}.png": shot(0) for i in range(6)})
    with pytest.raises(UsageError, match=r"at least 2 parts, found 1 \(6 images of one part, by name or as copies\)"):
        train(loaded, tmp_path / "out")


def test_a_training_run_counts_parts_and_tells_of_copies(tmp_path: Path) -> None:
    """Copies count once in the threshold, not at all in the evaluation; console, JSON and page name them."""
    folder = write_part(tmp_path, goods=10, test_goods=3, test_defects=1)
    good = folder / "images" / "train" / "good"
    shutil.copy(good / "002.png", good / "copy.png")
    shutil.copy(good / "003.png", folder / "images" / "test" / "good" / "leak.png")
    record = train(load_recipe(folder), tmp_path / "out", pages=pages)
    assert (record.contract.threshold_ng.n, record.contract.threshold_ng.n_groups) == (11, 10)
    assert record.evaluation.good + record.evaluation.no_call == 3
    assert "test/good/leak.png" not in {image.name for image in record.tested}
    told = json.loads((tmp_path / "out" / "training.json").read_text())
    assert {tuple(pair["images"]): pair["on_both_sides"] for pair in told["copies"]["pairs"]} == {
        ("train/good/002.png", "train/good/copy.png"): False,
        ("train/good/003.png", "test/good/leak.png"): True,
    }
    assert sum("leak.png" in words for words in record.decisions) == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "test/good/leak.png" in page
    assert 'id="copies"' in page
