"""How a class head is fitted: which way is chosen, what it claims of itself, and what it calls unknown."""

import numpy as np
import pytest

from class_clouds import clouds
from lineside.errors import UsageError
from lineside.transfer.classes.distance import fit_distance
from lineside.transfer.classes.examples import Examples, folds
from lineside.transfer.classes.fit import fit_classes
from lineside.transfer.classes.head import classify_reference
from lineside.transfer.classes.linear import SHRINKAGE, fit_lda
from lineside.transfer.classes.turns import turned_copies, turns
from lineside.transfer.classes.validate import Held, accuracy_of_choice, interval

NO_GOODS = np.zeros((0, 20), np.float32)


def with_copies(examples: Examples, shift: float, noise: float, seed: int = 3) -> Examples:
    """Return examples, each followed by a turned copy moved by `shift` along every dimension."""
    rng = np.random.default_rng(seed)
    copies = examples.embeddings + shift + noise * rng.standard_normal(examples.embeddings.shape)
    count = len(copies)
    return Examples(
        np.concatenate((examples.embeddings, copies.astype(np.float32))),
        np.tile(examples.labels, 2),
        np.tile(examples.groups, 2),
        np.arange(2 * count) < count,
        np.arange(2 * count) >= count,
    )


@pytest.mark.parametrize("method", ["prototype", "lda", "logistic"])
def test_every_method_tells_classes_that_lie_apart(method: str) -> None:
    """Unseen examples of classes far apart are called what they are."""
    fit = fit_classes(clouds(8, apart=8.0), NO_GOODS, method, 0.0, 0)
    probe = clouds(20, seed=9, apart=8.0)
    assert (classify_reference(fit.values, probe.embeddings).index == probe.labels).mean() > 0.95


def test_the_discriminant_is_the_same_from_either_side() -> None:
    """Solved in examples or in dimensions, the shrunk discriminant is that of its definition."""
    for per_class in (3, 30):
        some = clouds(per_class)
        z = some.embeddings.astype(np.float64)
        linear = fit_lda(z, some.labels)
        means = np.stack([z[some.labels == c].mean(axis=0) for c in range(3)])
        away = z - means[some.labels]
        scatter = away.T @ away / len(z)
        shrunk = (1 - SHRINKAGE) * scatter + SHRINKAGE * np.trace(scatter) / 20 * np.eye(20)
        np.testing.assert_allclose(linear.map, means @ np.linalg.inv(shrunk), rtol=1e-8)


def test_one_example_a_class_is_enough_for_prototypes_and_claims_nothing() -> None:
    """With one example a class, auto takes prototypes, states no accuracy and calls nothing unknown."""
    fit = fit_classes(clouds(1, apart=8.0), NO_GOODS, "auto", 0.3, 0)
    assert (fit.method, fit.accuracy, fit.unknown_share) == ("prototype", None, None)
    far = classify_reference(fit.values, np.full((2, 20), 1e3))
    assert (far.index >= 0).all()


def test_the_claimed_accuracy_is_that_of_unseen_examples() -> None:
    """On classes that overlap, the interval that is claimed covers the accuracy on many unseen examples."""
    fit = fit_classes(clouds(20, apart=2.0), NO_GOODS, "auto", 0.0, 0)
    probe = clouds(500, seed=11, apart=2.0)
    found = (classify_reference(fit.values, probe.embeddings).index == probe.labels).mean()
    assert fit.accuracy is not None
    assert fit.accuracy.n == 60
    assert 0.5 < fit.accuracy.low < found < fit.accuracy.high < 0.95


def test_classes_that_nothing_tells_apart_claim_chance() -> None:
    """Where labels are noise, choosing the best of several ways does not make the claim better than chance."""
    rng = np.random.default_rng(5)
    claims = []
    for seed in range(4):
        noise = clouds(10, apart=0.0, seed=seed)
        copies = with_copies(noise, 0.0, 0.5, seed=int(rng.integers(1000)))
        accuracy = fit_classes(copies, NO_GOODS, "auto", 0.0, seed).accuracy
        assert accuracy is not None
        claims.append(accuracy.value)
    assert np.mean(claims) < 1 / 3 + 0.1


def test_turned_copies_are_learnt_from_where_they_help() -> None:
    """Copies that only add noise like the examples' own are taken, copies that contradict the classes are not."""
    few = clouds(4, apart=3.0)
    helpful = with_copies(few, 0.0, 0.9)
    assert "lda with turned copies" in fit_classes(helpful, NO_GOODS, "lda", 0.0, 0).words[0]
    swapped = with_copies(clouds(10, apart=4.0), 0.0, 0.1)
    labels = np.where(swapped.original, swapped.labels, (swapped.labels + 1) % 3)
    wrong = Examples(swapped.embeddings, labels, swapped.groups, swapped.original, swapped.turned)
    assert fit_classes(wrong, NO_GOODS, "lda", 0.0, 0).words[0].startswith("Classes by lda;")


