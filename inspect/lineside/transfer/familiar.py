"""Is this the part at all? A frame's embedding against those of the good frames, as a whole.

The embedding is a mean over the frame, so that a defect moves it by its share of the frame, another part by all of it.
Its distance to the good frames counts a direction the less, the more the good frames differ along it: the covariance of
few frames in many dimensions, shrunk after Ledoit and Wolf (J. Multivariate Analysis 88, 2004), kept as its mean, its
leading directions and one variance for all others. The unit is what good frames show that were held out.

The distance to the nearest good frame was rejected. Measured with 50 good frames: from the farthest good, defective or
severely defective frame to the nearest frame of another part, the distance grows 5.4 times on caps, 7.9 times on weave
and 3.2 times on ball-screw drives; to the nearest good frame 4.5, 6.3 and 2.6 times.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

RANK = 32
"""Directions kept. The good frames of a part differ in light, angle and a few things more."""
VALUE_NAMES = ("familiar_mean", "familiar_directions", "familiar_weights")
"""Fitted tensors in the order in which `Familiarity.forward` takes them: [d], [d, 32], [33]."""
LEAST_GOODS = 4
"""Below, nothing can be held out and still have a spread: every frame is then familiar."""
LEAST_SPREAD = 0.03
"""Spread that good frames are given at least, as a share of the embedding's length: frames taken within one minute are
all alike. Measured: 0.11 to 0.13 on caps, weave and drives; other parts lie 0.87 and more away."""
THUMBNAIL_SPREAD = 0.07
"""The same for the bridge's 4×4 thumbnail: four grey levels, normalised as anomalib does (by 255 and about 0.225).
Measured on the same frames, by fours of grey levels: good ones reach 1.2, defective and severe ones 3.4, other parts
3.5 to 15: it knows the coarsest mistakes alone, the rest is left to the gate's own measures."""
FOLDS = 20
"""Good frames are held out one by one, or in this many groups where there are more."""


class Familiarity(nn.Module):
    """Novelty of embeddings; it holds no numbers of its own."""

    value_names: tuple[str, ...] = VALUE_NAMES

    def forward(self, embedding: Tensor, mean: Tensor, directions: Tensor, weights: Tensor) -> Tensor:
        """Measure how far frames are from the good ones.

        Parameters
        ----------
        embedding : Tensor of float32 [N, d]
        mean, directions, weights : Tensor of float32 [d], [d, R], [R + 1]
            As `fit_familiarity` gives them.

        Returns
        -------
        Tensor of float32 [N]
            About 1 for a typical good frame that was held out, less where all good ones are much alike; larger is
            stranger.
        """
        away = embedding - mean  # [N, d]
        along = torch.matmul(away, directions)  # [N, R]
        rest = away - torch.matmul(along, directions.t())  # [N, d]; from |away|² - |along|² it would be rounding
        squares = torch.cat((along, rest.square().sum(dim=1, keepdim=True).sqrt()), dim=1).square()
        return (squares * weights).sum(dim=1).sqrt()


def fit_familiarity(embeddings: F32, seed: int, least_spread: float | None = None) -> dict[str, F32]:
    """Learn what the part looks like as a whole.

    Parameters
    ----------
    embeddings : ndarray of float32 [n, d]
        Of good frames, without augmented copies. With fewer than 4 every frame will be familiar (novelty 0).
    seed : int
        Of the groups that are held out where there are more than 20 frames.
    least_spread : float, optional
        Standard deviation that every dimension is given at least, in the embedding's unit; by default `LEAST_SPREAD`
        of the embedding's length. `THUMBNAIL_SPREAD` for the bridge's thumbnail, whose length may be next to nothing.

    Returns
    -------
    dict of str to ndarray of float32
        By `VALUE_NAMES`.
    """
    goods = embeddings.astype(np.float64)
    if len(goods) < LEAST_GOODS:
        size = goods.shape[1]
        return _named(np.zeros(size), np.zeros((size, RANK)), np.zeros(RANK + 1))
    typical = float(np.sqrt((goods.mean(axis=0) ** 2).mean()))
    least = max(LEAST_SPREAD * typical if least_spread is None else least_spread, 1e-6)
    unit = max(float(np.median(_held_out(goods, least, seed))), np.sqrt(goods.shape[1]))  # the latter if all are alike
    mean, directions, weights = _fit(goods, least)
    return _named(mean, directions, weights / unit**2)


