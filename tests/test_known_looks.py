"""Small versions of training images: what a bundle keeps of them, and that near copies are found by them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from images import picture, write
from lineside.bench.evaluation.run import EvaluateOptions, evaluate_images
from lineside.capture.copies import Look, look_at
from lineside.capture.known_looks import LOOKS_FILE, MOST, KnownLooks, beside, looks_from, looks_of
from lineside.dataset import Sample
from lineside.errors import BundleError
from lineside.export.known_images import known_images
from lineside.export.state import pack_state, unpack_state
from lineside.runtime import Inspector
from tiny import seal, write_tiny_bundle

SIDE_PX = 160


def shot(seed: int, sigma: float = 0.0) -> np.ndarray:
    """Return a picture of part `seed`, another frame of it with noise."""
    shown = picture(seed, SIDE_PX, SIDE_PX)
    noise = np.random.default_rng(1000 + seed).normal(0, sigma, shown.shape)
    return np.clip(shown + noise, 0, 255).round().astype(np.uint8)


def compressed(seed: int) -> np.ndarray:
    """Return the picture of part `seed` as a JPEG leaves it."""
    coded = cv2.imencode(".jpg", shot(seed), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def learned(count: int, label: str = "good") -> KnownLooks:
    """Return what a bundle keeps of as many parts, through its file and back."""
    samples = [Sample(Path(), f"train/{label}/{i}.png", "train", label, None, str(i)) for i in range(count)]
    kept = looks_of(samples, {s.name: look_at(shot(i), noise=False) for i, s in enumerate(samples)})
    return looks_from(unpack_state(pack_state(kept.arrays()), LOOKS_FILE))


def test_looks_come_back_as_they_were() -> None:
    """Names, hashes and sizes to the letter, levels to half of 1 / 256."""
    back, look = learned(3), look_at(shot(1), noise=False)
    assert (back.names[1], back.labels[1], back.total) == ("train/good/1.png", "good", 3)
    assert (back.looks[1].pixel_sha256, back.looks[1].pixels) == (look.pixel_sha256, look.pixels)
    np.testing.assert_allclose(back.looks[1].thumb, look.thumb, atol=0.5 / 256 + 1e-4)
    assert learned(0).looks == ()


def test_what_is_kept_is_bounded() -> None:
    """Of 1,200 images 512 are kept, from first to last, in 4.5 MB at most even where nothing can be compressed; how
    many there were is said."""
    rng = np.random.default_rng(0)
    samples = [Sample(Path(), f"{i:04d}", "train", "good", None, str(i)) for i in range(1200)]
    looks = {s.name: Look(rng.uniform(0, 255, 4096).astype(np.float32), "a" * 64, 4096) for s in samples}
    kept = looks_of(samples, looks)
    assert (len(kept.names), kept.names[0], kept.names[-1]) == (MOST, "0000", "1199")
    assert kept.words == "small versions of 512 of 1,200 images"
    assert len(pack_state(kept.arrays())) < 4.5e6


def test_near_copies_of_learned_images_are_found() -> None:
    """Another frame, a compressed copy and the same pixels; under another label the same pixels alone. New images of
    one part are told as ever."""
    new = [shot(3, sigma=1.0), compressed(4), shot(5), shot(20), shot(20, sigma=1.0), shot(6, sigma=1.0), shot(7)]
    labels = ["good"] * 5 + ["dent"] * 2
    found = beside(learned(12), [look_at(one, noise=True) for one in new], labels)
    assert found.copy_of == {0: "train/good/3.png", 1: "train/good/4.png", 2: "train/good/5.png", 6: "train/good/7.png"}
    assert (found.same.sets, found.same.unsure) == (((3, 4),), ())
    alone = beside(None, [look_at(one, noise=True) for one in new], labels)
    assert (alone.copy_of, alone.same.sets) == ({}, ((3, 4),))


def test_parts_that_are_alike_by_nature_are_no_copies_of_learned_ones() -> None:
    """New parts that differ from learned ones by noise alone, as all do from each other, are said to be unsure."""
    rng = np.random.default_rng(2)
    still = picture(0, SIDE_PX, SIDE_PX).astype(float)
    shots = [np.clip(still + rng.normal(0, 1.5, still.shape), 0, 255).round().astype(np.uint8) for _ in range(20)]
    looks = [look_at(one, noise=True) for one in shots]
    known = KnownLooks(tuple(f"{i}" for i in range(10)), ("good",) * 10, tuple(looks[:10]), 10)
    found = beside(known, looks[10:], ["good"] * 10)
    assert (found.copy_of, found.same.sets, found.same.unsure) == ({}, (), tuple(range(10)))


@pytest.mark.parametrize("missing", ["names", "thumbs", "pixels", "short"])
def test_a_file_that_does_not_fit_together_is_refused(tmp_path: Path, missing: str) -> None:
    """In one sentence, with the file."""
    arrays = learned(3).arrays()
    arrays = arrays | {"labels": arrays["labels"][:2]} if missing == "short" else arrays
    bundle = write_tiny_bundle(tmp_path / "own")
    (bundle / LOOKS_FILE).write_bytes(pack_state({k: v for k, v in arrays.items() if k != missing}))
    seal(bundle)
    with pytest.raises(BundleError, match=r"looks\.npz: it holds no looks of images .*Copy the bundle again"):
        known_images(bundle)


def test_an_evaluation_leaves_near_copies_out_and_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As training does: the copy of a training image counts nowhere and both are named; how it was compared is said."""
    monkeypatch.chdir(tmp_path)
    bundle = write_tiny_bundle(tmp_path / "own")
    (bundle / LOOKS_FILE).write_bytes(pack_state(learned(8).arrays()))
    seal(bundle)
    for seed in range(20, 26):
        write(Path(f"line/good/{seed}.png"), shot(seed))
    write(Path("line/good/burst.png"), shot(3, sigma=1.0))
    write(Path("line/dent/0.png"), shot(4, sigma=1.0))
    made = evaluate_images(Inspector(bundle), ["line"], "out", EvaluateOptions())
    assert made.left_out == ("line/good/burst.png",)
    assert made.twins == {"line/good/burst.png": "train/good/3.png"}
    assert (made.numbers.images, made.numbers.parts) == (7, 7)
    assert "burst" not in Path("out/results.jsonl").read_text()
    page = Path("out/report.html").read_text()
    assert "line/good/burst.png = train/good/3.png" in page
    assert "compared by small versions of 8 images; pictures of training parts that differ by more than camera" in page


def test_an_evaluation_names_what_may_be_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that differ by noise alone, as many parts in a fixture do: counted each, and named as training does."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    still = picture(0, SIDE_PX, SIDE_PX).astype(float)
    for i in range(12):
        noisy = still + rng.normal(0, 1.5, still.shape)
        write(Path(f"line/good/{i:02d}.png"), np.clip(noisy, 0, 255).round().astype(np.uint8))
    made = evaluate_images(Inspector(write_tiny_bundle(tmp_path / "own")), ["line"], "out", EvaluateOptions())
    assert (made.numbers.parts, made.copies, len(made.unsure)) == (12, (), 12)
    said = "12 images lie closer than"
    assert said in Path("out/report.html").read_text()
    assert "If they are frames of one part, say so by --group." in Path("out/report.html").read_text()
    told = json.loads(Path("out/evaluation.json").read_text())
    assert told["images_that_may_be_of_one_part"] == [f"line/good/{i:02d}.png" for i in range(12)]
