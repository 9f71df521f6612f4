"""Good frames as the line could show them another day: how far they are moved, and that a seed decides it."""

import cv2
import numpy as np

from images import picture
from lineside.synth.drift import MOST_LIGHT, Spread, drifted, spread_of


def test_frames_that_are_all_alike_stay_as_they_are() -> None:
    """A line that shows no spread is moved nowhere."""
    frame = picture(1, 64, 64)
    assert spread_of([frame, frame]) == Spread(0.0, 0.0)
    assert np.array_equal(drifted(frame, Spread(0.0, 0.0), np.random.default_rng(0)), frame)


def test_light_moves_no_farther_than_the_line_or_the_limit() -> None:
    """Two deviations of brightness, and never more than the limit however much parts differ."""
    frame = np.full((64, 64, 3), 100, np.uint8)
    for spread, most in ((0.02, 0.04), (1.0, MOST_LIGHT)):
        copies = [drifted(frame, Spread(spread, 0.0), np.random.default_rng(seed)) for seed in range(20)]
        moved = [abs(float(np.log(copy.mean() / 100))) for copy in copies]
        assert 0.5 * most < max(moved) < 1.05 * most


def test_sharpness_moves_both_ways_and_within_the_line() -> None:
    """Some copies are blurred, others noisy; none by more than two deviations."""
    frame = np.clip(picture(1, 64, 64).astype(int), 40, 215).astype(np.uint8)

    def sharpness(image: np.ndarray) -> float:
        return float(np.log(cv2.Laplacian(image, cv2.CV_32F).std()))

    copies = [drifted(frame, Spread(0.0, 0.1), np.random.default_rng(seed)) for seed in range(30)]
    moved = [sharpness(copy) - sharpness(frame) for copy in copies]
    assert min(moved) < -0.02
    assert max(moved) > 0.02
    assert max(map(abs, moved)) <= 0.2


def test_the_seed_decides_the_copy_and_the_frame_is_untouched() -> None:
    """The same generator state gives the same pixels."""
    frame, spread = picture(1, 64, 64), Spread(0.05, 0.1)
    before = frame.copy()
    first, again = (drifted(frame, spread, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(frame, before)
