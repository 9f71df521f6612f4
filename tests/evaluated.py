"""The page of an evaluation with everything in it, and of an inspection of the same parts; on the tiny bundle."""

import dataclasses
from pathlib import Path

import pytest

from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, paint
from lineside.batch import InspectOptions, inspect_images
from lineside.bench.evaluation.limits import Limits
from lineside.bench.evaluation.plant import Costs
from lineside.bench.evaluation.run import EvaluateOptions, evaluate_images
from lineside.runtime import Inspector
from tiny import tiny_contract, write_bundle

REVIEW_RGB = (105, 60, 90)
"""A score of 15: above 12, where the review begins, and not above 20."""
EVIL = '"><script>alert(1)<script>'
"""The name of a folder: markup, as far as a name can be that holds no slash."""
ESCAPES = 5


def evaluated(folder: Path) -> Path:
    """Evaluate good and scratched parts of every verdict, with limits, takt, costs and red rabbits; return the page."""
    options = EvaluateOptions(
        limits=Limits(overkill=0.1, escape=0.1),
        red_rabbits=Path("rabbits"),
        defect_rate_ppm=800,
        costs=Costs(1.0, 50.0),
        takt_s=2.0,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _paint()
        evaluate_images(Inspector(_bundle(folder / "model")), ["parts"], "out", options)
    return folder / "out" / "report.html"


def inspected(folder: Path) -> Path:
    """Inspect the same parts, whose folders tell the truth; return the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _paint()
        options = InspectOptions(labels=True, takt_s=2.0)
        inspect_images(Inspector(_bundle(folder / "model")), ["parts"], "out", options)
    return folder / "out" / "report.html"


def _paint() -> None:
    """Paint below the working folder; the good parts have times in their names."""
    for i in range(40):
        red = 95 + i % 5 if i != 17 else 140
        paint(Path(f"parts/good/2026030{1 + i // 20}T07{i % 20:02d}00.png"), (red, 60, 90))
    for i in range(ESCAPES):
        paint(Path(f"parts/scratch/missed{i}.png"), (95 + i, 60, 90))
    for i in range(8):
        paint(Path(f"parts/scratch/found{i}.png"), (130 + 9 * i, 60, 90))
    paint(Path("parts/scratch/unsure.png"), REVIEW_RGB)
    paint(Path("parts/good/dark.png"), DARK_RGB)
    paint(Path(f"parts/{EVIL}/<b>.png"), BAD_RGB)
    Path("parts/good/empty.png").touch()
    paint(Path("rabbits/pale.png"), GOOD_RGB)


def _bundle(folder: Path) -> Path:
    """Write the tiny bundle with a band for review from 12 to 20."""
    contract = tiny_contract()
    review = dataclasses.replace(contract.threshold_review, value=12.0)
    contract = dataclasses.replace(contract, threshold_review=review)
    return write_bundle(folder, contract)
