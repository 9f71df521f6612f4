"""How the deployed graph did on the test images."""

from collections import Counter
from collections.abc import Sequence

from lineside.export.parity import ParityRecord
from lineside.train.record import Evaluation


def evaluate(proofs: Sequence[ParityRecord]) -> Evaluation:
    """Count overkill and escapes, and rank good against defective.

    Parameters
    ----------
    proofs : sequence of ParityRecord
        The deployed graph's scores and verdicts on test images.
    """
    good = [p for p in proofs if p.label == "good"]
    bad = [p for p in proofs if p.label != "good"]
    images = Counter(p.label for p in bad)
    escaped = Counter(p.label for p in bad if p.verdict == "OK")
    return Evaluation(
        good=len(good),
        defective=len(bad),
        overkill=sum(p.verdict == "NG" for p in good),
        escapes=sum(escaped.values()),
        no_call=sum(p.verdict == "NO_CALL" for p in proofs),
        auroc=_auroc([p.score for p in good], [p.score for p in bad]),
        escapes_by_class=tuple((label, escaped[label], count) for label, count in sorted(images.items())),
    )


def _auroc(good: Sequence[float], bad: Sequence[float]) -> float | None:
    if not good or not bad:
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score([0] * len(good) + [1] * len(bad), [*good, *bad]))
