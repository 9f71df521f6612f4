"""A measurement system study of a model: the same parts inspected again and again, and how far the answers agree.

The score is analysed by gauge R&R, the verdicts by kappa and by how many parts change theirs. A gauge study must be
crossed and balanced: parts that a station did not see, or saw once where others were seen again, and repeats beyond the
smallest number, are left out and counted. One picture under two names is refused: it is no repeat.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.batch.judge import inspected, read_frame
from lineside.batch.labels import Rate, rate
from lineside.bench.msa_runs import NG, OK, Shot
from lineside.calibrate.agreement import Kappa, cohen_kappa, fleiss_kappa
from lineside.calibrate.bias import CONFIDENCE, Bias, bias_of
from lineside.calibrate.gauge import LEAST_NDC, GaugeRR, gauge_rr
from lineside.contract import Verdict
from lineside.errors import LinesideError, StorageError, UsageError, require
from lineside.export.known_images import picture_of
from lineside.graph.run import parallel
from lineside.runtime import Inspector

Doubles = npt.NDArray[np.float64]
_NO_CALL = Verdict.NO_CALL.name


class _SamePictureError(UsageError):
    """Two shots are one picture: nothing that is counted of them would be right."""


@dataclass(frozen=True)
class Answer:
    """What the model said of one shot."""

    shot: Shot
    score: float
    verdict: str


Cells = Mapping[str, Mapping[str, Sequence[Answer]]]


@dataclass(frozen=True)
class Against:
    """A station against the reference; shots without OK or NG are counted apart. By shot, so no interval is given."""

    operator: str
    missed: tuple[int, int]
    """Shots of NG parts that were called OK, and all of NG parts that got OK or NG."""
    false_alarms: tuple[int, int]
    """Shots of OK parts that were called NG, and all of OK parts that got OK or NG."""
    uncalled: int
    """Shots of parts with a reference that got neither."""
    kappa: Kappa | None
    """None where not both kinds of parts were called."""


@dataclass(frozen=True)
class ScoreBias:
    """A station's scores against what they ought to be."""

    operator: str
    bias: Bias
    """Over the parts with a reference score, each by its mean; of a single part over its shots."""
    parts: Mapping[str, Bias]
    """Each part over its shots: a bias study of its own. Of twenty without bias one is expected to show some."""


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
    bias : mapping of str to Bias
        Mean score of each operator less that of all, over the same parts, each part one difference.
    differences : mapping of str to Bias
        The same of each two operators.
    against_scores : tuple of ScoreBias
        Where reference scores were given.
    flipped : Rate
        Parts that did not get the same verdict every time.
    within, between : Kappa or None
        Fleiss' kappa over all shots of each part; over the operators' commonest verdicts. None where there are not
        two of them, or not several parts of two verdicts each: a single slip would decide it.
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
    bias: Mapping[str, Bias]
    differences: Mapping[str, Bias]
    against_scores: tuple[ScoreBias, ...]
    flipped: Rate
    within: Kappa | None
    between: Kappa | None
    pairs: Mapping[str, Kappa]
    against: tuple[Against, ...]

    @property
    def called(self) -> int:
        """Shots that got OK or NG."""
        return sum(answer.verdict in (OK, NG) for answer in self.answers)

    @property
    def broken(self) -> tuple[str, ...]:
        """What is beyond AIAG's limits (%GRR up to 30 %, 5 categories or more, kappa from 0.75 on, no bias against
        reference scores, shared among the stations by Bonferroni), and what of the score was not measured. A kappa that
        these parts cannot tell is said in words, and breaks nothing."""
        kappas = {"all shots": self.within, "stations": self.between, **self.pairs}
        kappas |= {f"{one.operator} against the reference": one.kappa for one in self.against}
        said = [f"kappa of {name}" for name, kappa in kappas.items() if kappa is not None and kappa.verdict != "good"]
        stations = len(self.against_scores)
        biased = (one.operator for one in self.against_scores if _found_among(one.bias, stations))
        said += [f"score of {operator} against the reference" for operator in biased]
        if not self.called:
            said.append("no shot got a verdict")
        if self.gauge is None:
            said.append(f"no gauge R&R: {self.no_gauge}")
        else:
            said += ["%GRR"] if self.gauge.verdict == "not acceptable" else []
            said += ["distinct categories"] if (self.gauge.categories or LEAST_NDC) < LEAST_NDC else []
        return tuple(said)


