"""How the deployed graph did on the test images, counted by part as `lineside evaluate` counts.

Of several images of a part, of one label, the worst counts: exact intervals hold for parts, not for shots of them.
"""

from collections import Counter
from collections.abc import Sequence

from lineside.binomial import clopper_pearson
from lineside.calibrate.auroc_interval import auroc_area
from lineside.contract import Contract, Verdict
from lineside.export.parity import ParityRecord
from lineside.train.record import ClassEvaluation, Evaluation

WORSE = (Verdict.OK.name, Verdict.REVIEW.name, Verdict.NO_CALL.name, Verdict.NG.name)
"""From the best to the worst."""


def evaluate(proofs: Sequence[ParityRecord], parts: Sequence[str], contract: Contract) -> Evaluation:
    """Count overkill and escapes, rank good against defective, and compare classes with the folders' names.

    Parameters
    ----------
    proofs : sequence of ParityRecord
        The deployed graph's scores and verdicts on test images. Parts without a call are counted apart.
    parts : sequence of str
        Physical part of each.
    contract : Contract
        Says what is good, and what the classes are called.
    """
    shown = _worst(proofs, parts)
    called = [p for p in shown if p.verdict != Verdict.NO_CALL.name]
    good = [p for p in called if contract.is_good(p.label)]
    bad = [p for p in called if not contract.is_good(p.label)]
    counted = Counter(p.label for p in bad)
    escaped = Counter(p.label for p in bad if p.verdict == "OK")
    ranked = auroc_area([p.score for p in good], [p.score for p in bad])
    return Evaluation(
        good=len(good),
        defective=len(bad),
        overkill=sum(p.verdict == "NG" for p in good),
        escapes=sum(escaped.values()),
        no_call=len(shown) - len(called),
        auroc=None if ranked is None else ranked.value,
        auroc_interval=None if ranked is None else ranked.interval,
        escapes_by_class=tuple((label, escaped[label], count) for label, count in sorted(counted.items())),
        classes=_classes(called, contract) if contract.classes else None,
        unit="image" if len(shown) == len(proofs) else "part",
    )


def _worst(proofs: Sequence[ParityRecord], parts: Sequence[str]) -> list[ParityRecord]:
    """Return the worst image of each part; a part under two labels, as before and after damage, is one of each."""
    worst: dict[tuple[str, str], ParityRecord] = {}
    for proof, part in zip(proofs, parts, strict=True):
        worst[proof.label, part] = max(worst.get((proof.label, part), proof), proof, key=_badness)
    return list(worst.values())


def _badness(proof: ParityRecord) -> tuple[int, float]:
    return WORSE.index(proof.verdict), proof.score


def named(contract: Contract, proof: ParityRecord) -> str | None:
    """Return the name of the class that the graph gave; None where it gave none."""
    return contract.class_name(proof.defect_class)


def _classes(called: Sequence[ParityRecord], contract: Contract) -> ClassEvaluation:
    """Compare what was named with the truth: parts of a known class that were called one, or unknown."""
    confusion = Counter((p.label, named(contract, p) or p.verdict) for p in called)
    known = [p for p in called if p.label in contract.class_names and named(contract, p)]
    right = sum(p.label == named(contract, p) for p in known)
    low, high = clopper_pearson(right, len(known))
    return ClassEvaluation(
        right=right,
        named=len(known),
        interval=(low, high),
        confusion=tuple((truth, said, count) for (truth, said), count in sorted(confusion.items())),
    )
