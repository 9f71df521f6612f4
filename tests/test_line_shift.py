"""Whether a line changed, by what the gate measures of its pictures."""

import numpy as np
import numpy.typing as npt
import pytest

from lineside.train.line_shift import quality_shift

NAMES = ("exposure_gain", "contrast", "noise_level", "mean_level")


def frames(seed: int, n: int, gain: float = 1.0, level: float = 100.0) -> npt.NDArray[np.float32]:
    """Quality numbers [n, 4] of frames whose exposure scatters by 10 %."""
    rng = np.random.default_rng(seed)
    gains = gain * np.exp(0.1 * rng.standard_normal(n))
    rest = np.exp(0.05 * rng.standard_normal((n, 2)))
    return np.column_stack((gains, rest, level + rng.standard_normal(n))).astype(np.float32)


def test_frames_of_the_same_line_have_not_changed() -> None:
    """Eight frames against ten of the same law, 2,000 times: taken for another line in less than 1 of 100."""
    shifts = [quality_shift(frames(2 * i, 10), frames(2 * i + 1, 8), NAMES).changed for i in range(2000)]
    assert np.mean(shifts) < 0.01


@pytest.mark.parametrize("gain", [0.6, 1.6])
def test_another_exposure_is_another_line(gain: float) -> None:
    """Darker or brighter by more than goods scatter: that number is named."""
    shift = quality_shift(frames(0, 50), frames(1, 20, gain), NAMES)
    assert shift.changed
    assert shift.name == "exposure_gain"


def test_what_no_frame_is_refused_for_has_no_say() -> None:
    """The mean level is told, and moves with the part."""
    assert not quality_shift(frames(0, 50), frames(1, 20, level=200.0), NAMES).changed
    assert quality_shift(frames(0, 50)[:, 3:], frames(1, 20)[:, 3:], NAMES[3:]).spreads == 0.0
