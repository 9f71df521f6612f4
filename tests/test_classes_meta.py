"""Meta-learned starts: what episodes of other parts teach a new part's class head."""

import numpy as np
import pytest

from class_clouds import clouds
from lineside.errors import UsageError
from lineside.transfer.classes.fit import fit_classes
from lineside.transfer.classes.head import classify_reference
from lineside.transfer.classes.meta import MetaMethod, Task, learn_start

SIZE = 60


def part(seed: int, per_class: int, loud: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    """Return examples of 4 classes of one part: they differ in 8 directions of 60, and 12 louder ones say nothing."""
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.standard_normal((4, 8))
    labels = np.repeat(np.arange(4), per_class)
    rows = rng.standard_normal((len(labels), SIZE))
    rows[:, :8] += centres[labels]
    rows[:, 8:20] *= loud
    return rows, labels


@pytest.mark.parametrize("method", ["reptile", "anil"])
def test_a_start_from_other_parts_beats_prototypes_on_a_new_one(method: MetaMethod) -> None:
    """From one example a class, the adapter that other parts taught is more accurate than plain prototypes."""
    tasks = [Task(f"part {seed}", *part(seed, 20)) for seed in range(6)]
    start = learn_start(tasks, method, 0, episodes=60)
    found, plain = [], []
    for seed in range(100, 110):
        (few, labels), (many, truth) = part(seed, 1), part(seed, 50)
        found.append((start.fit(few, labels).predict(many) == truth).mean())
        nearest = np.square(many[:, None] - few[None]).sum(axis=2).argmin(axis=1)
        plain.append((labels[nearest] == truth).mean())
    assert np.mean(found) > np.mean(plain) + 0.05


def test_the_same_seed_gives_the_same_start() -> None:
    """Episodes are drawn from the seed alone."""
    task = Task("part", *part(0, 10))
    one, two = (learn_start([task], "reptile", 4, episodes=5) for _ in range(2))
    np.testing.assert_array_equal(one.adapter, two.adapter)
    assert (one.adapter != learn_start([task], "reptile", 5, episodes=5).adapter).any()


def test_a_start_becomes_a_way_of_fitting() -> None:
    """With a start the head is fitted by it when the recipe says so, and ends as the same kind of values."""
    some = clouds(6, apart=8.0)
    z = clouds(20, apart=8.0, seed=2)
    start = learn_start([Task("clouds", z.embeddings.astype(np.float64), z.labels)], "anil", 0, episodes=20)
    fit = fit_classes(some, np.zeros((0, 20), np.float32), "anil", 0.05, 0, start)
    assert fit.method == "anil"
    probe = clouds(20, seed=9, apart=8.0)
    assert (classify_reference(fit.values, probe.embeddings).prob.argmax(axis=1) == probe.labels).mean() > 0.9


def test_nothing_to_learn_from_is_refused() -> None:
    """No episodes, or episodes of one class, are errors that say what is expected."""
    with pytest.raises(UsageError, match="needs episodes"):
        learn_start([], "anil", 0)
    with pytest.raises(UsageError, match="two classes"):
        Task("part", np.zeros((4, 3)), np.zeros(4, np.int64))
