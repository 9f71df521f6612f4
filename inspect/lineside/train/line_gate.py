"""The gate and the findings of a deployed bundle, learned again from quality numbers of further frames.

What the recipe states stays. Where frames are unlabelled a few of them may be bad pictures or bad parts: limits then
follow their middle and spread, never their extremes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.contract import Finding
from lineside.export.decision import FINDING_LIMITS
from lineside.normalise.front import GATE_LIMITS
from lineside.normalise.gate_limits import NO_LIMIT, learned_limits
from lineside.normalise.gate_rules import GATE_BITS, GATE_WORDS, RULES
from lineside.train.line_parent import Parent
from lineside.train.line_result import Limits
from lineside.train.tail import FEATURE, FEATURE_GAP, FEATURE_MATCH, LEAST_SHADING, SHADING, SHADING_SHARE

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]

TRUSTED_SHARE = 0.9
"""Share of unlabelled frames, on the good side, that have a say in what is no finding."""


@dataclass(frozen=True)
class GateChange:
    """Limits learned again.

    Attributes
    ----------
    numbers : mapping of name to ndarray
        Of the graph.
    limits : tuple
        The same as the contract has them, novelty's last.
    findings : tuple of Finding
    passed : ndarray of bool [n]
        Which frames the new limits let through.
    quality : ndarray of float32 [m, q]
        The front's quality numbers of those frames that passed.
    commonest : str
        Why most of the others did not, in words.
    """

    numbers: Mapping[str, Array]
    limits: Limits
    findings: tuple[Finding, ...]
    passed: npt.NDArray[np.bool_]
    quality: Floats
    commonest: str


def changed_gate(parent: Parent, quality: Floats, *, trusted: bool) -> GateChange:
    """Learn limits again.

    Parameters
    ----------
    parent : Parent
    quality : ndarray of float32 [n, q]
        The front's quality numbers of the frames to learn from.
    trusted : bool
        Whether all of them are known to be good.
    """
    names = parent.contract.quality_names[:-1]
    old = parent.constants[GATE_LIMITS].astype(np.float32)
    limits = old
    if parent.state.margin >= 0.0:
        ends = {name: (float(low), float(high)) for name, (low, high) in zip(names, old, strict=True)}
        stated = {name: pair for name, pair in ends.items() if name in parent.state.stated}
        limits = learned_limits(quality, names, stated, parent.state.margin, trusted=trusted)
    bits = np.array([_bit(name) for name in names])
    beyond = ((quality < limits[:, 0]) | (quality > limits[:, 1])) & (bits >= 0)  # [n, q]
    passed = np.asarray(~beyond.any(axis=1))
    findings = _changed_findings(parent.contract.findings, names, quality[passed], trusted=trusted)
    return GateChange(
        numbers={GATE_LIMITS: limits, **({FINDING_LIMITS: _matrix(findings)} if findings else {})},
        limits=(*(_bounds(pair) for pair in limits.tolist()), parent.contract.quality_limits[-1]),
        findings=findings,
        passed=passed,
        quality=quality[passed],
        commonest=_commonest(beyond, bits),
    )


def _bit(name: str) -> int:
    bit = RULES[name].bit
    return -1 if bit is None else GATE_BITS.index(bit)


def _bounds(pair: Sequence[float]) -> tuple[float | None, float | None]:
    low, high = (None if abs(value) >= NO_LIMIT else float(np.float32(value)) for value in pair)
    return low, high


def _commonest(beyond: npt.NDArray[np.bool_], bits: npt.NDArray[np.int64]) -> str:
    counts = [int(beyond[:, bits == bit].any(axis=1).sum()) for bit in range(len(GATE_BITS))]
    return GATE_WORDS[int(np.argmax(counts))]


def _changed_findings(
    findings: tuple[Finding, ...], names: Sequence[str], quality: Floats, *, trusted: bool
) -> tuple[Finding, ...]:
    """Widen what a finding takes for usual, by the rules of training; never narrow it."""
    if not len(quality):
        return findings
    share = 1.0 if trusted else TRUSTED_SHARE

    def column(name: str) -> npt.NDArray[np.float64]:
        return quality[:, list(names).index(name)].astype(np.float64)

    changed = []
    for finding in findings:
        limits = list(finding.limits)
        for number, limit in enumerate(limits):
            if finding.name == SHADING.name and limit.upper is not None:
                highest = float(np.quantile(column(limit.quality), share))
                upper = max(limit.upper, LEAST_SHADING, SHADING_SHARE * highest)
                limits[number] = replace(limit, upper=float(np.float32(upper)))
            elif finding.name == FEATURE.name and limit.quality == "match" and limit.lower is not None:
                lowest = float(np.quantile(column(limit.quality), 1.0 - share))
                lower = min(limit.lower, FEATURE_MATCH, lowest - FEATURE_GAP)
                limits[number] = replace(limit, lower=float(np.float32(lower)))
        changed.append(replace(finding, limits=tuple(limits)))
    return tuple(changed)


def _matrix(findings: Sequence[Finding]) -> Floats:
    """Return the graph's matrix [k, 2] of the findings' limits."""
    rows = [
        (-np.inf if limit.lower is None else limit.lower, np.inf if limit.upper is None else limit.upper)
        for finding in findings
        for limit in finding.limits
    ]
    return np.array(rows, np.float32)
