"""Whether the probabilities of classes say how often they are right, on examples whose true probabilities are known."""

import numpy as np
import numpy.typing as npt
import pytest

from class_clouds import clouds
from lineside.calibrate.probability import class_calibration
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import fit_classes
from lineside.transfer.classes.head import classify_reference
from lineside.transfer.classes.temperature import fit_temperature

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


def probabilities(logits: F64) -> F64:
    """Softmax along the rows."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def drawn(n: int, seed: int, classes: int = 4) -> tuple[F64, I64]:
    """Logits [n, k] that are right as they are: each label is drawn with the probabilities that they state."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.standard_normal((n, classes))
    below = rng.random(n)[:, None] > probabilities(logits).cumsum(axis=1)
    return logits, below.sum(axis=1).clip(max=classes - 1)


@pytest.mark.parametrize("wrong_by", [0.4, 1.0, 3.0, 20.0])
def test_logits_that_are_too_large_are_brought_back(wrong_by: float) -> None:
    """Of 3,000 examples the temperature is what the logits were spoiled by, within 10 %."""
    logits, labels = drawn(3000, 1)
    found = fit_temperature(logits * wrong_by, labels, np.arange(3000))
    assert found == pytest.approx(wrong_by, rel=0.1)


def test_it_is_the_lowest_cost_of_a_fine_grid() -> None:
    """Against every temperature in steps of a thousandth: log likelihood, half a mistake and prior, written out."""
    logits, labels = drawn(40, 2)
    logits *= 4.0
    found = np.log(fit_temperature(logits, labels, np.arange(40)))
    steps = np.linspace(-2.0, 4.0, 6001)
    told = np.where(np.arange(4) == labels[:, None], 1.0 - 0.5 / 41, 0.5 / 41 / 3)
    said = np.array([(told * np.log(probabilities(logits / np.exp(a)))).sum() for a in steps])
    prior = 0.5 * np.square(steps / np.where(steps > 0, 2.0, 0.3))
    assert found == pytest.approx(float(steps[np.argmin(prior - said)]), abs=1e-3)


@pytest.mark.parametrize("n", [10, 100])
def test_n_of_n_right_is_no_certainty(n: int) -> None:
    """Logits that say 100 %, all of them rightly: then they say what half a mistake in n + 1 allows."""
    labels = np.arange(n) % 2
    logits = 500.0 * np.eye(2)[labels]
    sure = probabilities(logits / fit_temperature(logits, labels, np.arange(n))).max()
    assert (n + 0.5) / (n + 1) - 0.02 < sure < (n + 0.5) / (n + 1) + 0.04


def test_without_examples_nothing_changes() -> None:
    """There is nothing to fit on."""
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0, np.int64)) == 1.0


def test_examples_of_one_part_weigh_as_one() -> None:
    """Ten pictures of each part say no more than one of each."""
    logits, labels = drawn(30, 3)
    once = fit_temperature(5.0 * logits, labels, np.arange(30))
    tenfold = fit_temperature(np.repeat(5.0 * logits, 10, 0), np.repeat(labels, 10), np.repeat(np.arange(30), 10))
    assert tenfold == pytest.approx(once, rel=1e-6)


def test_a_head_on_few_examples_in_many_dimensions_is_no_longer_too_sure() -> None:
    """60 dimensions, 12 examples of each of three classes that overlap: ECE and Brier score fall, no answer changes."""
    some, new = clouds(12, size=60, apart=2.0), clouds(700, size=60, seed=7, apart=2.0)
    fit = fit_classes(some, np.zeros((0, 60), np.float32), "lda", 0.0, 0)
    after = classify_reference(fit.values, new.embeddings).prob
    before = probabilities(np.log(np.maximum(after, 1e-300)) * fit.temperature)
    assert fit.temperature > 1.5
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    was, now = (class_calibration(p, new.labels.tolist()) for p in (before, after))
    assert was is not None
    assert now is not None
    assert was.ece > 0.15
    assert now.ece < 0.5 * was.ece
    assert now.brier < was.brier


def test_strangeness_and_what_is_unknown_stay() -> None:
    """The temperature is in map and bias alone, which are those of the bare fit over it; all else is as it was."""
    some = clouds(12, size=60, apart=2.0)
    one = fit_classes(some, np.zeros((0, 60), np.float32), "lda", 0.1, 0)
    alone = Examples(some.embeddings, some.labels, np.arange(3).repeat(12), some.original)  # a part for each class
    bare = fit_classes(alone, np.zeros((0, 60), np.float32), "lda", 0.1, 0)
    assert (bare.accuracy, bare.temperature) == (None, 1.0)
    np.testing.assert_allclose(one.values.map * one.temperature, bare.values.map, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.values.bias * one.temperature, bare.values.bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(one.values.directions, bare.values.directions)
    np.testing.assert_array_equal(one.values.weights, bare.values.weights)
