"""More good patches for a deployed head: nothing is forgotten, and no old image is needed."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lineside.export.known_images import KnownImages
from lineside.train import line_extend
from lineside.train.line_extend import parts_of
from lineside.train.line_parent import LineImage
from lineside.transfer.extend import (
    covering_radius,
    extended_place,
    grown_memory,
    nearest_distances,
    place_counts,
)
from lineside.transfer.place import fit_place

RNG = np.random.default_rng(1)


def test_old_entries_stay_and_no_distance_grows() -> None:
    """The grown memory begins with the old one, so an old good patch is never farther than it was."""
    memory, points, old = (RNG.standard_normal((n, 8)).astype(np.float32) for n in (20, 60, 100))
    grown = grown_memory(memory, points, 0.5, 1000)
    np.testing.assert_array_equal(grown[:20], memory)
    assert (nearest_distances(old, grown) <= nearest_distances(old, memory)).all()


def test_new_points_are_covered_within_the_radius() -> None:
    """Growing ends when every new point is near enough, not before and not much later."""
    memory = RNG.standard_normal((20, 8)).astype(np.float32)
    points = (RNG.standard_normal((200, 8)) + 6.0).astype(np.float32)
    grown = grown_memory(memory, points, 2.0, 1000)
    assert nearest_distances(points, memory).max() > 2.0 >= nearest_distances(points, grown).max()
    assert len(grown) < 20 + 200


def test_a_memory_grows_by_no_more_than_its_limit() -> None:
    """The limit on time per image holds whatever the radius asks for."""
    memory, points = (RNG.standard_normal((n, 8)).astype(np.float32) for n in (20, 60))
    assert len(grown_memory(memory, points, 0.0, 7)) == 27


def test_points_that_are_known_add_nothing() -> None:
    """Patches that the memory holds already leave it as it is."""
    memory = RNG.standard_normal((20, 8)).astype(np.float32)
    assert len(grown_memory(memory, memory[::2], 0.0, 1000)) == 20


def test_distances_are_euclidean_to_the_nearest() -> None:
    """The chunked product equals plain distances, pair by pair."""
    points, memory = (RNG.standard_normal((n, 8)).astype(np.float32) for n in (50, 9))
    plain = np.linalg.norm(points[:, None] - memory, axis=2).min(axis=1)
    np.testing.assert_allclose(nearest_distances(points, memory), plain, rtol=1e-5)
    assert covering_radius(points, memory) == np.float32(nearest_distances(points, memory).max())


def test_extended_places_are_those_of_a_fit_on_all_frames() -> None:
    """Mean and whitening, to what half precision rounds; each place's weight, whose scatter is lost, to a hundredth."""
    places, size = 30, 8
    base, scatter = RNG.standard_normal((places, size)), 0.3 * RNG.standard_normal((size, size))
    patches = (base + RNG.standard_normal((24, places, size)) @ scatter).astype(np.float32)
    counts, frames = RNG.random((24, places)) > 0.1, np.repeat(np.arange(12), 2).tolist()
    whole = fit_place(patches, counts, frames)
    half = fit_place(patches[:16], counts[:16], frames[:16])
    known = place_counts(half, patches[:16], counts[:16], frames[:16])
    extended, now = extended_place(half, known, patches[16:], counts[16:], frames[16:])
    np.testing.assert_allclose(extended.mean, whole.mean, rtol=1e-3, atol=1e-3)
    metric = whole.whitening @ whole.whitening.T
    np.testing.assert_allclose(extended.whitening @ extended.whitening.T, metric, atol=1e-4 * np.abs(metric).max())
    np.testing.assert_allclose(extended.weight, whole.weight, rtol=0.01)
    assert now.frames == 12
    assert np.abs(half.weight / whole.weight - 1.0).max() > 0.02


def test_shots_of_one_part_are_one_part() -> None:
    """By the recipe's pattern, with the training's part of that name; else each frame is one of its own."""
    images = [LineImage(Path(name), name, lambda: np.zeros((1, 1, 3), np.uint8)) for name in ("p1_a", "p1_b", "x")]
    known = KnownImages({}, {}, frozenset(), "^(p[0-9])_", None, frozenset())
    assert parts_of(known, images, 14) == ("p1", "p1", "extended 16: x")
    plain = KnownImages({}, {}, frozenset(), None, None, frozenset())
    assert parts_of(plain, images, 14) == ("extended 14: p1_a", "extended 15: p1_b", "extended 16: x")


def test_a_new_part_is_scored_by_heads_that_know_none_of_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every fold; where there is but one new part its frames keep the parent's scores."""
    parts, folds = ["a", "a", "b", "b", "c"], list[tuple[set[str], set[str]]]()
    patches = SimpleNamespace(taken=range(5), take=lambda rows: {parts[i] for i in rows})
    monkeypatch.setattr(line_extend, "_grown", lambda _, fitted: (fitted, None))
    monkeypatch.setattr(line_extend, "head_numbers", lambda values, _: values)

    def head(_: object) -> object:
        def score(rows: list[int], fitted: set[str]) -> tuple[list[float]]:
            folds.append((fitted, {parts[i] for i in rows}))
            return ([1.0] * len(rows),)

        return score

    monkeypatch.setattr(line_extend, "Head", head)
    parent, own = SimpleNamespace(state=SimpleNamespace(shape=None)), np.full(5, 7.0)
    scores = line_extend._honest_scores(parent, parts, patches, own)  # type: ignore[arg-type]
    assert scores.tolist() == [1.0] * 5
    assert len(folds) == 3
    assert not any(fitted & scored for fitted, scored in folds)
    alone = line_extend._honest_scores(parent, ["a"] * 5, patches, own)  # type: ignore[arg-type]
    assert alone.tolist() == own.tolist()
