"""A memory that is searched in its leading directions: what they are, and what its distance is."""

import numpy as np
import pytest
import torch

from lineside.transfer.leading import MOST_DIRECTIONS, Leading, directions_of, fit_leading, from_memory

Floats = np.ndarray


def clusters(n: int, seed: int, size: int = 8) -> Floats:
    """Return patches around four places in the first two directions, with noise in all and more in the last."""
    rng = np.random.default_rng(seed)
    points = 0.1 * rng.standard_normal((n, size))
    points[:, -1] *= 30.0
    points[:, :2] += rng.choice([-2.0, 2.0], (n, 2))
    return points.astype(np.float32)


def slow(patches: Floats, memory: Floats, leading: Leading) -> Floats:
    """Measure each patch with each entry, one pair after another."""
    basis, found = leading.basis.astype(float), []
    for patch in patches:
        away = patch - leading.centre
        outside = away - basis @ (basis.T @ away)
        pairs = [np.sum((basis.T @ (patch - entry)) ** 2) for entry in memory]
        found.append(np.sqrt(min(pairs) + outside @ outside))
    return np.array(found)


def distances(patches: Floats, memory: Floats, leading: Leading) -> Floats:
    """Measure patches [n, d] as the head does."""
    given = (torch.from_numpy(array) for array in (patches[None], memory, *leading.arrays))
    return from_memory(*given)[0].numpy()


def test_the_distance_is_that_of_its_definition() -> None:
    """To the nearest entry in the leading directions and to the centre in the others, squares added."""
    points, patches = clusters(60, 0), clusters(20, 1) + np.float32(0.5)
    leading = fit_leading(points)
    assert distances(patches, points[:12], leading) == pytest.approx(slow(patches, points[:12], leading), rel=1e-4)


def test_directions_are_those_of_the_largest_variance() -> None:
    """The two directions of the clusters and the last, noisy one are among them, and all are orthonormal."""
    basis = fit_leading(clusters(400, 0)).basis
    for direction in (0, 1, 7):
        assert np.linalg.norm(basis[direction]) == pytest.approx(1.0, abs=0.01)
    assert basis.T @ basis == pytest.approx(np.eye(4), abs=1e-5)


def test_half_of_the_directions_lead_and_no_more_than_the_most() -> None:
    """So that the others are never empty where a patch has several dimensions."""
    assert [directions_of(size) for size in (1, 7, 128, 152)] == [1, 4, MOST_DIRECTIONS, MOST_DIRECTIONS]


def test_patches_that_are_all_alike_have_no_distance() -> None:
    """Nothing is divided by a spread that is not there, and no root is taken of rounding below nothing."""
    points = np.full((5, 8), 0.3, np.float32)
    found = distances(points, points[:2], fit_leading(points))
    assert np.isfinite(found).all()
    assert found.max() < 1e-3
