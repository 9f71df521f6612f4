"""The sample data: which pictures it holds, and how they are written.

The plan is a list that can be read without rendering anything: each picture has its own seed, and severities are
spread evenly over each class, so that every class runs from easy to hardly visible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lineside.synth.render import DEFECTS, PARTS, render
from lineside.synth.scene import U8, RenderedPart, stream

SIZES = {"caps": 320, "weave": 256}
"""Side of each part's pictures in pixels."""

TRAIN_GOOD, TRAIN_DEFECT, TEST_GOOD, TEST_DEFECT = 50, 5, 40, 12
_JPEG_QUALITY = 91
_FIRST_SEED = {"caps": 10_000, "weave": 20_000}


@dataclass(frozen=True)
class Planned:
    """One picture of the sample data.

    Parameters
    ----------
    part, split, defect, stem
        Make the path: ``<part>/<split>/<defect or good>/<stem>.jpg``.
    seed, severity
        What it is rendered from.
    """

    part: str
    split: str
    defect: str | None
    stem: str
    seed: int
    severity: float

    @property
    def image_path(self) -> str:
        """Path of the picture, relative to the sample data."""
        return f"{self.part}/{self.split}/{self.defect or 'good'}/{self.stem}.jpg"

    @property
    def mask_path(self) -> str:
        """Path of the mask, relative to the sample data."""
        return f"{self.part}/ground_truth/{self.defect}/{self.stem}_mask.png"


def _severities(part: str, split: str, defect: str, count: int) -> list[float]:
    """Return severities spread evenly over 0 to 1 in random order, shape (count,)."""
    rng = stream(_FIRST_SEED[part], part, split, defect, "severity")
    spread = (np.arange(count) + rng.uniform(0, 1, count)) / count
    return [round(float(v), 3) for v in rng.permutation(spread)]


def plan(part: str) -> Iterator[Planned]:
    """Yield the pictures of one part; no seed occurs twice."""
    seed = _FIRST_SEED[part]
    for split, goods, bads, letter in (("train", TRAIN_GOOD, TRAIN_DEFECT, "t"), ("test", TEST_GOOD, TEST_DEFECT, "")):
        for n in range(goods):
            yield Planned(part, split, None, f"{letter}{n:03d}", seed, 0.0)
            seed += 1
        for defect in DEFECTS[part]:
            for n, severity in enumerate(_severities(part, split, defect, bads)):
                yield Planned(part, split, defect, f"{letter}{n:03d}", seed, severity)
                seed += 1


def render_planned(item: Planned) -> RenderedPart:
    """Render one picture of the plan."""
    return render(item.part, item.seed, item.defect, item.severity, SIZES[item.part])


def _encode(suffix: str, image: U8) -> bytes:
    """Return the bytes of a JPEG (RGB) or PNG (grey) file."""
    if suffix == ".jpg":
        bgr = np.ascontiguousarray(image[..., ::-1])
        return cv2.imencode(suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    return cv2.imencode(suffix, image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def _write(path: Path, data: bytes) -> str:
    """Write a file under a temporary name, move it to its own, and return its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(data)
    temporary.replace(path)
    return hashlib.sha256(data).hexdigest()


def _truth_row(item: Planned, made: RenderedPart) -> str:
    """Return the line of ``truth.csv`` for one picture."""
    pose = f"{made.angle_deg:.4f},{made.dx_px:.4f},{made.dy_px:.4f},{made.scale:.6f}"
    return f"{item.image_path},{item.seed},{item.defect or 'good'},{made.severity:.3f},{pose}"


def write_sample_data(root: Path) -> int:
    """Write pictures, masks, ``truth.csv`` and ``SHA256SUMS`` of every part; return the number of files.

    Parameters
    ----------
    root
        Folder to write to; it is made where it is missing, and files of the same name are replaced.
    """
    sums: dict[str, str] = {}
    rows = ["path,seed,defect,severity,angle_deg,dx_px,dy_px,scale"]
    for part in PARTS:
        for item in plan(part):
            made = render_planned(item)
            sums[item.image_path] = _write(root / item.image_path, _encode(".jpg", made.image))
            if item.defect is not None:
                sums[item.mask_path] = _write(root / item.mask_path, _encode(".png", made.mask))
            rows.append(_truth_row(item, made))
    sums["truth.csv"] = _write(root / "truth.csv", ("\n".join(rows) + "\n").encode())
    listing = "".join(f"{digest}  {path}\n" for path, digest in sorted(sums.items()))
    _write(root / "SHA256SUMS", listing.encode())
    return len(sums) + 1
