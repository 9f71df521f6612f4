"""Fitting the patch head on features of good frames, and choosing between ways by what each tells apart.

Two choices. Where a pose was found: each patch with its own place, or with the memory (`lineside.transfer.place`).
Otherwise: whether the embedding is whitened, so that directions in which good patches differ much count little. That
helps some parts much and harms others: image AUROC without and with (lite0, strides 8/16, 1,024 entries, means over 2
or 3 draws of 8 and 50 good frames): caps at any angle 0.783, 0.960 and 0.901, 0.992; weave 0.986, 0.994 and 0.989,
1.000; ball-screw drives 0.913, 0.929 and 0.887, 0.900; tiles of bare boards (200 frames) 0.733 and 0.715. So it is
decided by part: held-out good frames against the same frames with synthetic defects. That share of pairs rose by 0.08
and 0.07 (caps), -0.03 and 0.01 (weave), 0.03 and -0.01 (drives) and 0.03 (boards); from 0.05 on it is whitened.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from lineside.errors import UsageError
from lineside.transfer.distance import KNOTS, Ranks, Subspace, Way
from lineside.transfer.head import Features, HeadShape, HeadValues, PatchHead, patch_distances
from lineside.transfer.memory import k_centre
from lineside.transfer.place import LEAST_SEPARATION, fit_place, separation

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

WHITEN_GAIN = 0.05
"""By how much the share of told pairs must rise for the embedding to be whitened; see the header."""
WHITENED_DIMENSIONS = 256
"""Directions kept at most, the leading ones: more make the search slow."""
RIDGE = 0.01
"""Share of the mean variance added to every direction. Measured on caps with 8 and 50 good frames, AUROC with 0.01 and
0.1: 0.901, 0.992 and 0.876, 0.989."""
FOLDS = 3
CHOSEN_ON = 16
"""Frames at most that the choice looks at."""
CHOSEN_WITH = 512
"""Entries of the memories that the choice is made with: it compares two of them, and need not be the deployed one."""
EXPLAINED = 0.99
"""Share of the variance that the subspace takes up."""
NEIGHBOURS = 5
"""Good patches around an entry whose mean distance is its density."""
DENSITY_LIMITS = (0.5, 2.0)
"""A lonely entry makes its neighbourhood at most this much less or more sensitive."""
SAMPLED = 20_000
"""Patches that densities are measured on."""
QUANTILES = np.concatenate(([0.0, 0.25], 1.0 - np.logspace(math.log10(0.5), -3.5, KNOTS - 2)))
"""Of held-out good distances, where the curve of rarity bends."""


@dataclass(frozen=True)
class Rows:
    """Features of some frames.

    Attributes
    ----------
    features : mapping of tap number to ndarray of float32 [n, channels, h, w]
        Out of ONNX Runtime.
    regions : ndarray of float32 [n, 1, gh, gw] or None
        0 to 1; patches below a half are left out. None: every patch counts.
    frames : sequence of int [n]
        Which frame (or physical part) each row shows: a frame and its copies bear the same number, the frame first.
    """

    features: Features
    regions: Floats | None
    frames: Sequence[int]

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Rows":
        """Return some rows."""
        regions = None if self.regions is None else self.regions[rows]
        return Rows({i: tap[rows] for i, tap in self.features.items()}, regions, [self.frames[i] for i in rows])

    def firsts(self) -> "Rows":
        """Return the frames without their copies."""
        return self.take(np.unique(np.asarray(self.frames), return_index=True)[1])

    def of(self, frames: Sequence[int]) -> "Rows":
        """Return the rows that show these frames."""
        return self.take(np.flatnonzero(np.isin(np.asarray(self.frames), np.asarray(frames))))

    def with_(self, other: "Rows | None") -> "Rows":
        """Return these rows and others behind them."""
        if other is None:
            return self
        both = {i: np.concatenate((tap, other.features[i])) for i, tap in self.features.items()}
        regions = None
        if self.regions is not None and other.regions is not None:
            regions = np.concatenate((self.regions, other.regions))
        return Rows(both, regions, [*self.frames, *other.frames])


@dataclass(frozen=True)
class HeadFit:
    """A fitted head and how it was decided."""

    shape: HeadShape
    """Decides the graph: export one head for each."""
    values: HeadValues
    whitened: bool = False
    words: tuple[str, ...] = ()
    """What was decided and why; nothing where there was no choice."""

    @property
    def unit(self) -> str:
        """Scores of heads with the same word here can be compared."""
        return self.shape.way + (", whitened" if self.whitened else "")


@dataclass(frozen=True)
class Choice:
    """What may be chosen.

    Attributes
    ----------
    position : bool
        Whether a pose was found and patches may be compared with their place.
    whiten : "auto", "on" or "off"
    way : Way
        How patches are compared where not with their place.
    """

    position: bool = False
    whiten: Literal["auto", "on", "off"] = "off"
    way: Way = "nearest"


def fit_best(
    shape: HeadShape,
    known: Rows,
    seed: int,
    choice: Choice,
    mirrored: Rows | None = None,
    spoiled: Rows | None = None,
) -> HeadFit:
    """Fit the head in the way that tells good frames from spoiled ones best, among those allowed.

    Parameters
    ----------
    shape : HeadShape
    known : Rows
        Of good frames and of their augmented copies.
    seed : int
        Of the projection, the memory's first entry and the folds.
    choice : Choice
    mirrored : Rows or None
        Mirror images of the frames; what the memory learns from too.
    spoiled : Rows or None
        The frames with synthetic defects, which the choice of whitening needs; None: nothing is whitened by `auto`.

    Raises
    ------
    UsageError
        When no patch lies inside the region.
    """
    words: tuple[str, ...] = ()
    if choice.position:
        placed, told = _placed(replace(shape, way="place"), known, seed)
        how = "its own place on the part" if placed else "the whole memory"
        share = f"in {told:.0%} of the pairs its own place tells a held-out good frame from the same frame spoiled"
        words = (f"Each patch is compared with {how}: {share} (from {LEAST_SEPARATION:.0%} on it is used).",)
        if placed:
            return replace(placed, words=words)
    flat = replace(shape, way=choice.way)
    whiten = choice.whiten == "on"
    if choice.whiten == "auto" and spoiled is not None:
        whiten, more = _whitening_helps(flat, known.firsts(), spoiled, seed)
        words = (*words, *more)
    return replace(_fit(flat, known.with_(mirrored), seed, whiten), words=words)


def fit_head(shape: HeadShape, known: Rows, seed: int) -> HeadValues:
    """Fit the head as `shape` says, nothing chosen; see `fit_best`."""
    if shape.way == "place":
        projections = random_projections(shape, known.features, seed)
        patches, counts = _patches(shape, known, projections)
        return HeadValues(projections, no_offsets(shape), place=fit_place(patches, counts, known.frames))
    return _fit(shape, known, seed, whiten=False).values


def _placed(shape: HeadShape, known: Rows, seed: int) -> tuple[HeadFit | None, float]:
    """Fit with places; None where they tell too little, and how much they tell."""
    projections = random_projections(shape, known.features, seed)
    patches, counts = _patches(shape, known, projections)
    told = separation(patches, counts, known.frames, shape.grid_hw, shape.top_count, seed)
    if told < LEAST_SEPARATION:
        return None, told
    place = fit_place(patches, counts, known.frames)
    return HeadFit(shape, HeadValues(projections, no_offsets(shape), place=place)), told


def _fit(shape: HeadShape, known: Rows, seed: int, whiten: bool) -> HeadFit:
    """Fit projection and what patches are compared with, places left out."""
    if whiten:
        shape, projections = _whitened(shape, known, seed)
    else:
        projections = random_projections(shape, known.features, seed)
    patches, counts = _patches(shape, known, projections)
    points = patches[counts]
    values = HeadValues(projections, no_offsets(shape))
    if shape.way != "subspace":
        values = replace(values, memory=np.ascontiguousarray(points[k_centre(points, shape.memory, seed)]))
    if shape.way == "density" and values.memory is not None:
        values = replace(values, density=_density(points, values.memory, seed))
    if shape.way in ("subspace", "combined"):
        values = replace(values, subspace=fit_subspace(points))
    if shape.way == "combined":
        values = replace(values, ranks=_fit_ranks(shape, patches, counts, known.frames, seed))
    return HeadFit(shape, values, whiten)


def _whitening_helps(shape: HeadShape, goods: Rows, spoiled: Rows, seed: int) -> tuple[bool, tuple[str, ...]]:
    """Whether whitening tells held-out good frames from spoiled ones better, and the sentence about it."""
    names = sorted(set(goods.frames) & set(spoiled.frames))
    if len(names) < 2 * FOLDS:
        return False, ()
    order = np.random.default_rng(seed).permutation(names)[:CHOSEN_ON]
    small = replace(shape, memory=min(shape.memory, CHOSEN_WITH))
    told = [_told(small, goods, spoiled, order, seed, whiten) for whiten in (False, True)]
    helps = told[1] - told[0] >= WHITEN_GAIN
    words = (
        f"The embedding is {'' if helps else 'not '}whitened: with it {told[1]:.0%} of the pairs of a held-out good "
        f"frame and one with a synthetic defect are told apart, without it {told[0]:.0%}; {WHITEN_GAIN:.0%} more were "
        "wanted."
    )
    return helps, (words,)


def _told(
    shape: HeadShape,
    goods: Rows,
    spoiled: Rows,
    order: npt.NDArray[np.int64],
    seed: int,
    whiten: bool,
) -> float:
    """Share of the pairs of a held-out good and a spoiled frame in which the spoiled one scores higher."""
    from sklearn.metrics import roc_auc_score

    good: list[float] = []
    bad: list[float] = []
    for fold in range(FOLDS):
        held, rest = order[fold::FOLDS].tolist(), np.delete(order, np.s_[fold::FOLDS]).tolist()
        fit = _fit(shape, goods.of(rest), seed, whiten)
        good += scores(fit, goods.of(held))
        bad += scores(fit, spoiled.of(held))
    return float(roc_auc_score([0] * len(good) + [1] * len(bad), good + bad))


def scores(fit: HeadFit, rows: Rows) -> list[float]:
    """Score rows with a fitted head, by torch; the graph gives the same to rounding."""
    patches, counts = _patches(fit.shape, rows, fit.values.projections, fit.values.offsets)
    distances = patch_distances(fit.shape, fit.values, patches) * counts
    return [float(np.sort(row)[-fit.shape.top_count :].mean()) for row in distances]


def _patches(
    shape: HeadShape, rows: Rows, projections: tuple[Floats, ...], offsets: tuple[Floats, ...] | None = None
) -> tuple[Floats, Bools]:
    """Embeddings [n, P, d], and which of them count [n, P]."""
    embedded = embed_patches(shape, rows.features, projections, offsets or no_offsets(shape))
    patches = embedded.reshape(-1, math.prod(shape.grid_hw), shape.dimensions)
    if rows.regions is None:
        return patches, np.ones(patches.shape[:2], np.bool_)
    counts: Bools = rows.regions.reshape(len(patches), -1) >= 0.5
    if not counts.any():
        height, width = shape.grid_hw
        raise UsageError(
            f"No patch of the {width}×{height} of any good image lies inside the region that is inspected. Make "
            "normalise.roi larger, or set normalise.foreground to off."
        )
    return patches, counts


def embed_patches(
    shape: HeadShape, features: Features, projections: Sequence[Floats], offsets: Sequence[Floats]
) -> Floats:
    """Return the patch embeddings of all frames, [n × P, d]."""
    module = PatchHead(shape)
    weights = [torch.from_numpy(w) for w in projections]
    added = [torch.from_numpy(b) for b in offsets]
    blocks = []
    with torch.inference_mode():
        for start in range(0, len(features[0]), 16):
            taps = [torch.from_numpy(features[i][start : start + 16]) for i in range(len(shape.channels))]
            blocks.append(module.embed(taps, weights, added).reshape(-1, shape.dimensions).numpy())
    return np.concatenate(blocks)


def random_projections(shape: HeadShape, features: Features, seed: int) -> tuple[Floats, ...]:
    """Make one projection a tap: random orthonormal rows or a plain placing, over the tap's typical deviation.

    The scale makes the taps count alike: without it the tap with the largest activations decides alone.
    """
    total = sum(shape.channels)
    if shape.projected:
        gaussian = np.random.default_rng(seed).standard_normal((total, shape.dimensions))
        basis = np.linalg.qr(gaussian)[0] * math.sqrt(total / shape.dimensions)  # [total, d]
    else:
        basis = np.eye(total)
    return _split(shape, features, basis)


def _split(shape: HeadShape, features: Features, basis: npt.NDArray[np.float64]) -> tuple[Floats, ...]:
    """Cut a basis [total, d] into a projection a tap, each over the tap's typical deviation."""
    projections, start = [], 0
    for number, channels in enumerate(shape.channels):
        deviation = float(features[number].std(axis=(0, 2, 3), dtype=np.float64).mean())
        scale = 1.0 / (max(deviation, 1e-6) * math.sqrt(channels))
        block = basis[start : start + channels].T * scale  # [d, channels]
        projections.append(np.ascontiguousarray(block, dtype=np.float32)[:, :, None, None])
        start += channels
    return tuple(projections)


