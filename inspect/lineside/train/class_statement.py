"""What may be said of a class head: how often it is right on images that it was not fitted on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lineside.contract import ClassStatement
from lineside.dataset import Dataset
from lineside.train.method import FittedClasses
from lineside.transfer.classes.fit import ClassFit
from lineside.transfer.classes.validate import Accuracy, interval

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Told:
    """A training image and the class that a model said, which was fitted without its part."""

    truth: str
    called: str
    part: str
    """The physical part."""


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
    return statement_for(classes.fit, classes.task, {name: counted[name] for name in classes.names}, known, unknown)


def statement_for(
    fit: ClassFit, task: Literal["both", "classify"], images: Mapping[str, int], known: Accuracy | None, unknown: float
) -> ClassStatement:
    """Say how good a class head is.

    Parameters
    ----------
    fit : ClassFit
    task : "both" or "classify"
    images : mapping of str to int
        Images that it was fitted on, by class, in the order of the columns.
    known : Accuracy or None
        Of held-out images.
    unknown : float
    """
    return ClassStatement(
        task=task,
        method=fit.method,
        images=images,
        accuracy=known.value if known else None,
        n=known.n if known else 0,
        confidence=CONFIDENCE,
        interval=(known.low, known.high) if known else (0.0, 1.0),
        temperature=None if fit.accuracy is None else fit.temperature,
        unknown=unknown,
        statement=f"{_accuracy_words(known)} {_probability_words(fit)} {_unknown_words(fit, unknown)}",
    )


def voided(old: ClassStatement) -> ClassStatement:
    """Say of a class head that was adapted to a changed line what is left: nothing was counted there."""
    known = ""
    if old.accuracy is not None:
        low, high = (100 * end for end in old.interval)
        known = (
            f" Before it changed, {100 * old.accuracy:.1f} % of {old.n} held-out examples were called what they are "
            f"({100 * old.confidence:g} % interval {low:.1f} to {high:.1f} %)."
        )
    statement = (
        f"Void: how often the class is right on the changed line is not known, since no defect of it was seen.{known} "
        "Probabilities of classes, and from where on a part is unknown, are by the examples of before."
    )
    return replace(old, accuracy=None, n=0, interval=(0.0, 1.0), statement=statement)


def _known(classes: FittedClasses, told: Sequence[Told]) -> Accuracy | None:
    if not told:
        return classes.fit.accuracy
    share, parts = sum(one.truth == one.called for one in told) / len(told), len({one.part for one in told})
    return Accuracy(share, *interval(share, parts), len(told), parts)


def _accuracy_words(known: Accuracy | None) -> str:
    if known is None:
        return "How often the class is right is not known: a class has one part alone, and none to spare."
    of_parts = "" if known.parts == known.n else f" of {known.parts} parts"
    return (
        f"Of {known.n} training images{of_parts}, each held out together with its part, {100 * known.value:.1f} % are "
        f"called what they are ({100 * CONFIDENCE:g} % interval {100 * known.low:.1f} to {100 * known.high:.1f} %)."
    )


def _probability_words(fit: ClassFit) -> str:
    if fit.accuracy is None:
        return "Probabilities of classes rank them; how often they are right is not known."
    return (
        f"Probabilities of classes were fitted on {fit.accuracy.n} held-out images of these classes (temperature "
        f"{fit.temperature:.3g}), so that about as many ought to be right as they say: no guarantee, and of parts of "
        "no known class they say nothing."
    )


def _unknown_words(fit: ClassFit, unknown: float) -> str:
    scores = len(fit.values.calibration)
    if unknown == 0.0:
        return "No part is called unknown."
    if fit.accuracy is None or 1.0 / (scores + 1.0) >= unknown:
        return (
            f"None is called unknown: {unknown:g} needs {int(1.0 / unknown)} held-out examples or more. Give more, or "
            "set transfer.classes.unknown higher."
        )
    share = fit.unknown_share or 0.0
    return (
        f"A part is unknown where its conformal p-value is below {unknown:g}; {100 * share:.1f} % of the held-out "
        "examples, whose class is known, would be."
    )
