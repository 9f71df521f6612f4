"""Rendered caps as the shared part `small` has them, beyond those that it was trained on."""

from pathlib import Path

import cv2
import numpy as np

from conftest import FIXED_POSE
from lineside.synth import RenderedPart, render

MIXING = np.array([[0.85, 0.12, 0.03], [0.05, 0.9, 0.05], [0.02, 0.13, 0.85]], np.float32)


def cap_part(seed: int, defect: str | None = None) -> RenderedPart:
    """Render a cap: its image and the mask of its defect."""
    return render("caps", seed, defect, severity=1.0, size=128, pose=FIXED_POSE)


def cap(seed: int, defect: str | None = None) -> np.ndarray:
    """Return a rendered cap's image."""
    return cap_part(seed, defect).image


def folder_of(folder: Path, images: dict[str, np.ndarray]) -> Path:
    """Write RGB images by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return folder


def other_camera(image: np.ndarray) -> np.ndarray:
    """Return the picture as another camera takes it: softer, other colours, darker, another gamma."""
    mixed = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.7) @ MIXING.T
    return np.asarray(np.clip(np.rint(255 * np.power(mixed / 255, 1.3) * 0.85), 0, 255), np.uint8)
