"""What reptile and anil learn to learn from: rendered parts, other recipes' classes."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from images import write_folder, write_recipe
from lineside.errors import UsageError
from lineside.graph.onnx_export import export_module
from lineside.normalise.front import FrontSettings
from lineside.recipe import load_recipe
from lineside.train import episodes
from lineside.train.episodes import Pooler, Shown, start_of
from lineside.train.progress import Journal, SilentProgress
from lineside.transfer.classes.pooling import PoolShape, export_pool

POOL = PoolShape(channels=(3,), grids_hw=((8, 8),), grid_hw=(8, 8))


class Halves(torch.nn.Module):
    """A backbone of one tap: the working tensor at half the size."""

    def forward(self, working: torch.Tensor) -> torch.Tensor:
        """Return [N, 3, h / 2, w / 2]."""
        return torch.nn.functional.avg_pool2d(working, 2)


@pytest.fixture(scope="module")
def pooler() -> Pooler:
    """A pooler of 16 × 16 px frames."""
    backbone = export_module(Halves(), {"working": torch.zeros(2, 3, 16, 16)}, ("tap0",), {"working": {0: "N"}})
    settings = object.__new__(FrontSettings)
    for name, value in {"working_wh": (16, 16), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}.items():
        object.__setattr__(settings, name, value)
    return Pooler(backbone, export_pool(POOL), POOL.grid_hw, settings, masked=True)


def journal() -> Journal:
    """A journal that nobody watches."""
    return Journal(SilentProgress())


def of(folder: Path, classes: str, images: dict[str, int] | None = None, part: str = "p") -> Path:
    """Write a recipe with images, and return its folder."""
    write_folder(folder / "images", images or {"train/good": 4})
    write_recipe(folder, f"transfer: {{classes: {{{classes}}}}}\n")
    text = (folder / "recipe.yaml").read_text().replace("part: p", f"part: {part}")
    (folder / "recipe.yaml").write_text(text)
    return folder


def test_other_methods_need_no_episodes(tmp_path: Path, pooler: Pooler) -> None:
    """Nothing is rendered or read for them."""
    assert start_of(load_recipe(of(tmp_path, "method: lda, episodes: rendered")), pooler, journal()) is None


@pytest.mark.parametrize("method", ["reptile", "anil"])
def test_other_recipes_give_the_episodes(tmp_path: Path, pooler: Pooler, method: str) -> None:
    """The decisions say whose classes were learnt from."""
    of(tmp_path / "other", "method: auto", {"train/good": 3, "train/dent": 4, "train/hole": 4})
    book = journal()
    start = start_of(load_recipe(of(tmp_path / "own", f"method: {method}, episodes: [../other]")), pooler, book)
    assert start is not None
    assert (start.method, start.sources) == (method, ("../other",))
    assert start.adapter.shape[1] == POOL.dimensions
    assert any("../other" in words for words in book.decisions)


def test_a_recipe_without_two_classes_is_refused(tmp_path: Path, pooler: Pooler) -> None:
    """By its name."""
    of(tmp_path / "other", "method: auto", {"train/good": 3, "train/dent": 4})
    loaded = load_recipe(of(tmp_path / "own", "method: anil, episodes: [../other]"))
    with pytest.raises(UsageError, match=r"\.\./other.*two classes"):
        start_of(loaded, pooler, journal())


def test_a_rendered_part_never_teaches_itself(tmp_path: Path, pooler: Pooler, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe for caps learns from the weave alone."""
    asked: list[str] = []

    def rendered(part: str) -> Iterator[Shown]:
        asked.append(part)
        for number, label in enumerate((None, "a", "b") * 3):
            yield Shown(np.full((16, 16, 3), 20 * number, np.uint8), label, None)

    monkeypatch.setattr(episodes, "_rendered", rendered)
    start = start_of(load_recipe(of(tmp_path, "method: anil", part="caps")), pooler, journal())
    assert asked == ["weave"]
    assert start is not None
    assert start.sources == ("rendered weave",)
