"""The contact sheet: a row for every good image, the decisions, and the gate's reasons for one that is spoiled."""

import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from conftest import write_part
from lineside.cli import preview as command
from lineside.errors import LinesideError
from lineside.recipe import load_recipe
from lineside.report.preview import preview_page
from lineside.train.preview import Preview, preview
from lineside.train.progress import SilentProgress
from lineside.train.recipe_regions import drawn_regions
from report_pages import Page

app = typer.Typer()
app.command()(command.command)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small rendered part whose shift is searched for."""
    folder = write_part(tmp_path_factory.mktemp("preview"), goods=8, test_goods=2, test_defects=1)
    settings = "part: small\nimages: images\nnormalise: {size: 128, pose: {model: shift}}\n"
    (folder / "recipe.yaml").write_text(settings)
    return folder


@pytest.fixture(scope="module")
def shown(recipe: Path) -> Preview:
    """Its preview."""
    return preview(load_recipe(recipe), None, SilentProgress())


def test_every_good_image_is_shown(recipe: Path, shown: Preview) -> None:
    """A row for each good training image, all pictures at the working size, and none refused by its own limits."""
    names = [path.relative_to(recipe / "images").as_posix() for path in sorted(recipe.glob("images/train/good/*.png"))]
    assert [row.name for row in shown.rows] == names
    assert not [row.name for row in shown.rows if row.reasons]
    pictures = [picture for row in shown.rows for picture in (row.raw, row.aligned, row.working, row.region)]
    assert {picture.shape for picture in (shown.golden, *pictures)} == {(128, 128, 3)}


def test_the_golden_part_is_like_the_aligned_images(shown: Preview) -> None:
    """It is their middle, in the same grey levels."""
    middle = np.median([row.aligned for row in shown.rows], axis=0)
    assert np.abs(middle - shown.golden).mean() < 2.0


def test_the_page_needs_nothing_but_itself(shown: Preview) -> None:
    """Four pictures a row and the golden part, all of them inside the page and each with a text."""
    page = Page(preview_page(shown).decode())
    assert not {"script", "link", "iframe", "object", "base", "form"} & {name for name, _ in page.elements}
    assert len(page.all("img")) == 4 * len(shown.rows) + 1
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,/9j/") for image in page.all("img"))
    assert all(image["alt"] for image in page.all("img"))
    assert {str(link["href"]) for link in page.all("a")} == {f"#{item['id']}" for item in page.all("section")}


def test_the_page_says_what_was_decided_and_what_is_held_back(shown: Preview) -> None:
    """Decisions in words, the steps, the pose of each image, and the gate's numbers with their limits."""
    page = Page(preview_page(shown).decode())
    assert all(words in page.text for words in shown.decision.words)
    assert "Pose is shift, as the recipe asks." in page.text
    assert page.text.count("turned +0.0°") == len(shown.rows)
    for name in shown.limits:
        assert page.text.count(name) >= len(shown.rows) + 1
    assert "outside" not in {cell.get("class") for cell in page.all("td")}


def test_the_recipes_regions_are_drawn(recipe: Path, shown: Preview, tmp_path: Path) -> None:
    """On the golden part with their names, and on what is inspected of each image."""
    assert not shown.regions
    settings = "roi: [0.1, 0.1, 0.9, 0.9]}\ncalibrate: {regions: {rim: {roi: [0.2, 0.2, 0.5, 0.5], factor: 0.7}}}\n"
    text = (recipe / "recipe.yaml").read_text().replace("images: images", f"images: {recipe / 'images'}")
    (tmp_path / "recipe.yaml").write_text(text.replace("pose: {model: shift}}", "pose: {model: shift}, " + settings))
    regions = drawn_regions(load_recipe(tmp_path), (160, 160))
    assert [region.name for region in regions] == ["region of interest", "rim"]
    page = Page(preview_page(dataclasses.replace(shown, regions=regions)).decode())
    assert len(page.all("polygon")) == 2 * 2 * (1 + len(shown.rows))
    assert "rim: NG beyond 0.7 times the threshold" in page.text
    assert "region of interest: nothing outside it is inspected" in page.text


def test_a_painted_region_is_traced(recipe: Path, tmp_path: Path) -> None:
    """Of a mask image every piece is drawn where it lies."""
    mask = np.zeros((128, 128), np.uint8)
    mask[16:48, 32:96] = 255
    mask[80:112, 32:64] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    settings = f"part: small\nimages: {recipe / 'images'}\nnormalise: {{size: 128, roi: mask.png}}\n"
    (tmp_path / "recipe.yaml").write_text(settings)
    (region,) = drawn_regions(load_recipe(tmp_path), (128, 128))
    pieces = sorted(region.outlines, key=lambda outline: min(y for _, y in outline))
    ends = [(*np.min(piece, axis=0), *np.max(piece, axis=0)) for piece in pieces]
    wanted = [(32, 16, 96, 48), (32, 80, 64, 112)]
    assert np.abs(np.array(ends) * 128 - wanted).max() < 1.0


def test_a_spoiled_image_is_shown_with_its_reasons(recipe: Path, tmp_path: Path) -> None:
    """One image instead of the good ones: blurred, it is refused in words, and the number that did it is marked."""
    sharp = cv2.imread(str(recipe / "images/train/good/000.png"))
    blurred = tmp_path / "blurred.png"
    cv2.imwrite(str(blurred), cv2.GaussianBlur(sharp, (0, 0), 4.0))
    spoiled = preview(load_recipe(recipe), blurred, SilentProgress())
    (row,) = spoiled.rows
    assert "focus" in row.reasons
    page = Page(preview_page(spoiled).decode())
    assert "the picture is out of focus or blurred by motion" in page.text
    assert "outside" in {cell.get("class") for cell in page.all("td")}


def test_the_command_writes_the_page_and_says_where(recipe: Path, tmp_path: Path) -> None:
    """The page's folder is made, and the decisions are printed."""
    image = tmp_path / "one.png"
    shutil.copyfile(recipe / "images/test/good/000.png", image)
    out = tmp_path / "pages" / "small.html"
    words = [str(recipe), "--image", str(image), "--out", str(out)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith(f"{out}: 1 image, ")
    assert "• Pose is shift, as the recipe asks." in result.stdout
    assert Page(out.read_text(encoding="utf-8")).text.count("one.png") == 1


def test_an_image_that_is_not_there_is_named_before_any_work(recipe: Path, tmp_path: Path) -> None:
    """It is read first: nobody waits for a fit to hear of a slip of the pen."""
    stages: list[str] = []

    class Watcher(SilentProgress):
        """Keeps the stages."""

        def stage(self, name: str, steps: int | None) -> None:
            """Keep one."""
            stages.append(name)

    with pytest.raises(LinesideError, match=r"nowhere\.png"):
        preview(load_recipe(recipe), tmp_path / "nowhere.png", Watcher())
    assert stages == ["images"]
