"""Disturbances: graded, seeded, on grey and colour frames alike; and light that does not clip."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from images import picture
from lineside.bench.disturbance import Disturbance, disturb, disturbances, fewer_levels
from lineside.bench.light_change import MOST_CLIPPED, gradient_field, light_change, newly_clipped
from lineside.errors import FrameError

ALL = disturbances(3)
NAMED = {item.name: item for item in ALL}
by_name = pytest.mark.parametrize("item", ALL, ids=lambda item: item.name)


def flat(level: int, channels: int = 3, size: int = 32) -> npt.NDArray[np.uint8]:
    """A frame of one grey level."""
    return np.full((size, size, channels), level, np.uint8)


def change(frame: npt.NDArray[np.uint8], item: Disturbance, level: float) -> float:
    """Mean change of a sample in grey levels."""
    return float(np.abs(disturb(frame, item, level, 0, "a").astype(int) - frame).mean())


def test_every_disturbance_that_was_asked_for_is_there() -> None:
    """Twelve of them; a grey frame has no colour to be cast."""
    light, optics = ["gain", "gamma", "gradient", "cast"], ["blur", "noise", "jpeg"]
    rest = [*optics, "rotation", "shift", "scale", "occlusion", "glare"]
    assert list(NAMED) == [*light, *rest]
    assert [item.name for item in disturbances(1)] == [*light[:3], *rest]


@by_name
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_stay_and_the_frame_is_not_changed(item: Disturbance, channels: int) -> None:
    """At every level, on grey frames and colour ones."""
    if item.name == "cast" and channels == 1:
        return
    frame = picture(1, channels=channels)
    before = frame.copy()
    for level in item.levels:
        made = disturb(frame, item, level, 0, "a")
        assert made.shape == frame.shape
        assert made.dtype == np.uint8
    np.testing.assert_array_equal(frame, before)


@by_name
def test_a_seed_decides_everything(item: Disturbance) -> None:
    """The same seed and image name give the same frame, whatever was drawn before."""
    frame, level = picture(2), item.levels[-1]
    first = disturb(frame, item, level, 3, "b")
    disturb(frame, NAMED["noise"], 8.0, 4, "c")
    np.testing.assert_array_equal(disturb(frame, item, level, 3, "b"), first)


@pytest.mark.parametrize("name", ["gradient", "noise", "shift", "occlusion", "glare"])
def test_other_seeds_and_images_draw_otherwise(name: str) -> None:
    """Directions, places and noise differ from seed to seed and from image to image."""
    frame, item = picture(2), NAMED[name]
    first = disturb(frame, item, item.levels[2], 3, "b")
    assert (disturb(frame, item, item.levels[2], 4, "b") != first).any()
    assert (disturb(frame, item, item.levels[2], 3, "c") != first).any()


@pytest.mark.parametrize("item", [item for item in ALL if item.name != "rotation"], ids=lambda item: item.name)
def test_stronger_levels_change_more(item: Disturbance) -> None:
    """On either side of the neutral level the mean change of a sample rises with the strength."""
    frame = picture(5, height=400, width=512)
    above = [change(frame, item, level) for level in item.levels if level > item.neutral]
    below = [change(frame, item, level) for level in item.levels[::-1] if level < item.neutral]
    for changes in (above, below):
        assert changes == sorted(changes)
        assert all(value > 0 for value in changes)


@by_name
def test_the_neutral_level_changes_nothing(item: Disturbance) -> None:
    """It is the undisturbed frame, and no view of it."""
    frame = picture(6)
    same = disturb(frame, item, item.neutral, 0, "a")
    np.testing.assert_array_equal(same, frame)
    assert not np.shares_memory(same, frame)


@by_name
def test_levels_rise_and_say_their_unit(item: Disturbance) -> None:
    """No level is neutral, none comes twice, and each says itself in words."""
    assert list(item.levels) == sorted(set(item.levels))
    assert item.neutral not in item.levels
    assert f"{item.levels[0]:g}" in item.describe(item.levels[0])


def test_levels_are_what_they_say() -> None:
    """Gain, gamma, gradient, cast, noise and cover, each against its definition."""
    assert disturb(flat(80), NAMED["gain"], 1.5, 0, "a").mean() == 120
    assert disturb(flat(64), NAMED["gamma"], 2.0, 0, "a").mean() == 16
    gradient = disturb(flat(100), NAMED["gradient"], 40.0, 0, "a")
    assert (gradient.min(), gradient.max()) == (60, 140)
    assert sorted(disturb(flat(100), NAMED["cast"], 15.0, 0, "a")[0, 0]) == [85, 100, 115]
    noisy = disturb(flat(128, size=128), NAMED["noise"], 8.0, 0, "a")
    assert noisy.std() == pytest.approx(8.0, rel=0.05)
    covered = disturb(flat(0, size=100), NAMED["occlusion"], 10.0, 0, "a")
    assert (covered == 128).mean() == pytest.approx(0.10, abs=0.01)


def test_a_rotation_is_counter_clockwise() -> None:
    """A bright spot to the right of the middle stands above it after a quarter turn."""
    frame = flat(0, size=33)
    frame[14:19, 26:31] = 255
    turned = disturb(frame, NAMED["rotation"], 90.0, 0, "a")
    assert turned[4, 16, 0] > 200
    assert turned[28, 16, 0] < 50


def test_a_shifted_part_stays_alone() -> None:
    """A part on plain background leaves background behind; a texture goes on as its mirror image, not in streaks."""
    part = flat(20, size=40)
    part[8:32, 8:32] = 200
    moved = disturb(part, NAMED["shift"], 30.0, 0, "a")
    assert (moved > 100).sum() <= (part > 100).sum()
    texture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    moved = disturb(texture, NAMED["shift"], 30.0, 0, "a")
    assert (moved.std(axis=(0, 2)) > 40).all()
    assert (moved.std(axis=(1, 2)) > 40).all()


def test_jpeg_is_what_a_camera_would_save() -> None:
    """The same bytes as a JPEG file of an RGB frame: red is not taken for blue."""
    frame = picture(7)
    file = cv2.imencode(".jpg", frame[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 20])[1]
    read = cv2.imdecode(file, cv2.IMREAD_COLOR)[:, :, ::-1]
    np.testing.assert_array_equal(disturb(frame, NAMED["jpeg"], 20.0, 0, "a"), read)


@by_name
def test_the_smallest_frame_is_no_trouble(item: Disturbance) -> None:
    """A single pixel goes through every level."""
    for level in item.levels:
        assert disturb(flat(90, size=1), item, level, 0, "a").shape == (1, 1, 3)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), [[1]], None],
)
def test_what_is_no_frame_is_refused(frame: object) -> None:
    """With what was expected, and what it is."""
    with pytest.raises(FrameError, match="uint8"):
        disturb(frame, NAMED["gain"], 0.5, 0, "a")  # type: ignore[arg-type]


def test_fewer_levels_keep_the_strongest() -> None:
    """On both sides, in their order."""
    gain, blur = fewer_levels([NAMED["gain"], NAMED["blur"]], 2)
    assert gain.levels == (0.5, 0.8, 1.25, 2.0)
    assert blur.levels == (0.6, 1.6)
    assert fewer_levels([NAMED["gain"]], 99)[0] == NAMED["gain"]


# ---- light that does not clip


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 3]), st.integers(20, 250))
def test_a_change_of_light_clips_next_to_nothing(seed: int, channels: int, level: int) -> None:
    """At most 1 % of the pixels reach full scale that did not before, however bright the frame."""
    frame = np.clip(picture(seed % 7, channels=channels).astype(int) - 130 + level, 0, 255).astype(np.uint8)
    changed = light_change(frame, np.random.default_rng(seed))
    assert newly_clipped(frame, changed) <= MOST_CLIPPED
    assert changed.shape == frame.shape


def test_a_change_of_light_is_seeded() -> None:
    """The generator decides, and goes on from draw to draw."""
    frame, rng = picture(1), np.random.default_rng(5)
    first, second = light_change(frame, rng), light_change(frame, rng)
    np.testing.assert_array_equal(light_change(frame, np.random.default_rng(5)), first)
    assert (first != second).any()


def test_changes_of_light_span_their_range() -> None:
    """Over many draws a dark frame sees gains near both ends, gradients and casts, and nothing beyond them."""
    rng = np.random.default_rng(0)
    drawn = np.stack([light_change(flat(60, size=9), rng) for _ in range(300)]) / 60.0
    middle = drawn[:, 4, 4]
    assert 0.6 * 0.85 - 0.01 <= middle.min() < 0.62
    assert 1.6 < middle.max() <= 1.6 * 1.15 + 0.01
    assert (drawn[:, :, :, 0].max((1, 2)) / drawn[:, :, :, 0].min((1, 2))).max() > 1.8
    casts = middle.max(1) / middle.min(1)
    assert 1.2 < casts.max() <= 1.15 / 0.85 + 0.03


def test_pixels_at_full_scale_before_do_not_count() -> None:
    """They were lost already: a white frame may stay white."""
    assert newly_clipped(flat(255), flat(255)) == 0.0
    assert newly_clipped(flat(254), flat(255)) == 1.0


@pytest.mark.parametrize("direction", [0.0, 0.7, 2.0, 3.14159, 5.5])
def test_a_gradient_reaches_its_share_at_the_corners(direction: float) -> None:
    """Whatever its direction, from 1 - share to 1 + share, and 1 in the middle."""
    field = gradient_field((31, 41), 0.4, direction)
    assert (field.min(), field.max(), field[15, 20, 0]) == pytest.approx((0.6, 1.4, 1.0), abs=1e-5)


def test_a_change_of_light_refuses_what_is_no_frame() -> None:
    """Floats have no full scale."""
    with pytest.raises(FrameError, match="uint8"):
        light_change(np.zeros((4, 4, 3), np.float32), np.random.default_rng(0))  # type: ignore[arg-type]
