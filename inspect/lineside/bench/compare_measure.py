"""What a graph says of the test images, and the numbers that it is compared by."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import numpy.typing as npt

from lineside.bench.compare_row import Measures, Number, Scores
from lineside.calibrate.localisation import Marked, localisation
from lineside.calibrate.metrics import auroc
from lineside.capture.truth import read_mask
from lineside.contract import INPUT_FRAME, Contract, Verdict
from lineside.dataset import Sample
from lineside.graph.run import Graph
from lineside.train.images import FrameReader

_OUTPUTS = ("score", "verdict", "anomaly_map", "class_prob")


@dataclass(frozen=True)
class Judged:
    """What the graph said of one test image."""

    sample: Sample
    size_hw: tuple[int, int]
    score: float
    verdict: Verdict
    anomaly_map: npt.NDArray[np.float32]
    """[h, w]"""
    class_prob: npt.NDArray[np.float32]
    """[k]"""
    ms: float
    """Of one core, for this frame through the graph; reading the file is left out."""


def judged(graph: Graph, reader: FrameReader, samples: Sequence[Sample]) -> tuple[Judged, ...]:
    """Run a graph over images, one after another."""
    return tuple(_judged(graph, reader, sample) for sample in samples)


def measured(images: Sequence[Judged], contract: Contract, fit_s: float, megabytes: float) -> tuple[Measures, Scores]:
    """Sum up what a graph said of the test images.

    Parameters
    ----------
    images : sequence of Judged
    contract : Contract
        The graph's: its classes, and whether there is a threshold at all.
    fit_s, megabytes : float
        Passed on.
    """
    good = [one for one in images if contract.is_good(one.sample.label)]
    bad = [one for one in images if not contract.is_good(one.sample.label)]
    scores = Scores(
        tuple(one.score for one in good),
        tuple(one.score for one in bad),
        tuple(_right(one, contract) for one in images if one.sample.label in contract.class_names),
    )
    where = localisation(_marked(images)) if any(one.sample.mask for one in bad) else localisation(())
    judged_at_all = contract.threshold_ng.n > 0
    measures = Measures(
        auroc=auroc(scores.good, scores.defective),
        pixel_auroc=where.pixel_auroc,
        aupro=where.aupro,
        overkill=_share(good, Verdict.NG) if judged_at_all else None,
        escapes=_share(bad, Verdict.OK) if judged_at_all else None,
        no_call=sum(one.verdict == Verdict.NO_CALL for one in images) / len(images),
        class_accuracy=float(np.mean(scores.class_right)) if scores.class_right else None,
        fit_s=fit_s,
        ms_per_image=median(one.ms for one in images),
        megabytes=megabytes,
    )
    return measures, scores


def _judged(graph: Graph, reader: FrameReader, sample: Sample) -> Judged:
    frame = reader.read(sample)
    start = time.thread_time()
    out = graph({INPUT_FRAME: frame[None]}, _OUTPUTS)
    ms = (time.thread_time() - start) * 1e3
    return Judged(
        sample,
        (frame.shape[0], frame.shape[1]),
        float(out["score"][0]),
        Verdict(int(out["verdict"][0])),
        out["anomaly_map"][0].astype(np.float32),
        out["class_prob"][0].astype(np.float32),
        ms,
    )


def _share(images: Sequence[Judged], wanted: Verdict) -> Number:
    """Share of a verdict among the images with a call."""
    called = [one for one in images if one.verdict != Verdict.NO_CALL]
    return sum(one.verdict == wanted for one in called) / len(called) if called else None


def _right(one: Judged, contract: Contract) -> bool:
    return contract.class_names[int(one.class_prob.argmax())] == one.sample.label


def _marked(images: Sequence[Judged]) -> list[Marked]:
    """Good images, and defective ones whose defect is marked."""
    known = (one for one in images if one.sample.is_good or one.sample.mask)
    return [Marked(one.anomaly_map, partial(_mask, one)) for one in known]


def _mask(one: Judged) -> npt.NDArray[np.bool_]:
    if one.sample.mask is None:
        return np.zeros(one.size_hw, np.bool_)
    return read_mask(one.sample.mask, one.size_hw)
