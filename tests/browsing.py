"""A page as a real browser opens it: headless Chromium."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-logging=stderr",
    "--virtual-time-budget=5000",
)  # fmt: skip


def find_browser() -> str:
    """Return Chromium's path; where it is missing the test skips, but not in CI."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        reason = f"no browser here: none of {', '.join(BROWSERS)} is on the path"
        if os.environ.get("CI"):
            pytest.fail(f"{reason}; CI must have one")
        pytest.skip(reason)
    return found


def opened(browser: str, page: Path, folder: Path, *flags: str) -> tuple[str, list[str]]:
    """Open a page in a fresh profile: what the document became, and what the console said."""
    words = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", *(flags or ("--dump-dom",)), page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
