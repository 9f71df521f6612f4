"""Which training images a run gets: drawn by seed alone, so that every method gets the same.

The order of two parts depends on the seed and their names alone, never on the others: the images of 8 shots are among
those of 50, and a further image changes no draw but where it comes in.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

from lineside.dataset import Dataset, Sample


def drawn(dataset: Dataset, shots: int, seed: int, class_shots: int | None) -> Dataset:
    """Return the data set with a draw of its training images; the test images stay.

    Parameters
    ----------
    dataset : Dataset
    shots : int
        Good parts, with all their images.
    seed : int
    class_shots : int or None
        Images of each defect class, or as many as there are; None: all.
    """
    kept = set[str]()
    for label in {sample.label for sample in dataset.select("train")}:
        samples = [sample for sample in dataset.select("train") if sample.label == label]
        ordered = sorted(samples, key=lambda sample: (_order(seed, sample.group), sample.name))
        chosen = _first_parts(ordered, shots) if label == "good" else ordered[:class_shots]
        kept.update(sample.name for sample in chosen)
    samples_left = tuple(sample for sample in dataset.samples if sample.split == "test" or sample.name in kept)
    return dataclasses.replace(dataset, samples=samples_left)


def _first_parts(ordered: Sequence[Sample], count: int) -> list[Sample]:
    parts = list(dict.fromkeys(sample.group for sample in ordered))[:count]
    return [sample for sample in ordered if sample.group in parts]


def _order(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"compare:{seed}:{group}".encode()).digest()
