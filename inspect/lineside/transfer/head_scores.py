"""What a fitted head says of rows of features, while heads are fitted: the same numbers as its graph's, to rounding."""

import math

import numpy as np
import numpy.typing as npt
import torch

from lineside.transfer.distance import to_memory
from lineside.transfer.head import HeadShape, HeadValues, filled, patch_distances
from lineside.transfer.leading import from_memory
from lineside.transfer.opening import opened
from lineside.transfer.pooling import plain_pooling, pooled
from lineside.transfer.rows import Rows, embed_patches, turned_by
from lineside.transfer.sharp import from_place

Floats = npt.NDArray[np.float32]


def scores(shape: HeadShape, values: HeadValues, rows: Rows) -> list[float]:
    """Score rows with a fitted head."""
    pooling = values.pooling or plain_pooling(math.prod(shape.grid_hw), shape.regions)
    weighted = torch.from_numpy(distances(shape, values, rows) * rows.inside(shape.grid_hw) * pooling.weight)
    counted = opened(weighted, shape.grid_hw, shape.least_patches)
    factor, power = (torch.from_numpy(array) for array in (pooling.factor, pooling.power))
    return [float(score) for score in pooled(counted, factor, power, shape.regions)]


def distances(shape: HeadShape, values: HeadValues, rows: Rows) -> Floats:
    """Distance [n, P] of each patch, inside the region and out of it, unweighted."""
    averaged = embed_patches(shape, rows.features, values.projections, values.offsets)
    grids = averaged.reshape(len(rows.frames), *shape.grid_hw, shape.dimensions)
    compared = grids[:, :: shape.step, :: shape.step].reshape(len(grids), -1, shape.dimensions)
    away = filled(shape, torch.from_numpy(patch_distances(shape, values, compared))).numpy()
    return away if shape.sharp == "off" else np.sqrt(away * _sharply(shape, values, rows))


def _sharply(shape: HeadShape, values: HeadValues, rows: Rows) -> Floats:
    """Distance [n, P] of patches as they are."""
    place, memory = values.sharp_place, values.sharp_memory
    weights = values.projections, values.offsets
    if place is not None:
        weights = turned_by(place.basis, *weights)
    plain = embed_patches(shape, rows.features, *weights, averaged=False)
    seen = torch.from_numpy(plain.reshape(len(rows.frames), -1, plain.shape[1]))
    with torch.inference_mode():
        if place is not None:
            _, *learned = (torch.from_numpy(array) for array in place.arrays)
            return np.asarray(from_place(seen, *learned).numpy(), np.float32)
        assert memory is not None  # it is one of the two
        entries, leading = torch.from_numpy(memory), values.sharp_leading
        if leading is None:
            return np.concatenate([to_memory(frame[None], entries)[0].numpy() for frame in seen])
        directions = [torch.from_numpy(array) for array in leading.arrays]
        return np.concatenate([from_memory(frame[None], entries, *directions).numpy() for frame in seen])
