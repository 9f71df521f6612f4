"""What becomes of a parent's wishes in a bundle that was adapted or extended: no defective image is at hand there."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lineside.calibrate.honest import Honest
from lineside.calibrate.review import review_threshold
from lineside.contract_thresholds import Threshold
from lineside.dataset import GOOD
from lineside.train.line_parent import Opened


def kept_review(
    parent: Opened, threshold: Threshold, scores: npt.NDArray[np.float32], groups: Sequence[str], *, how: str
) -> Threshold | None:
    """Take the parent's band for REVIEW again from the changed scores of good frames; None where it has none."""
    wish = parent.contract.threshold_review.wish
    if wish.kind != "review" or wish.share is None:
        return None
    tolerated = bool(parent.contract.class_factors)
    goods = Honest(scores, tuple(groups), (GOOD,) * len(scores), held_out=False, how=how, tolerated=tolerated)
    return review_threshold(threshold, wish.share, goods)


def not_held(old: Threshold) -> str:
    """Say that a wish other than overkill cannot be served without defective images; nothing where it was overkill."""
    if old.wish.kind == "overkill":
        return ""
    return (
        f" The parent's wish was {old.wish.in_words}; here its overkill of {100 * old.wish_overkill:.1f} % was kept "
        "instead: use `lineside calibrate` to serve the wish again."
    )
