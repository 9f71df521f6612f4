"""A changed camera undone in feature space: each tap's new statistics mapped onto the old ones, in closed form.

Two maps. `moments` scales and shifts every channel, so that its mean and deviation are the old ones again (Li et al.,
"Revisiting batch normalization for practical domain adaptation", 2016, in spirit). `covariance` aligns the whole
covariance (Sun et al., "Return of frustratingly easy domain adaptation", AAAI 2016), by the map between Gaussians that
moves features least (optimal transport: Dowson and Landau, J. Multivariate Analysis 12, 1982); CORAL's own product of
two roots turns features that need not be turned. It is taken between channels of variance 1, so that no channel counts
by its scale. Both are affine: one 1x1 convolution behind the tap.

Measured on ball-screw drives (lite0, 50 good; 100 good and 73 defective test frames; colour matrix, gamma 1.35, gain
0.8, blur of 1.3 px; 20 frames of others, 3 drawings): image AUROC 0.927 by the old camera, 0.921 by the new one without
a map, 0.924 with moments (2 drawings), 0.922 to 0.924 with covariance. Good frames above the threshold: 9 % by the old
camera; by the new one 100 % without a map, 35 to 38 % with moments and the old threshold, 8 to 9 % with covariance.
A camera further off (more mixing, gamma 1.6, gain 0.8, blur of 2.5 px): 0.866 without, 0.930 to 0.933 with covariance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

Map = Literal["moments", "covariance"]
RIDGE = 0.02
"""Added to the variance of every direction, old and new alike, where each channel has a variance of 1."""
LARGEST_SCALE = 5.0
"""A channel that hardly moves any more is not blown up beyond this."""


@dataclass(frozen=True)
class TapStatistics:
    """Mean [C] and covariance [C, C] of a tap's features over the patches that count."""

    mean: Doubles
    covariance: Doubles
    count: int
    """Of patches."""


@dataclass(frozen=True)
class Affine:
    """A map of features: x -> matrix x + shift."""

    matrix: Doubles
    """[C, C]."""
    shift: Doubles
    """[C]."""

    def after(self, first: "Affine") -> "Affine":
        """Return the one map that does what `first` and then this one do."""
        return Affine(self.matrix @ first.matrix, self.matrix @ first.shift + self.shift)

    def __call__(self, features: npt.NDArray[np.floating]) -> Doubles:
        """Map a tap's features [n, C, h, w], in double precision."""
        flat = features.reshape(*features.shape[:2], -1).astype(np.float64)  # [n, C, h w]
        mapped: Doubles = (self.matrix @ flat + self.shift[:, None]).reshape(features.shape)
        return mapped


def tap_statistics(features: Floats, weights: Floats) -> TapStatistics:
    """Measure a tap.

    Parameters
    ----------
    features : ndarray of float32 [n, C, h, w]
    weights : ndarray of float32 [n, h, w]
        0 where a patch does not count.
    """
    mean, second, total = np.zeros(features.shape[1]), np.zeros((features.shape[1],) * 2), 0.0
    rows = []
    for frame, weight in zip(features, weights, strict=True):
        x = frame[:, weight >= 0.5].astype(np.float64)  # [C, m]
        rows.append(x)
        mean += x.sum(axis=1)
        total += x.shape[1]
    mean /= max(total, 1.0)
    for x in rows:
        away = x - mean[:, None]
        second += away @ away.T
    return TapStatistics(mean, second / max(total, 1.0), int(total))


def alignment(old: TapStatistics, new: TapStatistics, how: Map) -> Affine:
    """Return the map from new features to old ones."""
    before, after = _deviations(old), _deviations(new)
    if how == "moments":
        scales = np.clip(before / after, 1.0 / LARGEST_SCALE, LARGEST_SCALE)
        matrix = np.diag(scales)
    else:
        inner = _transport(old.covariance / np.outer(before, before), new.covariance / np.outer(after, after))
        matrix = before[:, None] * inner / after
    return Affine(matrix, old.mean - matrix @ new.mean)


def resized_weights(region: Floats, grid_hw: tuple[int, int]) -> Floats:
    """Bring a region [n, 1, gh, gw] to a tap's own grid [n, h, w], by the nearest cell."""
    rows, columns = (
        np.minimum(((np.arange(side) + 0.5) * have / side).astype(np.int64), have - 1)
        for side, have in zip(grid_hw, region.shape[2:], strict=True)
    )
    return np.ascontiguousarray(region[:, 0][:, rows][:, :, columns])


def _deviations(known: TapStatistics) -> Doubles:
    """Standard deviation of each channel [C], of a dead one next to nothing."""
    variances = np.diag(known.covariance)
    return np.asarray(np.sqrt(variances + 1e-4 * max(float(variances.mean()), 1e-12)), np.float64)


def _transport(old: Doubles, new: Doubles) -> Doubles:
    """Monge map between centred Gaussians, new -> old: N^-1/2 (N^1/2 O N^1/2)^1/2 N^-1/2."""
    before, after = old + RIDGE * np.eye(len(old)), new + RIDGE * np.eye(len(new))
    values, vectors = np.linalg.eigh(after)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (vectors / np.sqrt(values)) @ vectors.T
    transport: Doubles = inverse @ _root(root @ before @ root) @ inverse
    return transport


def _root(matrix: Doubles) -> Doubles:
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    root: Doubles = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root


def mean_statistics(parts: Sequence[TapStatistics]) -> TapStatistics:
    """Put the statistics of several sets together."""
    count = sum(part.count for part in parts)
    mean = sum((part.count * part.mean for part in parts), np.zeros_like(parts[0].mean)) / count
    covariance = np.zeros_like(parts[0].covariance)
    for part in parts:
        away = part.mean - mean
        covariance += part.count / count * (part.covariance + np.outer(away, away))
    return TapStatistics(mean, covariance, count)
