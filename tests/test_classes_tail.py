"""The tuned tail of the class head: what the adapters learn, where they are tried, and their graph."""

from dataclasses import replace

import numpy as np
import pytest

from class_clouds import clouds
from lineside.errors import UsageError
from lineside.graph.join import join
from lineside.graph.run import Graph
from lineside.transfer.classes import tail
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import fit_classes
from lineside.transfer.classes.head import classify_reference, export_class_head
from lineside.transfer.classes.pooling import CLASS_WEIGHT, PoolShape, pool_reference
from lineside.transfer.classes.tail import (
    CLASS_TUNED,
    Cells,
    cells_of,
    export_tail,
    fit_tail,
    may_tune,
    tail_reference,
    tuned_embeddings,
)
from lineside.transfer.head import tap_name

SHAPE = PoolShape((3, 5), ((6, 6), (3, 3)), (6, 6))
NO_GOODS = np.zeros((0, SHAPE.dimensions), np.float32)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for 60 steps in 4 folds: enough for what these tests ask."""
    monkeypatch.setattr(tail, "STEPS", 60)
    monkeypatch.setattr("lineside.transfer.classes.examples.TUNED_FOLDS", 4)


def patterned(per_class: int, seed: int) -> tuple[Cells, np.ndarray]:
    """Return cells of two classes that differ only in whether two channels of a cell have the same sign.

    Mean and deviation of every channel are alike: the frozen pooling does not see the difference.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], per_class)
    taps = [
        rng.standard_normal((2 * per_class, c, *grid)).astype(np.float32)
        for c, grid in zip(SHAPE.channels, SHAPE.grids_hw, strict=True)
    ]
    sign = np.where(labels, -1.0, 1.0)[:, None, None]
    taps[0][:, 1] = sign * taps[0][:, 0]
    return cells_of(SHAPE, taps, np.ones((2 * per_class, 1, 6, 6), np.float32)), labels


def frozen(cells: Cells) -> np.ndarray:
    """Return the embeddings of the pooling alone."""
    taps = {i: tap[cells.rows] for i, tap in enumerate(cells.taps)}
    return pool_reference(SHAPE, taps, cells.weight[cells.rows]).astype(np.float32)


def examples_of(cells: Cells, labels: np.ndarray) -> Examples:
    """Return the examples of some cells, each of a part of its own."""
    count = len(labels)
    return Examples(frozen(cells), labels, np.arange(count), np.ones(count, np.bool_), cells=cells)


def test_tuning_sees_what_the_frozen_pooling_cannot() -> None:
    """Classes that differ in how channels go together are told apart by auto, through a tuned tail alone."""
    cells, labels = patterned(20, 0)
    fit = fit_classes(examples_of(cells, labels), NO_GOODS, "auto", 0.05, 0)
    assert (fit.method, fit.tail is not None) == ("finetune", True)
    assert fit.tail is not None
    unseen, truth = patterned(40, 1)
    tuned = classify_reference(fit.values, tuned_embeddings(fit.tail, unseen)).prob.argmax(axis=1)
    without = fit_classes(replace(examples_of(cells, labels), cells=None), NO_GOODS, "lda", 0.05, 0)
    plain = classify_reference(without.values, frozen(unseen)).prob.argmax(axis=1)
    assert (tuned == truth).mean() > 0.9
    assert (plain == truth).mean() < 0.75


def test_a_tuned_tail_claims_chance_where_there_is_nothing_to_learn() -> None:
    """Tails are trained without the part that they are judged by: labels drawn at random are not told apart."""
    cells, labels = patterned(20, 2)
    drawn = np.random.default_rng(0).permutation(labels)
    fit = fit_classes(examples_of(cells, drawn), NO_GOODS, "finetune", 0.05, 0)
    assert fit.accuracy is not None
    assert fit.accuracy.value < 0.75


def test_tuning_is_left_out_where_it_cannot_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the discriminant makes no mistake, auto does not train a tail at all."""
    monkeypatch.setattr("lineside.transfer.classes.fit.fit_tail", lambda *_: pytest.fail("a tail was trained"))
    some = clouds(20, classes=2, apart=12.0)
    cells, _ = patterned(20, 0)
    assert fit_classes(replace(some, cells=cells), np.zeros((0, 20), np.float32), "auto", 0.05, 0).tail is None


def test_tuning_needs_twenty_examples_and_memory() -> None:
    """Fewer examples, another method or too large features: no cells are kept, and finetune is refused by name."""
    assert may_tune("auto", (20, 30), 400, SHAPE)
    assert not may_tune("auto", (19, 30), 400, SHAPE)
    assert not may_tune("lda", (20, 30), 400, SHAPE)
    assert not may_tune("finetune", (20, 30), 10**7, SHAPE)
    with pytest.raises(UsageError, match="finetune needs 20 examples"):
        fit_classes(clouds(20), np.zeros((0, 20), np.float32), "finetune", 0.05, 0)


def test_an_untrained_tail_is_the_frozen_pooling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters begin at zero, and folding the taps' standardisation into them changes nothing."""
    cells, labels = patterned(3, 0)
    monkeypatch.setattr(tail, "RATE", 1e-12)
    np.testing.assert_allclose(tuned_embeddings(fit_tail(cells, labels, 0), cells), frozen(cells), rtol=1e-4, atol=1e-5)


def test_the_tail_graph_equals_its_reference() -> None:
    """Embedding, probabilities and classes of the graph, head behind it, are the plain NumPy ones."""
    cells, labels = patterned(20, 0)
    shifted = replace(cells, taps=tuple(5.0 + 3.0 * tap for tap in cells.taps))
    fit = fit_classes(examples_of(shifted, labels), NO_GOODS, "finetune", 0.05, 0)
    assert fit.tail is not None
    model = join(export_tail(fit.tail), export_class_head(fit.values, CLASS_TUNED), "head/")
    taps = {i: tap[:7] for i, tap in enumerate(shifted.taps)}
    weight = np.random.default_rng(0).random((7, 1, 6, 6)).astype(np.float32)
    fed = {**{tap_name(i): tap for i, tap in taps.items()}, CLASS_WEIGHT: weight}
    out = Graph(model)({**fed, **fit.tail.feed(), **fit.values.feed()})
    embedding = tail_reference(fit.tail, taps, weight)
    expected = classify_reference(fit.values, embedding)
    np.testing.assert_allclose(out[CLASS_TUNED], embedding, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(out["class_prob"], expected.prob, atol=2e-3)
    np.testing.assert_array_equal(out["class_index"], expected.index)


def test_the_same_seed_gives_the_same_tail() -> None:
    """Training draws nothing from anywhere but its seed."""
    cells, labels = patterned(4, 0)
    one, again, other = (fit_tail(cells, labels, seed).up[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
