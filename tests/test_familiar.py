"""Familiarity: another part is strange, a good one is not, and a defect is far from tripping it."""

import numpy as np
import pytest
import torch

from lineside.graph.onnx_export import export_module
from lineside.graph.run import Graph
from lineside.transfer.familiar import (
    RANK,
    VALUE_NAMES,
    Familiarity,
    _shrinkage,
    fit_familiarity,
    novelty_limit,
    reference_novelty,
)


def goods(n: int, seed: int = 0, size: int = 48) -> np.ndarray:
    """Return embeddings of one part: a place, and three directions along which frames differ."""
    rng, part = np.random.default_rng(seed), np.random.default_rng(99)
    place, ways = part.standard_normal(size), part.standard_normal((3, size))
    varied = 0.1 * rng.standard_normal((n, 3)) @ ways + 0.03 * rng.standard_normal((n, size))
    return (place + varied).astype(np.float32)


@pytest.mark.parametrize("n", [8, 10, 50])
def test_the_next_good_frame_is_familiar_and_another_part_is_not(n: int) -> None:
    """From 8 good frames on: unseen good ones below 3, a frame of another place far beyond the limit."""
    values = fit_familiarity(goods(n), seed=0)
    other = np.random.default_rng(5).standard_normal((20, 48)).astype(np.float32)
    assert reference_novelty(goods(200, seed=1), values).max() < 3.0
    assert reference_novelty(other, values).min() > novelty_limit(6.0)


def test_novelty_grows_with_the_share_of_another_part() -> None:
    """A mean embedding of which more and more comes from elsewhere is stranger and stranger."""
    values, one = fit_familiarity(goods(20), 0), goods(1, seed=3)
    elsewhere = np.random.default_rng(5).standard_normal(48).astype(np.float32)
    mixed = np.concatenate([(1 - share) * one + share * elsewhere for share in (0.0, 0.1, 0.3, 1.0)])
    novelty = reference_novelty(mixed, values)
    assert (np.diff(novelty) > 0).all()


def test_the_unit_is_a_held_out_good_frame() -> None:
    """The median of many unseen good frames is 1, or somewhat less where all good frames are much alike."""
    assert 0.4 < np.median(reference_novelty(goods(300, seed=1), fit_familiarity(goods(40), 0))) < 1.1


def test_good_frames_that_are_all_alike_do_not_make_everything_strange() -> None:
    """Twenty copies of one picture leave room of some percent of the embedding, not of rounding."""
    one = goods(1)
    values = fit_familiarity(np.repeat(one, 20, axis=0), 0)
    assert reference_novelty(one * 1.02, values)[0] < 2.0
    assert reference_novelty(-one, values)[0] > novelty_limit(6.0)
    assert fit_familiarity(np.zeros((9, 48), np.float32), 0)["familiar_weights"].max() < np.inf


def test_with_too_few_good_frames_everything_is_familiar() -> None:
    """Three frames say nothing of a spread."""
    values = fit_familiarity(goods(3), 0)
    assert reference_novelty(100 + goods(5), values).tolist() == [0.0] * 5


def test_the_shrinkage_is_that_of_scikit_learn() -> None:
    """Ledoit and Wolf's share by products of rows equals sklearn.covariance's."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    for n in (8, 30, 120):
        x = goods(n).astype(np.float64)
        away = x - x.mean(axis=0)
        assert _shrinkage(away, float((away**2).mean())) == pytest.approx(ledoit_wolf_shrinkage(x), rel=1e-6)


def test_the_distance_is_mahalanobis_of_the_shrunk_covariance() -> None:
    """With fewer frames than directions kept, squares are those of scikit-learn's inverse, but for unit and floor."""
    from sklearn.covariance import ledoit_wolf

    x = goods(20).astype(np.float64)
    inverse = np.linalg.inv(ledoit_wolf(x)[0])
    away = goods(30, seed=2).astype(np.float64) - x.mean(axis=0)
    wanted = np.sqrt(np.einsum("ni,ij,nj->n", away, inverse, away))
    found = reference_novelty(goods(30, seed=2), fit_familiarity(goods(20), 0, least_spread=1e-6))
    assert (found / wanted).std() / (found / wanted).mean() < 1e-3


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_exported_novelty_is_the_reference_s(count: int) -> None:
    """ONNX Runtime, torch and the slow twin agree for 1, 2 and 7 frames; values are inputs of fixed shape."""
    values = fit_familiarity(goods(12), 0)
    assert [values[name].shape for name in VALUE_NAMES] == [(48,), (48, RANK), (RANK + 1,)]
    given = np.concatenate((goods(count, seed=4)[:-1], np.ones((1, 48), np.float32)))
    examples = {"embedding": torch.zeros(2, 48), **{name: torch.from_numpy(values[name]) for name in VALUE_NAMES}}
    graph = Graph(export_module(Familiarity(), examples, ("novelty",), {"embedding": {0: "N"}}))
    found = graph({"embedding": given, **values})["novelty"]
    assert np.allclose(found, reference_novelty(given, values), rtol=1e-4)
