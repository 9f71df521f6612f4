"""Matrices between frames, golden part and working image, and the one sampler that follows them.

Pixel centres lie at whole numbers. Everything is written as multiply-adds on batches of 3×3 matrices, because
`affine_grid` exports badly (7 ms at 256²) and ONNX has no matrix inverse and no two-argument arctangent. Poses are
those of `lineside.synth.scene.Pose`: about the frame's centre, angles counter-clockwise as seen.
"""

import math
from functools import reduce

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def resize_matrix(from_wh: tuple[float, float], to_wh: tuple[float, float]) -> F32:
    """Return the 3×3 matrix that takes a pixel of an image to the pixel of its resized copy.

    Parameters
    ----------
    from_wh, to_wh : tuple of float
        Width and height of the image and of the copy, px.
    """
    sx, sy = to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]
    return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1]], np.float32)


def resize_matrix_of(from_wh: Tensor, to_wh: Tensor) -> Tensor:
    """Return `resize_matrix` of sizes that the graph knows only when it runs.

    Parameters
    ----------
    from_wh, to_wh : Tensor of float32 [2]

    Returns
    -------
    Tensor of float32 [3, 3]
    """
    ratio = torch.cat((to_wh / from_wh, torch.ones(1)))  # [3]
    shift = (0.5 * ratio - 0.5)[:, None]  # [3, 1]
    columns = torch.eye(3) * ratio  # [3, 3]
    return columns + shift * torch.tensor([[0.0, 0.0, 1.0]])


def compose(*matrices: Tensor) -> Tensor:
    """Return the product of matrices [..., 3, 3], the last applied first."""
    return reduce(torch.matmul, matrices)


def inverse_3x3(matrix: Tensor) -> Tensor:
    """Return the inverse of matrices [N, 3, 3] by their adjugates."""
    following = torch.tensor([1, 2, 0])
    after = torch.tensor([2, 0, 1])
    a, b = matrix.index_select(1, following), matrix.index_select(1, after)  # [N, 3, 3], rows i+1 and i+2
    cross = a.index_select(2, following) * b.index_select(2, after) - a.index_select(2, after) * b.index_select(
        2, following
    )
    determinant = (matrix[:, :1] * cross[:, :1]).sum(dim=2, keepdim=True)  # [N, 1, 1]
    return cross.transpose(1, 2) / determinant


def transform_points(matrix: Tensor, points: Tensor) -> Tensor:
    """Return points [N or 1, P, 2] as matrices [N, 3, 3] see them, [N, P, 2]."""
    moved = torch.matmul(points, matrix[:, :2, :2].transpose(1, 2)) + matrix[:, None, :2, 2]
    depth = torch.matmul(points, matrix[:, 2:, :2].transpose(1, 2)) + matrix[:, None, 2:, 2]  # [N, P, 1]
    return moved / depth


def _grid(
    matrix: Tensor, target_wh: tuple[int, int], source_wh: tuple[float, float] | Tensor, perspective: bool
) -> Tensor:
    """Return where each target pixel lies in the source, -1 to 1 from edge to edge, [N, 2, ht, wt].

    Two planes, not pairs: ONNX Runtime adds, clips and compares rows of 256 many times faster than rows of 2.
    """
    size = source_wh if isinstance(source_wh, Tensor) else torch.tensor(source_wh, dtype=torch.float32)
    ratio = 2.0 / size  # [2]
    top = matrix[:, :2] * ratio[:, None] + matrix[:, 2:] * (0.5 * ratio - 1.0)[:, None]  # [N, 2, 3]
    u = torch.arange(target_wh[0], dtype=torch.float32)[None, None, None, :]
    v = torch.arange(target_wh[1], dtype=torch.float32)[None, None, :, None]
    across = u * top[:, :, 0, None, None]  # [N, 2, 1, wt]
    down = v * top[:, :, 1, None, None] + top[:, :, 2, None, None]  # [N, 2, ht, 1]
    grid = across + down  # [N, 2, ht, wt]
    if not perspective:
        return grid
    last = matrix[:, 2, :, None, None, None]  # [N, 3, 1, 1, 1]
    return grid / (u * last[:, 0] + (v * last[:, 1] + last[:, 2]))


