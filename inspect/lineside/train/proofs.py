"""Which frames the assembled graph is proven on, and which of them may become vectors."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lineside.contract import Verdict
from lineside.dataset import Dataset, Sample
from lineside.export.parity import ParityCase, ParityRecord
from lineside.export.vectors import Candidate
from lineside.synth.disturb import disturbed
from lineside.train.images import FrameReader, References

VECTOR_CANDIDATES = 12
"""Frames of each verdict that vectors are chosen from."""


def parity_cases(
    dataset: Dataset, references: References, seed: int, recorded: Mapping[int, float]
) -> tuple[ParityCase, ...]:
    """Every training frame that the score was fitted on, a disturbed copy of each, and every other image.

    Parameters
    ----------
    recorded : mapping of position to score
        Of the good frames that the deployed head itself scored for the threshold.
    """
    reader, cases = references.reader, list[ParityCase]()
    for index, sample in enumerate(references.samples):
        score = recorded.get(index)
        cases.append(ParityCase(sample.name, "calibration", sample.label, reader.lazily(sample), score))
        worse = _disturbed_later(reader, sample, seed + index)
        cases.append(ParityCase(f"{sample.name} (disturbed)", "disturbed", sample.label, worse))
    rest = unseen(dataset, sorts=references.sorts)
    cases += [ParityCase(s.name, s.split, s.label, reader.lazily(s)) for s in rest]
    return tuple(cases)


def unseen(dataset: Dataset, *, sorts: bool = False) -> tuple[Sample, ...]:
    """Images that no score was fitted on: of the test, and unless parts are sorted the defective training images."""
    return (*(() if sorts else dataset.select("train", good=False)), *dataset.select("test"))


def vector_candidates(cases: Sequence[ParityCase], proofs: Sequence[ParityRecord]) -> list[Candidate]:
    """Frames to choose vectors from: a few of each verdict, spread over the images; real ones where there are any."""
    chosen: list[Candidate] = []
    pairs = list(zip(cases, proofs, strict=True))
    for verdict in Verdict:
        of_kind = [case for case, proof in pairs if proof.verdict == verdict.name]
        real = [case for case in of_kind if case.kind != "disturbed"] or of_kind
        step = max(1, len(real) // VECTOR_CANDIDATES)
        chosen += [Candidate(case.name, case.load()) for case in real[::step][:VECTOR_CANDIDATES]]
    return chosen


def parity_table(proofs: Sequence[ParityRecord]) -> bytes:
    """Return ``parity.csv``: name, score and verdict of every frame that was proven."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("name", "kind", "label", "score", "verdict", "gate", "reference_score", "difference_rel", "defect_class")
    )
    for p in proofs:
        row = (p.name, p.kind, p.label, repr(p.score), p.verdict, p.gate, repr(p.reference_score))
        writer.writerow((*row, f"{p.difference_rel:.3e}", p.defect_class))
    return text.getvalue().encode()


def _disturbed_later(reader: FrameReader, sample: Sample, seed: int) -> Callable[[], npt.NDArray[np.uint8]]:
    return lambda: disturbed(reader.read(sample), seed)
