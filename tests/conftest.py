"""Shared parts and models: rendered once, trained once."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from browsing import launched
from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, paint, paint_parts
from images import SOUND, write_folder, write_recipe
from lineside.runtime import Inspector
from lineside.synth import Pose, render

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from lineside.recipe import LoadedRecipe
    from lineside.train import TrainingRecord
    from lineside.train.calibration import Calibration
    from lineside.train.images import References
    from lineside.train.method import Method

ROOT = Path(__file__).parent.parent


FIXED_POSE = Pose(20.0, 0.0, 0.0, 1.0)
LIT = "{exposure: 'on', white_balance: golden, gradient: 'on', contrast: 'off'}"
"""What `auto` finds for these parts. Said by the recipe, every training has one front, which is exported once."""
STILL = f"{{size: 128, pose: {{model: none}}, light: {LIT}}}"
"""A `normalise` block for parts that lie as they lay, which is quicker to train."""


def write_part(
    folder: Path,
    goods: int = 14,
    test_goods: int = 4,
    test_defects: int = 3,
    size: int = 128,
    *,
    pose: Pose | None = FIXED_POSE,
    normalise: str = STILL,
    more: str = "",
) -> Path:
    """Render a small cap as a recipe folder with its images inside; return the folder.

    pose None: every cap lies as its seed says, at any angle. `normalise` is the recipe's block, `more` further lines.
    """
    images = folder / "images"

    def write(split: str, label: str, number: int, seed: int, defect: str | None = None) -> None:
        part = render("caps", seed, defect, severity=1.0, size=size, pose=pose)
        path = images / split / label / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(part.image, cv2.COLOR_RGB2BGR))

    for i in range(goods):
        write("train", "good", i, seed=i)
    for i in range(test_goods):
        write("test", "good", i, seed=1000 + i)
    for kind in ("missing_print", "stain"):
        for i in range(test_defects):
            write("test", kind, i, 2000 + i, kind)
    settings = (
        f"part: small\nimages: images\nnormalise: {normalise}\ntransfer: {{memory: 128, augment_copies: 1}}\n"
        f"calibrate: {{folds: 2}}\n{more}"
    )
    (folder / "recipe.yaml").write_text(settings)
    return folder


LONGEST = (
    "test_whole_parts", "test_trained_parts", "test_end_to_end", "test_class_training", "test_bridge_zoo",
    "test_backbone", "test_head_simulation", "test_front", "test_bridge", "test_train", "test_pose", "test_pose_caps",
    "test_adaptation", "test_text_training", "test_wheel", "test_class_tuning", "test_compare_run", "test_line",
    "test_gate", "test_light", "test_line_calibrate", "test_front_fit", "test_threshold_simulation",
)  # fmt: skip
"""Files that take longest, by their order: none begins when the other process has nothing left to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let long files begin first; the order inside a file stays."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


def pytest_configure(config: pytest.Config) -> None:
    """Keep exported graphs beside pytest's own cache: for both processes of a run, and for the next run."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is not None:
        os.environ["LINESIDE_CACHE"] = str(cache.mkdir("lineside"))


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A recipe folder with nothing wrong in it."""
    write_folder(tmp_path / "images", SOUND)
    return write_recipe(tmp_path)


@pytest.fixture
def record(tmp_path: Path) -> "TrainingRecord":
    """A run on the tiny graph."""
    from training_records import training_record

    return training_record(tmp_path)


@dataclass(frozen=True)
class Trained:
    """A recipe folder, its images, the bundle that came of it, and what the training run worked with."""

    recipe: Path
    images: Path
    bundle: Path
    record: "TrainingRecord"
    loaded: "LoadedRecipe"
    method: "Method"
    references: "References"
    calibration: "Calibration"


def train_part(folder: Path) -> Trained:
    """Train a recipe folder as a user would, and keep what was fitted."""
    from lineside.recipe import load_recipe
    from lineside.train import run

    kept: list[tuple[LoadedRecipe, Method, References, Calibration]] = []
    calibrated = run.calibrated

    def keeping(loaded: "LoadedRecipe", method: "Method", references: "References", journal: object) -> "Calibration":
        kept.append((loaded, method, references, calibrated(loaded, method, references, journal)))  # type: ignore[arg-type]
        return kept[-1][3]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "calibrated", keeping)
        record = run.train(load_recipe(folder), folder / "model")
    return Trained(folder, folder / "images", folder / "model", record, *kept[0])


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A small rendered part that always lies alike, trained once for all tests."""
    return train_part(write_part(tmp_path_factory.mktemp("small")))


@pytest.fixture(scope="session")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The same part at any angle, everything of light, pose and gate left to its defaults, trained once."""
    folder = tmp_path_factory.mktemp("posed")
    # 16 good parts: both folds and the deployed head decide alike, so that one front is exported
    return train_part(write_part(folder, goods=16, test_defects=2, pose=None, normalise="{size: 128}"))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle that no test changes: score = mean red - mean blue, NG above 20."""
    from tiny import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def proven(tmp_path: Path) -> Path:
    """A tiny bundle with real vectors, to spoil: one OK, one NG, one that tells swapped channels."""
    from lineside.export.vectors import Candidate, make_vectors
    from lineside.graph.run import Graph
    from tiny import seal, tiny_contract, tiny_model, write_tiny_bundle

    bundle = write_tiny_bundle(tmp_path / "tiny")
    frames = [np.full((6, 9, 3), (red, 100, 100), np.uint8) for red in (105, 160)]
    frames.append(np.full((6, 9, 3), (100, 100, 160), np.uint8))
    candidates = [Candidate(f"c{i}", frame) for i, frame in enumerate(frames)]
    (bundle / "vectors").mkdir()
    contract = tiny_contract()
    for name, content in make_vectors(Graph(tiny_model(contract)), contract, candidates).items():
        (bundle / name).write_bytes(content)
    seal(bundle)
    return bundle


@pytest.fixture(scope="session")
def inspector(bundle: Path) -> Inspector:
    """The tiny bundle, loaded."""
    return Inspector(bundle)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three good and two scratched parts below the working folder."""
    monkeypatch.chdir(tmp_path)
    return paint_parts(Path("imgs"))


@pytest.fixture
def parts(images: Path) -> Path:
    """Good parts of which one is red, scratched ones of which one is pale, one picture too dark."""
    paint(images / "good/red.png", BAD_RGB)
    paint(images / "good/dark.png", DARK_RGB)
    paint(images / "scratch/pale.png", GOOD_RGB)
    return images


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, started once for a module; where it is missing the test skips, but not in CI."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, from the environment; the test skips where there is none."""
    folder = os.environ.get("LINESIDE_DATA")
    if not folder:
        pytest.skip("LINESIDE_DATA is not set: no real images here")
    return Path(folder)
