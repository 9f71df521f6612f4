"""The front: resize, exposure, pose, region and flat field in ONNX Runtime, against PIL, OpenCV and by hand."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from front_parts import DARK, STD, Built, build, decide, mapped, reduced, request, view
from lineside.graph.trunk import Reduction, export_reduction
from lineside.normalise import geometry
from lineside.normalise.flat_field import flat_maps
from lineside.normalise.front import FRONT_OUTPUTS, GATE_LIMITS, Front, middle_size, small_size
from lineside.normalise.front_fit import FrontDecision
from lineside.normalise.resize import resize_u8
from lineside.synth import Pose
from lineside.train.front_fit import open_limits
from pose_parts import plate

ODD_WH = (201, 161)
SIDE = 512
MARK_XY = (255.5 + 0.16 * SIDE * np.cos(0.4), 255.5 + 0.16 * SIDE * np.sin(0.4))
"""Where the plate's white mark lies in its drawing, px."""


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return a random frame."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def scene(seed: int = 1, channels: int = 3, size_hw: tuple[int, int] = (120, 150)) -> np.ndarray:
    """Return a smooth picture of middle levels."""
    coarse = np.random.default_rng(seed).integers(70, 170, (9, 11, channels)).astype(np.uint8)
    large = cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(large.reshape(*size_hw, channels))


def poses(count: int, seed: int = 0) -> list[Pose]:
    """Return poses over the full circle; the first one is the drawing's."""
    rng = np.random.default_rng(seed)
    drawn = [Pose(*rng.uniform((-180, -12, -12, 0.93), (180, 12, 12, 1.07)).tolist()) for _ in range(count - 1)]
    return [Pose(0.0, 0.0, 0.0, 1.0), *drawn]


@pytest.fixture(scope="module")
def reduction() -> Reduction:
    """The exported reduction to 96×64 px."""
    return export_reduction((96, 64), 3)


@pytest.fixture(scope="module")
def still() -> Built:
    """A front without pose, its exposure on, for 150×120 px."""
    light = {**DARK, "exposure": "on", "gain_limits": [0.5, 2.0]}
    goods = [scene()] * 4
    return build(goods, request((150, 120), size=[96, 64], light=light, pose={"model": "none"}))


def plates() -> list[np.ndarray]:
    """Return marked plates at any angle, the first in its drawing's pose."""
    return [view(plate(3, mark=True), pose, ODD_WH)[0] for pose in poses(10)]


@pytest.fixture(scope="module")
def turning() -> Built:
    """A front that finds marked plates."""
    return build(plates(), request(ODD_WH, size=128, light=DARK, pose={"model": "similarity"}))


@pytest.mark.parametrize("size_hw", [(480, 640), (97, 131), (64, 96), (40, 50)])
def test_the_reduction_is_that_of_pil(size_hw: tuple[int, int], reduction: Reduction) -> None:
    """Torch and ONNX Runtime reduce and enlarge as PIL does with antialiasing, within one grey level."""
    frame = noise(*size_hw)
    wanted = np.asarray(Image.fromarray(frame).resize((96, 64), Image.Resampling.BILINEAR)).astype(int)
    in_torch = resize_u8(torch.from_numpy(frame[None]), 64, 96)[0].numpy().astype(int)
    middle, frame_wh = reduction(frame)
    assert np.abs(in_torch - wanted).max() <= 1
    assert np.abs(middle[0].astype(int) - wanted).max() <= 1
    assert frame_wh.tolist() == [size_hw[1], size_hw[0]]


def test_sizes_follow_from_working_size_and_frame() -> None:
    """The pose samples from at most 1.5 × the working size and never from an enlarged frame; the small image is 128."""
    assert middle_size((256, 256), (1280, 1024)) == (384, 384)
    assert middle_size((256, 256), (1130, 300)) == (384, 300)
    assert small_size((1130, 460)) == (128, 52)
    assert small_size((64, 64)) == (128, 128)


def test_exposure_gain_brings_frames_to_one_level(still: Built) -> None:
    """Gains from 0.6 to 1.45 give nearly the working tensor of the good frame, through the light's own estimate."""
    usual = still(scene())
    for gain in (0.6, 0.8, 1.2, 1.45):
        other = still((scene() * gain).round().clip(0, 255).astype(np.uint8))
        assert np.abs(other["working"] - usual["working"]).mean() < 0.02
        column = still.decision.settings.gate.quality_names.index("exposure_gain")
        assert other["front_quality"][0, column] * gain == pytest.approx(1.0, abs=0.02)


