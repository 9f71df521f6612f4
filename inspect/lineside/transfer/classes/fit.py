"""Fitting the class head: normalisation by good images, a way chosen by cross-validation, calibrated strangeness."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.transfer.classes.distance import fit_distance
from lineside.transfer.classes.examples import Examples, folds
from lineside.transfer.classes.head import ClassValues, class_logits, classify_reference
from lineside.transfer.classes.linear import LINEAR, Linear, LinearFit, class_means
from lineside.transfer.classes.meta import Start
from lineside.transfer.classes.tail import LEAST_EXAMPLES, TailValues, fit_tail, tuned_embeddings
from lineside.transfer.classes.temperature import fit_temperature
from lineside.transfer.classes.validate import Accuracy, Held, accuracy_of_choice, choice

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

LEAST_SCALE = 0.3
"""Share of the mean deviation that is added to every dimension's, so that one which hardly moves does not count beyond
measure."""
LEAST_GOODS = 4
"""Below, the examples themselves give mean and deviation."""
PREFERRED = "lda"
"""What is taken, and turned copies with it, unless cross-validation finds another way clearly better. Measured on crops
of printed circuit boards (DeepPCB, six kinds, 60 px crops at 128 px, strides 8/16, 10 drawings of 1, 2 and 3 examples a
class), accuracy of prototypes, the same with turned copies, and the discriminant with turned copies: 0.40, 0.45, 0.45;
0.47, 0.51, 0.54; 0.49, 0.51, 0.59. Logistic regression was never the best."""


@dataclass(frozen=True)
class ClassFit:
    """A fitted class head and what is known of it.

    Attributes
    ----------
    values : ClassValues
    method : str
        ``prototype``, ``lda``, ``logistic``, ``finetune``, ``reptile`` or ``anil``.
    words : tuple of str
        How the method was chosen, for people.
    accuracy : Accuracy or None
        Cross-validated by part, "unknown" not counted as an answer of its own; None where a class has one part alone.
    confusion : ndarray of int64 [k, k]
        Of the same held-out examples: true class down, called across.
    unknown_share : float or None
        Share of the held-out examples that would be called UNKNOWN (wrongly: their class is known).
    tail : TailValues or None
        What stands before the head in the graph, in place of the pooling alone; only with ``finetune``.
    temperature : float
        What the logits were divided by, so that probabilities say how often a class is right; 1 where no example could
        be held out to fit it on.
    """

    values: ClassValues
    method: str
    words: tuple[str, ...]
    accuracy: Accuracy | None
    confusion: I64
    unknown_share: float | None
    tail: TailValues | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class _Way:
    """One way of fitting: a method, whether turned copies are learnt from, and whether the trunk's tail is tuned."""

    method: str
    fit: LinearFit
    turned: bool
    tunes: bool = False

    @property
    def words(self) -> str:
        return f"{self.method} with turned copies" if self.turned else self.method


def fit_classes(
    examples: Examples, goods: F32, method: str, unknown: float, seed: int, start: Start | None = None
) -> ClassFit:
    """Fit the class head.

    Parameters
    ----------
    examples : Examples
    goods : ndarray of float32 [m, D]
        Embeddings of good frames, without copies; none (m = 0) where there are no good frames.
    method : str
        ``auto`` (cross-validation chooses), ``prototype``, ``lda``, ``logistic``, ``finetune`` (where the examples
        have cells), ``reptile`` or ``anil``.
    unknown : float
        0 to 1: below this p-value a defect is UNKNOWN; about this share of the known is then called so too.
    seed : int
        Of the folds.
    start : Start, optional
        What reptile or anil begins from (`lineside.transfer.classes.meta.learn_start`); with ``auto`` it stands for
        choice beside the others.

    Raises
    ------
    UsageError
        When there are fewer than two classes, or the method needs more examples, or a start.
    """
    if examples.classes < 2:
        raise UsageError("transfer.classes: one class alone cannot be told from others; give two, or method: none.")
    ways = _ways(examples, method, start)
    tuner = _Tuner(seed)
    known: dict[_Way, Held] = {}
    for way in ways:
        if way.tunes and known and not _could_win(known[ways[0]]):
            continue
        if (held := _cross_validate(examples, goods, way, tuner)) is not None:
            known[way] = held
    ways = tuple(known) or ways
    if not known:
        way = ways[0]
        values, tail = _fit(examples, goods, way, None, unknown, tuner)
        words = f"Classes by {way.words}: with one part of a class there is nothing to compare ways on."
        return ClassFit(values, way.method, (words,), None, np.zeros((examples.classes,) * 2, np.int64), None, tail)
    right = np.stack([held.right for held in known.values()]).astype(np.float64)
    way = ways[choice(right, np.ones(right.shape[1]))]
    scores, temperature = _calibration(examples, goods, way, tuner)
    values, tail = _fit(examples, goods, way, scores, unknown, tuner)
    values = replace(values, map=values.map / np.float32(temperature), bias=values.bias / np.float32(temperature))
    counts = (scores >= scores[:, None]).sum(axis=1)  # itself among them
    return ClassFit(
        values=values,
        method=way.method,
        words=(_told(way, known), temperature_words(temperature)),
        accuracy=accuracy_of_choice(tuple(known.values()), seed),
        confusion=known[way].confusion,
        unknown_share=float((counts < values.least).mean()),
        tail=tail,
        temperature=temperature,
    )


