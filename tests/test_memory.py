"""The k-centre memory against the plain algorithm."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lineside.transfer.memory import k_centre


def plain_k_centre(points: np.ndarray, count: int, seed: int) -> list[int]:
    """Gonzalez's farthest-first traversal, one centre at a time, in double precision."""
    exact = points.astype(np.float64)
    chosen = [int(np.random.default_rng(seed).integers(len(points)))]
    nearest = ((exact - exact[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((exact - exact[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def shortfalls(points: np.ndarray, chosen: list[int]) -> np.ndarray:
    """By how much each pick but the first was nearer than the farthest point was, relative to that, in squares."""
    exact = points.astype(np.float64)
    nearest = ((exact - exact[chosen[0]]) ** 2).sum(axis=1)
    short = []
    for pick in chosen[1:]:
        short.append(1.0 - nearest[pick] / nearest.max())
        nearest = np.minimum(nearest, ((exact - exact[pick]) ** 2).sum(axis=1))
    return np.array(short)


@settings(max_examples=25, deadline=None)
@example(44, 600, 128)  # two points that differ by 3e-7 of their distance, less than single precision tells apart
@given(st.integers(0, 10_000), st.integers(600, 3000), st.integers(2, 200))
def test_the_pooled_choice_is_the_plain_choice(seed: int, n: int, count: int) -> None:
    """Working in pools changes the speed and no pick: each is the farthest point, to single precision."""
    points = np.random.default_rng(seed).standard_normal((n, 8)).astype(np.float32)
    chosen, plain = k_centre(points, count, seed).tolist(), plain_k_centre(points, count, seed)
    assert len(set(chosen)) == count
    assert chosen[0] == plain[0]
    assert shortfalls(points, chosen).max() < 3e-6
    first = next((i for i in range(count) if chosen[i] != plain[i]), None)
    assert first is None or shortfalls(points, chosen[: first + 1])[-1] > 0.0  # only a near tie parts them


def test_clusters_are_all_covered() -> None:
    """A cluster of one point is kept beside a cluster of thousands: that is what k-centre is for."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.standard_normal((5000, 4)) * 0.01, np.full((1, 4), 9.0)]).astype(np.float32)
    assert 5000 in k_centre(points, 2, seed=3)


@pytest.mark.parametrize("count", [5, 6, 100])
def test_few_points_are_all_kept(count: int) -> None:
    """Where there are no more points than entries, the memory is all of them in their order."""
    points = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    assert k_centre(points, count, seed=0).tolist() == [0, 1, 2, 3, 4]


def test_equal_points_end_the_choice_well() -> None:
    """Points that are all alike still give as many different indices as were asked for."""
    chosen = k_centre(np.ones((1000, 3), np.float32), 50, seed=0)
    assert len(set(chosen.tolist())) == 50
