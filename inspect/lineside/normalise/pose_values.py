"""From a golden part to the constants of the pose search: templates, points, steepest descents.

A pixel of the golden part counts as much as the good frames agree on it (the inverse of their variance there), so that
a highlight that stays with the lamp while the part turns has little say.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from lineside.normalise.geometry import F32, F64
from lineside.normalise.pose_settings import PoseSettings
from lineside.sixteen_bits import in_16_bits

RING_SHARE = 0.15
"""Least share of the golden part's contrast that its rings must hold for them to stand for its appearance."""

FAINTEST = 0.25
"""Least factor on the rings in the coarse templates of a part that is nearly round."""

FULL_TURN = 1000
"""Order of symmetry that stands for a part that looks the same at every angle."""

APART_DEG = 8.0
"""Candidates nearer than this have the same rotation."""

NEARER = 0.02
"""Correlation by which the upright candidate of a symmetric part is preferred to an upside-down one, by halves."""

UNSCALED = np.array([1, 1, 1, 0, 1, np.cos(np.deg2rad(APART_DEG)), 0, 0], np.float32)
"""`pose_typical` before anything is known of the good frames: the numbers come out as measured."""


@dataclass(frozen=True)
class GoldenPart:
    """The golden part on the canvas, as the search sees it.

    Attributes
    ----------
    contrast : float32 [L, L]
        Mean local contrast.
    weight : float32 [L, L]
        Say of each pixel, 0 where the frames show nothing.
    pivot : float64 [2]
        Point about which the part turns, in halves of the canvas's side from its middle.
    symmetry : int
        1, 2, 3, ... or `FULL_TURN`.
    """

    contrast: F32
    weight: F32
    pivot: F64
    symmetry: int = 1

    def with_symmetry(self, symmetry: int) -> "GoldenPart":
        """Return the part with another order of symmetry."""
        return replace(self, symmetry=symmetry)


def positions(side: int) -> F32:
    """Return the canvas's own measure of its pixel centres along one axis, [side]."""
    return np.asarray((2 * np.arange(side) + 1) / side - 1, np.float32)


def turned(angle_deg: float, scale: float, pivot: F64) -> F64:
    """Return the inner matrix of a rotation and change of size about a point."""
    angle = np.deg2rad(angle_deg)
    linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, pivot - linear @ pivot
    return matrix


def see_all(image: Tensor, matrix: Tensor, side: int) -> Tensor:
    """Return canvases [N, C, h, w] as golden canvases of a side see them under inner matrices [N, 3, 3]."""
    at = torch.from_numpy(positions(side))
    y, x = torch.meshgrid(at, at, indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x))).flatten(1)  # [3, P]
    where = torch.matmul(matrix, points)  # [N, 3, P]: a third of the time of points in rows
    grid = torch.unflatten(where[:, :2] / where[:, 2:], 2, (side, side)).permute(0, 2, 3, 1)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def build_values(settings: PoseSettings, golden: GoldenPart, seed: int) -> dict[str, F32]:
    """Return every value of the search but for gauge and what is typical, which start out neutral.

    Parameters
    ----------
    settings : PoseSettings
    golden : GoldenPart
    seed : int
        Of the choice of points.
    """
    generators = _generators(settings.freedoms, golden.pivot)
    values = _templates(settings, golden) | {"pose_generators": generators.reshape(-1, 9).astype(np.float32)}
    rng = np.random.default_rng([seed, 3])
    half = _reduced(golden, 2)
    coarse = _Points.choose(half, settings.points_coarse, rng)
    fine = _Points.choose(golden, settings.points_fine, rng)
    values |= {"pose_points_coarse": coarse.at, "pose_points_fine": fine.at}
    values["pose_read_fine"] = np.column_stack([fine.descents(generators), fine.sums()]).astype(np.float32)
    values["pose_weigh_fine"] = fine.weight[:, None].astype(np.float32)
    rings = coarse.with_contrast(_rings(settings, half))
    columns = [coarse.descents(generators), coarse.sums(), rings.sums()]
    values["pose_read_coarse"] = np.column_stack(columns).astype(np.float32)
    values["pose_weigh_coarse"] = np.column_stack([coarse.weight, rings.weight]).astype(np.float32)
    values |= {"pose_gauge": np.eye(3, dtype=np.float32), "pose_typical": typical_of(golden.symmetry)}
    if settings.model == "perspective":
        every = _generators(8, golden.pivot)
        values["pose_generators_full"] = every.reshape(-1, 9).astype(np.float32)
        values["pose_read_full"] = np.column_stack([fine.descents(every), fine.sums()]).astype(np.float32)
    return {name: np.ascontiguousarray(values[name]) for name in settings.value_shapes()}


