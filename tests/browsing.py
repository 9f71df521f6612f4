"""A page as a real browser opens it: headless Chromium, the system's own, driven by Playwright."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
HEADLESS = ("--headless", *FLAGS)
WIDE, NARROW = 1280, 420
"""Windows of a desk and of a phone, px."""


def missing(reason: str) -> NoReturn:
    """Skip, or fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI this test must run (.ci/run installs what it needs)")
    pytest.skip(reason)


def find_browser() -> str:
    """Return Chromium's path; where it is missing the test skips, but not in CI."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        missing(f"no browser here: none of {', '.join(BROWSERS)} is on the path")
    return found


@contextlib.contextmanager
def launched() -> Iterator["Browser"]:
    """Start the browser; where it or Playwright is missing the test skips, but not in CI."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        missing(f"{error} (pip install -e '.[dev]')")
    path = find_browser()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Shown:
    """A file in a tab, with all that it said and asked for since it was opened."""

    file: Path
    page: "Page"
    messages: list[str] = field(default_factory=list)
    """Of the console, and errors that no script caught."""
    requests: list[str] = field(default_factory=list)
    """Addresses, those of data inside the page left out."""

    def load(self) -> None:
        """Open the file, as new."""
        self.page.set_viewport_size({"width": WIDE, "height": 900})
        self.page.emulate_media(media="screen", color_scheme="light")
        self.page.goto(self.file.as_uri())

    def unfold(self) -> None:
        """Open whatever is folded away."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


@contextlib.contextmanager
def shown(browser: "Browser", file: Path) -> Iterator[Shown]:
    """Open a file in a fresh profile, and listen."""
    with browser.new_context() as context:
        tab = Shown(file.absolute(), context.new_page())
        tab.page.on("console", lambda message: tab.messages.append(message.text))
        tab.page.on("pageerror", lambda error: tab.messages.append(str(error)))
        tab.page.on("request", lambda asked: None if asked.url.startswith("data:") else tab.requests.append(asked.url))
        tab.load()
        yield tab
