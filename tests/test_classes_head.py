"""The class head's graph parts: pooling and head against their plain references."""

import numpy as np

from class_clouds import clouds
from lineside.graph.run import Graph
from lineside.transfer.classes.fit import fit_classes
from lineside.transfer.classes.head import classify_reference, export_class_head
from lineside.transfer.classes.pooling import CLASS_EMBEDDING, CLASS_WEIGHT, PoolShape, export_pool, pool_reference
from lineside.transfer.head import tap_name

SHAPE = PoolShape((3, 5), ((12, 10), (5, 4)), (6, 8))


def test_the_pooling_graph_equals_its_reference() -> None:
    """Mean and deviation under both windows are the plain NumPy ones, on grids that do not divide the weight map's."""
    rng = np.random.default_rng(0)
    taps = {
        i: rng.standard_normal((3, c, *g)).astype(np.float32)
        for i, (c, g) in enumerate(zip(SHAPE.channels, SHAPE.grids_hw, strict=True))
    }
    weight = rng.random((3, 1, 6, 8)).astype(np.float32)
    out = Graph(export_pool(SHAPE))({**{tap_name(i): t for i, t in taps.items()}, CLASS_WEIGHT: weight})
    expected = pool_reference(SHAPE, taps, weight)
    assert expected.shape == (3, SHAPE.dimensions)
    np.testing.assert_allclose(out[CLASS_EMBEDDING], expected, rtol=1e-3, atol=1e-4)


def test_a_weight_of_nothing_gives_finite_numbers() -> None:
    """A frame at which no cell is pointed gets a finite embedding."""
    taps = {
        i: np.ones((2, c, *g), np.float32) for i, (c, g) in enumerate(zip(SHAPE.channels, SHAPE.grids_hw, strict=True))
    }
    weight = np.zeros((2, 1, 6, 8), np.float32)
    out = Graph(export_pool(SHAPE))({**{tap_name(i): t for i, t in taps.items()}, CLASS_WEIGHT: weight})
    assert np.isfinite(out[CLASS_EMBEDDING]).all()


def test_the_head_graph_equals_its_reference() -> None:
    """Probabilities, classes and p-values of the graph are the plain NumPy ones, unknown ones among them."""
    fit = fit_classes(clouds(8), np.zeros((0, 20), np.float32), "lda", 0.2, 0)
    probe = np.concatenate((clouds(9, seed=5).embeddings, np.full((2, 20), 30, np.float32)))
    out = Graph(export_class_head(fit.values))({CLASS_EMBEDDING: probe, **fit.values.feed()})
    expected = classify_reference(fit.values, probe)
    np.testing.assert_allclose(out["class_prob"], expected.prob, atol=1e-4)
    np.testing.assert_array_equal(out["class_index"], expected.index)
    np.testing.assert_allclose(out["class_p_value"], expected.p_value, rtol=1e-5)
    assert (expected.index[-2:] == -2).all()
