"""The pose of rendered caps, with defects and bad light, against the truth."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lineside.normalise.geometry import inverse_3x3, matrix_to_pose, pose_to_matrix, resize_matrix
from lineside.normalise.pose import PoseSearch, PoseSettings, choose_pose, fit_pose
from lineside.synth import Light, Pose, render

SAMPLES = Path(__file__).parent.parent / "sample_data"
DEFECTS = (None, "scratch", "dent", "stain", "missing_print", "chipped_edge")
SIMILARITY = PoseSettings("similarity", (128, 128))
FRAMES = 60
WORKING_PX = 256


def reduced(image: np.ndarray) -> np.ndarray:
    """Return a picture as the search sees it, float32 [128, 128]."""
    return np.asarray(cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA), np.float32).mean(axis=2)


def goods(part: str, count: int) -> np.ndarray:
    """Return the first good sample images of a part, [count, 128, 128]."""
    paths = sorted((SAMPLES / part / "train" / "good").glob("*.jpg"))[:count]
    return np.stack([reduced(cv2.imread(str(path))) for path in paths])


def disturbed(number: int) -> tuple[np.ndarray, Pose]:
    """Return a cap with or without a defect, anywhere and at any angle, under bad light, and its pose."""
    rng = np.random.default_rng([7, number])
    dx, dy = rng.uniform(-32, 32, 2)
    pose = Pose(float(rng.uniform(-180, 180)), float(dx), float(dy), float(rng.uniform(0.9, 1.1)))
    red, green, blue = rng.uniform(0.85, 1.15, 3)
    light = Light(
        gain=float(rng.uniform(0.6, 1.5)),
        gradient=float(rng.uniform(0, 0.8)),
        gradient_deg=float(rng.uniform(0, 360)),
        cast_rgb=(float(red), float(green), float(blue)),
        blur_px=float(rng.uniform(0.35, 1.0)),
        azimuth_deg=float(rng.uniform(117, 133)),
    )
    severity = float(rng.uniform(0, 1))
    part = render("caps", 500_000 + number, DEFECTS[number % 6], severity, 320, pose=pose, light=light)
    return reduced(part.image), pose


@pytest.fixture(scope="module")
def shown() -> tuple[np.ndarray, list[Pose]]:
    """Caps as the search sees them, [n, 128, 128], and their poses."""
    small, poses = zip(*(disturbed(number) for number in range(FRAMES)), strict=True)
    return np.stack(small), list(poses)


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 50])
def test_caps_are_found_over_the_full_circle(count: int, shown: tuple[np.ndarray, list[Pose]]) -> None:
    """Median within 0.3 degrees and 0.5 px of the working size, and nearly all within 1.5 degrees and 2 px."""
    torch.set_num_threads(1)
    small, poses = shown
    good = goods("caps", count)
    fit = fit_pose(good, good[0], SIMILARITY, 0)
    values = (torch.from_numpy(value) for value in fit.values.values())
    with torch.inference_mode():
        matrix, numbers = PoseSearch(SIMILARITY)(torch.from_numpy(small)[:, None], *values)
    true = torch.tensor([[p.angle_deg, p.dx_px, p.dy_px, p.scale] for p in poses], dtype=torch.float32)
    reduce = torch.from_numpy(resize_matrix((320, 320), (128, 128)))
    true_small = reduce @ pose_to_matrix(true, (320, 320)) @ torch.linalg.inv(reduce)
    left = matrix_to_pose(torch.matmul(inverse_3x3(true_small), matrix), (128, 128)).numpy()  # one constant, and errors
    turn = np.exp(1j * np.deg2rad(left[:, 0]))
    typical = np.median(turn.real) + 1j * np.median(turn.imag)
    degrees = np.abs(np.rad2deg(np.angle(turn / typical)))
    away = left[:, 1:3] - np.median(left[:, 1:3], axis=0)
    pixels = np.hypot(away[:, 0], away[:, 1]) * WORKING_PX / 128
    confidence = numbers[:, 0].numpy()
    failed = (degrees > 1.5) | (pixels > 2)
    assert np.median(degrees) <= 0.3
    assert np.median(pixels) <= 0.5
    assert failed.mean() <= 0.02
    assert (confidence[failed] < 0.7).all()


@pytest.mark.slow
@pytest.mark.parametrize(("part", "model"), [("caps", "similarity"), ("weave", None)])
@pytest.mark.parametrize("count", [10, 50])
def test_auto_aligns_caps_and_leaves_cloth_alone(part: str, model: str | None, count: int) -> None:
    """With ten good images as with fifty."""
    torch.set_num_threads(1)
    small = goods(part, count)
    decision = choose_pose(small, small[0], PoseSettings("auto", (128, 128)), 0)
    assert (decision.settings.model if decision.settings else None) == model


@pytest.mark.slow
def test_auto_leaves_drives_in_their_fixed_place(real_data: Path) -> None:
    """Real ball-screw drives fill the frame in one place: no pose is gained."""
    torch.set_num_threads(1)
    paths = sorted((real_data / "bsd" / "train" / "good").glob("*"))[:30]
    small = [cv2.resize(cv2.imread(str(path)), (128, 52), interpolation=cv2.INTER_AREA).mean(axis=2) for path in paths]
    batch = np.stack(small).astype(np.float32)
    decision = choose_pose(batch, batch[0], PoseSettings("auto", (128, 52)), 0)
    assert decision.settings is None or decision.settings.model == "shift"