def temperature_words(temperature: float) -> str:
    """Say what was done so that probabilities can be believed."""
    sense = "too sure" if temperature > 1.0 else "not sure enough"
    return (
        f"Probabilities of classes: on held-out examples the head was {sense}; its logits are divided by "
        f"{temperature:.3g}."
    )


class _Tuner:
    """Tunes the tail once for each set of examples: a fold asks twice, for the accuracy and for the calibration."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._tails: dict[bytes, TailValues] = {}

    def __call__(self, examples: Examples) -> TailValues:
        """Return the tail that is trained on these examples."""
        assert examples.cells is not None  # a way that tunes is only offered where there are cells
        key = examples.cells.rows.tobytes()
        if key not in self._tails:
            self._tails[key] = fit_tail(examples.cells, examples.labels, self.seed)
        return self._tails[key]


def _could_win(held: Held) -> bool:
    """Say whether even a way that is always right would be chosen before this one: if not, it need not be tried."""
    right = np.stack([held.right, np.ones(len(held.right))]).astype(np.float64)
    return choice(right, np.ones(right.shape[1])) == 1


def _ways(examples: Examples, method: str, start: Start | None) -> tuple[_Way, ...]:
    """Ways that the recipe allows and the number of examples suffices for, the one to prefer first."""
    fewest = int(examples.counts.min())
    methods = {name: fit for name, (least, fit) in LINEAR.items() if fewest >= least}
    if start is not None:
        methods[start.method] = start.fit
    tunes = method in ("auto", "finetune") and examples.cells is not None
    if method == "finetune" and tunes:
        methods = {}
    elif method != "auto":
        _check_method(method, methods, fewest)
        methods = {method: methods[method]}
    found = [_Way(name, fit, turned=False) for name, fit in methods.items()]
    if examples.turned is not None and examples.turned.any():
        found += [_Way(name, fit, turned=True) for name, fit in methods.items()]
    if tunes:
        found.append(_Way("finetune", LINEAR["lda"][1], examples.turned is not None, tunes=True))
    return tuple(sorted(found, key=lambda way: (way.method != PREFERRED, way.tunes, not way.turned)))


def _check_method(method: str, methods: Mapping[str, LinearFit], fewest: int) -> None:
    if method in methods:
        return
    if method in ("reptile", "anil"):
        raise UsageError(f"transfer.classes.method: {method} begins from episodes; name them in episodes.")
    if method == "finetune":
        raise UsageError(
            f"transfer.classes.method: finetune needs {LEAST_EXAMPLES} examples of each class, the rarest has "
            f"{fewest}, and memory for the features of all examples and their copies. Give more examples, "
            "set transfer.augment: none if the features are too large, or say auto."
        )
    if method in LINEAR:
        raise UsageError(
            f"transfer.classes.method: {method} needs {LINEAR[method][0]} examples of each class, the rarest has "
            f"{fewest}. Give more, or say auto."
        )
    raise UsageError(
        f"transfer.classes.method: expected auto, {', '.join(LINEAR)}, finetune, reptile or anil, found {method!r}."
    )


def _told(way: _Way, known: Mapping[_Way, Held]) -> str:
    shares = ", ".join(f"{one.words} {outcome.right.mean():.0%}" for one, outcome in known.items())
    return f"Classes by {way.words}; right of the examples held out by part: {shares}."


def _cross_validate(examples: Examples, goods: F32, way: _Way, tuner: _Tuner) -> Held | None:
    """Call each example by a head that never saw its part; None where that leaves nothing to learn from."""
    parts: list[tuple[I64, I64, I64]] = []
    for fitting, held in folds(examples, tuner.seed):
        learnt, tail, of_goods = _seen(examples.take(fitting), goods, way, tuner)
        mean, scale, _, linear = _linear(learnt, of_goods, way)
        called = linear.predict((_embedded(examples, tail, held) - mean) * scale)
        parts.append((examples.labels[held], called, examples.groups[held]))
    return Held(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else None


def _calibration(examples: Examples, goods: F32, way: _Way, tuner: _Tuner) -> tuple[F64, float]:
    """Return how strange each example is for the class it is called, and the temperature of all of them.

    Both by heads that never saw the example's part.
    """
    strangeness, logits, labels, groups = [], [], [], []
    for fitting, held in folds(examples, tuner.seed):
        values, tail = _fit(examples.take(fitting), goods, way, None, 0.0, tuner)
        seen = _embedded(examples, tail, held)
        strangeness.append(classify_reference(values, seen).strangeness)
        logits.append(class_logits(values, seen))
        labels.append(examples.labels[held])
        groups.append(examples.groups[held])
    temperature = fit_temperature(np.concatenate(logits), np.concatenate(labels), np.concatenate(groups))
    return np.concatenate(strangeness), temperature


def _seen(examples: Examples, goods: F32, way: _Way, tuner: _Tuner) -> tuple[Examples, TailValues | None, F32]:
    """Return the rows that a way learns from, as its tail shows them, the tail, and good embeddings to normalise by.

    Good frames' taps are not kept, so behind a tail the examples themselves normalise.
    """
    examples = examples if way.turned else examples.upright()
    if not way.tunes:
        return examples, None, goods
    tail = tuner(examples)
    return replace(examples, embeddings=_embedded(examples, tail)), tail, goods[:0]


def _embedded(examples: Examples, tail: TailValues | None, rows: Bools | None = None) -> F32:
    """Return embeddings as a tail shows them, of some rows; these need not show every class."""
    if tail is None:
        return examples.embeddings if rows is None else examples.embeddings[rows]
    assert examples.cells is not None
    return tuned_embeddings(tail, examples.cells if rows is None else examples.cells.take(rows))


def _linear(examples: Examples, goods: F32, way: _Way) -> tuple[F64, F64, F64, Linear]:
    """Return mean, scale, normalised examples and their logits' map."""
    mean, scale = normalisation(examples, goods)
    z = (examples.embeddings.astype(np.float64) - mean) * scale
    return mean, scale, z, way.fit(z, examples.labels)