def study(inspector: Inspector, shots: Sequence[Shot], done: Callable[[], None] = lambda: None) -> Study:
    """Inspect every shot and sum up.

    Raises
    ------
    UsageError
        When no shot could be read, or two are the same picture.
    MissingExtraError
        When scipy is not installed.
    """
    require("scipy", "evaluate")
    spec, pictures = inspector.contract.frame, dict[str, Path]()

    def one(shot: Shot) -> Answer | str:
        try:
            frame = read_frame(shot.path, spec)
            first = pictures.setdefault(picture_of(frame), shot.path)
            if first != shot.path:
                raise _SamePictureError(f"{shot.path} and {first} are the same picture: a repeat is another one.")
            result = inspected(inspector, frame)
        except _SamePictureError:
            raise
        except StorageError:
            raise
        except LinesideError as error:
            return error.message if str(shot.path) in error.message else f"{shot.path}: {error.message}"
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
    """Sum up a study from its answers; the score of a shot that got no call is no measurement."""
    operators = sorted({answer.shot.operator for answer in answers})
    verdicts, measured = _cells(answers), _cells([one for one in answers if one.verdict != _NO_CALL])
    names, repeats = _crossed(measured, operators)
    scores = np.array([[[a.score for a in measured[n][op][:repeats]] for op in operators] for n in names], np.float64)
    gauge, why = _gauge(scores, operators)
    several = [[a.verdict for by in found.values() for a in by] for found in verdicts.values()]
    several = [said for said in several if len(said) > 1]
    names, repeats = _crossed(verdicts, operators)
    balanced = [[a.verdict for op in operators for a in verdicts[n][op][:repeats]] for n in names]
    commonest = [[_commonest([a.verdict for a in verdicts[n][op]]) for op in operators] for n in names]
    told = _both_kinds(commonest)
    return Study(
        part=part,
        answers=tuple(answers),
        unreadable=tuple(unreadable),
        gauge=gauge,
        no_gauge=why,
        left_out=len(answers) - scores.size,
        bias=_between(scores, operators) if gauge else {},
        differences=_differences(scores, operators) if gauge else {},
        against_scores=tuple(_against_scores(answers, operators)),
        flipped=rate(sum(len(set(said)) > 1 for said in several), len(several)),
        within=fleiss_kappa(balanced) if told and repeats * len(operators) > 1 else None,
        between=fleiss_kappa(commonest) if told and len(operators) > 1 else None,
        pairs=_pairs(verdicts, operators, names, repeats) if told else {},
        against=tuple(_against(op, [a for a in answers if a.shot.operator == op]) for op in operators)
        if any(a.shot.reference for a in answers)
        else (),
    )


def _found_among(bias: Bias, stations: int) -> bool:
    """Whether a bias is found at 95 % for all stations together: by Bonferroni each is tested at its part of 5 %."""
    if not bias.found or not bias.sd:
        return False
    from scipy.special import stdtr

    t = abs(bias.value) * math.sqrt(bias.n) / bias.sd
    return 2.0 * float(stdtr(bias.n - 1, -t)) <= (1.0 - CONFIDENCE) / stations


def _between(scores: Doubles, operators: Sequence[str]) -> dict[str, Bias]:
    """Return each operator's mean less that of all, by part: scores [parts, operators, repeats]."""
    of_cell = scores.mean(axis=2)
    apart = of_cell - of_cell.mean(axis=1, keepdims=True)  # [parts, operators]
    return {name: bias_of(apart[:, i]) for i, name in enumerate(operators)} if len(operators) > 1 else {}


