"""Verdicts against the truth: overkill, escapes and AUROC, where folder names are the truth.

Only what got a call is counted in a rate. A NO_CALL on a good part is neither a pass nor a false reject, and a file
that cannot be read says nothing about the model: both are counted apart. REVIEW is a call that a person finishes; on a
good part it is no overkill, on a bad one no escape.
"""

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from lineside.binomial import clopper_pearson
from lineside.calibrate.metrics import auroc
from lineside.contract import Verdict

GOOD = "good"


@dataclass(frozen=True)
class Rate:
    """A share that was counted, with its exact interval (Clopper-Pearson), at 95 % unless asked otherwise."""

    k: int
    n: int
    share: float | None
    """k / n, 0 to 1; None where n is 0."""
    interval: tuple[float, float]


@dataclass(frozen=True)
class ClassSummary:
    """One folder name: the good parts, or one defect class."""

    name: str
    is_good: bool
    counts: Mapping[str, int]
    """Images or parts by verdict name, and ``unreadable``."""
    wrong: Rate
    """Overkill for the good parts, escapes for a defect class."""
    auroc: float | None
    """This class against the good parts; None for the good parts, or where one side is empty."""


@dataclass(frozen=True)
class LabelSummary:
    """All classes together, and one by one."""

    overkill: Rate
    """Good parts called NG, of all good parts that got a call (OK, NG or REVIEW)."""
    escapes: Rate
    """Defective parts called OK, of all defective parts that got a call."""
    auroc: float | None
    """Of those that got a call; None where there is no good or no defective one."""
    good_no_call: int
    defect_no_call: int
    classes: tuple[ClassSummary, ...]
    unit: Literal["image", "part"] = "image"
    """What is counted: parts, each as its worst image, where a pattern tells them in file names."""


def truth_of(path: Path) -> str:
    """Return the label that the folder of an image states: ``good``, or the folder's own name."""
    from lineside.dataset import GOOD_NAMES

    folder = Path(os.path.abspath(path)).parent.name  # noqa: PTH100 -- links keep the name that the user gave them
    return GOOD if folder in GOOD_NAMES else folder


def rate(k: int, n: int, confidence: float = 0.95) -> Rate:
    """Return k of n with its interval."""
    return Rate(k, n, k / n if n else None, clopper_pearson(k, n, confidence))


def is_good_folder(label: str) -> bool:
    """Whether a label is that of good parts, where the model does not say otherwise."""
    return label == GOOD


def summarise_labels(
    counts: Mapping[str, Mapping[str, int]],
    scores: Mapping[str, Sequence[float]],
    is_good: Callable[[str], bool] = is_good_folder,
) -> LabelSummary:
    """Compare verdicts with labels.

    Parameters
    ----------
    counts : mapping
        Label -> verdict name, or ``unreadable`` -> number of images.
    scores : mapping
        Label -> scores of the images that got a call.
    is_good : callable
        Which labels ought to be OK: `Contract.is_good` of the model.
    """
    defects = sorted(label for label in counts if not is_good(label))
    goods = sorted(label for label in counts if is_good(label))
    good_scores = array("f", chain.from_iterable(scores.get(name, ()) for name in goods))
    defect_scores = array("f", chain.from_iterable(scores.get(name, ()) for name in defects))
    return LabelSummary(
        overkill=_wrong(counts, goods, Verdict.NG),
        escapes=_wrong(counts, defects, Verdict.OK),
        auroc=auroc(good_scores, defect_scores),
        good_no_call=_total(counts, goods, Verdict.NO_CALL),
        defect_no_call=_total(counts, defects, Verdict.NO_CALL),
        classes=tuple(
            ClassSummary(
                name=name,
                is_good=is_good(name),
                counts=dict(counts[name]),
                wrong=_wrong(counts, [name], Verdict.NG if is_good(name) else Verdict.OK),
                auroc=None if is_good(name) else auroc(good_scores, scores.get(name, ())),
            )
            for name in goods + defects
        ),
    )


def _wrong(counts: Mapping[str, Mapping[str, int]], names: Sequence[str], verdict: Verdict) -> Rate:
    called = sum(_total(counts, names, v) for v in (Verdict.OK, Verdict.NG, Verdict.REVIEW))
    return rate(_total(counts, names, verdict), called)


def _total(counts: Mapping[str, Mapping[str, int]], names: Sequence[str], verdict: Verdict) -> int:
    return sum(counts[name].get(verdict.name, 0) for name in names)
