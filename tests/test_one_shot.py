"""One good part: its scores rank frames, and no threshold is made up."""

from types import SimpleNamespace
from typing import cast

import pytest

from lineside.calibrate.threshold import no_threshold
from lineside.contract_thresholds import Wish
from lineside.recipe import LoadedRecipe, Recipe
from lineside.train.calibration import calibrated
from lineside.train.images import References
from lineside.train.method import Judged, Method
from lineside.train.progress import Journal, SilentProgress


def test_no_threshold_promises_nothing() -> None:
    """The interval is all of 0 to 1, no score stands behind it, and its number lies above the frame's own."""
    limit = no_threshold(0.25, Wish("overkill", 0.05))
    assert (limit.n, limit.n_groups, limit.supported_overkill, limit.interval) == (0, 0, 1.0, (0.0, 1.0))
    assert limit.value > 0.25
    assert limit.kind == "empirical"
    assert limit.statement.startswith("No threshold")


@pytest.mark.parametrize("frames", [1, 3])
def test_one_part_is_fitted_once_and_calibrates_nothing(frames: int) -> None:
    """All frames of the part are fitted on; no fold is tried, no score is called honest."""
    fitted: list[list[int]] = []

    class Counting:
        """A method that remembers what it was fitted on."""

        prefers_holdout = False

        def fit(self, positions: range) -> SimpleNamespace:
            """Remember the positions."""
            fitted.append(list(positions))
            return SimpleNamespace(judge=lambda asked: [Judged(0.1 * i, 0.0, False, False) for i in asked])

    samples = tuple(SimpleNamespace(group="only", name=str(i), label="good") for i in range(frames))
    loaded = cast("LoadedRecipe", SimpleNamespace(recipe=Recipe(part="p", images="x")))
    references = cast("References", SimpleNamespace(samples=samples))
    journal = Journal(SilentProgress())
    found = calibrated(loaded, cast("Method", Counting()), references, journal)
    assert fitted == [list(range(frames))]
    assert (dict(found.scores), dict(found.own), found.threshold.n) == ({}, {}, 0)
    assert journal.decisions == [found.threshold.statement]
