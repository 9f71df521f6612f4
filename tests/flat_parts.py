"""Flat images as parts, for tests of batches on the tiny bundle: their scores are known by heart."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

GOOD_RGB, BAD_RGB, DARK_RGB = (100, 60, 90), (200, 60, 90), (2, 2, 2)
"""Scores of 10, of 110, and of 0 without a call; NG is above 20."""


def paint(path: Path, rgb: tuple[int, int, int], size: int = 12) -> Path:
    """Write a flat image and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((size, size, 3), rgb[::-1], np.uint8))
    return path


def paint_parts(folder: Path) -> Path:
    """Write three good and two scratched parts, named like each other, and return the folder."""
    for index in range(3):
        paint(folder / f"good/{index}.png", GOOD_RGB)
    for index in range(2):
        paint(folder / f"scratch/{index}.png", BAD_RGB)
    return folder


def half_red(path: Path, mask: Path) -> None:
    """Write a part that is red on its left half, and its mask."""
    image = np.full((16, 16, 3), GOOD_RGB[::-1], np.uint8)
    image[:, :8] = (40, 60, 240)  # BGR
    truth = np.zeros((16, 16), np.uint8)
    truth[:, :8] = 255
    for file, array in ((path, image), (mask, truth)):
        file.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(file), array)


def paint_kinds() -> Path:
    """Write a good, a dull and two green parts below the working folder, one of the green too pale to be NG."""
    paint(Path("kinds/good/0.png"), GOOD_RGB)
    paint(Path("kinds/dull/0.png"), (200, 60, 90))
    paint(Path("kinds/green/0.png"), (250, 200, 90))
    paint(Path("kinds/green/missed.png"), (100, 200, 90))
    return Path("kinds")


def lines(out: Path | str) -> list[dict[str, Any]]:
    """Read results.jsonl; fails where a line is not whole."""
    content = (Path(out) / "results.jsonl").read_bytes()
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]
