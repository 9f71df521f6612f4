"""How well anomaly maps point at defects: pixel AUROC, and the overlap with each region (AUPRO).

Both are areas under curves over a threshold on the map's pixels. A test set has some hundred million of them, so they
are counted in fine steps of the score instead of sorted; inside a step they count as equal. Test images whose defect
nobody marked are left out: what their pixels should be is not known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float64]

STEPS = 2**16
"""Equal steps between the least and the greatest score. Measured: random maps of 96 × 128 px, both areas differ from
the exact ones by less than 1e-4 (a test)."""
AUPRO_LIMIT = 0.3
"""Largest false-positive rate under the curve: Bergmann et al., CVPR 2019, section 4.2."""
STRICT_AUPRO_LIMIT = 0.05
"""The same where few false positives are bearable: Bergmann et al., IJCV 130 (2022), MVTec LOCO AD, use it too."""


@dataclass(frozen=True)
class Marked:
    """A map and where the defects really are."""

    anomaly_map: Floats
    """[h, w]; brought to the mask's size bilinearly, as a reader would."""
    mask: Callable[[], npt.NDArray[np.bool_]]
    """[H, W], read when it is needed."""


@dataclass(frozen=True)
class Localisation:
    """Areas under two curves, None where no mask shows a defect (or nothing else)."""

    pixel_auroc: float | None
    aupro: float | None
    aupro_strict: float | None = None
    """Up to `STRICT_AUPRO_LIMIT`."""


def localisation(images: Sequence[Marked], limit: float = AUPRO_LIMIT) -> Localisation:
    """Measure maps against masks.

    Parameters
    ----------
    images : sequence of Marked
        Good ones with an empty mask, and defective ones.
    limit : float
        False-positive rate up to which the AUPRO goes, above 0 and at most 1.
    """
    low = min((float(one.anomaly_map.min()) for one in images), default=0.0)
    high = max((float(one.anomaly_map.max()) for one in images), default=0.0)
    normal, defect, overlap = np.zeros(STEPS), np.zeros(STEPS), np.zeros(STEPS)
    regions = 0
    for one in images:
        mask = one.mask()
        steps = _steps(one.anomaly_map, mask.shape, low, high)
        normal += np.bincount(steps[~mask], minlength=STEPS)
        if mask.any():
            defect += np.bincount(steps[mask], minlength=STEPS)
            shares = _region_shares(mask)
            overlap += np.bincount(steps[mask], weights=shares[mask], minlength=STEPS)
            regions += round(float(shares.sum()))
    if not regions or not normal.sum():
        return Localisation(None, None)
    rate = _above(normal) / normal.sum()
    return Localisation(
        _area(rate, _above(defect) / defect.sum(), 1.0),
        _area(rate, _above(overlap) / regions, limit),
        _area(rate, _above(overlap) / regions, STRICT_AUPRO_LIMIT),
    )


def _steps(anomaly_map: Floats, shape: tuple[int, ...], low: float, high: float) -> npt.NDArray[np.int32]:
    """Return each pixel's step of the score, int32 [H, W]."""
    full = cv2.resize(anomaly_map, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    scaled = (full - np.float32(low)) * np.float32((STEPS - 1) / max(high - low, 1e-30))
    steps: npt.NDArray[np.int32] = np.clip(scaled, 0, STEPS - 1).astype(np.int32)
    return steps


def _region_shares(mask: npt.NDArray[np.bool_]) -> Counts:
    """Return 1 / (pixels of its region) for every pixel of a defect, float64 [H, W]; regions touch at corners too."""
    _, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    sizes = np.bincount(regions.ravel()).astype(np.float64)
    shares: Counts = np.where(mask, 1.0 / sizes[regions], 0.0)
    return shares


def _above(counts: Counts) -> Counts:
    """Sum from the highest score down, a 0 before it: [STEPS + 1]."""
    return np.concatenate([[0.0], np.cumsum(counts[::-1])])


def _area(x: Counts, y: Counts, limit: float) -> float:
    """Area under a curve up to x = `limit`, relative to the whole rectangle; x rises from 0 to 1."""
    end = int(np.searchsorted(x, limit))  # the first point there or beyond
    share = (limit - x[end - 1]) / (x[end] - x[end - 1])
    last = y[end - 1] + share * (y[end] - y[end - 1])
    return float(np.trapezoid(np.append(y[:end], last), np.append(x[:end], limit)) / limit)
