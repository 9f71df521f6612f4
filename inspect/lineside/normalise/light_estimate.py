"""What light fell on an image: gains and a plane that carry the golden cells into the image's.

    image cell / golden cell = g_c (1 + a u + b v),   u, v from -1 to 1 across the image

Weighted least squares in closed form, reweighted with Cauchy's weights, so that a defect does not pull. The model
is linear in the light, not in its logarithm: a lamp that moves changes light by a plane, whose logarithm is bent (the
log-linear fit of a ±40 % plane leaves 4 % at the border). No Solve operator exists in ONNX: three unknowns take
Cramer's rule. Nothing here is bounded: what is applied is (`light`), and the gate wants to hear the whole of it.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lineside.normalise.light_cells import Cells, cell_places

ROBUST_ROUNDS = 3
CAUCHY = 2.385
"""Cauchy's tuning constant for 95 % efficiency at normal noise (Holland and Welsch 1977)."""
PRIOR = 1e-4
"""Weight of what holds when no cell can be trusted: the plain level and no gradient. All cells together weigh 1."""
DETAIL_SPREAD = 0.25
"""Spread of the detail's logarithm beyond which a cell counts less."""
LEAST_LIGHT = 0.1
"""The plane's least value in the estimate: below it the light of a corner is not a plane any more."""


class Golden(NamedTuple):
    """Golden cells as they enter the graph.

    Attributes
    ----------
    mean, weight, spread, share : Tensor of float32 [C, P]
        Robust mean over the good images, grey levels; weight in the fit, all together 1; relative spread between the
        good images after correction; share of trusted samples.
    detail, detail_weight : Tensor of float32 [C, P]
        Standard deviation inside the cell, grey levels; its weight in the contrast, all together 1.
    level : Tensor of float32 [C]
        Mean level, grey levels.
    """

    mean: Tensor
    weight: Tensor
    spread: Tensor
    share: Tensor
    detail: Tensor
    detail_weight: Tensor
    level: Tensor


class Estimate(NamedTuple):
    """The light on N images relative to the golden one, unbounded.

    Attributes
    ----------
    ratio : Tensor of float32 [N, C]
        Image over golden, per channel; robust.
    level_ratio : Tensor of float32 [N, C]
        The same of the mean levels: what is left of gain when contrast has changed too, since a picture flattened
        about its mean is brighter in one place and darker in another.
    plane : Tensor of float32 [N, 2]
        (a, b): relative change of the light from the image's middle to its right and lower border.
    contrast : Tensor of float32 [N]
        Detail over golden detail, after level ratio and plane; robust.
    residual : Tensor of float32 [N, P]
        Relative deviation of the cells that gains and plane do not explain; 0 where a cell cannot be trusted.
    """

    ratio: Tensor
    level_ratio: Tensor
    plane: Tensor
    contrast: Tensor
    residual: Tensor


