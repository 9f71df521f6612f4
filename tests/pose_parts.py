"""Small drawn parts in known poses: plates of any symmetry, with or without a mark that breaks it."""

import cv2
import numpy as np

from lineside.synth import Pose

SIZE = 128
_ZOOM = 4


def plate(corners: int, mark: bool = False, stretch: float = 1.0) -> np.ndarray:
    """Return a plate of so many corners with holes to match (0: round), float32 grey [512, 512]."""
    side, middle = _ZOOM * SIZE, (_ZOOM * SIZE - 1) / 2
    image = np.full((side, side), 45, np.float32)
    turns = np.arange(corners or 90) * 2 * np.pi / (corners or 90)
    ring = np.column_stack([stretch * np.cos(turns), np.sin(turns)])
    cv2.fillPoly(image, [np.rint(middle + 0.36 * side * ring).astype(np.int32)], 150.0, cv2.LINE_AA)
    cv2.circle(image, (round(middle), round(middle)), round(0.08 * side), 70.0, -1, cv2.LINE_AA)
    for x, y in middle + 0.24 * side * ring[: corners or 0]:
        cv2.circle(image, (round(x), round(y)), round(0.03 * side), 60.0, -1, cv2.LINE_AA)
    if mark:
        x, y = middle + 0.16 * side * np.array([np.cos(0.4), np.sin(0.4)])
        cv2.circle(image, (round(x), round(y)), round(0.045 * side), 230.0, -1, cv2.LINE_AA)
    return image


def seen(part: np.ndarray, matrix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a part as a camera sees it under a 3×3 matrix of part pixels to frame pixels, float32 [128, 128]."""
    zoom = np.array([[_ZOOM, 0, (_ZOOM - 1) / 2], [0, _ZOOM, (_ZOOM - 1) / 2], [0, 0, 1]])
    side = _ZOOM * SIZE
    big = cv2.warpPerspective(
        part, zoom @ matrix @ np.linalg.inv(zoom), (side, side), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_LINEAR
    )
    small = np.asarray(cv2.resize(big, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.float32)
    across = np.linspace(-1, 1, SIZE)
    lamp = rng.uniform(0.8, 1.2) * (1 + rng.uniform(-0.15, 0.15) * across + rng.uniform(-0.15, 0.15) * across[:, None])
    return np.clip(small * lamp + rng.normal(0, 1.5, small.shape), 0, 255).astype(np.float32)


def draw_pose(rng: np.random.Generator, angle_deg: float = 180.0) -> Pose:
    """Return a random pose: any angle within ±angle_deg, ±8 % shift, ±6 % scale."""
    dx, dy = rng.uniform(-0.08, 0.08, 2) * SIZE
    return Pose(float(rng.uniform(-angle_deg, angle_deg)), float(dx), float(dy), float(rng.uniform(0.94, 1.06)))


def matrix_of(pose: Pose) -> np.ndarray:
    """Return the 3×3 matrix of a pose."""
    return np.vstack([pose.matrix(SIZE), [0, 0, 1]])


def frames(part: np.ndarray, count: int, seed: int, angle_deg: float = 180.0) -> tuple[np.ndarray, list[Pose]]:
    """Return frames [count, 128, 128] of one part in random poses, and the poses."""
    rng = np.random.default_rng(seed)
    poses = [draw_pose(rng, angle_deg) for _ in range(count)]
    return np.stack([seen(part, matrix_of(pose), rng) for pose in poses]), poses