def sample(image: Tensor, matrix: Tensor, target_wh: tuple[int, int], perspective: bool = False) -> Tensor:
    """Return an image as a target sees it: bilinear, the border's pixels repeated outside.

    The repeating is done by holding the places inside: ONNX Runtime's own takes 3 ms where this takes 1.2 (GridSample
    of 3 channels, 320² to 256², one thread).

    Parameters
    ----------
    image : Tensor of float32 [N, C, h, w]
    matrix : Tensor of float32 [N, 3, 3]
        Target pixel -> source pixel.
    target_wh : tuple of int
        Width and height of the target, px.
    perspective : bool
        Whether the last row of the matrices is anything but (0, 0, 1).

    Returns
    -------
    Tensor of float32 [N, C, ht, wt]
    """
    size = _size_of(image)
    last = (1.0 - 1.0 / size)[:, None, None]  # the outermost pixels' centres, [2, 1, 1]
    grid = _grid(matrix, target_wh, size, perspective).maximum(-last).minimum(last).permute(0, 2, 3, 1)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _size_of(image: Tensor) -> Tensor:
    height = torch.full((1,), image.shape[2], dtype=torch.float32)
    width = torch.full((1,), image.shape[3], dtype=torch.float32)
    return torch.cat((width, height))


def inside(
    matrix: Tensor, target_wh: tuple[int, int], source_wh: tuple[float, float] | Tensor, perspective: bool = False
) -> Tensor:
    """Return 1 where a target pixel lies inside the source and 0 elsewhere, float32 [N, 1, ht, wt].

    Parameters
    ----------
    matrix : Tensor of float32 [N, 3, 3]
        Target pixel -> source pixel.
    target_wh : tuple of int
        Width and height of the target, px.
    source_wh : tuple of float, or Tensor of float32 [2]
        Width and height of the source, px. Its area reaches half a pixel beyond the outer pixels' centres.
    perspective : bool
        As for `sample`.
    """
    grid = _grid(matrix, target_wh, source_wh, perspective)
    return (grid.abs().amax(dim=1) <= 1.0).to(torch.float32)[:, None]


def pose_to_matrix(pose: Tensor, frame_wh: tuple[float, float] | Tensor) -> Tensor:
    """Return the matrices of poses about the frame's centre.

    Parameters
    ----------
    pose : Tensor of float32 [N, 4]
        angle_deg (counter-clockwise as seen), dx_px (right), dy_px (down), scale.
    frame_wh : tuple of float, or Tensor of float32 [2]
        Width and height of the frame, px.

    Returns
    -------
    Tensor of float32 [N, 3, 3]
        Golden pixel -> frame pixel.
    """
    centre = _centre(frame_wh)
    angle = pose[:, 0] * (math.pi / 180.0)
    a, b = pose[:, 3] * torch.cos(angle), pose[:, 3] * torch.sin(angle)  # [N]
    x = centre[0] + pose[:, 1] - a * centre[0] - b * centre[1]
    y = centre[1] + pose[:, 2] + b * centre[0] - a * centre[1]
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    return torch.stack((a, b, x, -b, a, y, zero, zero, one), dim=1).reshape(-1, 3, 3)


def matrix_to_pose(matrix: Tensor, frame_wh: tuple[float, float] | Tensor) -> Tensor:
    """Return the poses [N, 4] of matrices [N, 3, 3], the inverse of `pose_to_matrix`.

    Of a matrix that is no similarity, shift, mean rotation and root of the change of area at the frame's centre are
    meant.
    """
    centre = _centre(frame_wh)
    seen = torch.matmul(matrix, torch.cat((centre, torch.ones(1)))[:, None])  # [N, 3, 1]
    where = seen[:, :2] / seen[:, 2:]  # [N, 2, 1]
    local = (matrix[:, :2, :2] - where * matrix[:, 2:, :2]) / seen[:, 2:]  # [N, 2, 2]
    a, b, c, d = local[:, 0, 0], local[:, 0, 1], local[:, 1, 0], local[:, 1, 1]
    angle = torch.atan2(b - c, a + d) * (180.0 / math.pi)
    scale = torch.sqrt((a * d - b * c).abs())
    shift = where[:, :, 0] - centre  # [N, 2]
    return torch.stack((angle, shift[:, 0], shift[:, 1], scale), dim=1)


def _centre(frame_wh: tuple[float, float] | Tensor) -> Tensor:
    size = frame_wh if isinstance(frame_wh, Tensor) else torch.tensor(frame_wh, dtype=torch.float32)
    return 0.5 * size - 0.5