def test_exposure_is_corrected_up_to_its_limit_and_no_further(still: Built) -> None:
    """A frame of a quarter of the light gets a gain of 2, and the number says that it wanted 4."""
    dim = (scene() * 0.25).round().astype(np.uint8)
    out = still(dim)
    plain = np.asarray(Image.fromarray(dim).resize((96, 64), Image.Resampling.BILINEAR), np.float64)
    assert np.abs(still.grey_levels(out["working"])[0] - 2.0 * plain).max() <= 2.1
    column = still.decision.settings.gate.quality_names.index("exposure_gain")
    assert out["front_quality"][0, column] == pytest.approx(4.0, rel=0.03)


def test_without_a_pose_the_transform_is_the_resize(still: Built) -> None:
    """The outer corner of the frame's first and last pixel lands on the working image's outer corners."""
    out = still(noise(480, 640))
    transform = out["transform"][0]
    assert mapped(transform, -0.5, -0.5).tolist() == pytest.approx([-0.5, -0.5], abs=1e-4)
    assert mapped(transform, 639.5, 479.5).tolist() == pytest.approx([95.5, 63.5], abs=1e-3)
    assert out["pose"].tolist() == [[0.0, 0.0, 0.0, 1.0, 0.0]]
    assert out["region"].shape == (1, 1, 8, 12)
    assert (out["region"] == 1).all()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_batch_is_its_frames_one_by_one(count: int, turning: Built) -> None:
    """Every output of a frame is the same in any company."""
    part = plate(3, mark=True)
    frames = np.stack([view(part, pose, ODD_WH)[0] for pose in poses(count + 1, seed=5)[1:]])
    whole = turning(frames)
    for row, frame in enumerate(frames):
        alone = turning(frame)
        for name in FRONT_OUTPUTS:
            np.testing.assert_allclose(whole[name][row], alone[name][0], rtol=1e-3, atol=2e-3, err_msg=name)


def test_the_working_image_is_where_the_transform_says(turning: Built) -> None:
    """OpenCV warping the frame by `transform` gives the exported working image, in odd sizes and at any angle."""
    middle_wh = turning.decision.settings.middle_wh
    for pose in poses(6, seed=3)[1:]:
        frame, _ = view(plate(3, mark=True), pose, ODD_WH)
        out = turning(frame)
        smooth = cv2.resize(cv2.resize(frame, middle_wh, interpolation=cv2.INTER_AREA), ODD_WH)
        matrix = out["transform"][0].astype(np.float64)
        warped = cv2.warpPerspective(smooth, matrix, (128, 128), flags=cv2.INTER_LINEAR)
        inside = cv2.warpPerspective(np.full(frame.shape[:2], 255, np.uint8), matrix, (128, 128)) == 255
        found = turning.grey_levels(out["working"])[0]
        assert inside.mean() > 0.6
        assert np.abs(found - warped)[inside].mean() < 1.0
        assert np.abs(found - warped)[inside].max() < 30  # two interpolations of edges of 150 grey levels


def test_pose_and_transform_say_the_same(turning: Built) -> None:
    """The public pose, written as a matrix about the frame's centre, takes golden pixels back to frame pixels."""
    for pose in poses(4, seed=9)[1:]:
        out = turning(view(plate(3, mark=True), pose, ODD_WH)[0])
        angle, dx, dy, scale, confidence = out["pose"][0].tolist()
        row = torch.tensor([[angle, dx, dy, scale]])
        to_frame = geometry.pose_to_matrix(row, ODD_WH)[0].numpy().astype(np.float64)
        to_working = geometry.resize_matrix(ODD_WH, (128, 128)).astype(np.float64)
        for x, y in ((50, 40), (150, 40), (50, 120), (150, 120)):  # 128×102.5 px of the small image are 128×103
            again = mapped(out["transform"][0] @ to_frame, x, y)
            assert again.tolist() == pytest.approx(mapped(to_working, x, y).tolist(), abs=0.4)
        turn = (angle - pose.angle_deg + 180) % 360 - 180
        assert abs(turn) < 1.5
        assert (dx, dy) == (pytest.approx(pose.dx_px, abs=1.0), pytest.approx(pose.dy_px, abs=1.0))
        assert scale == pytest.approx(pose.scale, abs=0.02)
        assert 0.2 < confidence <= 1.0


