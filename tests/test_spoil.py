"""Synthetic defects on real images: where they are, what stays, and that a seed decides them."""

import numpy as np
import pytest

from images import picture
from lineside.synth.spoil import KINDS, SEEN, SUBTLE, spoil

HALF = np.zeros((64, 64), np.bool_)
HALF[:, :32] = True


@pytest.mark.parametrize("kind", [*KINDS, *SUBTLE])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_mask_is_what_was_changed_inside_the_region(kind: str, channels: int) -> None:
    """Every kind changes something in the region, nothing outside it, and its mask says where."""
    image, other = (picture(seed, 64, 64, channels).reshape(64, 64, channels) for seed in (1, 2))
    before = image.copy()
    made = spoil(image, other, HALF, kind, np.random.default_rng(3))
    change = np.abs(made.image.astype(int) - image).max(axis=2)
    assert made.mask.any()
    assert np.array_equal(made.mask, change > SEEN)
    assert not change[~HALF].any()
    assert np.array_equal(image, before)


@pytest.mark.parametrize("kind", [*KINDS, *SUBTLE])
def test_the_seed_decides_the_defect(kind: str) -> None:
    """The same generator state gives the same pixels, another gives others."""
    image, other = picture(1, 64, 64), picture(2, 64, 64)
    first, again, another = (spoil(image, other, HALF, kind, np.random.default_rng(seed)).image for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, another)
