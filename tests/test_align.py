"""A changed camera undone in feature space, in closed form."""

import numpy as np
import pytest

from lineside.transfer.align import (
    Affine,
    Map,
    alignment,
    mean_statistics,
    resized_weights,
    tap_statistics,
)

RNG = np.random.default_rng(0)


def features(count: int = 6, mix: float = 0.3) -> np.ndarray:
    """Return correlated tap features [n, 5, 12, 10]."""
    plain = RNG.standard_normal((count, 5, 12, 10))
    mixed = np.einsum("dc,nchw->ndhw", np.eye(5) + mix * RNG.standard_normal((5, 5)), plain)
    return (mixed * np.arange(1, 6)[:, None, None] + 2.0).astype(np.float32)


def everywhere(taps: np.ndarray) -> np.ndarray:
    """Return weights that let every patch count."""
    return np.ones((len(taps), *taps.shape[2:]), np.float32)


def test_statistics_are_those_of_the_patches_that_count() -> None:
    """Mean and covariance equal NumPy's over the patches whose weight is at least a half."""
    taps = features()
    weights = (RNG.random((6, 12, 10)) > 0.4).astype(np.float32)
    found = tap_statistics(taps, weights)
    rows = taps.transpose(0, 2, 3, 1)[weights > 0.5].astype(np.float64)
    assert found.count == len(rows)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(rows.T, bias=True), rtol=1e-6, atol=1e-6)


def test_statistics_of_parts_make_those_of_the_whole() -> None:
    """Folds are put together from single frames: the result is that of all frames at once."""
    taps = features()
    weights = (RNG.random((6, 12, 10)) > 0.4).astype(np.float32)
    whole = tap_statistics(taps, weights)
    parts = mean_statistics([tap_statistics(taps[i : i + 1], weights[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-9)
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-9)


@pytest.mark.parametrize("how", ["moments", "covariance"])
def test_a_gain_and_offset_of_every_channel_is_undone(how: Map) -> None:
    """Channels that were scaled and shifted come back as they were, by either map."""
    taps = features(mix=0.0)
    gain, shift = np.array([0.5, 2.0, 1.0, 1.5, 0.8]), np.array([1.0, -2.0, 0.0, 3.0, 0.5])
    changed = (taps * gain[:, None, None] + shift[:, None, None]).astype(np.float32)
    affine = alignment(tap_statistics(taps, everywhere(taps)), tap_statistics(changed, everywhere(taps)), how)
    back = np.einsum("dc,nchw->ndhw", affine.matrix, changed) + affine.shift[:, None, None]
    scale = taps.std(axis=(0, 2, 3))[:, None, None]
    assert np.abs((back - taps) / scale).max() < 0.15  # the ridge holds covariance back a little
    assert np.abs((changed - taps) / scale).max() > 0.5


def test_covariance_aligns_what_moments_cannot() -> None:
    """Channels that were mixed have the old covariance again after the covariance map alone."""
    taps = features()
    mixing = np.eye(5) + 0.3 * np.eye(5, k=1) - 0.2 * np.eye(5, k=-2)
    changed = np.einsum("dc,nchw->ndhw", mixing, taps).astype(np.float32)
    old, new = tap_statistics(taps, everywhere(taps)), tap_statistics(changed, everywhere(taps))

    def left(how: Map) -> float:
        matrix = alignment(old, new, how).matrix
        return float(np.abs(matrix @ new.covariance @ matrix.T - old.covariance).max() / np.trace(old.covariance))

    assert left("covariance") < 0.2 * left("moments")  # the ridge leaves a little


def test_the_map_between_equal_statistics_is_none() -> None:
    """A line that did not change is left as it is."""
    same = tap_statistics(features(), np.ones((6, 12, 10), np.float32))
    for how in ("moments", "covariance"):
        affine = alignment(same, same, how)  # type: ignore[arg-type]
        np.testing.assert_allclose(affine.matrix, np.eye(5), atol=1e-9)
        np.testing.assert_allclose(affine.shift, 0.0, atol=1e-9)


def test_a_map_is_a_product_and_a_shift_of_every_patch() -> None:
    """As NumPy multiplies one patch by itself."""
    affine = Affine(RNG.standard_normal((5, 5)), RNG.standard_normal(5))
    taps = features()
    np.testing.assert_allclose(affine(taps)[2, :, 4, 7], affine.matrix @ taps[2, :, 4, 7] + affine.shift, rtol=1e-9)


def test_two_maps_in_one_give_what_one_after_the_other_gives() -> None:
    """A line that changes twice has one map still."""
    first, second = (Affine(RNG.standard_normal((5, 5)), RNG.standard_normal(5)) for _ in range(2))
    taps = features()
    np.testing.assert_allclose(second.after(first)(taps), second(first(taps)), rtol=1e-7, atol=1e-9)


def test_a_region_is_brought_to_a_coarser_tap_by_the_nearest_cell() -> None:
    """Of 4×4 cells the 2×2 tap takes those that its centres lie in."""
    region = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(resized_weights(region, (2, 2))[0], [[5.0, 7.0], [13.0, 15.0]])