def test_the_region_moves_with_the_part() -> None:
    """Wherever the plate lies, the box holds its mark, and the working tensor is 0 outside the box."""
    x, y = mapped(view(plate(3), Pose(), ODD_WH)[1], *MARK_XY) / ODD_WH
    box = [float(v) for v in (x - 0.12, y - 0.15, x + 0.12, y + 0.15)]
    wanted = request(
        ODD_WH, blank_outside=True, size=128, light=DARK, pose={"model": "similarity"}, roi=box, foreground="off"
    )
    decision = decide(plates(), wanted)
    for pose in poses(5, seed=11):
        frame, to_frame = view(plate(3, mark=True), pose, ODD_WH)
        out = in_torch(decision, reduced([frame], wanted), frame.shape)
        u, v = mapped(out["transform"][0], *mapped(to_frame, *MARK_XY))
        region = out["region"][0, 0]
        assert region[int(v // 8), int(u // 8)] == 1
        assert 0.05 < region.mean() < 0.12
        outside = np.repeat(np.repeat(region, 8, 0), 8, 1) < 0.5
        assert (out["working"][0][:, outside] == 0).all()
        seen = np.where(outside, -np.inf, out["working"][0, 0])
        assert np.unravel_index(seen.argmax(), seen.shape) == (pytest.approx(v, abs=5), pytest.approx(u, abs=5))


def test_a_region_of_interest_is_a_fence() -> None:
    """Whatever lies outside it, light, its numbers and working tensor are the same to the bit."""
    goods = [scene()] * 4
    light = {**DARK, "exposure": "on", "white_balance": "golden", "gradient": "on"}
    asked = {"size": [96, 64], "light": light, "pose": {"model": "none"}}
    fenced, free = request((150, 120), roi=[0.25, 0.25, 0.75, 0.75], **asked), request((150, 120), **asked)
    spoilt = scene()
    spoilt[:, :30] = (255, 0, 200)
    seen = [
        in_torch(decide(goods, wanted), reduced([frame], wanted), frame.shape)
        for wanted in (fenced, free)
        for frame in (scene(), spoilt)
    ]
    numbers = slice(0, 10)  # those of the light
    assert np.array_equal(seen[0]["working"], seen[1]["working"])
    assert np.array_equal(seen[0]["front_quality"][:, numbers], seen[1]["front_quality"][:, numbers])
    assert not np.array_equal(seen[2]["front_quality"][:, numbers], seen[3]["front_quality"][:, numbers])
    assert (seen[0]["working"][:, :, :16] == 0).all()
    assert (seen[0]["working"][:, :, 16:48, 24:72] != 0).any(axis=1).mean() > 0.99


def test_a_grey_camera_gives_the_tensor_of_an_equal_colour_camera() -> None:
    """One channel is spread to three inside the graph."""
    greys = [scene(seed, channels=1) for seed in (1, 1, 1, 1)]
    asked = {"size": [96, 64], "light": {**DARK, "exposure": "on"}, "pose": {"model": "none"}}
    in_grey, in_colour = request((150, 120), channels=1, **asked), request((150, 120), **asked)
    frame = (greys[0] * 0.8).astype(np.uint8)
    middle = reduced([frame], in_grey)
    one = in_torch(decide(greys, in_grey), middle, frame.shape)["working"]
    colour = decide([np.repeat(grey, 3, axis=2) for grey in greys], in_colour)
    three = in_torch(colour, np.repeat(middle, 3, axis=3), frame.shape)["working"]
    assert one.shape == (1, 3, 64, 96)
    assert np.abs(one - three).max() < 1e-3


def in_torch(decision: FrontDecision, middle: np.ndarray, frame_hwc: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return what torch computes of a reduction, without an export."""
    front = Front(decision.settings)
    values = {**decision.values, GATE_LIMITS: open_limits(decision.settings.gate)}
    size = torch.tensor([float(frame_hwc[1]), float(frame_hwc[0])])
    given = [torch.from_numpy(values[name]) for name in front.value_names]
    with torch.inference_mode():
        outputs = front(torch.from_numpy(middle), size, *given)
    return {name: value.numpy() for name, value in zip(FRONT_OUTPUTS, outputs, strict=True)}


def test_the_flat_field_divides_a_vignette_out() -> None:
    """With a picture of an empty target, an even scene seen through the same lens is even."""
    y, x = np.mgrid[-1:1:120j, -1:1:150j]
    lens = (1.0 - 0.3 * (x**2 + y**2) / 2)[..., None] * np.ones(3)
    target = (220 * lens).round().astype(np.uint8)
    asked = {"size": [96, 64], "light": {**DARK, "flat_field": "target.png"}, "pose": {"model": "none"}}
    wanted = request((150, 120), flat=flat_maps([target]), **asked)
    decision = decide([(scene() * lens).round().astype(np.uint8)] * 4, wanted)
    assert decision.settings.flat_field == "gain"
    frame = (140 * lens).round().astype(np.uint8)
    even = in_torch(decision, reduced([frame], wanted), frame.shape)["working"][0, 0] * STD[0] * 255
    assert even.std() < 1.0 < 8.0 < frame.std()
