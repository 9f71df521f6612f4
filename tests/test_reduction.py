"""The reduction of a frame, in ONNX Runtime against PIL: by integer products where it is large, by Resize elsewhere."""

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from lineside.graph.reduction import reduction_model
from lineside.graph.run import Graph

Pixels = npt.NDArray[np.uint8]
HALVED = ((480, 640), (160, 200)), ((1024, 1280), (320, 320)), ((301, 1130), (150, 384)), ((97, 230), (31, 64))
"""Heights and widths of frames and of what they are reduced to: to half or less along both sides."""


@cache
def graph(size_hw: tuple[int, int], channels: int = 3) -> Graph:
    """Open the reduction to a size."""
    return Graph(reduction_model(size_hw[::-1], channels))


def noise(*shape: int) -> Pixels:
    """Return white noise over all grey levels."""
    return np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)


def stripes(*shape: int) -> Pixels:
    """Return rows that are black and white in turns."""
    return np.ascontiguousarray(np.broadcast_to((np.arange(shape[0]) % 2 * 255)[:, None, None], shape)).astype(np.uint8)


def furthest_from_pil(frame: Pixels, size_hw: tuple[int, int]) -> int:
    """Return the largest difference of any pixel to PIL's, grey levels."""
    ours = graph(size_hw)({"frame": frame[None]}, ("middle",))["middle"][0].astype(int)
    wanted = Image.fromarray(frame).resize(size_hw[::-1], Image.Resampling.BILINEAR)
    return int(np.abs(ours - np.asarray(wanted)).max())


@pytest.mark.parametrize(("frame_hw", "size_hw"), HALVED)
def test_a_large_frame_is_reduced_as_pil_does(frame_hw: tuple[int, int], size_hw: tuple[int, int]) -> None:
    """No pixel of white noise or of stripes differs by more than one grey level."""
    for picture in (noise, stripes):
        assert furthest_from_pil(picture(*frame_hw, 3), size_hw) <= 1


def test_reduced_to_more_than_half_white_noise_differs_by_two_at_most() -> None:
    """Fewer pixels are averaged there, whose weights are rounded more."""
    assert furthest_from_pil(noise(480, 640, 3), (384, 384)) <= 2


@pytest.mark.parametrize("frame_hw", [(64, 96), (40, 50), (70, 100), (200, 60)])
def test_small_frames_are_left_to_resize(frame_hw: tuple[int, int]) -> None:
    """What is about as large as wanted, or to be enlarged along a side, is PIL's within its own rounding."""
    assert furthest_from_pil(noise(*frame_hw, 3), (64, 96)) <= 1


def test_even_frames_stay_even() -> None:
    """Weights add up to the same for every pixel: no level but the frame's own comes out, whatever the size."""
    for level, frame_hw in ((0, (301, 307)), (77, (640, 480)), (255, (513, 999))):
        frame = np.full((1, *frame_hw, 3), level, np.uint8)
        assert (graph((64, 96))({"frame": frame}, ("middle",))["middle"] == level).all()


def test_frames_of_a_batch_are_reduced_one_by_one() -> None:
    """A frame's reduction is the same in any company, grey ones too."""
    frames = noise(3, 300, 400, 1)
    whole = graph((64, 96), 1)({"frame": frames})
    for frame, middle in zip(frames, whole["middle"], strict=True):
        np.testing.assert_array_equal(graph((64, 96), 1)({"frame": frame[None]})["middle"][0], middle)
    assert whole["frame_wh"].tolist() == [400.0, 300.0]