def _differences(scores: Doubles, operators: Sequence[str]) -> dict[str, Bias]:
    of_cell = dict(zip(operators, scores.mean(axis=2).T, strict=True))
    return {f"{one} - {other}": bias_of(of_cell[one] - of_cell[other]) for one, other in combinations(operators, 2)}


def _against_scores(answers: Sequence[Answer], operators: Sequence[str]) -> Iterator[ScoreBias]:
    """Yield each operator's bias; a shot that got no call is no reading."""
    for operator in operators:
        apart: dict[str, list[float]] = defaultdict(list)
        for one in answers:
            if one.shot.operator == operator and one.shot.reference_score is not None and one.verdict != _NO_CALL:
                apart[one.shot.part].append(one.score - one.shot.reference_score)
        parts = {name: bias_of(np.array(each), "shot") for name, each in apart.items()}
        if parts:
            means = np.array([part.value for part in parts.values()])
            yield ScoreBias(operator, bias_of(means) if len(parts) > 1 else next(iter(parts.values())), parts)


def _cells(answers: Sequence[Answer]) -> Cells:
    """Return answers by part and operator."""
    cells: dict[str, dict[str, list[Answer]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        cells[answer.shot.part][answer.shot.operator].append(answer)
    return cells


def _crossed(cells: Cells, operators: Sequence[str]) -> tuple[list[str], int]:
    """Return the parts that every operator has, and how often each of them has each at least.

    Parts that an operator has once are left out where two others or more have been repeated.
    """
    least = {
        name: min(len(by_operator[op]) for op in operators)
        for name, by_operator in cells.items()
        if len(by_operator) == len(operators)
    }
    repeated = [name for name, count in least.items() if count > 1]
    names = repeated if len(repeated) > 1 else [*least]
    return names, min((least[name] for name in names), default=0)


def _gauge(scores: Doubles, operators: Sequence[str]) -> tuple[GaugeRR | None, str]:
    if not scores.size:
        return None, f"no part got a score from all {len(operators)} stations"
    try:
        return gauge_rr(scores), ""
    except UsageError as error:
        return None, error.message


def _both_kinds(said: Sequence[Sequence[str]]) -> bool:
    """Whether two verdicts are each the commonest of several parts: else a single slip decides kappa."""
    usual = Counter(_commonest(words) for words in said)
    return sum(number > 1 for number in usual.values()) > 1


def _commonest(verdicts: Sequence[str]) -> str:
    """Return the verdict that was given most often, the worse one where two were."""
    counts = Counter(verdicts)
    return max(counts, key=lambda name: (counts[name], Verdict[name].value))


def _pairs(cells: Cells, operators: Sequence[str], names: Sequence[str], repeats: int) -> dict[str, Kappa]:
    found = {}
    for first, second in combinations(operators, 2):
        both = [(cells[n][first][k].verdict, cells[n][second][k].verdict, n) for n in names for k in range(repeats)]
        one, other, parts = zip(*both, strict=True)
        found[f"{first} × {second}"] = cohen_kappa(one, other, parts)
    return found


def _against(operator: str, answers: Sequence[Answer]) -> Against:
    called = [a for a in answers if a.shot.reference is not None and a.verdict in (OK, NG)]
    bad = [a for a in called if a.shot.reference == NG]
    good = [a for a in called if a.shot.reference == OK]
    truth = [a.shot.reference or "" for a in called]
    both = bool(bad and good)
    kappa = cohen_kappa([a.verdict for a in called], truth, [a.shot.part for a in called]) if both else None
    missed, alarms = sum(a.verdict == OK for a in bad), sum(a.verdict == NG for a in good)
    uncalled = sum(a.shot.reference is not None for a in answers) - len(called)
    return Against(operator, (missed, len(bad)), (alarms, len(good)), uncalled, kappa)
