"""Which training images a run gets: drawn by seed alone, so that every method gets the same.

The order of two parts depends on the seed and their names alone, never on the others: the images of 8 shots are among
those of 50, and a further image changes no draw but where it comes in.
"""

import dataclasses
import hashlib

from lineside.dataset import Dataset, Sample


def drawn(dataset: Dataset, shots: int, seed: int, class_shots: int | None) -> Dataset:
    """Return the data set with a draw of its training images; the test images stay.

    Parameters
    ----------
    dataset : Dataset
    shots : int
        Good parts.
    seed : int
    class_shots : int or None
        Parts of each defect class; None: all.
    """
    kept = set[str]()
    for label in {sample.label for sample in dataset.select("train")}:
        wanted = shots if label == "good" else class_shots
        kept.update(sample.name for sample in _first(dataset, label, seed, wanted))
    samples = tuple(sample for sample in dataset.samples if sample.split == "test" or sample.name in kept)
    return dataclasses.replace(dataset, samples=samples)


def _first(dataset: Dataset, label: str, seed: int, wanted: int | None) -> list[Sample]:
    samples = [sample for sample in dataset.select("train") if sample.label == label]
    groups = sorted({sample.group for sample in samples}, key=lambda group: _order(seed, group))
    chosen = set(groups if wanted is None else groups[:wanted])
    return [sample for sample in samples if sample.group in chosen]


def _order(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"compare:{seed}:{group}".encode()).digest()
