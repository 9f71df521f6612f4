"""The golden map put back into the frame, against OpenCV."""

import cv2
import numpy as np
import pytest
import torch

from lineside.graph.onnx_export import export_module
from lineside.graph.run import Graph
from lineside.normalise.geometry import resize_matrix
from lineside.synth import Pose
from lineside.transfer.place_map import PlaceMap

GOLDEN, CELLS = (256, 192), (64, 48)


def transform_of(pose: Pose, frame: int, tilt: float = 0.0) -> np.ndarray:
    """Return frame px -> golden px of a pose in a square frame."""
    matrix = np.vstack([pose.matrix(frame), [tilt, -0.5 * tilt, 1.0]])
    return (resize_matrix((frame, frame), GOLDEN).astype(np.float64) @ np.linalg.inv(matrix)).astype(np.float32)


def by_opencv(golden: np.ndarray, transform: np.ndarray, frame: int, map_wh: tuple[int, int]) -> np.ndarray:
    """Warp a map that was widened by its own border, so that OpenCV holds the border too; blank what is outside."""
    matrix = (
        resize_matrix(GOLDEN, CELLS).astype(np.float64) @ transform @ resize_matrix(map_wh, (frame, frame))
    ).astype(np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(golden, matrix, map_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    x, y = np.meshgrid(np.arange(map_wh[0]), np.arange(map_wh[1]))
    points = np.stack([x, y, np.ones_like(x)], -1) @ matrix.T
    u, v = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    margin = np.minimum.reduce([u + 0.5, v + 0.5, CELLS[0] - 0.5 - u, CELLS[1] - 0.5 - v])
    return np.where(np.abs(margin) < 0.02, np.nan, np.where(margin > 0, warped, 0.0))  # on the edge either is right


@pytest.mark.parametrize("tilt", [0.0, 4e-4])
@pytest.mark.parametrize(
    "pose", [Pose(0.0, 0.0, 0.0, 1.0), Pose(37.0, 12.0, -20.0, 0.93), Pose(-160.0, -30.0, 5.0, 1.1)]
)
def test_the_map_is_placed_as_opencv_places_it(pose: Pose, tilt: float) -> None:
    """Over the whole frame, its borders included, to the 1/32 cell that OpenCV rounds to."""
    frame, map_wh = 320, (64, 64)
    golden = cv2.GaussianBlur(np.random.default_rng(0).random(CELLS[::-1]).astype(np.float32), (0, 0), 2.0)
    transform = transform_of(pose, frame, tilt)
    module = PlaceMap(GOLDEN, CELLS, map_wh, perspective=tilt != 0.0)
    found = module(torch.from_numpy(golden)[None], torch.from_numpy(transform)[None], torch.tensor([320.0, 320.0]))
    wanted = by_opencv(golden, transform, frame, map_wh)
    known = np.isfinite(wanted)
    assert known.mean() > 0.95
    assert np.abs(found[0].numpy() - wanted)[known].max() < 0.01


def test_the_plain_resize_gives_the_map_back() -> None:
    """Without a pose, map and golden map of one size are equal in every cell, corners included."""
    golden = torch.from_numpy(np.random.default_rng(1).random((1, *CELLS[::-1])).astype(np.float32))
    transform = torch.from_numpy(resize_matrix((1130, 460), GOLDEN))[None]
    placed = PlaceMap(GOLDEN, CELLS, CELLS)(golden, transform, torch.tensor([1130.0, 460.0]))
    assert (placed - golden).abs().max() < 1e-4


def test_outside_the_golden_image_the_map_is_zero() -> None:
    """A part that lies in one corner leaves the opposite corner 0."""
    transform = torch.from_numpy(transform_of(Pose(0.0, 160.0, 160.0, 1.0), 320))[None]
    placed = PlaceMap(GOLDEN, CELLS, (32, 32))(torch.ones(1, *CELLS[::-1]), transform, torch.tensor([320.0, 320.0]))
    assert not placed[0, :15, :].any()
    assert not placed[0, :, :15].any()
    assert (placed[0, 17:, 17:] == 1.0).all()


@pytest.mark.parametrize("count", [1, 3])
def test_the_exported_map_is_that_of_torch(count: int) -> None:
    """ONNX Runtime places any number of maps as torch does."""
    module = PlaceMap(GOLDEN, CELLS, (40, 30))
    poses = [Pose(20.0 * i, 3.0 * i, -2.0, 1.0) for i in range(1, count + 1)]
    transform = np.stack([transform_of(p, 320) for p in poses])
    golden = np.random.default_rng(2).random((count, *CELLS[::-1])).astype(np.float32)
    examples = {
        "golden_map": torch.zeros(2, *CELLS[::-1]),
        "transform": torch.eye(3).repeat(2, 1, 1),
        "frame_wh": torch.tensor([320.0, 320.0]),
    }
    model = export_module(module, examples, ("anomaly_map",), {"golden_map": {0: "N"}, "transform": {0: "N"}})
    size = np.array([320.0, 320.0], np.float32)
    found = Graph(model)({"golden_map": golden, "transform": transform, "frame_wh": size})["anomaly_map"]
    wanted = module(torch.from_numpy(golden), torch.from_numpy(transform), torch.from_numpy(size)).numpy()
    assert np.abs(found - wanted).max() < 1e-4