class LightEstimator(nn.Module):
    """From cells to the light that fell on them; nothing in it is fitted."""

    basis: Tensor
    products: Tensor
    ridge: Tensor
    unit: Tensor
    first: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        places = cell_places()
        basis = torch.cat((torch.ones(1, places.shape[1]), places))  # [3, P]
        self.register_buffer("basis", basis)
        self.register_buffer("products", (basis[:, None] * basis[None, :]).reshape(9, -1).T.contiguous())  # [P, 9]
        self.register_buffer("ridge", PRIOR * torch.eye(3).reshape(9))
        self.register_buffer("unit", PRIOR * torch.tensor([1.0, 0.0, 0.0]))
        adjugate = _adjugate_terms()
        self.register_buffer("first", adjugate[:2])  # indices of the products that are added
        self.register_buffer("second", adjugate[2:])  # ... and taken off

    def forward(self, cells: Cells, golden: Golden) -> Estimate:
        """Estimate the light."""
        weight = golden.weight * _alike(cells.share, golden.share)  # [N, C, P]
        ratio = cells.mean / golden.mean  # [N, C, P]
        prior = cells.level / golden.level  # [N, C]
        gain = _mean(ratio, weight, prior)
        plane, light = self._plane(ratio / gain.unsqueeze(2), weight)
        gain = _mean(ratio / light, weight, prior)
        for _ in range(ROBUST_ROUNDS):
            deviation = (ratio / (gain.unsqueeze(2) * light) - 1.0) / (CAUCHY * golden.spread)
            trusted = weight / (1.0 + deviation * deviation)
            plane, light = self._plane(ratio / gain.unsqueeze(2), trusted / (light * light))
            gain = _mean(ratio / light, trusted, prior)
        flattened = _level_ratio(cells.mean / light, golden.mean, weight, prior)  # [N, C]
        contrast = _contrast(cells, golden, flattened.unsqueeze(2) * light)
        return Estimate(gain, flattened, plane, contrast, _residual(ratio / (gain.unsqueeze(2) * light), weight))

    def _plane(self, ratio: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Fit (a, b) [N, 2] to ratios [N, C, P]; return it and the light 1 + a u + b v, [N, 1, P]."""
        normal = torch.matmul(weight.sum(dim=1), self.products) + self.ridge  # [N, 9]
        right = torch.matmul((weight * ratio).sum(dim=1), self.basis.T) + self.unit  # [N, 3]
        adjugate = normal.index_select(1, self.first[0]) * normal.index_select(1, self.first[1])
        adjugate = adjugate - normal.index_select(1, self.second[0]) * normal.index_select(1, self.second[1])  # [N, 9]
        solved = torch.matmul(adjugate.reshape(-1, 3, 3), right.unsqueeze(2)).squeeze(2)  # times the determinant
        plane = solved[:, 1:] / solved[:, :1]
        light = 1.0 + torch.matmul(plane, self.basis[1:])
        return plane, light.clamp(min=LEAST_LIGHT).unsqueeze(1)


def _adjugate_terms() -> Tensor:
    """Indices into a row-wise symmetric 3×3 matrix: adjugate = m[t0] m[t1] - m[t2] m[t3], int64 [4, 9]."""
    terms = []
    for i in range(3):
        for j in range(3):
            r, s = [k for k in range(3) if k != j]
            p, q = [k for k in range(3) if k != i]
            one, other = [(3 * r + p, 3 * s + q), (3 * r + q, 3 * s + p)][:: (-1) ** (i + j)]
            terms.append((*one, *other))
    return torch.tensor(terms).T.contiguous()


def _alike(share: Tensor, golden: Tensor) -> Tensor:
    """How alike two shares of trusted samples are, 0 to 1: a cell that clips more than the golden one misleads."""
    alike = (torch.minimum(share, golden) / torch.maximum(share, golden).clamp(min=1e-6)) ** 2
    return alike * alike


def _mean(ratio: Tensor, weight: Tensor, prior: Tensor) -> Tensor:
    """Weighted mean over the cells, [N, C], the prior where there is no weight."""
    mean = ((weight * ratio).sum(dim=2) + PRIOR * prior) / (weight.sum(dim=2) + PRIOR)
    return mean.clamp(min=1e-3)


def _level_ratio(mean: Tensor, golden: Tensor, weight: Tensor, prior: Tensor) -> Tensor:
    """Ratio of the weighted levels, [N, C]."""
    level = (weight * golden).sum(dim=2)
    ratio = ((weight * mean).sum(dim=2) + PRIOR * prior) / (level + PRIOR)
    return ratio.clamp(min=1e-3)


def pivot(golden: Golden) -> Tensor:
    """Level about which contrast is rescaled: the weighted mean of the golden cells, [C]."""
    return (golden.weight * golden.mean).sum(dim=1) / golden.weight.sum(dim=1).clamp(min=1e-9)


def _contrast(cells: Cells, golden: Golden, lit: Tensor) -> Tensor:
    """Robust ratio of the cells' detail to the golden cells', [N], 1 where there is no detail."""
    weight = golden.detail_weight * _alike(cells.share, golden.share)
    ratio = (cells.deviation / (golden.detail * lit)).clamp(min=0.1, max=10.0).log()
    centre = (weight * ratio).sum(dim=(1, 2)) / (weight.sum(dim=(1, 2)) + PRIOR)
    deviation = (ratio - centre.reshape(-1, 1, 1)) / DETAIL_SPREAD
    trusted = weight / (1.0 + deviation * deviation)
    return ((trusted * ratio).sum(dim=(1, 2)) / (trusted.sum(dim=(1, 2)) + PRIOR)).exp()


def _residual(explained: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the channels of what is left, [N, P]."""
    total = weight.sum(dim=1)
    return (weight * (explained - 1.0)).sum(dim=1) / total.clamp(min=1e-9)