def _whitened(shape: HeadShape, known: Rows, seed: int) -> tuple[HeadShape, tuple[Floats, ...]]:
    """Shape and projections under which good patches vary alike in all directions."""
    total = sum(shape.channels)
    plain = replace(shape, dimensions=total, projected=False)
    patches, counts = _patches(plain, known, random_projections(plain, known.features, seed))
    away = patches[counts] - patches[counts].mean(axis=0)
    variances, directions = np.linalg.eigh(away.T.astype(np.float64) @ away / len(away))  # ascending
    mean = max(float(variances.mean()), 1e-12)
    weights = math.sqrt(mean) / np.sqrt(np.maximum(variances, 0.0) + RIDGE * mean)
    kept = min(WHITENED_DIMENSIONS, total)
    basis = (directions * weights)[:, -kept:]  # [total, kept]
    return replace(shape, dimensions=kept, projected=True), _split(shape, known.features, basis)


def no_offsets(shape: HeadShape) -> tuple[Floats, ...]:
    """Nothing is added until a line that changed is matched to the old one."""
    return tuple(np.zeros(shape.dimensions, np.float32) for _ in shape.channels)


def _density(points: Floats, memory: Floats, seed: int) -> Floats:
    """Factor on the distances to each entry [M]: less than 1 where good patches lie far apart."""
    sample = points[np.random.default_rng(seed).permutation(len(points))[:SAMPLED]]
    around = np.empty(len(memory), np.float64)
    squares, count = np.einsum("nd,nd->n", sample, sample), min(NEIGHBOURS + 1, len(sample))
    for start in range(0, len(memory), 256):
        entries = memory[start : start + 256]
        squared = squares - 2.0 * entries @ sample.T + np.einsum("md,md->m", entries, entries)[:, None]
        nearest = np.sort(np.partition(squared, count - 1, axis=1)[:, :count], axis=1)[:, 1:]  # the entry itself first
        around[start : start + 256] = np.sqrt(np.maximum(nearest, 0.0)).mean(axis=1) if count > 1 else 1.0
    typical = max(float(np.median(around)), 1e-9)
    return np.clip(typical / np.maximum(around, 1e-9), *DENSITY_LIMITS).astype(np.float32)


