"""Whole parts, rendered and real, and anomalib's models on one of them: AUROC, no flips, sound bundles. Slow."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from conftest import ROOT, STILL
from lineside.capture.decode import read_image
from lineside.contract import Verdict
from lineside.recipe import load_recipe
from lineside.runtime import Inspector, verify_bundle
from lineside.train import TrainingRecord, train

pytestmark = pytest.mark.slow


def flips(bundle: Path, images: Path) -> tuple[int, int]:
    """Return (images, verdicts that differ between training's record, the Inspector and plain onnxruntime)."""
    inspector = Inspector(bundle)
    plain = ort.InferenceSession(str(bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    with (bundle / "parity.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] != "disturbed"]
    differ = 0
    for row in rows:
        frame = read_image(images / row["name"], channels=inspector.contract.frame.channels)
        (verdict,) = plain.run(["verdict"], {"frame": frame[None]})
        said = {row["verdict"], inspector.inspect(frame).verdict.name, Verdict(int(verdict[0])).name}
        differ += len(said) > 1
    return len(rows), differ


def some(images: Path, folder: Path, train_goods: int, tests: int) -> Path:
    """Copy some good training images and, of each test class, so many images; return the folder."""
    for source in sorted([images / "train" / "good", *(images / "test").iterdir()]):
        target = folder / source.parent.name / source.name
        target.mkdir(parents=True)
        count = train_goods if source.parent.name == "train" else tests
        for path in sorted(source.iterdir())[:count]:
            shutil.copyfile(path, target / path.name)
    return folder


def trained(tmp_path: Path, images: Path, more: str = "") -> TrainingRecord:
    """Train on a folder of images with a recipe written here."""
    text = f"part: whole\nimages: {images.as_posix()}\ncalibrate: {{crossfit: holdout}}\n{more}"
    (tmp_path / "recipe.yaml").write_text(text)
    return train(load_recipe(tmp_path), tmp_path / "model")


@pytest.mark.parametrize(("part", "least_auroc"), [("caps", 0.985), ("weave", 0.985)])
def test_the_sample_parts_reach_their_auroc_without_a_flip(tmp_path: Path, part: str, least_auroc: float) -> None:
    """The committed recipes, but for a hold-out: AUROC, no frame of the part refused, zero flips, a sound bundle."""
    loaded = load_recipe(ROOT / "recipes" / part)
    calibrate = loaded.recipe.calibrate.model_copy(update={"crossfit": "holdout"})
    loaded = replace(loaded, recipe=loaded.recipe.model_copy(update={"calibrate": calibrate}))
    record = train(loaded, tmp_path / part)
    assert record.evaluation.auroc is not None
    assert record.evaluation.auroc >= least_auroc
    assert record.evaluation.no_call == 0
    images, differ = flips(tmp_path / part, ROOT / "sample_data" / part)
    assert images == sum(record.contract.image_counts.values())
    assert differ == 0
    assert verify_bundle(tmp_path / part).tells_swapped_channels


@pytest.mark.parametrize(
    ("method", "options"),
    [("anomalib.Padim", "{n_features: 40}"), ("anomalib.Patchcore", "{coreset_sampling_ratio: 0.01}")],
)
def test_anomalib_models_become_the_same_kind_of_bundle(tmp_path: Path, method: str, options: str) -> None:
    """One file, any batch, three frame sizes, zero flips, a hold-out threshold that carries its guarantee."""
    images = some(ROOT / "sample_data" / "weave", tmp_path / "images", 20, 4)
    more = f"normalise: {STILL}\ntransfer: {{method: {method}, options: {options}}}\n"
    record = trained(tmp_path, images, more)
    assert record.contract.threshold_ng.kind == "guaranteed"
    assert record.contract.threshold_ng.n == 4
    assert {c.name for c in record.contract.components} >= {"EfficientNet-Lite0", method}
    assert flips(tmp_path / "model", images) == (36, 0)
    inspector = Inspector(tmp_path / "model")
    for batch in (1, 2, 7):
        for size_hw in ((256, 256), (200, 300), (97, 64)):
            frames = np.random.default_rng(0).integers(0, 256, (batch, *size_hw, 3), dtype=np.uint8)
            out = inspector.raw_outputs(frames)
            assert out["anomaly_map"].shape == (batch, 32, 32)
            assert np.isfinite(out["score"]).all()
    assert verify_bundle(tmp_path / "model").vectors >= 2


def test_real_parts_have_no_flips(tmp_path: Path, real_data: Path) -> None:
    """Ball-screw drives, 1130×460 px: every image gets one verdict, whoever asks."""
    images = some(real_data / "bsd", tmp_path / "images", 20, 20)
    record = trained(tmp_path, images)
    assert flips(tmp_path / "model", images) == (60, 0)
    assert record.evaluation.auroc is not None
    assert record.evaluation.auroc > 0.85
