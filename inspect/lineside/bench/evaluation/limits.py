"""Limits that a model must keep: a file of them, and the answer for each. What cannot be judged is never a pass."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from lineside.batch.labels import Rate
from lineside.batch.summary import ENOUGH_FOR_P99
from lineside.batch.table import area, number, percent
from lineside.bench.evaluation.numbers import Numbers
from lineside.binomial import upper_bound
from lineside.errors import RecipeError, StorageError, UsageError
from lineside.recipe_block import Block, key
from lineside.recipe_errors import located_error
from lineside.recipe_yaml import read_yaml

State = Literal["kept", "broken", "not judged"]
_SHARE = "a number from 0 to 1"
_COUNT = "a number above 0"


def _most(description: str) -> Any:
    return key(None, _SHARE, f"Broken above it: {description}.", ge=0, le=1)


def _most_by_class(description: str) -> Any:
    return key(None, "classes with a number from 0 to 1 each", f"Broken above it: {description}.")


def _least(description: str) -> Any:
    return key(None, _SHARE, f"Broken below it: {description}.", ge=0, le=1)


def _time(description: str) -> Any:
    return key(None, _COUNT, f"Broken above it: {description}.", "ms", gt=0)


class Limits(Block, strict=True):
    """A file of limits; every key may be left out. Strict: `true` is no share."""

    overkill: float | None = _most("share of the good parts called NG")
    overkill_bound: float | None = _most("upper end of its two-sided 95 % interval")
    escape: float | None = _most("share of the defective parts called OK")
    escape_bound: float | None = _most("its one-sided bound at 95 %, as the contract states it")
    escape_by_class: dict[str, float] | None = _most_by_class("share of a defect class called OK")
    escape_bound_by_class: dict[str, float] | None = _most_by_class("its one-sided bound at 95 %")
    no_call: float | None = _most("share of the readable parts without a call")
    good_passed: float | None = _least("share of the good parts called OK: their first-pass yield")
    auroc: float | None = _least("image AUROC")
    auroc_bound: float | None = _least("lower end of its 95 % interval")
    ap: float | None = _least("average precision at the test images' share of defects")
    pixel_auroc: float | None = _least("pixel AUROC")
    aupro: float | None = _least("AUPRO up to a false-positive rate of 0.3")
    aupro_05: float | None = _least("AUPRO up to a false-positive rate of 0.05")
    class_accuracy: float | None = _least("share of the named parts of known classes that were named rightly")
    ece: float | None = _most("expected calibration error of the classes' probabilities")
    p50_ms: float | None = _time("median time per image in the graph")
    p95_ms: float | None = _time("95th percentile of it")
    p99_ms: float | None = _time("99th percentile of it")
    takt_share: float | None = key(
        None, _COUNT, "Broken above it: 99th percentile of the time per part, as a share of --takt.", gt=0
    )
    ppv: float | None = _least("share of the parts called NG that are defective, at --defect-rate-ppm")
    cost_per_thousand: float | None = key(
        None, "a number from 0", "Broken above it: costs of overkill and escapes for a thousand parts.", ge=0
    )


@dataclass(frozen=True)
class Answer:
    """One limit."""

    name: str
    limit: float
    upper: bool
    """Whether it is broken above it."""
    found: float | None
    state: State
    reason: str
    """Why it could not be judged; empty where it was."""

    @property
    def words(self) -> tuple[str, str]:
        """Limit and what was found, as people read them."""
        say = _SAY.get(self.name.partition(".")[0], percent)
        return f"{'at most' if self.upper else 'at least'} {say(self.limit)}", say(self.found)


@dataclass(frozen=True)
class _Rule:
    upper: bool
    found: Callable[[Numbers], float | None]
    missing: str
    """What there must be for it to be judged."""
    tells_p99: bool = False
    """Whether it is a 99th percentile: from few images it may be broken, and is never kept."""


def _bound(rate: Rate) -> float | None:
    return upper_bound(rate.k, rate.n) if rate.n else None


_GOODS, _DEFECTS = "good parts with a call", "defective parts with a call"
_BOTH, _MASKS = "good and defective parts with a call", "masks of defects (ground_truth), or boxes (boxes.csv)"
_CLASSES, _TIMES = "named parts of classes that the model tells", "an image that could be read"
_MANY = f"{ENOUGH_FOR_P99} images: of fewer the slowest may lie below the 99th percentile"
_TAKT, _RATE = "--takt", "--defect-rate-ppm, and good and defective parts"
_COSTS = f"--cost-overkill, --cost-escape, {_RATE}"
_RULES: Mapping[str, _Rule] = {
    "overkill": _Rule(True, lambda n: n.labels.overkill.share, _GOODS),
    "overkill_bound": _Rule(True, lambda n: n.labels.overkill.interval[1] if n.labels.overkill.n else None, _GOODS),
    "escape": _Rule(True, lambda n: n.labels.escapes.share, _DEFECTS),
    "escape_bound": _Rule(True, lambda n: _bound(n.labels.escapes), _DEFECTS),
    "no_call": _Rule(True, lambda n: n.no_call.share, _TIMES),
    "good_passed": _Rule(False, lambda n: n.good_passed.share, "good parts that can be read"),
    "auroc": _Rule(False, lambda n: n.auroc.value if n.auroc else None, _BOTH),
    "auroc_bound": _Rule(False, lambda n: n.auroc.interval[0] if n.auroc else None, _BOTH),
    "ap": _Rule(False, lambda n: n.average_precision, _BOTH),
    "pixel_auroc": _Rule(False, lambda n: n.localisation.pixel_auroc, _MASKS),
    "aupro": _Rule(False, lambda n: n.localisation.aupro, _MASKS),
    "aupro_05": _Rule(False, lambda n: n.localisation.aupro_strict, _MASKS),
    "class_accuracy": _Rule(
        False, lambda n: n.classes.right.share if n.classes and n.classes.right else None, _CLASSES
    ),
    "ece": _Rule(True, lambda n: n.calibration.ece if n.calibration else None, _CLASSES),
    "p50_ms": _Rule(True, lambda n: n.timing.image_ms.p50 if n.timing else None, _TIMES),
    "p95_ms": _Rule(True, lambda n: n.timing.image_ms.p95 if n.timing else None, _TIMES),
    "p99_ms": _Rule(True, lambda n: n.timing.image_ms.p99 if n.timing else None, _TIMES, tells_p99=True),
    "takt_share": _Rule(True, lambda n: n.timing.takt_share if n.timing else None, _TAKT, tells_p99=True),
    "ppv": _Rule(False, lambda n: n.plant.ppv.value if n.plant else None, _RATE),
    "cost_per_thousand": _Rule(
        True,
        lambda n: n.plant.cost_per_thousand.value if n.plant and n.plant.cost_per_thousand else None,
        _COSTS,
    ),
}

_OF_CLASS: Mapping[str, Callable[[Rate], float | None]] = {
    "escape_by_class": lambda rate: rate.share,
    "escape_bound_by_class": _bound,
}


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"


_SAY: Mapping[str, Callable[[float | None], str]] = {
    **dict.fromkeys(("auroc", "auroc_bound", "ap", "pixel_auroc", "aupro", "aupro_05", "ece"), area),
    **dict.fromkeys(("p50_ms", "p95_ms", "p99_ms"), _ms),
    "cost_per_thousand": number,
}


def load_limits(file: Path) -> Limits:
    """Read a file of limits.

    Raises
    ------
    RecipeError
        When it cannot be read, a key is unknown, a value is out of range, or there is not a single limit in it.
    """
    needs = f"Expected limits, each as 'key: value': {', '.join(Limits.model_fields)}."
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecipeError("not a text in UTF-8. Save it as UTF-8.", file=file) from None
    except FileNotFoundError:
        raise RecipeError("there is no such file of limits.", file=file) from None
    except OSError as error:
        raise StorageError(f"{file}: cannot be read ({error.strerror}).") from None
    located = read_yaml(text, file, needs)
    try:
        limits = Limits.model_validate(located.value)
    except ValidationError as error:
        raise located_error(error, located, file, Limits) from None
    for name, share in _given(limits):
        block, _, label = name.partition(".")
        if label and not 0.0 <= share <= 1.0:
            line = located.lines.get((block, label))
            raise RecipeError(f"expected {_SHARE}; found {share:g}.", file=file, line=line, key=name)
    if not any(_given(limits)):
        raise RecipeError(f"no limit is set in it. {needs}", file=file)
    return limits


def refuse_impossible(
    limits: Limits, *, good: bool, defective: frozenset[str], masks: bool, classes: bool, given: frozenset[str]
) -> None:
    """Refuse limits that no result could answer, before a single image is judged.

    Parameters
    ----------
    limits : Limits
    good : bool
        Whether there is a good part.
    defective : frozenset of str
        Classes of the defective parts.
    masks : bool
        Whether a defect is marked.
    classes : bool
        Whether the model tells classes.
    given : frozenset of str
        Of ``takt``, ``rate`` and ``costs`` what the user gave.

    Raises
    ------
    UsageError
        With every such limit and what is missing.
    """
    there = {
        _GOODS: good,
        _DEFECTS: bool(defective),
        _BOTH: good and bool(defective),
        _MASKS: masks,
        _CLASSES: classes,
        _TAKT: "takt" in given,
        _RATE: "rate" in given and good and bool(defective),
        _COSTS: {"rate", "costs"} <= given and good and bool(defective),
    }
    missing = []
    for name, _ in _given(limits):
        block, _, label = name.partition(".")
        if label and label not in defective:
            missing.append(f"{name} needs {_of_class(label)}")
        elif not label and not there.get(_RULES[block].missing, True):
            missing.append(f"{name} needs {_RULES[block].missing}")
    if missing:
        raise UsageError(
            f"Limits that cannot be judged here: {'; '.join(missing)}. Add what is missing, or take them out of the "
            "file."
        )


def judge_limits(limits: Limits, numbers: Numbers) -> tuple[Answer, ...]:
    """Compare an evaluation with limits, in the order of the keys."""
    return tuple(_answer(name, limit, numbers) for name, limit in _given(limits))


def _given(limits: Limits) -> Iterator[tuple[str, float]]:
    for name in Limits.model_fields:
        value = getattr(limits, name)
        if isinstance(value, dict):
            yield from ((f"{name}.{label}", limit) for label, limit in value.items())
        elif value is not None:
            yield name, value


def _of_class(label: str) -> str:
    return f"defective parts of the class {label} with a call"


def _answer(name: str, limit: float, numbers: Numbers) -> Answer:
    block, _, label = name.partition(".")
    if label:
        known = {one.name: one.wrong for one in numbers.labels.classes if not one.is_good}
        rule = _Rule(True, lambda _: _OF_CLASS[block](known[label]) if label in known else None, _of_class(label))
    else:
        rule = _RULES[block]
    found = rule.found(numbers)
    if found is None:
        return Answer(name, limit, rule.upper, None, "not judged", f"needs {rule.missing}")
    broken = found > limit if rule.upper else found < limit
    if rule.tells_p99 and not broken and numbers.timing is not None and numbers.timing.images < ENOUGH_FOR_P99:
        return Answer(name, limit, rule.upper, found, "not judged", f"needs {_MANY}")
    return Answer(name, limit, rule.upper, found, "broken" if broken else "kept", "")
