"""How patch distances become a score: what is learned from good frames, and what it makes visible."""

import numpy as np
import pytest
import torch

from lineside.transfer.pooling import Pooling, fit_pooling, plain_pooling, pool_sizes, pooled, unit_size

GRID = (32, 32)
PATCHES = 1024


def goods(n: int, seed: int = 0) -> np.ndarray:
    """Distances of good frames that differ as a whole and patch by patch."""
    rng = np.random.default_rng(seed)
    return (rng.lognormal(0.0, 0.03, (n, 1)) * rng.lognormal(0.0, 0.3, (n, PATCHES))).astype(np.float32)


def everywhere(n: int) -> np.ndarray:
    """Every patch counts."""
    return np.ones((n, PATCHES), np.bool_)


def scored(pooling: Pooling, away: np.ndarray) -> np.ndarray:
    """Score distances [n, P]."""
    weighted, factor, power = (torch.from_numpy(a) for a in (away * pooling.weight, pooling.factor, pooling.power))
    return pooled(weighted, factor, power).numpy()


def test_sizes_are_shares_of_the_patches() -> None:
    """0.1, 0.3, 1, 3 and 10 %; on a small grid fewer sizes, never none, and the unit is one of them."""
    assert pool_sizes(1024) == (1, 3, 10, 31, 102)
    assert unit_size(1024) == 10
    assert pool_sizes(64) == (1, 2, 6)
    assert pool_sizes(1) == (1,)
    assert all(unit_size(patches) in pool_sizes(patches) for patches in (1, 9, 64, 300, 4096))


def test_nothing_learned_is_the_mean_of_the_largest_hundredth() -> None:
    """The plain rule is that of the largest 1 %, all patches alike."""
    away = goods(5)
    wanted = np.sort(away, axis=1)[:, -10:].mean(axis=1)
    assert scored(plain_pooling(PATCHES), away) == pytest.approx(wanted, rel=1e-5)


def test_a_scratch_and_a_stain_both_stand_out() -> None:
    """One far patch, and a tenth of the patches a little off: the learned score sees both, a single mean only one."""
    pooling, fresh = fit_pooling(goods(40), everywhere(40), GRID), goods(200, seed=1)
    scratched, stained = fresh.copy(), fresh.copy()
    scratched[:, 500] = 4.0
    stained[:, 300:400] *= 1.4
    single = {size: np.sort(fresh, axis=1)[:, -size:].mean(axis=1) for size in (1, 102)}

    def told(spoiled: np.ndarray, score: np.ndarray) -> float:
        return float((spoiled[:, None] > score[None, :]).mean())

    score = scored(pooling, fresh)
    seen = [told(scored(pooling, spoiled), score) for spoiled in (scratched, stained)]
    by_largest = [told(spoiled.max(axis=1), single[1]) for spoiled in (scratched, stained)]
    by_tenth = [told(np.sort(spoiled, axis=1)[:, -102:].mean(axis=1), single[102]) for spoiled in (scratched, stained)]
    assert min(seen) > 0.9
    assert by_largest[1] < seen[1] - 0.05
    assert by_tenth[0] < seen[0] - 0.1


def test_at_the_level_of_good_frames_the_score_is_a_distance() -> None:
    """A good frame's score is near the mean of its largest distances, whatever their unit."""
    one, two = (fit_pooling(factor * goods(40), everywhere(40), GRID) for factor in (1.0, 2.0))
    fresh = goods(50, seed=2)
    assert scored(two, 2.0 * fresh) == pytest.approx(2.0 * scored(one, fresh), rel=1e-3)
    assert np.median(scored(one, fresh) / np.sort(fresh, axis=1)[:, -10:].mean(axis=1)) == pytest.approx(1.0, abs=0.1)


def test_a_lively_border_counts_less_and_a_calm_one_no_more() -> None:
    """The outermost ring three times as far off on good frames weighs a third; a ring that is closer keeps weight 1."""
    edge = np.zeros(GRID, np.bool_)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    away = goods(60)
    away[:, edge.ravel()] *= 3.0
    weight = fit_pooling(away, everywhere(60), GRID).weight.reshape(GRID)
    assert weight[edge] == pytest.approx(1 / 3, rel=0.1)
    assert weight[1:-1, 1:-1].min() > 0.9
    away[:, edge.ravel()] /= 9.0
    assert fit_pooling(away, everywhere(60), GRID).weight.reshape(GRID)[edge].min() == 1.0


def test_patches_outside_the_region_are_not_learned_from() -> None:
    """What lies beyond the region may be anything."""
    away, counts = goods(20), everywhere(20)
    counts[:, 600:] = False
    wild = away.copy()
    wild[:, 600:] = 99.0
    learned, other = (fit_pooling(x, counts, GRID) for x in (away, wild))
    assert all(np.array_equal(a, b) for a, b in zip(learned.arrays, other.arrays, strict=True))


def test_good_frames_all_alike_leave_the_plain_rule() -> None:
    """Distances of nothing, of a picture given twice, teach nothing and break nothing."""
    pooling = fit_pooling(np.zeros((4, PATCHES), np.float32), everywhere(4), GRID)
    assert np.array_equal(pooling.factor, plain_pooling(PATCHES).factor)
    assert scored(pooling, goods(3)) == pytest.approx(scored(plain_pooling(PATCHES), goods(3)))
    same = fit_pooling(np.repeat(goods(1), 4, axis=0), everywhere(4), GRID)
    assert np.isfinite(scored(same, goods(3))).all()
