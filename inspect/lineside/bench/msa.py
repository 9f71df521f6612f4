"""A measurement system study of a model: the same parts inspected again and again, and how far the answers agree.

The score is analysed by gauge R&R, the verdicts by kappa and by how many parts change theirs. A gauge study must be
crossed and balanced: parts that a station did not see, and repeats beyond the smallest number, are left out and
counted.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lineside.batch.judge import read_frame
from lineside.batch.labels import Rate, rate
from lineside.bench.msa_runs import NG, OK, Shot
from lineside.calibrate.agreement import Kappa, cohen_kappa, fleiss_kappa
from lineside.calibrate.gauge import GaugeRR, gauge_rr
from lineside.contract import Verdict
from lineside.errors import ImageError, UsageError
from lineside.graph.run import parallel
from lineside.runtime import Inspector


@dataclass(frozen=True)
class Answer:
    """What the model said of one shot."""

    shot: Shot
    score: float
    verdict: str


@dataclass(frozen=True)
class Against:
    """A station against the reference, NO_CALL and REVIEW left out of the rates."""

    operator: str
    missed: Rate
    """NG parts that were called OK, by shot."""
    false_alarms: Rate
    """OK parts that were called NG."""
    kappa: Kappa | None
    """None where no shot of a part with a reference got OK or NG."""


@dataclass(frozen=True)
class Study:
    """A measurement system study.

    Attributes
    ----------
    part : str
        The model's.
    answers : tuple of Answer
    unreadable : tuple of str
        Files, with what was wrong.
    gauge : GaugeRR or None
        Of the score; None where `no_gauge` says why.
    left_out : int
        Shots that the balanced gauge study has no place for.
    bias : mapping of str to float
        Mean score of each operator less that of all, over the same parts.
    flipped : Rate
        Parts that did not get the same verdict every time.
    within, between : Kappa or None
        Fleiss' kappa over all shots of each part; over the operators' commonest verdicts. None where there are not
        two of them.
    pairs : mapping of str to Kappa
        Cohen's kappa of each two operators, repeat by repeat.
    against : tuple of Against
        Where references were given.
    """

    part: str
    answers: tuple[Answer, ...]
    unreadable: tuple[str, ...]
    gauge: GaugeRR | None
    no_gauge: str
    left_out: int
    bias: Mapping[str, float]
    flipped: Rate
    within: Kappa | None
    between: Kappa | None
    pairs: Mapping[str, Kappa]
    against: tuple[Against, ...]

    @property
    def acceptable(self) -> bool:
        """Whether nothing is beyond AIAG's limits: %GRR up to 30 %, kappa from 0.75 on."""
        kappas = (self.within, self.between, *self.pairs.values(), *(one.kappa for one in self.against))
        good = all(kappa is None or kappa.verdict == "good" for kappa in kappas)
        return good and (self.gauge is None or self.gauge.verdict != "not acceptable")


def study(inspector: Inspector, shots: Sequence[Shot], done: Callable[[], None] = lambda: None) -> Study:
    """Inspect every shot and sum up.

    Raises
    ------
    UsageError
        When no shot could be read.
    """
    spec = inspector.contract.frame

    def one(shot: Shot) -> Answer | str:
        try:
            result = inspector.inspect(read_frame(shot.path, spec))
        except ImageError as error:
            return error.message
        finally:
            done()
        return Answer(shot, float(result.score), result.verdict.name)

    said = list(parallel(one, shots))
    answers = tuple(one for one in said if isinstance(one, Answer))
    unreadable = tuple(one for one in said if isinstance(one, str))
    if not answers:
        raise UsageError(f"None of the {len(shots)} pictures could be inspected. The first: {unreadable[0]}")
    return summed_up(inspector.contract.part, answers, unreadable)


def summed_up(part: str, answers: Sequence[Answer], unreadable: Sequence[str] = ()) -> Study:
    """Sum up a study from its answers."""
    cells: dict[str, dict[str, list[Answer]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        cells[answer.shot.part][answer.shot.operator].append(answer)
    operators = sorted({answer.shot.operator for answer in answers})
    crossed = [name for name, by_operator in cells.items() if len(by_operator) == len(operators)]
    repeats = min((len(cells[name][op]) for name in crossed for op in operators), default=0)
    scores = np.array([[[a.score for a in cells[n][op][:repeats]] for op in operators] for n in crossed], np.float64)
    gauge, why = _gauge(scores, operators)
    several = {name: [a.verdict for by in found.values() for a in by] for name, found in cells.items()}
    several = {name: verdicts for name, verdicts in several.items() if len(verdicts) > 1}
    balanced = [[a.verdict for op in operators for a in cells[n][op][:repeats]] for n in crossed]
    commonest = [[_commonest(cells[n][op]) for op in operators] for n in crossed]
    return Study(
        part=part,
        answers=tuple(answers),
        unreadable=tuple(unreadable),
        gauge=gauge,
        no_gauge=why,
        left_out=len(answers) - scores.size,
        bias=dict(zip(operators, (scores.mean(axis=(0, 2)) - scores.mean()).tolist(), strict=True)) if gauge else {},
        flipped=rate(sum(len(set(verdicts)) > 1 for verdicts in several.values()), len(several)),
        within=fleiss_kappa(balanced) if crossed and repeats * len(operators) > 1 else None,
        between=fleiss_kappa(commonest) if crossed and len(operators) > 1 else None,
        pairs=_pairs(cells, operators, crossed, repeats),
        against=tuple(_against(op, [a for a in answers if a.shot.operator == op]) for op in operators)
        if any(a.shot.reference for a in answers)
        else (),
    )


def _gauge(scores: np.ndarray, operators: Sequence[str]) -> tuple[GaugeRR | None, str]:
    if not scores.size:
        return None, f"no part was seen by all {len(operators)} stations"
    try:
        return gauge_rr(scores), ""
    except UsageError as error:
        return None, error.message


def _commonest(answers: Sequence[Answer]) -> str:
    """Return the verdict that was given most often, the worse one where two were."""
    counts = Counter(answer.verdict for answer in answers)
    return max(counts, key=lambda name: (counts[name], Verdict[name].value))


def _pairs(
    cells: Mapping[str, Mapping[str, Sequence[Answer]]], operators: Sequence[str], crossed: Sequence[str], repeats: int
) -> dict[str, Kappa]:
    found = {}
    for i, first in enumerate(operators):
        for second in operators[i + 1 :]:
            both = [
                (cells[n][first][k].verdict, cells[n][second][k].verdict, n) for n in crossed for k in range(repeats)
            ]
            if both:
                one, other, names = zip(*both, strict=True)
                found[f"{first} × {second}"] = cohen_kappa(one, other, names)
    return found


def _against(operator: str, answers: Sequence[Answer]) -> Against:
    called = [a for a in answers if a.shot.reference is not None and a.verdict in (OK, NG)]
    bad = [a for a in called if a.shot.reference == NG]
    good = [a for a in called if a.shot.reference == OK]
    truth = [a.shot.reference or "" for a in called]
    kappa = cohen_kappa([a.verdict for a in called], truth, [a.shot.part for a in called]) if called else None
    missed, alarms = sum(a.verdict == OK for a in bad), sum(a.verdict == NG for a in good)
    return Against(operator, rate(missed, len(bad)), rate(alarms, len(good)), kappa)
