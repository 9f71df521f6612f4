"""Measures of how well scores tell defective parts from good ones; numpy alone, since inspection uses them too."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def auroc(good: Sequence[float], defect: Sequence[float]) -> float | None:
    """Return the share of (good, defect) pairs in which the defect scores higher, ties counted half.

    Mann and Whitney (Annals of Mathematical Statistics 18, 1947); equal to the area under the ROC curve. None where one
    of the sides is empty.
    """
    if not len(good) or not len(defect):
        return None
    goods: npt.NDArray[np.float64] = np.sort(np.asarray(good, np.float64))
    defects = np.asarray(defect, np.float64)
    below = np.searchsorted(goods, defects, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(goods, defects, side="right").sum(dtype=np.int64)
    return float((below + not_above) / (2 * len(goods) * len(defects)))


def average_precision(good: Sequence[float], defect: Sequence[float]) -> float | None:
    """Return the precision at each score, weighted by the recall that it adds; equal scores count together.

    The sum over thresholds of (R[n] - R[n - 1]) P[n], as scikit-learn's ``average_precision_score`` has it: no line is
    drawn between points. It depends on how many defective parts there are among the good ones. None where one of the
    sides is empty.
    """
    if not len(good) or not len(defect):
        return None
    scores = np.concatenate([np.asarray(good, np.float64), np.asarray(defect, np.float64)])
    is_defect = np.repeat([0, 1], [len(good), len(defect)])
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # last of each run of equal scores
    found = np.cumsum(is_defect[order])[ends]
    precision = found / (ends + 1)
    recall = found / len(defect)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))