def typical_of(symmetry: int) -> F32:
    """Return `pose_typical` for a part of which only the order of symmetry is known."""
    typical = UNSCALED.copy()
    typical[6] = NEARER if 1 < symmetry < FULL_TURN else 0.0
    typical[4], typical[5] = symmetry, np.cos(np.deg2rad(min(APART_DEG * symmetry, 90.0)))
    return typical


def _generators(count: int, pivot: F64) -> F64:
    """Return the matrices by which parameters move points: shift, rotation, scale about the pivot, or all eight."""
    basis = np.zeros((8, 3, 3))
    basis[0, 0, 2] = basis[1, 1, 2] = 1  # shift
    basis[2, 0, 1], basis[2, 1, 0] = 1, -1  # rotation
    basis[3, 0, 0] = basis[3, 1, 1] = 1  # scale
    basis[4, 0, 0], basis[4, 1, 1] = 1, -1
    basis[5, 0, 1] = basis[5, 1, 0] = 1
    basis[6, 2, 0] = basis[7, 2, 1] = 1
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = pivot, -pivot
    return np.asarray(there @ basis[:count] @ back)


def _templates(settings: PoseSettings, golden: GoldenPart) -> dict[str, F32]:
    """Return the matched filters of every rotation and scale as a product of low rank, and where they start."""
    starts = np.stack(
        [turned(angle, scale, golden.pivot) for angle in settings.rotations_deg for scale in settings.scales]
    )
    small = _fainter_rings(settings, _reduced(golden, 2))
    layers = torch.from_numpy(np.stack([small.contrast * small.weight, small.contrast**2 * small.weight]))
    inverse = torch.from_numpy(np.linalg.inv(starts).astype(np.float32))
    seen = see_all(layers[None].expand(len(starts), -1, -1, -1), inverse, layers.shape[1])
    product, energy = _quartered(seen).flatten(2).unbind(dim=1)  # [R*S, pixels]
    filters = product * torch.rsqrt(energy.sum(dim=1, keepdim=True).clamp(min=1e-12))
    rank, side = min(settings.rank, settings.templates), settings.canvas // 4
    main = torch.linalg.eigh((filters @ filters.T).double())[1].flip(1)[:, :rank].float()  # the SVD's left side
    basis = main.T @ filters
    basis = basis / basis.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return {
        "pose_basis": in_16_bits(basis.reshape(rank, 1, side, side).numpy()),
        "pose_mixing": in_16_bits((filters @ basis.T).numpy()),
        "pose_open": _open(settings, golden.symmetry),
        "pose_starts": starts.reshape(-1, 9).astype(np.float32),
    }


def _quartered(planes: Tensor) -> Tensor:
    """Average pooling of [n, C, h, w] by 2×2, which torch's own takes three times as long for."""
    upper, lower = planes[:, :, ::2], planes[:, :, 1::2]
    return (upper[..., ::2] + upper[..., 1::2] + lower[..., ::2] + lower[..., 1::2]) / 4


def _open(settings: PoseSettings, symmetry: int) -> F32:
    """Return 0 for rotations that are looked for and a large negative number for those that symmetry makes idle."""
    nearest = np.abs((np.array(settings.rotations_deg) + 180.0) % 360.0 - 180.0)
    return np.where(nearest <= 180.0 / symmetry + 1e-3, np.float32(0), np.float32(-1e5)).astype(np.float32)


def _reduced(golden: GoldenPart, factor: int) -> GoldenPart:
    def pool(layer: F32) -> F32:
        return np.asarray(functional.avg_pool2d(torch.from_numpy(layer)[None], factor)[0].numpy())

    return replace(golden, contrast=pool(golden.contrast), weight=pool(golden.weight))


def _slopes(contrast: F32) -> tuple[F64, F64]:
    """Return the golden part's slopes to the right and down, per half of the canvas's side."""
    half = contrast.shape[0] / 2
    down, right = np.gradient(contrast.astype(np.float64))
    return right * half, down * half


