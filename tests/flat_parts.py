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


def lines(out: Path | str) -> list[dict[str, Any]]:
    """Read results.jsonl; fails where a line is not whole."""
    content = (Path(out) / "results.jsonl").read_bytes()
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]
