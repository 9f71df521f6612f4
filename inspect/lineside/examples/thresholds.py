"""Which thresholds decide, what they are worth, and what others would say of a picture.

    python -m lineside.examples.thresholds models/caps part.png 0.7

A threshold that is given voids what the contract states of its own: how many good parts are then NG, and how many
defective ones are not, nobody counted. `lineside calibrate` finds one from images instead, and states what it is worth.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from lineside.capture.decode import read_image
from lineside.runtime import Inspector


def describe(inspector: Inspector) -> Iterator[str]:
    """Say which thresholds decide, and what the contract states of its own."""
    ng, review = inspector.contract.threshold_ng, inspector.contract.threshold_review
    yield f"NG above {inspector.threshold_ng:.4g}, REVIEW above {inspector.threshold_review:.4g}"
    if inspector.overridden:
        yield f"given in place of {ng.value:.4g} and {review.value:.4g}; what the model states of those does not hold"
    else:
        yield f"{ng.kind}, for {ng.wish.in_words}: {ng.statement}"
        yield inspector.contract.escapes.statement


def compare(model: str, picture: Path, threshold_ng: float) -> Iterator[str]:
    """Judge a picture by the model's own thresholds and by another for NG; the score is the same."""
    for inspector in (Inspector(model), Inspector(model, threshold_ng=threshold_ng)):
        spec = inspector.contract.frame
        frame = read_image(picture, channels=spec.channels, bit_depth=spec.bit_depth)
        result = inspector.inspect(frame, reduced=True)
        yield from describe(inspector)
        yield f"  {picture}: {result.verdict.name}, score {result.score:.4g}"


if __name__ == "__main__":
    print(*compare(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])), sep="\n")