def _fit(
    examples: Examples, goods: F32, way: _Way, scores: F64 | None, unknown: float, tuner: _Tuner
) -> tuple[ClassValues, TailValues | None]:
    """Fit tail, normalisation, logits and distance on all of these examples."""
    examples, tail, goods = _seen(examples, goods, way, tuner)
    mean, scale, z, linear = _linear(examples, goods, way)
    centres = class_means(z, examples.labels)
    directions, weights = fit_distance(z - centres[examples.labels], linear.map)
    calibration = np.array([np.inf]) if scores is None else np.sort(scores)
    least = np.array([_least(unknown, len(calibration))])
    arrays = (mean, scale, linear.map, linear.bias, centres, directions, weights, calibration, least)
    return ClassValues(*(np.ascontiguousarray(a, np.float32) for a in arrays)), tail


def _least(unknown: float, count: int) -> float:
    """Return what a number of scores, one added, must reach for a p-value of at least `unknown`, less a half."""
    return math.ceil(unknown * (count + 1) - 1e-9) - 0.5


def normalisation(examples: Examples, goods: F32) -> tuple[F64, F64]:
    """Return mean [D] and scale [D] of the good images' embeddings, of the examples' where there are too few goods."""
    rows = goods if len(goods) >= LEAST_GOODS else examples.embeddings[examples.original]
    deviation = rows.std(axis=0, dtype=np.float64)
    deviation = deviation + LEAST_SCALE * max(float(deviation.mean()), 1e-6)
    return rows.mean(axis=0, dtype=np.float64), 1.0 / deviation
