"""A page as a real browser opens it: headless Chromium."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HEADLESS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
FLAGS = (*HEADLESS, "--enable-logging=stderr", "--virtual-time-budget=5000")


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


def opened(browser: str, page: Path, folder: Path, *flags: str) -> tuple[str, list[str]]:
    """Open a page in a fresh profile: what the document became, and what the console said."""
    words = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", *(flags or ("--dump-dom",)), page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
