"""What is known of a place: whitening, weights, and when it is worth using."""

import numpy as np
import pytest

from lineside.transfer.place import LEAST_SEPARATION, fit_place, separation

GRID = (8, 8)
ALL = np.ones((1, 64), np.bool_)


def frames_of(n: int, seed: int, spread: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return patches [n, 64, d]: each place's own, and deviations of a spread [d]."""
    noise = np.random.default_rng(seed).standard_normal((n, *places.shape))
    return (places + spread * noise).astype(np.float32)


@pytest.fixture
def places() -> np.ndarray:
    """Patches of 64 places, 6 dimensions."""
    return np.random.default_rng(7).standard_normal((64, 6)) * 5.0


def test_a_held_out_good_patch_has_distance_one(places: np.ndarray) -> None:
    """The root mean square distance of new good patches is 1, whatever the unit of the features."""
    for unit in (0.01, 1.0, 300.0):
        goods = unit * frames_of(20, 0, np.full(6, 0.3), places)
        fresh = unit * frames_of(20, 1, np.full(6, 0.3), places)
        place = fit_place(goods, np.repeat(ALL, 20, 0), range(20))
        assert np.sqrt((place.distance(fresh) ** 2).mean()) == pytest.approx(1.0, abs=0.08)


def test_what_varies_between_goods_counts_little(places: np.ndarray) -> None:
    """The same step is far along a quiet direction and near along a lively one."""
    spread = np.array([3.0, 0.1, 0.1, 0.1, 0.1, 0.1])
    place = fit_place(frames_of(20, 0, spread, places), np.repeat(ALL, 20, 0), range(20))
    steps = [place.distance((places + np.eye(6)[k])[None].astype(np.float32)).mean() for k in (0, 1)]
    assert steps[1] > 3.0 * steps[0]  # the floor under the variances keeps it from 30


def test_a_restless_place_counts_less(places: np.ndarray) -> None:
    """Where goods vary more than elsewhere a distance weighs less, the more so the more frames show it."""
    ratios = []
    for n in (4, 40):
        goods = frames_of(n, 0, np.full(6, 0.3), places)
        goods[:, 10] += 5.0 * (goods[:, 10] - places[10]).astype(np.float32)
        weight = fit_place(goods, np.repeat(ALL, n, 0), range(n)).weight
        ratios.append(weight[10] / np.median(weight))
    assert 1.0 > ratios[0] > ratios[1] > 1.0 / 6.0


def test_a_place_that_no_frame_shows_counts_nothing(places: np.ndarray) -> None:
    """Its weight is 0, and one shown by a single frame takes the spread of all places."""
    goods = frames_of(5, 0, np.full(6, 0.3), places)
    counts = np.repeat(ALL, 5, 0)
    counts[:, 3] = False
    counts[1:, 4] = False
    goods[:, 3] = 1e6
    place = fit_place(goods, counts, range(5))
    assert place.weight[3] == 0.0
    assert place.weight[4] > 0.0
    assert np.abs(place.mean[4] - goods[0, 4]).max() < np.abs(place.mean).max() / 32_767


def test_equal_frames_give_finite_distances(places: np.ndarray) -> None:
    """Goods that are all one picture leave finite numbers; theirs are about 1, the unit, in which rounding is left."""
    goods = np.repeat(places[None].astype(np.float32), 4, 0)
    place = fit_place(goods, np.repeat(ALL, 4, 0), range(4))
    assert np.isfinite(place.distance(goods + 1.0)).all()
    assert place.distance(goods).max() < 2.0
    assert place.distance(goods + 1.0).min() > 10.0


def test_places_separate_parts_and_not_textures(places: np.ndarray) -> None:
    """Where places differ a strange patch is told from goods nearly always, where they are alike not."""
    counts, spread = np.repeat(ALL, 9, 0), np.full(6, 0.5)
    of_part = separation(frames_of(9, 0, spread, places), counts, range(9), GRID, 0)
    of_texture = separation(frames_of(9, 0, spread, 0.0 * places), counts, range(9), GRID, 0)
    assert of_part > LEAST_SEPARATION
    assert of_texture < LEAST_SEPARATION


def test_copies_are_held_out_with_their_frame(places: np.ndarray) -> None:
    """A copy in the fit would make its frame look nearer than it is: equal numbers keep them together."""
    goods = frames_of(6, 0, np.full(6, 0.5), places)
    twice = np.repeat(goods, 2, 0)
    counts = np.repeat(ALL, 12, 0)
    together = separation(twice, counts, np.repeat(np.arange(6), 2).tolist(), GRID, 0)
    alone = separation(goods, counts[:6], range(6), GRID, 0)
    assert together == pytest.approx(alone, abs=0.1)


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_frames_cannot_say(n: int, places: np.ndarray) -> None:
    """With fewer frames than folds nothing is held out, and places stay unused."""
    assert separation(frames_of(n, 0, np.ones(6), places), np.repeat(ALL, n, 0), range(n), GRID, 0) == 0.0
