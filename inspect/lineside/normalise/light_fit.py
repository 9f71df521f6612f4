"""The golden cells, learned from good images: a robust mean in which no image's light has a say, and what varies.

The images correct each other: golden cells, each image's light against them, golden cells of the corrected images.
Their median light is the golden light, so that no good image needs a correction beyond the spread of the lamp.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lineside.normalise.light import VALUE_NAMES
from lineside.normalise.light_cells import CELLS, Cells, CellSampler, cell_places
from lineside.normalise.light_estimate import Estimate, Golden, LightEstimator

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

ROUNDS = 3
LEAST_SPREAD = 0.01
"""Relative spread of a cell below which more weight is not earned: noise and rounding of a 64-sample mean."""
SEEN_SHARE = 0.5
"""A cell counts where at least half of its samples are trusted, in at least half of the good images."""
BORROWED = 4
"""The spread of a cell, or of a step, borrows as much from the others as this many images would tell."""
LEAST_STEP = 0.005
"""Least spread of a shading step: 0.5 % of the level, one grey level in 200."""
CHUNK = 16


def fit_light(images: F32, valid: F32, foreground: F32 | None = None) -> dict[str, F32]:
    """Fit the golden light on good images.

    Parameters
    ----------
    images : ndarray of float32 [n, C, h, w]
        0 to 255, aligned to the golden part.
    valid : ndarray of float32 [n, 1, h, w]
        1 where a sample comes from inside the frame.
    foreground : ndarray of float32 [h, w], optional
        1 on the part, 0 on its background. Without it nothing tells the part from the background.

    Returns
    -------
    dict of str to ndarray of float32
        By `light.VALUE_NAMES`; shapes depend on the number of channels alone.
    """
    height, width = images.shape[2:]
    cells = sampled(images, valid, (width, height))
    golden, estimate = _golden(cells)
    templates = _templates(golden, foreground)
    steps = estimate.residual.numpy() @ templates
    spans = np.stack((np.median(steps, axis=0), _step_spread(steps)))
    made = (*(value.numpy() for value in golden), templates, spans)
    return {name: np.ascontiguousarray(value, np.float32) for name, value in zip(VALUE_NAMES, made, strict=True)}


def sampled(images: F32, valid: F32, working_wh: tuple[int, int]) -> Cells:
    """Return the cells of many images, a few at a time."""
    sampler = CellSampler(working_wh)
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), CHUNK):
            chunk = slice(start, start + CHUNK)
            parts.append(sampler(torch.from_numpy(images[chunk]), torch.from_numpy(valid[chunk])))
    return Cells(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _golden(cells: Cells) -> tuple[Golden, Estimate]:
    """Golden cells, and each image's light against them."""
    estimator = LightEstimator()
    estimate = _level_only(cells)
    with torch.no_grad():
        for _ in range(ROUNDS):
            golden = _robust_mean(cells, estimate)
            estimate = _centred(estimator(cells, golden))
        golden = _robust_mean(cells, estimate)
        return golden, estimator(cells, golden)


def _level_only(cells: Cells) -> Estimate:
    """To begin with: every image differs by its plain level, all channels alike."""
    level = cells.level.mean(dim=1, keepdim=True).clamp(min=1.0)
    count = len(level)
    ratio = (level / level.median()).expand(count, cells.level.shape[1])
    return Estimate(ratio, ratio, torch.zeros(count, 2), torch.ones(count), torch.zeros(count, CELLS * CELLS))


def _centred(estimate: Estimate) -> Estimate:
    """The light relative to the images' median light."""
    ratio = estimate.ratio / estimate.ratio.median(dim=0).values
    plane = estimate.plane - estimate.plane.median(dim=0).values
    return estimate._replace(ratio=ratio, plane=plane)