def novelty_limit(margin: float) -> float:
    """Return the novelty beyond which a frame does not show the part.

    Parameters
    ----------
    margin : float
        The recipe's `normalise.gate.margin`. At its default of 6 the limit is 7.

    Notes
    -----
    Measured on caps, weave and drives with 50 good frames (in brackets: with 10, the worst of 8 draws). Largest of the
    good test frames: 1.1, 0.8, 3.7 (2.0, 1.7, 5.2; the drives' test frames show other places of the spindle); of the
    defective ones: 1.6, 1.7, 4.8 (2.4, 2.4, 6.0); of severe ones: 2.4, 2.8, 4.3 (2.7, 2.9, 5.3). Smallest of other
    parts: 13.0, 22.1, 15.3 (8.9, 14.7, 10.7). All aligned and with the light evened out, white balance included;
    without it a cast of 15 % alone reaches 7.0, 10.7, 6.7.
    """
    return 1.0 + margin


def reference_novelty(embeddings: F32, values: Mapping[str, F32]) -> F64:
    """Return the novelty of embeddings [n, d] in float64, the slow twin of the graph's: by the whole inverse matrix."""
    mean, directions, weights = (values[name].astype(np.float64) for name in VALUE_NAMES)
    others = np.eye(len(mean)) - directions @ directions.T
    inverse = (directions * weights[:-1]) @ directions.T + weights[-1] * others @ others.T
    away = embeddings.astype(np.float64) - mean
    novelty: F64 = np.sqrt(np.einsum("ni,ij,nj->n", away, inverse, away))
    return novelty


def _fit(goods: F64, least: float) -> tuple[F64, F64, F64]:
    """Mean [d], directions [d, R] and inverse variances [R + 1], the last for every other direction."""
    count, size = goods.shape
    mean = goods.mean(axis=0)
    away = goods - mean
    typical = max(float((away**2).sum()) / (count * size), 1e-12)
    shrink = _shrinkage(away, typical)
    _, singular, rows = np.linalg.svd(away, full_matrices=False)
    kept = min(RANK, count - 1, size)
    variances = (1.0 - shrink) * singular**2 / count + shrink * typical
    left = max(typical * size - float(variances[:kept].sum()), 0.0) / max(size - kept, 1)  # the trace stays as it is
    other = max(left, shrink * typical) + least**2
    directions, weights = np.zeros((size, RANK)), np.zeros(RANK + 1)
    directions[:, :kept] = rows[:kept].T
    weights[:kept], weights[-1] = 1.0 / (variances[:kept] + least**2), 1.0 / other
    return mean, directions, weights


def _shrinkage(away: F64, typical: float) -> float:
    """Ledoit and Wolf's share of the identity, 0 to 1, of centred rows [n, d], from their products [n, n]."""
    count, size = away.shape
    products = away @ away.T
    squared = float((products**2).sum()) / count**2  # |S|²
    scatter = float((np.diag(products) ** 2).sum()) / count**2 - squared / count  # variance of S's entries, summed
    distance = squared - size * typical**2
    return float(np.clip(scatter / max(distance, 1e-12), 0.0, 1.0))


def _held_out(goods: F64, least: float, seed: int) -> F64:
    """Distance of every good frame to the others, itself left out."""
    count = len(goods)
    order = np.random.default_rng(seed).permutation(count)
    distances = np.empty(count)
    for fold in range(min(FOLDS, count)):
        held = order[fold::FOLDS]
        values = _named(*_fit(np.delete(goods, held, axis=0), least))
        distances[held] = reference_novelty(goods[held].astype(np.float32), values)
    return distances


def _named(mean: F64, directions: F64, weights: F64) -> dict[str, F32]:
    made = (mean, directions, weights)
    return {name: np.ascontiguousarray(value, np.float32) for name, value in zip(VALUE_NAMES, made, strict=True)}
