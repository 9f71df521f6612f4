"""Augmented copies: seeded, of the frame's own shape, and refused with a reason."""

import numpy as np
import pytest

from lineside.errors import UsageError
from lineside.transfer.augment import Augmenter


def frame(channels: int = 3) -> np.ndarray:
    """Return a random frame."""
    return np.random.default_rng(0).integers(0, 256, (40, 50, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_copies_follow_from_seed_frame_and_number(channels: int) -> None:
    """The same arguments give the same pixels; another seed, frame number or copy gives others; the frame stays."""
    original = frame(channels)
    first = Augmenter("default", 1).copies(original, 5, 2)
    again = Augmenter("default", 1).copies(original, 5, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], Augmenter("default", 2).copies(original, 5, 1)[0])
    assert not np.array_equal(first[0], Augmenter("default", 1).copies(original, 6, 1)[0])
    assert [c.shape for c in first] == [original.shape] * 2
    assert np.array_equal(original, frame(channels))


def test_none_makes_no_copies() -> None:
    """And says so before anything is counted."""
    assert not Augmenter("none", 0).active
    assert Augmenter("none", 0).copies(frame(), 0, 3) == []


def test_a_list_names_albumentations_transforms() -> None:
    """A certain flip is a flip; lists become the tuples that albumentations wants."""
    flipped = Augmenter([{"HorizontalFlip": {"p": 1.0}}], 0).copies(frame(), 0, 1)[0]
    assert np.array_equal(flipped, frame()[:, ::-1])
    Augmenter([{"Affine": {"rotate": [-10, 10], "border_mode": "replicate"}}], 0)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"NoSuchThing": {}}, "has no 'NoSuchThing'"),
        ({"Compose": {}}, "has no 'Compose'"),
        ({"HorizontalFlip": {"probability": 1.0}}, "HorizontalFlip: .*probability"),
        ({"Affine": {"rotate": "far"}}, "Affine: "),
        ({"Affine": {"border_mode": "mirror"}}, "border_mode: expected one of"),
    ],
)
def test_a_wrong_step_is_refused(step: dict[str, dict[str, object]], words: str) -> None:
    """An unknown transform, an unknown argument (of which albumentations only warns), a wrong value."""
    with pytest.raises(UsageError, match=words):
        Augmenter([step], 0)


@pytest.mark.parametrize("step", [{"Normalize": {}}, {"ToFloat": {}}, {"RandomCrop": {"height": 500, "width": 500}}])
def test_a_step_that_makes_no_frame_is_refused(step: dict[str, dict[str, object]]) -> None:
    """What turns uint8 frames into something else, or fails on them, is named before a graph sees it."""
    with pytest.raises(UsageError, match=r"transfer\.augment"):
        Augmenter([step], 0).copies(frame(), 0, 1)
