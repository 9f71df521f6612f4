"""How the deployed graph did on the test images, counted as `lineside inspect --labels` counts."""

from collections import Counter
from collections.abc import Sequence

from lineside.calibrate.metrics import auroc
from lineside.export.parity import ParityRecord
from lineside.train.record import Evaluation


def evaluate(proofs: Sequence[ParityRecord]) -> Evaluation:
    """Count overkill and escapes, and rank good against defective.

    Parameters
    ----------
    proofs : sequence of ParityRecord
        The deployed graph's scores and verdicts on test images. Those without a call are counted apart.
    """
    called = [p for p in proofs if p.verdict != "NO_CALL"]
    good = [p for p in called if p.label == "good"]
    bad = [p for p in called if p.label != "good"]
    images = Counter(p.label for p in bad)
    escaped = Counter(p.label for p in bad if p.verdict == "OK")
    return Evaluation(
        good=len(good),
        defective=len(bad),
        overkill=sum(p.verdict == "NG" for p in good),
        escapes=sum(escaped.values()),
        no_call=len(proofs) - len(called),
        auroc=auroc([p.score for p in good], [p.score for p in bad]),
        escapes_by_class=tuple((label, escaped[label], count) for label, count in sorted(images.items())),
    )
