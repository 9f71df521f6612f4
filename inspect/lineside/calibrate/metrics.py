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