def fit_subspace(points: Floats) -> Subspace:
    """Learn the leading directions of good patches [n, d]."""
    mean = points.mean(axis=0)
    away = points - mean
    variances, directions = np.linalg.eigh(away.T.astype(np.float64) @ away / len(away))
    shares = np.cumsum(variances[::-1]) / max(float(variances.sum()), 1e-12)
    leading = directions[:, ::-1][:, : int((shares < EXPLAINED).sum()) + 1]
    residual = np.eye(len(mean)) - leading @ leading.T
    return Subspace(mean.astype(np.float32), residual.astype(np.float32))


def _fit_ranks(shape: HeadShape, patches: Floats, counts: Bools, frames: Sequence[int], seed: int) -> Ranks:
    """Curves of rarity, from distances of frames that memory and subspace were fitted without."""
    names, of_row = np.unique(np.asarray(frames)), np.asarray(frames)
    found: list[list[Floats]] = [[], []]
    folds = min(FOLDS, len(names))
    shuffled = np.random.default_rng(seed).permutation(names)
    for fold in range(folds):
        held = np.isin(of_row, shuffled[fold::folds])
        rest = ~held if folds > 1 else held
        points = patches[rest][counts[rest]]
        memory = points[k_centre(points, shape.memory, seed)]
        ways: tuple[tuple[Way, HeadValues], ...] = (
            ("nearest", HeadValues((), (), memory=memory)),
            ("subspace", HeadValues((), (), subspace=fit_subspace(points))),
        )
        for number, (way, values) in enumerate(ways):
            distances = patch_distances(replace(shape, way=way), values, patches[held], border=False)
            found[number].append(distances[counts[held]])
    curves = [_curve(np.concatenate(one)) for one in found]
    return Ranks(*(np.stack([curve[i] for curve in curves]) for i in (0, 1)))


def _curve(distances: Floats) -> tuple[Floats, Floats]:
    """Knots and changes of slope [K] of -log10 of the share of distances beyond."""
    knots = np.quantile(distances.astype(np.float64), QUANTILES)
    least = 1e-4 * max(float(knots[-1] - knots[0]), 1e-6)
    knots = knots[0] + np.maximum.accumulate(knots - knots[0] + least * np.arange(KNOTS))
    heights = -np.log10(1.0 - QUANTILES)
    slopes = np.diff(heights) / np.diff(knots)
    changes = np.diff(np.concatenate(([0.0], slopes, slopes[-1:])))
    return knots.astype(np.float32), changes.astype(np.float32)
