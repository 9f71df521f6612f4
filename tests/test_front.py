"""The front: resize, exposure gain, gate and transform, against PIL and by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from lineside.graph.trunk import Trunk, export_trunk
from lineside.normalise.front import Front, FrontSettings
from lineside.normalise.golden import golden_level
from lineside.normalise.resize import resize_u8
from lineside.train.setup import exposure_refused

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def settings(channels: int = 3, limits: tuple[float, float] | None = (0.5, 2.0)) -> FrontSettings:
    """Return settings for a working size of 96×64 px."""
    return FrontSettings(channels, (96, 64), limits, MEAN, STD)


@pytest.fixture(scope="module")
def exported() -> Trunk:
    """A front for colour frames, exported alone."""
    return export_trunk(Front(settings()), None, ())


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return a random frame."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("size_hw", [(480, 640), (97, 131), (64, 96), (40, 50)])
def test_the_resize_is_that_of_pil(size_hw: tuple[int, int], exported: Trunk) -> None:
    """Torch and ONNX Runtime reduce and enlarge as PIL does with antialiasing, within one grey level."""
    frame = noise(*size_hw)
    wanted = np.asarray(Image.fromarray(frame).resize((96, 64), Image.Resampling.BILINEAR)).astype(int)
    in_torch = resize_u8(torch.from_numpy(frame[None]), 64, 96)[0].numpy().astype(int)
    level = frame.mean()
    working = exported.run(frame, float(level), ("working", "quality"))
    gain = level / working["quality"][0, 0]
    in_ort = (working["working"][0].transpose(1, 2, 0) * STD + MEAN) * 255 / gain
    assert np.abs(in_torch - wanted).max() <= 1
    assert np.abs(in_ort - wanted).max() <= 1.01


def test_gain_brings_every_exposure_to_the_golden_level(exported: Trunk) -> None:
    """Two exposures of one scene give nearly the same working tensor."""
    bright = noise(200, 200, seed=1) // 2 + 60
    dark = (bright * 0.7).astype(np.uint8)
    one, other = (exported.run(frame, 120.0, ("working",))["working"] for frame in (bright, dark))
    assert np.abs(one - other).mean() < 0.02


@pytest.mark.parametrize(("level", "bits"), [(10, 1), (60, 0), (120, 0), (239, 0), (250, 1)])
def test_an_exposure_beyond_the_limits_speaks_in_the_gate(level: int, bits: int, exported: Trunk) -> None:
    """Golden 120 and gain limits 0.5 to 2: levels 60 to 240 are corrected, others refused."""
    out = exported.run(np.full((50, 50, 3), level, np.uint8), 120.0, ("gate", "quality"))
    assert out["gate"].tolist() == [bits]
    assert out["quality"][0].tolist() == pytest.approx([level, 120 / level])


@pytest.mark.parametrize("level", [0, 20, 59, 61, 120, 238, 242, 255])
def test_training_refuses_the_frames_that_the_graph_refuses(level: int, exported: Trunk) -> None:
    """Which good frames have no say in the threshold is decided by the very rule of the front's gate."""
    frame = np.full((40, 40, 3), level, np.uint8)
    gate = int(exported.run(frame, 120.0, ("gate",))["gate"][0])
    assert exposure_refused(exported.mean_level(frame), 120.0, (0.5, 2.0)) == bool(gate)


def test_exposure_off_neither_corrects_nor_refuses() -> None:
    """Without limits the working tensor is the plain normalisation, black frames included."""
    front = Front(settings(limits=None))
    frame = torch.zeros((1, 64, 96, 3), dtype=torch.uint8)
    working, _, _, gate, _ = front(frame, torch.tensor([120.0]))
    assert gate.tolist() == [0]
    assert working[0, :, 0, 0].tolist() == pytest.approx([-m / s for m, s in zip(MEAN, STD, strict=True)])


def test_a_grey_camera_gives_the_tensor_of_an_equal_colour_camera() -> None:
    """One channel is spread to three inside the graph."""
    grey = noise(80, 90, 1)
    one = export_trunk(Front(settings(channels=1)), None, ()).run(grey, 100.0, ("working",))["working"]
    three = Front(settings())(torch.from_numpy(np.repeat(grey, 3, axis=2)[None]), torch.tensor([100.0]))[0].numpy()
    assert np.abs(one - three).max() < 0.05


def test_the_transform_maps_frame_corners_to_working_corners(exported: Trunk) -> None:
    """The outer corner of the frame's first and last pixel lands on the working image's outer corners."""
    transform = exported.run(noise(480, 640), 100.0, ("transform",))["transform"][0]
    assert (transform @ [-0.5, -0.5, 1.0]).tolist() == pytest.approx([-0.5, -0.5, 1.0], abs=1e-4)
    assert (transform @ [639.5, 479.5, 1.0]).tolist() == pytest.approx([95.5, 63.5, 1.0], abs=1e-4)


def test_the_golden_level_is_coarse_and_never_zero() -> None:
    """Multiples of 8 grey levels, from the median, at least 8."""
    assert golden_level([100, 103, 250]) == 104.0
    assert golden_level([0.0, 0.1]) == 8.0