def test_a_part_is_never_on_both_sides_of_a_fold() -> None:
    """Several examples and copies of one part are held out together, and copies are never counted."""
    some = with_copies(clouds(6), 0.0, 0.1)
    shared = Examples(some.embeddings, some.labels, some.groups // 2, some.original, some.turned)
    seen = 0
    for fitting, held in folds(shared, 0):
        assert not set(shared.groups[fitting]) & set(shared.groups[held])
        assert shared.original[held].all()
        seen += int(held.sum())
    assert seen == 18


def test_known_classes_are_seldom_unknown_and_others_mostly_are() -> None:
    """Of unseen examples of known classes about the wished share is unknown; of another kind nearly all."""
    fit = fit_classes(clouds(30, apart=4.0), NO_GOODS, "lda", 0.1, 0)
    known = classify_reference(fit.values, clouds(200, seed=4, apart=4.0).embeddings).index
    assert 0.03 < (known == -2).mean() < 0.2
    rng = np.random.default_rng(8)
    other = rng.standard_normal((100, 20))
    other[:, 10] += 12.0
    assert (classify_reference(fit.values, other).index == -2).mean() > 0.9


def test_a_method_that_needs_more_examples_says_so() -> None:
    """Logistic regression on two examples a class, a lone class and an unknown name are refused with what to do."""
    with pytest.raises(UsageError, match="needs 5 examples"):
        fit_classes(clouds(2), NO_GOODS, "logistic", 0.05, 0)
    with pytest.raises(UsageError, match="one class alone"):
        fit_classes(clouds(3, classes=1), NO_GOODS, "auto", 0.05, 0)
    with pytest.raises(UsageError, match="expected auto"):
        fit_classes(clouds(3), NO_GOODS, "forest", 0.05, 0)
    with pytest.raises(UsageError, match="episodes"):
        fit_classes(clouds(3), NO_GOODS, "reptile", 0.05, 0)


def test_the_best_of_many_guesses_is_not_believed() -> None:
    """Of 10 ways that guess, the best looks good by chance; the claim stays near chance."""
    rng, labels, groups = np.random.default_rng(0), np.repeat([0, 1], 15), np.arange(30)
    best, claims = [], []
    for _ in range(20):
        ways = [Held(labels, rng.integers(0, 2, 30), groups) for _ in range(10)]
        best.append(max(way.right.mean() for way in ways))
        claims.append(accuracy_of_choice(ways, 0).value)
    assert np.mean(best) > 0.6
    assert np.mean(claims) < 0.55


def test_examples_of_one_part_are_one_draw() -> None:
    """The interval of the accuracy is that of as many draws as there are parts, and the statement counts both."""
    labels = np.repeat([0, 1], 10)
    called = np.where(np.arange(20) < 4, 1, labels)
    alone, shots = (accuracy_of_choice([Held(labels, called, groups)], 0) for groups in (np.arange(20), labels))
    assert (alone.value, alone.n, alone.parts, shots.n, shots.parts) == (0.8, 20, 20, 20, 2)
    assert (shots.low, shots.high) == interval(0.8, 2)
    assert shots.high - shots.low > 1.5 * (alone.high - alone.low)


def test_turned_copies_differ_and_keep_the_size() -> None:
    """A square has 7 copies, all different; another frame has 3 of its own size."""
    frame = np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)
    copies = [frame, *turned_copies(frame)]
    assert len({copy.tobytes() for copy in copies}) == 8
    wide = np.zeros((4, 6, 1), np.uint8)
    assert [copy.shape for copy in turned_copies(wide)] == [(4, 6, 1)] * 3
    assert len(turns(4, 6)) == 3


@pytest.mark.parametrize("count", [12, 40])
def test_the_distance_is_that_of_its_definition(count: int) -> None:
    """With fewer examples than dimensions or more, directions are orthonormal and a strange direction weighs fully."""
    rng = np.random.default_rng(0)
    within, between = rng.standard_normal((count, 20)) * np.linspace(3.0, 0.5, 20), rng.standard_normal((3, 20))
    directions, weights = fit_distance(within, between)
    np.testing.assert_allclose(directions.T @ directions, np.eye(directions.shape[1]), atol=1e-8)
    apart = between[0] - between[1]
    inside = directions[:, :2] @ directions[:, :2].T @ apart
    np.testing.assert_allclose(inside, apart, atol=1e-8)
    assert weights.min() > 0.0
    assert weights[2] < weights[-1]
