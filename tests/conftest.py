"""Shared parts and models: rendered once, trained once."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from flat_parts import paint_parts
from images import SOUND, write_folder, write_recipe
from lineside.runtime import Inspector
from lineside.synth import Pose, render

ROOT = Path(__file__).parent.parent


def write_part(folder: Path, goods: int = 14, test_goods: int = 4, test_defects: int = 3, size: int = 128) -> Path:
    """Render a small cap, always in the same pose, as a recipe folder with its images inside; return the folder."""
    images = folder / "images"

    def write(split: str, label: str, number: int, seed: int, defect: str | None = None) -> None:
        part = render("caps", seed, defect, severity=1.0, size=size, pose=Pose(20.0, 0.0, 0.0, 1.0))
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
    settings = "part: small\nimages: images\nnormalise: {size: 128}\ntransfer: {memory: 128, augment_copies: 1}\n"
    (folder / "recipe.yaml").write_text(settings)
    return folder


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A recipe folder with nothing wrong in it."""
    write_folder(tmp_path / "images", SOUND)
    return write_recipe(tmp_path)


@dataclass(frozen=True)
class Trained:
    """A recipe folder, its images, and the bundle that came of it."""

    recipe: Path
    images: Path
    bundle: Path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A small rendered part, trained once for all tests."""
    from lineside.recipe import load_recipe
    from lineside.train import train

    folder = write_part(tmp_path_factory.mktemp("small"))
    train(load_recipe(folder), folder / "model")
    return Trained(folder, folder / "images", folder / "model")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle that no test changes: score = mean red - mean blue, NG above 20."""
    from tiny import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="session")
def inspector(bundle: Path) -> Inspector:
    """The tiny bundle, loaded."""
    return Inspector(bundle)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three good and two scratched parts below the working folder."""
    monkeypatch.chdir(tmp_path)
    return paint_parts(Path("imgs"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images, from the environment; the test skips where there is none."""
    folder = os.environ.get("LINESIDE_DATA")
    if not folder:
        pytest.skip("LINESIDE_DATA is not set: no real images here")
    return Path(folder)
