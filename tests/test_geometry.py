"""Matrices between frames, golden part and working image, against by-hand values, NumPy and OpenCV."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.normalise import geometry
from lineside.session import open_session
from lineside.synth import Pose

ANGLES = st.floats(-179.0, 179.0, width=32)
SHIFTS = st.floats(-40.0, 40.0, width=32)
SCALES = st.floats(0.5, 2.0, width=32)
SIDES = st.integers(2, 2000)


class Everything(nn.Module):
    """All functions of the room in one graph."""

    def __init__(self, perspective: bool) -> None:
        super().__init__()
        self.perspective = perspective

    def forward(self, image: Tensor, matrix: Tensor, frame_wh: Tensor) -> tuple[Tensor, ...]:
        """Return the picture sampled, where it is inside, the inverse, the pose, its matrix and a resize."""
        pose = geometry.matrix_to_pose(matrix, frame_wh)
        return (
            geometry.sample(image, matrix, (37, 29), self.perspective),
            geometry.inside(matrix, (37, 29), frame_wh, self.perspective),
            geometry.inverse_3x3(matrix),
            pose,
            geometry.pose_to_matrix(pose, frame_wh),
            geometry.resize_matrix_of(frame_wh, torch.tensor([37.0, 29.0])),
        )


def matrices(count: int, perspective: bool, seed: int = 0) -> Tensor:
    """Return random matrices near the middle of a 50×40 picture."""
    rng = np.random.default_rng(seed)
    poses = np.column_stack(
        [rng.uniform(-180, 180, count), *rng.uniform(-4, 4, (2, count)), rng.uniform(0.8, 1.2, count)]
    )
    result = geometry.pose_to_matrix(torch.tensor(poses, dtype=torch.float32), (50, 40))
    if perspective:
        result[:, 2, :2] = torch.tensor(rng.uniform(-0.004, 0.004, (count, 2)), dtype=torch.float32)
    return result


@given(SIDES, SIDES, SIDES, SIDES)
def test_a_resize_keeps_the_outer_edges(w: int, h: int, to_w: int, to_h: int) -> None:
    """The image's edges, half a pixel outside the outer centres, land on the copy's edges; both versions agree."""
    matrix = geometry.resize_matrix((w, h), (to_w, to_h))
    assert (matrix @ [-0.5, -0.5, 1]).tolist() == pytest.approx([-0.5, -0.5, 1], abs=1e-4)
    assert (matrix @ [w - 0.5, h - 0.5, 1]).tolist() == pytest.approx([to_w - 0.5, to_h - 0.5, 1], rel=1e-5, abs=1e-3)
    inside_graph = geometry.resize_matrix_of(torch.tensor([w, h]).float(), torch.tensor([to_w, to_h]).float())
    assert np.allclose(inside_graph.numpy(), matrix, rtol=1e-6, atol=1e-6)


@given(ANGLES, SHIFTS, SHIFTS, SCALES, st.integers(20, 500), st.integers(20, 500))
def test_a_pose_comes_back_from_its_matrix(angle: float, dx: float, dy: float, scale: float, w: int, h: int) -> None:
    """Any angle, shift and scale, in a frame of any shape."""
    pose = torch.tensor([[angle, dx, dy, scale]])
    back = geometry.matrix_to_pose(geometry.pose_to_matrix(pose, (w, h)), (w, h))
    assert back[0].tolist() == pytest.approx(pose[0].tolist(), abs=2e-3)


@given(ANGLES, SHIFTS, SHIFTS, SCALES)
def test_a_pose_means_what_it_means_to_the_renderer(angle: float, dx: float, dy: float, scale: float) -> None:
    """The matrix is that of the renderer's Pose."""
    wanted = Pose(angle, dx, dy, scale).matrix(320)
    found = geometry.pose_to_matrix(torch.tensor([[angle, dx, dy, scale]]), (320, 320))[0]
    assert np.allclose(found[:2].numpy(), wanted, atol=2e-3)
    assert found[2].tolist() == [0, 0, 1]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_an_inverse_undoes_its_matrix(seed: int, perspective: bool) -> None:
    """For similarities and perspectives, the product is the identity."""
    matrix = matrices(3, perspective, seed)
    product = torch.matmul(geometry.inverse_3x3(matrix), matrix)
    assert torch.allclose(product, torch.eye(3).expand(3, 3, 3), atol=1e-3)


def test_points_go_where_the_matrix_says() -> None:
    """A point by hand, and a division by depth."""
    matrix = torch.tensor([[[2.0, 0, 1], [0, 3, 0], [0.1, 0, 1]]])
    assert geometry.transform_points(matrix, torch.tensor([[[10.0, 2.0]]])).tolist() == [[[10.5, 3.0]]]


@pytest.mark.parametrize("perspective", [False, True])
def test_the_sampler_is_that_of_opencv(perspective: bool) -> None:
    """Inside the picture and at its repeated border, to the rounding of OpenCV's fixed-point weights."""
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.uniform(0, 255, (40, 50)).astype(np.float32), (0, 0), 1.5)
    matrix = matrices(1, perspective)
    found = geometry.sample(torch.from_numpy(image)[None, None], matrix, (37, 29), perspective)[0, 0].numpy()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    wanted = cv2.warpPerspective(
        image, matrix[0].double().numpy(), (37, 29), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    assert np.abs(found - wanted).max() < 1.0


def test_the_identity_copies() -> None:
    """Each pixel lies on itself and all of them lie inside; half a pixel further the first column does not."""
    image = torch.rand(2, 3, 20, 30)
    same = torch.eye(3).expand(2, 3, 3)
    assert torch.allclose(geometry.sample(image, same, (30, 20)), image, atol=1e-5)
    assert geometry.inside(same, (30, 20), (30, 20)).min() == 1
    moved = same.clone()
    moved[:, 0, 2] = -0.6
    outside = 1 - geometry.inside(moved, (30, 20), (30, 20))
    assert outside.sum(dim=(1, 2, 3)).tolist() == [20, 20]
    assert outside[:, 0, :, 0].min() == 1


@pytest.mark.parametrize("perspective", [False, True])
def test_the_exported_geometry_is_that_of_torch(perspective: bool) -> None:
    """One graph for any number of frames, and none of its operators is foreign."""
    inputs = {
        "image": torch.rand(2, 1, 40, 50),
        "matrix": matrices(2, perspective),
        "frame_wh": torch.tensor([50.0, 40.0]),
    }
    outputs = ("sampled", "inside", "inverse", "pose", "again", "resize")
    module = Everything(perspective)
    model = export_module(module, inputs, outputs, {"image": {0: "n"}, "matrix": {0: "n"}})
    session = open_session(model.SerializeToString(), "test")
    for count in (1, 2, 7):
        feed = inputs | {"image": torch.rand(count, 1, 40, 50), "matrix": matrices(count, perspective, count)}
        found = session.run(None, {name: value.numpy() for name, value in feed.items()})
        for name, one, other in zip(outputs, found, module(*feed.values()), strict=True):
            assert np.allclose(one, other.numpy(), rtol=1e-4, atol=2e-3), name
