"""The slow, independent reference of the patch head: plain NumPy, double precision, step by step as it is defined.

It shares no code with the graph. What depends on the fitted numbers alone is worked out once, not for every frame.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lineside.transfer.distance import Way
from lineside.transfer.head import Features, HeadShape, HeadValues
from lineside.transfer.leading import Leading
from lineside.transfer.place import Place
from lineside.transfer.pooling import plain_pooling, pool_sizes

Doubles = npt.NDArray[np.float64]


def reference_score(
    shape: HeadShape, values: HeadValues, features: Features, region: npt.NDArray[np.float32] | None = None
) -> float:
    """Score one frame; parameters as of `HeadReference`."""
    return HeadReference(shape, values).score(features, region)


@dataclass(frozen=True, eq=False)
class HeadReference:
    """A fitted head in NumPy.

    Parameters
    ----------
    shape : HeadShape
    values : HeadValues
    """

    shape: HeadShape
    values: HeadValues

    def score(self, features: Features, region: npt.NDArray[np.float32] | None = None) -> float:
        """Score one frame.

        Parameters
        ----------
        features : mapping of tap number to ndarray [1, channels, h, w]
        region : ndarray of float32 [1, 1, gh, gw] or None
            Patches below a half do not count; None: all count.
        """
        shape, values = self.shape, self.values
        averaged = _embedded(shape, values, features, averaged=True)
        distances = _distances(shape.way, values, _thinned(averaged, shape))
        if shape.step > 1:
            distances = _filled(distances, shape)
        if shape.sharp != "off":
            distances = np.sqrt(distances * self._sharp_distances(_embedded(shape, values, features, averaged=False)))
        pooling = values.pooling or plain_pooling(len(distances), shape.regions)
        distances = distances * pooling.weight
        if region is not None:
            distances = np.where(region.ravel() < 0.5, 0.0, distances)
        distances = _opened(distances.reshape(shape.grid_hw), shape.least_patches).ravel()
        parts = [distances[list(one.patches)] for one in shape.regions] or [distances]
        means = np.concatenate([_largest_means(part) for part in parts])
        return float(np.max(means**pooling.power * pooling.factor))

    def _sharp_distances(self, patches: Doubles) -> Doubles:
        """Distance [P] of patches as they are [P, d]."""
        place = self.values.sharp_place
        if place is None:
            assert self.values.sharp_memory is not None
            if self.values.sharp_leading is None:
                return _from_memory(patches, self.values.sharp_memory)[0]
            return _from_leading(patches, self.values.sharp_memory, self.values.sharp_leading)
        away = patches @ place.basis.astype(np.float64) - place.mean  # [P, r]
        longer = (self._metrics @ away[:, :, None])[:, :, 0]  # [P, r]
        return np.asarray(np.sqrt((away * longer).sum(axis=1).clip(min=0.0)), np.float64)

    @cached_property
    def _metrics(self) -> Doubles:
        """Quadratic form [P, r, r] of each place, of patches as they are."""
        assert self.values.sharp_place is not None
        factors = self.values.sharp_place.whitening.astype(np.float64)
        return np.asarray(factors @ factors.transpose(0, 2, 1), np.float64)


def _thinned(patches: Doubles, shape: HeadShape) -> Doubles:
    """Return every second patch [P, d], down and across, where no more are compared."""
    grid = patches.reshape(*shape.grid_hw, -1)
    return grid[:: shape.step, :: shape.step].reshape(-1, patches.shape[1])


def _filled(distances: Doubles, shape: HeadShape) -> Doubles:
    """Interpolate the distances of all patches [P] from those of every second one, first down, then across."""
    height, width = (np.arange(0, side, shape.step) for side in shape.grid_hw)
    given = distances.reshape(len(height), len(width))
    down = np.stack([np.interp(np.arange(shape.grid_hw[0]), height, column) for column in given.T], axis=1)
    return np.concatenate([np.interp(np.arange(shape.grid_hw[1]), width, row) for row in down])


def _largest_means(distances: Doubles) -> Doubles:
    """Means [K] of the largest of some patches' distances."""
    largest = np.sort(distances)[::-1]
    return np.array([largest[:size].mean() for size in pool_sizes(len(distances))], np.float64)


def _opened(distances: Doubles, least: int) -> Doubles:
    """Lower each patch [h, w] to the highest level that `least` patches of a window around it reach."""
    if least < 2:
        return distances
    (height, width), lowered = distances.shape, np.zeros_like(distances)
    for top in range(1 - least, height):
        for left in range(1 - least, width):
            window = np.s_[max(0, top) : top + least, max(0, left) : left + least]
            inside = np.sort(distances[window], axis=None)[::-1]
            level = inside[least - 1] if len(inside) >= least else 0.0
            lowered[window] = np.maximum(lowered[window], np.minimum(distances[window], level))
    return lowered


