"""Fitting the class head: normalisation by good images, a method chosen by cross-validation, calibrated strangeness."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.transfer.classes.examples import Examples, folds
from lineside.transfer.classes.head import ClassValues, classify_reference
from lineside.transfer.classes.linear import LINEAR, Linear, class_means

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

LEAST_SCALE = 0.3
"""Share of the mean deviation that every dimension is given at least, so that one which the goods hardly move does not
count beyond measure."""
LEAST_GOODS = 4
"""Below, the examples themselves give mean and deviation."""
RANK = 32
"""Directions of the distance that are weighted one by one."""


@dataclass(frozen=True)
class Accuracy:
    """Share of held-out examples that were called what they are.

    Attributes
    ----------
    value : float
    low, high : float
        95 % interval after Clopper and Pearson (1934).
    n : int
        Examples held out, copies not counted.
    """

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class ClassFit:
    """A fitted class head and what is known of it.

    Attributes
    ----------
    values : ClassValues
    method : str
        ``prototype``, ``lda`` or ``logistic``.
    words : tuple of str
        How the method was chosen, for people.
    accuracy : Accuracy or None
        Cross-validated by part, "unknown" not counted as an answer of its own; None where a class has one part alone.
    confusion : ndarray of int64 [k, k]
        Of the same held-out examples: true class down, called across.
    unknown_share : float or None
        Share of the held-out examples that would be called UNKNOWN (wrongly: their class is known).
    """

    values: ClassValues
    method: str
    words: tuple[str, ...]
    accuracy: Accuracy | None
    confusion: I64
    unknown_share: float | None


@dataclass(frozen=True)
class _Held:
    """What heads said of examples that they never saw."""

    labels: I64
    called: I64
    strangeness: F64

    @property
    def accuracy(self) -> float:
        return float((self.labels == self.called).mean())


def fit_classes(examples: Examples, goods: F32, method: str, unknown: float, seed: int) -> ClassFit:
    """Fit the class head.

    Parameters
    ----------
    examples : Examples
    goods : ndarray of float32 [m, D]
        Embeddings of good frames, without copies; none (m = 0) where there are no good frames.
    method : str
        ``auto`` (cross-validation chooses) or one of ``prototype``, ``lda``, ``logistic``.
    unknown : float
        0 to 1: below this p-value a defect is UNKNOWN; about this share of the known is then called so too.
    seed : int
        Of the folds.

    Raises
    ------
    UsageError
        When there are fewer than two classes, or the method needs more examples.
    """
    if examples.classes < 2:
        raise UsageError("transfer.classes: one class alone cannot be told from others; give two, or method: none.")
    held = {name: _cross_validate(examples, goods, name, seed) for name in _candidates(examples, method)}
    chosen, words = _choose(held)
    if method != "auto":
        words = (f"Classes by {chosen}, as the recipe says.", *words[1:])
    outcome = held[chosen]
    scores = None if outcome is None else outcome.strangeness
    values = _fit(examples, goods, chosen, scores, unknown)
    if outcome is None:
        return ClassFit(values, chosen, words, None, np.zeros((examples.classes,) * 2, np.int64), None)
    confusion = np.zeros((examples.classes,) * 2, np.int64)
    np.add.at(confusion, (outcome.labels, outcome.called), 1)
    counts = (outcome.strangeness >= outcome.strangeness[:, None]).sum(axis=1)  # itself among them
    share = float((counts < values.least).mean())
    return ClassFit(values, chosen, words, _accuracy(outcome), confusion, share)


def _candidates(examples: Examples, method: str) -> tuple[str, ...]:
    fewest = int(examples.counts.min())
    if method == "auto":
        return tuple(name for name, (least, _) in LINEAR.items() if fewest >= least)
    if method not in LINEAR:
        raise UsageError(f"transfer.classes.method: expected auto, {', '.join(LINEAR)}, found {method!r}.")
    if fewest < LINEAR[method][0]:
        raise UsageError(
            f"transfer.classes.method: {method} needs {LINEAR[method][0]} examples of each class, the rarest has "
            f"{fewest}. Give more, or say auto."
        )
    return (method,)


def _choose(held: dict[str, "_Held | None"]) -> tuple[str, tuple[str, ...]]:
    """Return the most accurate method, of equal ones the simplest, and why."""
    told = {name: outcome.accuracy for name, outcome in held.items() if outcome is not None}
    if not told:
        return next(iter(held)), ("Classes by prototype: one part a class leaves nothing to compare methods on.",)
    best = max(told, key=lambda name: told[name])
    told_words = ", ".join(f"{name} {share:.0%}" for name, share in told.items())
    return best, (f"Classes by {best}: of examples held out by part, right are: {told_words}.",)


def _cross_validate(examples: Examples, goods: F32, method: str, seed: int) -> _Held | None:
    labels, called, strangeness = [], [], []
    for fitting, held in folds(examples, seed):
        values = _fit(examples.take(fitting), goods, method, None, 0.0)
        said = classify_reference(values, examples.embeddings[held])
        labels.append(examples.labels[held])
        called.append(said.prob.argmax(axis=1).astype(np.int64))
        strangeness.append(said.strangeness)
    if not labels:
        return None
    return _Held(np.concatenate(labels), np.concatenate(called), np.concatenate(strangeness))


def _accuracy(outcome: _Held) -> Accuracy:
    from scipy.stats import binomtest

    n, right = len(outcome.labels), int((outcome.labels == outcome.called).sum())
    interval = binomtest(right, n).proportion_ci(0.95, "exact")
    return Accuracy(right / n, float(interval.low), float(interval.high), n)


def _fit(examples: Examples, goods: F32, method: str, scores: F64 | None, unknown: float) -> ClassValues:
    """Fit normalisation, logits and distance on all of these examples."""
    mean, scale = normalisation(examples, goods)
    z = (examples.embeddings.astype(np.float64) - mean) * scale
    linear: Linear = LINEAR[method][1](z, examples.labels)
    centres = class_means(z, examples.labels)
    directions, weights = _distance(z - centres[examples.labels])
    calibration = np.array([np.inf]) if scores is None else np.sort(scores)
    least = np.array([_least(unknown, len(calibration))])
    arrays = (mean, scale, linear.map, linear.bias, centres, directions, weights, calibration, least)
    return ClassValues(*(np.ascontiguousarray(a, np.float32) for a in arrays))


def _least(unknown: float, count: int) -> float:
    """Return what a number of scores, one added, must reach for a p-value of at least `unknown`, less a half."""
    return math.ceil(unknown * (count + 1) - 1e-9) - 0.5


def normalisation(examples: Examples, goods: F32) -> tuple[F64, F64]:
    """Return mean [D] and scale [D] of the good images' embeddings, of the examples' where there are too few goods."""
    rows = goods if len(goods) >= LEAST_GOODS else examples.embeddings[examples.original]
    deviation = rows.std(axis=0, dtype=np.float64)
    deviation = deviation + LEAST_SCALE * max(float(deviation.mean()), 1e-6)
    return rows.mean(axis=0, dtype=np.float64), 1.0 / deviation


def _distance(within: F64) -> tuple[F64, F64]:
    """Return directions [D, r] and weights [r + 1] that make deviations within classes alike in all directions."""
    count, size = within.shape
    typical = max(float(np.square(within).mean()), 1e-9)
    rank = max(1, min(RANK, count - 1, size - 1))
    _, lengths, rows = np.linalg.svd(within, full_matrices=False)
    variances = lengths[:rank] ** 2 / count
    return rows[:rank].T, 1.0 / np.append(variances + typical, typical) / size
