"""The reports of train, evaluate and inspect as a real browser shows and prints them."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import page_checks
import paper
from browsing import NARROW, WIDE, Shown, shown
from evaluated import ESCAPES, evaluated, inspected
from lineside.report.training import pages
from lineside.train.recipe_regions import DrawnRegion
from training_records import FRONT, training_record, with_classes

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def _trained(folder: Path) -> Path:
    """A training with classes and a region."""
    region = DrawnRegion("middle", "NG beyond 2 times the threshold", (((0.2, 0.2), (0.8, 0.2), (0.8, 0.8)),))
    record = with_classes(training_record(folder))
    record = dataclasses.replace(record, front=dataclasses.replace(FRONT, regions=(region,)))
    file = folder / "report.html"
    file.write_bytes(pages(record)["report.html"])
    return file


PAGES: dict[str, Callable[[Path], Path]] = {"train": _trained, "evaluate": evaluated, "inspect": inspected}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each command."""
    return {command: make(tmp_path_factory.mktemp(command)) for command, make in PAGES.items()}


@pytest.fixture(scope="module", params=PAGES)
def tab(browser: "Browser", files: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Shown]:
    """A page, opened once."""
    with shown(browser, files[request.param]) as tab:
        yield tab


@pytest.mark.parametrize("check", [*paper.CHECKS, *page_checks.CHECKS], ids=lambda check: check.__name__)
def test_a_page(tab: Shown, check: Callable[[Shown], None]) -> None:
    """Holds what every page must."""
    check(tab)


def test_every_part_that_was_wrong_has_its_pictures(browser: "Browser", files: dict[str, Path]) -> None:
    """Image and overlay of each escape and of the good part that was rejected, in evaluation and inspection."""
    for command in ("evaluate", "inspect"):
        with shown(browser, files[command]) as tab:
            for section, names in (
                ("#escapes", [f"missed{i}.png" for i in range(ESCAPES)]),
                ("#overkill", ["20260301T071700.png"]),
            ):
                found = page_checks.pictures(tab, section)
                assert all(one["whole"] for one in found)
                assert [one["alt"].split(":")[0].rsplit("/")[-1] for one in found] == [n for n in names for _ in "ab"]


def test_the_evaluation_has_its_slider(browser: "Browser", files: dict[str, Path]) -> None:
    """One, with a label; without it the check of sliders would hold for nothing."""
    with shown(browser, files["evaluate"]) as tab:
        assert tab.page.get_by_label("Try a threshold").get_attribute("type") == "range"


def test_without_script_everything_but_the_slider_is_there(browser: "Browser", files: dict[str, Path]) -> None:
    """Where scripts are forbidden: the same pictures, curves and tables, and no slider that would not move."""
    text = files["evaluate"].read_text(encoding="utf-8")
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(files["evaluate"].as_uri())
        for tag in ("img", "svg", "table"):
            assert page.locator(tag).count() == text.count(f"<{tag}") > 0
        assert page.locator("input").count() == 1
        assert not page.locator("input").is_visible()


def test_regions_lie_on_the_picture_that_they_were_drawn_on(browser: "Browser", files: dict[str, Path]) -> None:
    """The drawing is as large as the golden part below it, and in the same place."""
    with shown(browser, files["train"]) as tab:
        for width in (NARROW, WIDE):
            tab.page.set_viewport_size({"width": width, "height": 900})
            picture, drawing = (tab.page.locator(f".drawn {tag}").bounding_box() for tag in ("img", "svg"))
            assert picture == drawing