def _embedded(shape: HeadShape, values: HeadValues, features: Features, *, averaged: bool) -> Doubles:
    """Embeddings [P, d] of a frame's patches, averaged over their neighbours or as they are."""
    total: Doubles = np.zeros((shape.dimensions, *shape.grid_hw))
    for number, (projection, offset) in enumerate(zip(values.projections, values.offsets, strict=True)):
        tap = features[number][0].astype(np.float64)
        flat = projection[:, :, 0, 0].astype(np.float64) @ tap.reshape(len(tap), -1)  # [d, h w]
        projected = flat.reshape(-1, *tap.shape[1:]) + offset[:, None, None]
        total += _enlarge(_mean_3x3(projected) if averaged else projected, shape.grid_hw)
    return np.asarray(total.reshape(shape.dimensions, -1).T, np.float64)


def _distances(way: Way, values: HeadValues, patches: Doubles) -> Doubles:
    """Distance [P] of patches [P, d], by the definition of each way."""
    if values.place is not None:
        return _from_place(patches, values.place)
    near = left = np.zeros(len(patches))
    if values.memory is not None:
        near, index = _from_memory(patches, values.memory)
        if values.density is not None:
            near = near * values.density[index]
    if values.subspace is not None:
        away = patches - values.subspace.mean
        left = np.sqrt(np.square(away @ values.subspace.residual.astype(np.float64)).sum(axis=1))
    if values.ranks is None:
        return left if way == "subspace" else near
    bends = zip((near, left), values.ranks.knots, values.ranks.slopes, strict=True)
    rarities = [
        [float((np.clip(d - knots, 0.0, None) * slopes).sum()) for d in distances] for distances, knots, slopes in bends
    ]
    return np.asarray(np.mean(rarities, axis=0), np.float64)


def _from_memory(patches: Doubles, memory: npt.NDArray[np.float32]) -> tuple[Doubles, npt.NDArray[np.int64]]:
    """Distance [P] of patches [P, d] to the nearest entry of the memory [M, d], and which that is."""
    entries = memory.astype(np.float64)
    squared = (patches**2).sum(axis=1)[:, None] + (entries**2).sum(axis=1) - 2.0 * patches @ entries.T  # [P, M]
    return np.asarray(np.sqrt(squared.min(axis=1).clip(min=0.0)), np.float64), squared.argmin(axis=1)


def _from_leading(patches: Doubles, memory: npt.NDArray[np.float32], leading: Leading) -> Doubles:
    """Distance [P] of patches [P, d]: to the nearest entry [M, d] in some directions, to the centre in the others."""
    basis = leading.basis.astype(np.float64)  # [d, r]
    away, entries = patches - leading.centre, (memory - leading.centre.astype(np.float64)) @ basis
    inside = away @ basis
    outside = np.square(away - inside @ basis.T).sum(axis=1)
    squared = (inside**2).sum(axis=1)[:, None] + (entries**2).sum(axis=1) - 2.0 * inside @ entries.T  # [P, M]
    return np.asarray(np.sqrt(squared.min(axis=1).clip(min=0.0) + outside), np.float64)


def _from_place(patches: Doubles, place: Place) -> Doubles:
    """Distance [P] of patches [P, d] to their places, as a quadratic form."""
    whitening = place.whitening.astype(np.float64)
    metric = whitening @ whitening.T  # [d, d]
    away = patches - place.mean
    return np.asarray(place.weight * np.sqrt(((away @ metric) * away).sum(axis=1).clip(min=0.0)), np.float64)


def _mean_3x3(planes: Doubles) -> Doubles:
    """Average over 3×3 neighbours, with zeros beyond the border."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
    height, width = planes.shape[1:]
    total = sum(padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3))
    return np.asarray(total / 9.0, np.float64)


def _enlarge(planes: Doubles, grid_hw: tuple[int, int]) -> Doubles:
    """Bilinear, pixel centres at half pixels, the border repeated: the Resize of the head, written out."""
    for axis, size in ((1, grid_hw[0]), (2, grid_hw[1])):
        old = planes.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, old - 1)
        share = (place - low).reshape([-1 if a == axis else 1 for a in range(3)])
        planes = np.take(planes, low, axis) * (1 - share) + np.take(planes, high, axis) * share
    return planes
