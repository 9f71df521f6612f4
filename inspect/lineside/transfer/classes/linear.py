"""Ways from normalised examples to logits, all of them linear: nearest prototype, discriminant, logistic regression."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Linear:
    """Logits of normalised embeddings z [n, D]: z @ map.T + bias."""

    map: F64
    """[k, D]"""
    bias: F64
    """[k]"""

    def predict(self, z: F64) -> I64:
        """Return the class [n] of the largest logit."""
        return np.asarray((z @ self.map.T + self.bias).argmax(axis=1), np.int64)


SHRINKAGE = 0.2
"""Measured on crops of printed circuit boards (DeepPCB, six kinds, 60 px crops at 128 px, strides 8/16, 4 turns, 4
drawings), accuracy with 5 and 20 examples a class: with 0.1 0.692 and 0.859, 0.2 0.689 and 0.861, 0.4 0.687 and
0.857."""

LinearFit = Callable[[F64, I64], Linear]


def class_means(z: F64, labels: I64) -> F64:
    """Mean of each class [k, D]."""
    return np.stack([z[labels == c].mean(axis=0) for c in range(int(labels.max()) + 1)])


def fit_prototype(z: F64, labels: I64) -> Linear:
    """Nearest class mean (Snell et al., 2017), one example suffices.

    The logit is minus half the squared distance over the mean squared deviation that the classes' means leave, or,
    where there is one example a class, over the mean squared distance between them.
    """
    means = class_means(z, labels)
    within = float(np.square(z - means[labels]).sum(axis=1).mean())
    between = float(np.square(means - means.mean(axis=0)).sum(axis=1).mean())
    unit = max(within if within > 1e-9 else between, 1e-9) / z.shape[1] ** 0.5
    return Linear(means / unit, -0.5 * np.square(means).sum(axis=1) / unit)


def fit_lda(z: F64, labels: I64) -> Linear:
    """Linear discriminant, classes equally likely, the scatter within classes shrunk towards its mean variance.

    Shrunk by a fixed share: Ledoit and Wolf's (2004) takes augmented copies for independent examples and shrinks too
    little. Solved in the examples where they are fewer than dimensions (Woodbury), which scikit-learn's does not do.
    """
    means = class_means(z, labels)
    away = z - means[labels]
    rows, size = away.shape
    ridge = SHRINKAGE * max(float(np.square(away).mean()), 1e-9)  # share of the mean variance
    share = (1.0 - SHRINKAGE) / rows
    if rows < size:
        inner = away @ away.T * share + ridge * np.eye(rows)
        solved = (means.T - share * away.T @ _solve(inner, away @ means.T)) / ridge  # [D, k]
    else:
        solved = _solve(away.T @ away * share + ridge * np.eye(size), means.T)
    return Linear(solved.T, -0.5 * (solved.T * means).sum(axis=1))


def _solve(matrix: F64, right: F64) -> F64:
    from scipy.linalg import solve

    return np.asarray(solve(matrix, right, assume_a="pos"), np.float64)


def fit_logistic(z: F64, labels: I64) -> Linear:
    """Logistic regression with a ridge, classes weighted alike."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0 / z.shape[1], class_weight="balanced", tol=1e-3, max_iter=200).fit(z, labels)
    if len(model.coef_) == 1:
        return Linear(np.concatenate((-model.coef_, model.coef_)) / 2, np.array([-0.5, 0.5]) * model.intercept_[0])
    return Linear(model.coef_, model.intercept_)


LINEAR: dict[str, tuple[int, LinearFit]] = {
    "prototype": (1, fit_prototype),
    "lda": (2, fit_lda),
    "logistic": (5, fit_logistic),
}
"""Method -> least number of examples of each class, and how it is fitted."""
