"""Pixel AUROC and AUPRO: against exact oracles, at their limits."""

import numpy as np
import numpy.typing as npt
import pytest

from lineside.calibrate.localisation import Localisation, Marked, localisation

Maps = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


def random_case(seed: int) -> tuple[Maps, Masks]:
    """Return four maps [4, 48, 64] and masks with a small and a large region, touching each other at no pixel."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 48, 64), np.bool_)
    masks[0, 5:9, 5:11] = masks[0, 20:40, 30:50] = masks[1, 0:3, 60:64] = True
    maps = rng.gamma(2.0, 1.0, masks.shape) + masks * rng.uniform(0.0, 4.0, masks.shape)
    return maps.astype(np.float32), masks


def measured(maps: Maps, masks: Masks, limit: float = 0.3) -> Localisation:
    """Measure arrays [n, H, W]."""
    return localisation([Marked(m, lambda mask=mask: mask) for m, mask in zip(maps, masks, strict=True)], limit)


def test_pixel_auroc_equals_scikit_learns() -> None:
    """Counting in steps gives the exact area to 1e-4."""
    from sklearn.metrics import roc_auc_score

    maps, masks = random_case(0)
    assert measured(maps, masks).pixel_auroc == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-4)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_equals_anomalibs(limit: float) -> None:
    """The overlap with regions is the one that the field reports."""
    import torch
    from anomalib.metrics.aupro import _AUPRO

    maps, masks = random_case(1)
    theirs = _AUPRO(fpr_limit=limit)
    theirs.update(torch.from_numpy(maps), torch.from_numpy(masks.astype(np.int64)))
    found = measured(maps, masks, limit)
    assert found.aupro == pytest.approx(float(theirs.compute()), abs=1e-4)
    assert (found.aupro == found.aupro_strict) is (limit == 0.05)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    """AUPRO loses half where one of two regions is missed, pixel AUROC only that region's pixels."""
    mask = np.zeros((40, 40), np.bool_)
    mask[0:2, 0:2] = mask[10:30, 10:30] = True
    found = np.where(mask, 1.0, 0.5).astype(np.float32)
    found[0:2, 0:2] = 0.0
    result = measured(found[None], mask[None])
    assert result.aupro == pytest.approx(0.5, abs=1e-3)
    assert result.pixel_auroc == pytest.approx(1 - 4 / 404, abs=1e-3)


def test_a_map_is_brought_to_the_masks_size() -> None:
    """A coarse map that points at the right cell is right on the mask's pixels."""
    mask = np.zeros((40, 40), np.bool_)
    mask[20:30, 20:30] = True
    coarse = np.zeros((4, 4), np.float32)
    coarse[2, 2] = 1.0
    result = measured(coarse[None], mask[None])
    assert result.pixel_auroc is not None
    assert result.pixel_auroc > 0.99


def test_nothing_marked_gives_nothing() -> None:
    """Without a marked defect, or with nothing beside it, there is no curve."""
    nothing = Localisation(None, None)
    zeros = np.zeros((1, 8, 8))
    assert measured(zeros.astype(np.float32), zeros.astype(np.bool_)) == nothing
    assert measured(zeros.astype(np.float32), ~zeros.astype(np.bool_)) == nothing
    assert localisation([]) == nothing
