"""What the aligned good frames say of the part's shape: how often it looks the same in a turn, and what belongs to it.

Both are decided on frames rather than on the golden part alone, because they are questions of what differs by more than
the good frames differ from each other.
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lineside.normalise.geometry import F32, F64, sample
from lineside.normalise.pose_search import PoseSearch, correlation
from lineside.normalise.pose_values import APART_DEG, FULL_TURN, GoldenPart, build_values, turned

ORDERS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12)
ODD_TURNS_DEG = (37.0, 67.0, 101.0, 143.0)
"""Orders of symmetry that are tried, and turns that leave only a round part unchanged."""

AGREEING = 0.97
"""Share of the frames on whose rotation two golden parts must agree for the part to have no symmetry."""

SAME_FIT = 0.03
DRIFT_DEG = 4.0
"""A turn fits as well when it costs at most this much correlation and the refinement leaves it where it was. Measured
on drawn plates: up to 0.017 where the turn is a symmetry, from 0.04 where it is none."""

MOVED_PX = 1.0
"""Least median distance, small px, that parts must move for their surroundings to be told from them."""

CONSISTENT = 0.4
EDGE_SHARE = 0.08
"""Least agreement of an edge between frames, and its least strength against the strong edges of the part."""

MARGIN_PX = 2
"""Added around the part, small px."""


def same_answer(one: F64, other: F64) -> bool:
    """Return whether two golden parts from different frames agree on the rotations of the same frames.

    They do where something breaks the symmetry; where nothing does, noise chooses, and chooses otherwise each time.

    Parameters
    ----------
    one, other : float64 [n, 3, 3]
        Inner matrices that each golden part finds.
    """
    cross = one[:, 0, 0] * other[:, 0, 1] - one[:, 0, 1] * other[:, 0, 0]
    dot = one[:, 0, 0] * other[:, 0, 0] + one[:, 0, 1] * other[:, 0, 1]
    return bool((np.abs(np.rad2deg(np.arctan2(cross, dot))) < APART_DEG).mean() >= AGREEING)


def symmetry_order(search: PoseSearch, contrast: Tensor, matrix: F64, golden: GoldenPart, seed: int) -> int:
    """Return how many rotations fit the frames nearly as well as the one that was found.

    Parameters
    ----------
    search : PoseSearch
    contrast : Tensor of float32 [n, 1, L, L]
        The frames as `PoseSearch.features` gives them.
    matrix : float64 [n, 3, 3]
        Their inner matrices.
    golden : GoldenPart
    seed : int

    Returns
    -------
    int
        1, one of `ORDERS`, or `FULL_TURN`.
    """
    given = {name: torch.from_numpy(value) for name, value in build_values(search.settings, golden, seed).items()}
    turns = [0.0, *(360.0 / order for order in ORDERS), *ODD_TURNS_DEG]
    starts = matrix[:, None] @ np.stack([turned(turn, 1.0, golden.pivot) for turn in turns])  # [n, T, 3, 3]
    match, drift = _match(search, contrast, torch.from_numpy(starts.astype(np.float32)), given)  # [n, T]
    near = np.median(match[:, :1] - match, axis=0) <= SAME_FIT
    if near.all():
        return FULL_TURN
    same = near & (np.median(drift, axis=0) <= DRIFT_DEG)
    return max((order for order, fits in zip(ORDERS, same[1:], strict=False) if fits), default=1)


def _match(search: PoseSearch, contrast: Tensor, starts: Tensor, given: dict[str, Tensor]) -> tuple[F64, F64]:
    """Return how well each frame fits at each start after the coarse refinement, and how far that turned it, [n, T]."""
    points, read, count = given["pose_points_coarse"], given["pose_read_coarse"], search.settings.freedoms
    with torch.no_grad():
        image = functional.avg_pool2d(contrast, 2)
        at = search.descend(image, starts, points, read, given["pose_generators"], search.settings.steps_coarse)
        seen = search.see(image, at, points)
        reading = torch.matmul(seen, read)
        energy = torch.matmul(seen * seen, given["pose_weigh_coarse"][:, :1])
        match = correlation(reading[:, :, count : count + 1], reading[:, :, count + 1 : count + 2], energy)
        a, b, c, d = starts[:, :, 0, 0], starts[:, :, 0, 1], at[:, :, 0, 0], at[:, :, 0, 1]
        drift = torch.atan2(a * d - b * c, a * c + b * d).abs() * (180 / np.pi)
    return match[:, :, 0].double().numpy(), drift.double().numpy()


def foreground(smalls: F32, matrices: F32) -> F32:
    """Return 1 where the content moves with the part, 0 elsewhere, in golden small pixels [hs, ws].

    The part is what its own edges enclose: edges that are sharp in the mean of the aligned frames. Where the frames do
    not move, or no edges enclose anything, everything is foreground: leaving a part of the part out would hide defects.

    Parameters
    ----------
    smalls : float32 [n, hs, ws]
    matrices : float32 [n, 3, 3]
        Golden small pixel -> small pixel of each frame.
    """
    everything = np.ones(smalls.shape[1:], np.float32)
    if not _moves(smalls.shape[1:], matrices):
        return everything
    images = torch.from_numpy(np.log(np.asarray(smalls, np.float32) + 16))[:, None]
    seen = sample(images, torch.from_numpy(matrices), (smalls.shape[2], smalls.shape[1]), perspective=True)[:, 0]
    steep = _edges(seen.mean(dim=0).numpy())
    typical = np.mean([_edges(one) for one in seen.numpy()], axis=0)
    strong = steep >= EDGE_SHARE * np.quantile(steep, 0.98)
    filled = _filled(strong & (steep >= CONSISTENT * typical))
    share = filled.mean()
    return filled if 0.05 <= share <= 0.9 else everything


def _moves(size_hw: tuple[int, ...], matrices: F32) -> bool:
    centre = np.array([(size_hw[1] - 1) / 2, (size_hw[0] - 1) / 2, 1], np.float32)
    corner = np.array([size_hw[1] * 0.75, size_hw[0] * 0.75, 1], np.float32)
    moved = 0.0
    for point in (centre, corner):
        seen = matrices @ point
        seen = seen[:, :2] / seen[:, 2:]
        moved = max(moved, float(np.median(np.linalg.norm(seen - np.median(seen, axis=0), axis=1))))
    return moved >= MOVED_PX


def _edges(image: npt.NDArray[np.float32]) -> F64:
    """Return the energy of the slopes of an image, over a neighbourhood of 3 px."""
    down, right = np.gradient(cv2.GaussianBlur(image, (0, 0), 0.7).astype(np.float64))
    return np.asarray(cv2.GaussianBlur(down**2 + right**2, (0, 0), 1.0))


def _filled(edges: npt.NDArray[np.bool_]) -> F32:
    """Return the largest region that edges enclose, with a margin, as 0 and 1."""
    pad = 8
    canvas = np.pad(edges.astype(np.uint8), pad)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    closed = np.asarray(cv2.morphologyEx(canvas, cv2.MORPH_CLOSE, disc))
    outside = closed.copy()
    cv2.floodFill(outside, np.zeros((closed.shape[0] + 2, closed.shape[1] + 2), np.uint8), (0, 0), 2)
    solid = np.asarray(cv2.morphologyEx((outside != 2).astype(np.uint8), cv2.MORPH_OPEN, disc))
    count, label, stats, _ = cv2.connectedComponentsWithStats(solid)
    if count < 2:
        return np.zeros(edges.shape, np.float32)
    largest = (label == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1))
    return np.asarray(cv2.dilate(largest, around), np.float32)[pad:-pad, pad:-pad]
