"""Fits side by side: as many as there is memory for, and with the same numbers however many."""

import threading

import numpy as np
import pytest
import torch

from lineside.graph.run import WORKERS_VARIABLE
from lineside.train.together import MOST_BYTES, at_once, together


def product(seed: int) -> bytes:
    """Return the bytes of what NumPy and torch make of a seed, by sums that several threads would add up otherwise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((700, 400)).astype(np.float32)
    inverse = np.linalg.inv(x.T @ x)
    return inverse.tobytes() + torch.from_numpy(x).sum(dim=0).numpy().tobytes()


def test_the_numbers_are_the_same_however_many_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One, two or five at a time, on a machine whose libraries would use several threads: the same bits in order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = []
        for workers in ("1", "2", "5"):
            monkeypatch.setenv(WORKERS_VARIABLE, workers)
            found.append(together(product, range(6), 1))
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 6


def test_libraries_are_held_to_the_thread_that_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every thread torch and NumPy's linear algebra have one thread of their own."""
    from threadpoolctl import threadpool_info

    monkeypatch.setenv(WORKERS_VARIABLE, "2")
    torch.set_num_threads(3)

    def seen(_: int) -> tuple[int, int]:
        return torch.get_num_threads(), max(pool["num_threads"] for pool in threadpool_info())

    assert set(together(seen, range(4), 1)) == {(1, 1)}
    torch.set_num_threads(1)


def test_few_run_where_each_needs_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits that need a third of the memory run three at a time, and one that needs more than all runs alone."""
    monkeypatch.setenv(WORKERS_VARIABLE, "8")
    assert [at_once(need) for need in (1, MOST_BYTES // 3, MOST_BYTES, 10 * MOST_BYTES)] == [8, 3, 1, 1]
    running, most, lock = [0], [0], threading.Lock()

    def count(_: int) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.02)
        with lock:
            running[0] -= 1

    together(count, range(12), MOST_BYTES // 3)
    assert most[0] <= 3


def test_an_error_in_one_of_them_comes_out() -> None:
    """What a fit refuses is refused, whichever thread it ran in."""

    def refuse(number: int) -> int:
        if number == 2:
            raise ValueError("number two")
        return number

    with pytest.raises(ValueError, match="number two"):
        together(refuse, range(4), 1)