def _robust_mean(cells: Cells, estimate: Estimate) -> Golden:
    light = (1.0 + estimate.plane @ cell_places()).clamp(min=0.1)[:, None, :]  # [n, 1, P]
    lit = (estimate.ratio[:, :, None] * light).numpy()
    seen = cells.share.numpy() >= SEEN_SHARE
    mean = _medians(np.where(seen, cells.mean.numpy() / lit, np.nan))
    counts = seen.mean(axis=0) >= 0.5
    relative = _spread_of_cells(np.where(seen, cells.mean.numpy() / lit, np.nan) / np.maximum(mean, 1.0), counts)
    spread = np.sqrt(relative**2 + LEAST_SPREAD**2 + 1.0 / np.maximum(mean, 1.0) ** 2)
    detail = np.maximum(_medians(np.where(seen, cells.deviation.numpy() / lit, np.nan)), 0.1)
    level = np.median(cells.level.numpy() / estimate.ratio.numpy(), axis=0)
    made = (
        np.maximum(mean, 1.0),
        _normalised(np.where(counts, spread**-2.0, 0.0)),
        spread,
        np.median(cells.share.numpy(), axis=0),
        detail,
        _normalised(np.where(counts, np.minimum(detail, 20.0) ** 2, 0.0)),
        np.maximum(level, 1.0),
    )
    return Golden(*(torch.from_numpy(np.asarray(value, np.float32)) for value in made))


def _medians(values: F32) -> F64:
    """Medians over the images, [C, P], 0 for cells that no image shows."""
    seen = np.where(np.isnan(values).all(axis=0), 0.0, values)  # NumPy warns of a median of nothing
    return np.nanmedian(seen, axis=0).astype(np.float64)


def _spread_of_cells(relative: F64, counts: npt.NDArray[np.bool_]) -> F64:
    """Robust spread of each cell, [C, P], borrowing from the others of its channel where images are few."""
    own = 1.4826 * _medians(np.abs(relative - 1.0))
    count = len(relative)
    typical = np.array([np.median(s[c]) if c.any() else 0.0 for s, c in zip(own, counts, strict=True)])[:, None]
    both: F64 = np.sqrt((count * own**2 + BORROWED * typical**2) / (count + BORROWED))
    return both


def _normalised(weight: F64) -> F64:
    return weight / max(float(weight.sum()), 1e-12)


def _step_spread(steps: F32) -> F32:
    """Spread of the steps over the images, [5].

    The larger of robust and plain deviation: from ten images a median deviation is a guess, and too small a spread
    calls good parts shaded. The four halves, which differ by direction alone, borrow from each other.
    """
    robust = 1.4826 * np.median(np.abs(steps - np.median(steps, axis=0)), axis=0)
    squared = np.maximum(robust, steps.std(axis=0)) ** 2
    count = len(steps)
    squared[1:] = (count * squared[1:] + BORROWED * squared[1:].mean()) / (count + BORROWED)
    return np.asarray(np.maximum(np.sqrt(squared), LEAST_STEP), np.float32)


def _templates(golden: Golden, foreground: F32 | None) -> F32:
    """Filters [P, 5] that measure a step of the part, blind to every gain and plane."""
    weight = golden.weight.numpy().sum(axis=0).astype(np.float64)  # [P]
    u, v = cell_places().numpy().astype(np.float64)
    part = np.ones_like(u) if foreground is None else _coarse(foreground)
    centre_u, centre_v = (float((part * place).sum() / max(part.sum(), 1e-9)) for place in (u, v))
    angles = np.deg2rad([0.0, 45.0, 90.0, 135.0])
    across = [(u - centre_u) * np.cos(a) + (v - centre_v) * np.sin(a) for a in angles]
    shapes = [part, *(0.5 * part * np.sign(np.where(np.abs(d) < 1e-9, 0.0, d)) for d in across)]
    basis = np.stack((np.ones_like(u), u, v), axis=1)
    return np.stack([_matched(shape, basis, weight) for shape in shapes], axis=1).astype(np.float32)


def _coarse(foreground: F32) -> F64:
    plane = torch.from_numpy(np.ascontiguousarray(foreground, np.float32))[None, None]
    cells = torch.nn.functional.interpolate(plane, size=(CELLS, CELLS), mode="area")
    return cells.numpy().reshape(-1).astype(np.float64)


def _matched(shape: F64, basis: F64, weight: F64) -> F64:
    """Matched filter of a shape without what gain and plane explain; zeros where they explain nearly all of it."""
    root = np.sqrt(weight)[:, None]
    left = shape - basis @ np.linalg.lstsq(basis * root, shape * root[:, 0], rcond=None)[0]
    energy = float((weight * left**2).sum())
    if energy < 1e-3 * float((weight * shape**2).sum()) + 1e-12:
        return np.zeros_like(shape)
    return weight * left / energy


def as_tensors(values: dict[str, F32]) -> tuple[Tensor, ...]:
    """Return fitted values in the order in which `Light.forward` takes them."""
    return tuple(torch.from_numpy(values[name]) for name in VALUE_NAMES)
