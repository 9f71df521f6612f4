"""More good patches for a head that is deployed: nothing is forgotten, and no old image is needed.

A memory grows: its entries stay, and new patches join farthest first until they are covered as closely as the old ones
were (`lineside.transfer.memory`). Places are updated by their sufficient statistics: means and the common scatter
exactly; each place's own spread under the new whitening is its old one, scaled as the spread of all places together,
because a scatter for every place would be larger than the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.sixteen_bits import in_16_bits
from lineside.transfer.place import Place, weights_of, whitening_of

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CHUNK = 4096
SAMPLED = 16384
"""Points at most, or a few more, that a radius is measured on."""


def nearest_distances(points: Floats, memory: Floats) -> Floats:
    """Distance of each point [n, d] to its nearest memory entry [M, d]."""
    half = 0.5 * np.einsum("md,md->m", memory, memory)
    found = np.empty(len(points), np.float32)
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        nearest = memory[np.argmax(chunk @ memory.T - half, axis=1)]
        found[start : start + CHUNK] = np.sqrt(np.square(chunk - nearest).sum(axis=1))
    return found


def covering_radius(points: Floats, memory: Floats) -> float:
    """Largest distance from a memory of the points [n, d] that it was chosen from, on an even sample of them."""
    sample = points[:: max(1, len(points) // SAMPLED)]
    return float(nearest_distances(sample, memory).max(initial=0.0))


def grown_memory(memory: Floats, points: Floats, radius: float, limit: int) -> Floats:
    """Add points to a memory.

    Parameters
    ----------
    memory : ndarray of float32 [M, d]
    points : ndarray of float32 [n, d]
        Patches of further good frames.
    radius : float
        Points nearer to an entry than this are known already.
    limit : int
        Entries that may be added at most.

    Returns
    -------
    ndarray of float32 [M + added, d]
        The old entries first, unchanged and in their order.
    """
    if not len(points):
        return memory
    distances = nearest_distances(points, memory)
    added: list[int] = []
    while len(added) < limit:
        farthest = int(distances.argmax())
        if distances[farthest] <= radius or distances[farthest] == 0.0:
            break
        added.append(farthest)
        away = points - points[farthest]
        np.minimum(distances, np.sqrt(np.einsum("nd,nd->n", away, away)), out=distances)
    return np.concatenate((memory, points[added]))


@dataclass(frozen=True)
class PlaceCounts:
    """What must be kept of good patches so that places can be updated.

    Attributes
    ----------
    rows : ndarray of float64 [P]
        Good patches of each place, augmented copies included.
    frames, all_rows : int
        Frames, and frames with their copies.
    scatter : ndarray of float64 [d, d]
        Sum over all good patches of the outer product of their deviation from their place's mean.
    level : float
        Sum of the patches' squared lengths.
    squares : ndarray of float64 [P]
        Sum of each place's squared whitened deviations.
    """

    rows: Doubles
    frames: int
    all_rows: int
    scatter: Doubles
    level: float
    squares: Doubles


def place_counts(place: Place, patches: Floats, counts: Bools, frames: Sequence[int]) -> PlaceCounts:
    """Count what `place` was fitted on; parameters as for `lineside.transfer.place.fit_place`."""
    size = patches.shape[2]
    scatter, level, squares = np.zeros((size, size)), 0.0, np.zeros(patches.shape[1])
    for row, valid in zip(patches, counts, strict=True):
        away = (row - place.mean) * valid[:, None]
        scatter += away.T.astype(np.float64) @ away
        level += float(np.square(row[valid], dtype=np.float64).sum())
        squares += np.square(away @ place.whitening).sum(axis=1)
    rows = counts.sum(axis=0).astype(np.float64)
    return PlaceCounts(rows, len(set(frames)), len(patches), scatter, level, squares)


def extended_place(
    place: Place, old: PlaceCounts, patches: Floats, counts: Bools, frames: Sequence[int]
) -> tuple[Place, PlaceCounts]:
    """Update places with further good frames.

    Parameters
    ----------
    place : Place
    old : PlaceCounts
        What it was fitted on.
    patches, counts, frames
        Of the new frames, as for `lineside.transfer.place.fit_place`.
    """
    added = counts.sum(axis=0).astype(np.float64)
    rows = old.rows + added
    total = place.mean * old.rows[:, None] + np.einsum("npd,np->pd", patches, counts.astype(np.float64))
    mean = total / np.maximum(rows, 1.0)[:, None]
    moved = place.mean - mean  # [P, d]
    away = (patches - mean) * counts[:, :, None]
    flat = away.reshape(-1, away.shape[2])
    scatter = old.scatter + (moved * old.rows[:, None]).T @ moved + flat.T @ flat
    level = old.level + float(np.square(patches[counts], dtype=np.float64).sum())
    whitening = whitening_of(scatter, float(rows.sum()), level)
    ratio = _spread_under(old.scatter, whitening) / max(_spread_under(old.scatter, place.whitening), 1e-12)
    squares = old.squares * ratio + old.rows * np.square(moved @ whitening).sum(axis=1)
    squares += np.square(away @ whitening).sum(axis=(0, 2))
    now = PlaceCounts(rows, old.frames + len(set(frames)), old.all_rows + len(patches), scatter, level, squares)
    return Place(
        in_16_bits(mean),
        whitening.astype(np.float32),
        weights_of(rows, rows * (now.frames / now.all_rows), squares),
    ), now


def _spread_under(scatter: Doubles, whitening: npt.NDArray[np.floating]) -> float:
    return float(np.einsum("ij,ik,kj->", whitening, scatter, whitening))
