"""What may be said of a class head: how often it is right on images that it was not fitted on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lineside.contract import ClassStatement
from lineside.dataset import Dataset
from lineside.train.method import FittedClasses
from lineside.transfer.classes.validate import Accuracy

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Told:
    """A training image and the class that a model said, which was fitted without its part."""

    truth: str
    called: str


def interval_of(right: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share that was counted (Clopper and Pearson, 1934)."""
    from scipy.stats import binomtest

    if not n:
        return 0.0, 1.0
    interval = binomtest(right, n).proportion_ci(CONFIDENCE, "exact")
    return float(interval.low), float(interval.high)


def statement_of(
    classes: FittedClasses | None, dataset: Dataset, told: Sequence[Told], unknown: float
) -> ClassStatement | None:
    """Say how good classes are.

    Parameters
    ----------
    classes : FittedClasses or None
        None: no classes are told.
    dataset : Dataset
    told : sequence of Told
        Held-out answers where front and classes were fitted again without each part; none where the class head's own
        cross-validation gives them.
    unknown : float
        The p-value below which a part is unknown.
    """
    if classes is None:
        return None
    counted = Counter(s.label for s in dataset.select("train") if s.label in classes.names)
    known = _known(classes, told)
    return ClassStatement(
        task=classes.task,
        method=classes.fit.method,
        images={name: counted[name] for name in classes.names},
        accuracy=known.value if known else None,
        n=known.n if known else 0,
        confidence=CONFIDENCE,
        interval=(known.low, known.high) if known else (0.0, 1.0),
        unknown=unknown,
        statement=f"{_accuracy_words(known)} {_unknown_words(classes, unknown)}",
    )


def _known(classes: FittedClasses, told: Sequence[Told]) -> Accuracy | None:
    if not told:
        return classes.fit.accuracy
    right = sum(one.truth == one.called for one in told)
    return Accuracy(right / len(told), *interval_of(right, len(told)), len(told))


def _accuracy_words(known: Accuracy | None) -> str:
    if known is None:
        return "How often the class is right is not known: a class has one part alone, and none to spare."
    return (
        f"Of {known.n} training images, each held out together with its part, {100 * known.value:.1f} % are called "
        f"what they are ({100 * CONFIDENCE:g} % interval {100 * known.low:.1f} to {100 * known.high:.1f} %)."
    )


def _unknown_words(classes: FittedClasses, unknown: float) -> str:
    scores = len(classes.fit.values.calibration)
    if unknown == 0.0:
        return "No part is called unknown."
    if classes.fit.accuracy is None or 1.0 / (scores + 1.0) >= unknown:
        return (
            f"None is called unknown: {unknown:g} needs {int(1.0 / unknown)} held-out examples or more. Give more, or "
            "set transfer.classes.unknown higher."
        )
    share = classes.fit.unknown_share or 0.0
    return (
        f"A part is unknown where its conformal p-value is below {unknown:g}; {100 * share:.1f} % of the held-out "
        "examples, whose class is known, would be."
    )