@dataclass(frozen=True)
class _Points:
    """Golden pixels that are looked at: where [P, 3], contrast, slopes and weight [P]."""

    at: F32
    pixel: npt.NDArray[np.int64]
    contrast: F64
    right: F64
    down: F64
    weight: F64
    symmetry: int

    @staticmethod
    def choose(golden: GoldenPart, count: int, rng: np.random.Generator) -> "_Points":
        """Draw pixels, the steep and reliable ones more often."""
        right, down = _slopes(golden.contrast)
        steep = np.sqrt(golden.weight * (right**2 + down**2)).ravel()
        share = np.minimum(steep, np.quantile(steep, 0.95)) + 1e-6 * max(steep.max(), 1e-6)
        count = min(count, share.size)
        pixel = np.sort(rng.choice(share.size, count, replace=False, p=share / share.sum()))
        axis = positions(golden.contrast.shape[0])
        y, x = np.unravel_index(pixel, golden.contrast.shape)
        at = np.column_stack([axis[x], axis[y], np.ones(count)]).astype(np.float32)
        points = _Points(
            at,
            pixel,
            golden.contrast.ravel()[pixel].astype(np.float64),
            right.ravel()[pixel],
            down.ravel()[pixel],
            golden.weight.ravel()[pixel].astype(np.float64),
            golden.symmetry,
        )
        return points._normalised()

    def with_contrast(self, layers: tuple[F32, F32]) -> "_Points":
        """Return the same points with another picture's contrast and weight."""
        contrast, weight = (layer.ravel()[self.pixel].astype(np.float64) for layer in layers)
        return replace(self, contrast=contrast, weight=weight)._normalised()

    def _normalised(self) -> "_Points":
        """Scale the weights so that the weighted energy of the contrast about its mean is 1."""
        mean = (self.weight * self.contrast).sum() / max(self.weight.sum(), 1e-12)
        energy = (self.weight * (self.contrast - mean) ** 2).sum()
        return replace(self, weight=self.weight / max(energy, 1e-9))

    def _centred(self) -> F64:
        mean = (self.weight * self.contrast).sum() / max(self.weight.sum(), 1e-12)
        return np.asarray(self.contrast - mean)

    def sums(self) -> F64:
        """Return the columns [P, 2] that give contrast against the golden part's, and mean."""
        total = max(self.weight.sum(), 1e-12)
        return np.column_stack([self.weight * self._centred(), self.weight / np.sqrt(total)])

    def descents(self, generators: F64) -> F64:
        """Return the columns [P, p] that give each parameter's error, blind to gain and offset."""
        moved = np.einsum("kij,pj->kpi", generators, self.at.astype(np.float64))  # [p, P, 3]
        x, y = self.at[:, 0].astype(np.float64), self.at[:, 1].astype(np.float64)
        steep = self.right * (moved[:, :, 0] - x * moved[:, :, 2]) + self.down * (moved[:, :, 1] - y * moved[:, :, 2])
        nuisance = np.stack([np.ones_like(x), self._centred()])  # [2, P]
        gram = (nuisance * self.weight) @ nuisance.T + 1e-12 * np.eye(2)
        steep = steep - (steep * self.weight) @ nuisance.T @ np.linalg.solve(gram, nuisance)
        if self.symmetry >= FULL_TURN and len(steep) > 2:
            steep[2] = 0.0
        hessian = (steep * self.weight) @ steep.T
        ridge = 1e-6 * np.trace(hessian) / len(hessian) + 1e-9
        return np.asarray(np.linalg.solve(hessian + ridge * np.eye(len(hessian)), steep * self.weight).T)


def _fainter_rings(settings: PoseSettings, golden: GoldenPart) -> GoldenPart:
    """Return the part with what no rotation changes made at most as strong as the rest, so that a mark is heard."""
    if not settings.by_rotation or golden.symmetry >= FULL_TURN:
        return golden
    mean, _ = _ring_moments(golden)
    rest = golden.contrast - mean
    share = float((golden.weight * rest**2).sum() / max(float((golden.weight * mean**2).sum()), 1e-9))
    return replace(golden, contrast=rest + mean * np.float32(np.clip(np.sqrt(share), FAINTEST, 1.0)))


def _ring_moments(golden: GoldenPart) -> tuple[F32, F32]:
    """Return mean and variance of the contrast over the ring about the pivot that each pixel lies on, [h, w]."""
    axis = positions(golden.contrast.shape[0])
    x, y = np.meshgrid(axis - golden.pivot[0], axis - golden.pivot[1])
    ring = np.rint(np.hypot(x, y) * len(axis) / 2).astype(np.int64)
    mass = np.maximum(np.bincount(ring.ravel(), golden.weight.ravel()), 1e-9)
    mean = np.bincount(ring.ravel(), (golden.weight * golden.contrast).ravel()) / mass
    square = np.bincount(ring.ravel(), (golden.weight * golden.contrast**2).ravel()) / mass
    return mean[ring].astype(np.float32), np.maximum(square - mean**2, 0.0)[ring].astype(np.float32)


def _rings(settings: PoseSettings, golden: GoldenPart) -> tuple[F32, F32]:
    """Return contrast and weight of what no rotation changes; those of the part itself where there is little of it."""
    if not settings.by_rotation or golden.symmetry >= FULL_TURN:
        return golden.contrast, golden.weight
    mean, within = _ring_moments(golden)
    if (golden.weight * mean**2).sum() < RING_SHARE * (golden.weight * golden.contrast**2).sum():
        return golden.contrast, golden.weight
    middle = float((golden.weight * within).sum() / max(float(golden.weight.sum()), 1e-9))
    return mean, golden.weight / (1.0 + within / max(middle, 1e-9))
