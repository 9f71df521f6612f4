"""The golden part from all good frames: aligned group-wise, averaged robustly, in the anchor frame's coordinates.

A few good frames are tried as the first reference; the one that the others agree with best is the seed. Then
align, average, rebuild, a few times. Only the gauge comes from the anchor: its pose is the identity.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lineside.normalise.geometry import F32, F64, sample
from lineside.normalise.pose_search import PoseSearch
from lineside.normalise.pose_settings import PoseSettings
from lineside.normalise.pose_shape import foreground, same_answer, symmetry_order
from lineside.normalise.pose_values import GoldenPart, build_values, positions, see_all, turned, typical_of

REFERENCES = 4
TRIED_ON = 24
"""First references, and the frames that they are tried on. The anchor is none of them: in a fold it may be held out."""

ROUNDS = 3
LEAST_VARIANCE = 1e-6
"""Of the contrast between good frames: frames that are one picture do not vary at all."""
TRIM = 0.2
"""Share of the frames left out at either end, pixel by pixel."""


FIDUCIAL_SHARE = 0.05
ELSEWHERE_SAY = 0.01
"""Half a fiducial's box as a share of the longer side, and the say of a pixel outside of them."""


@dataclass(frozen=True)
class PoseFit:
    """The fitted pose search and what it made of the good frames.

    Attributes
    ----------
    values : dict of float32 arrays
        What `PoseSearch.forward` takes, in the order of its `value_names`.
    matrices : float32 [n, 3, 3]
        Golden small pixel -> small pixel of each good frame.
    numbers : float32 [n, 4]
        `POSE_NUMBERS` of each good frame.
    golden : float32 [hs, ws]
        Robust mean of the aligned good frames, grey levels.
    spread : float
        Share of the local contrast in which the aligned good frames differ from their mean.
    spread_unaligned : float
        The same without alignment.
    foreground : float32 [hs, ws]
        1 where the content moves with the part, in golden small pixels.
    symmetry : int
        Rotations that look the same: 1, 2, 3, ...; 1000 stands for all of them.
    inner : GoldenPart
        As the search sees it.
    anchor_match : float
        How well the anchor fits the golden part, 1 being typical of the good frames.
    """

    values: dict[str, F32]
    matrices: F32
    numbers: F32
    golden: F32
    spread: float
    spread_unaligned: float
    foreground: F32
    symmetry: int
    inner: GoldenPart
    anchor_match: float


@dataclass(frozen=True)
class Group:
    """The good frames' contrast [n, 1, L, L], where they show anything [1, 1, L, L], and the frames [n, 1, hs, ws]."""

    search: PoseSearch
    small: Tensor
    contrast: Tensor
    mask: Tensor
    seed: int

    @property
    def settings(self) -> PoseSettings:
        """What is looked for."""
        return self.search.settings

    def some(self, chosen: slice) -> "Group":
        """Return some of the frames."""
        return replace(self, small=self.small[chosen], contrast=self.contrast[chosen])


@dataclass(frozen=True)
class Found:
    """Inner matrices [n, 3, 3], and match, appearance and margin [n, 3] as measured."""

    matrix: F64
    shown: F64


def fit_pose(smalls: F32, anchor: F32, settings: PoseSettings, seed: int) -> PoseFit:
    """Fit the pose search on good frames.

    Parameters
    ----------
    smalls : float32 [n, hs, ws]
        Small grey images of the good frames, 0 to 255.
    anchor : float32 [hs, ws]
        The frame whose pose is the identity; need not be one of them.
    settings : PoseSettings
    seed : int
        Of the choice of references and points.
    """
    group = group_of(smalls, settings, seed)
    golden = _seed_golden(group)
    for _ in range(ROUNDS):
        golden = _rebuild(group, golden, anchor)
    golden = _with_symmetry(group, golden, anchor)
    if settings.fiducials:
        golden = _on_fiducials(group, golden, anchor, settings.fiducials)
    values = build_values(settings, golden, seed)
    found, at_anchor = find(group, group.small, values), find(group, _as_batch(anchor), values)
    values["pose_gauge"] = np.linalg.inv(at_anchor.matrix[0]).astype(np.float32)
    values["pose_typical"] = _typical(settings, golden, found.shown)
    matrices, numbers = _outer(group, values)
    grey = aligned(smalls, matrices)
    return PoseFit(
        values,
        matrices,
        numbers,
        grey,
        _spread(group, found.matrix, golden),
        _spread(group, np.repeat(np.eye(3)[None], len(smalls), axis=0), golden),
        foreground(smalls, matrices),
        golden.symmetry,
        golden,
        float(at_anchor.shown[0, 0] * values["pose_typical"][0]),
    )


def aligned(smalls: F32, matrices: F32) -> F32:
    """Return the pixel by pixel median of aligned images, brought to one level, [hs, ws]."""
    images = torch.from_numpy(np.ascontiguousarray(smalls, np.float32))[:, None]
    level = images.flatten(1).median(dim=1).values.clamp(min=1.0)
    images = images * (level.median() / level)[:, None, None, None]
    size = (smalls.shape[2], smalls.shape[1])
    seen = sample(images, torch.from_numpy(matrices), size, perspective=True)
    return np.asarray(np.median(seen[:, 0].numpy(), axis=0), np.float32)


def _as_batch(image: F32) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]


def group_of(smalls: F32, settings: PoseSettings, seed: int) -> Group:
    """Return good frames [n, hs, ws] with what the fit needs of them."""
    search = PoseSearch(settings).eval()
    small = torch.from_numpy(np.ascontiguousarray(smalls, np.float32))[:, None]
    mask = torch.zeros(1, 1, settings.canvas, settings.canvas)
    (x, y), (width, height) = settings.corner, settings.small_wh
    mask[:, :, y : y + height, x : x + width] = 1
    return Group(search, small, search.features(small), mask, seed)


def find(group: Group, small: Tensor, values: dict[str, F32]) -> Found:
    """Return what the search finds, gauge and scaling of the numbers left aside."""
    given = {name: torch.from_numpy(value) for name, value in values.items()}
    with torch.no_grad():
        matrix, match, coarse = group.search.search(small, given)
    return Found(matrix.double().numpy(), torch.cat((match, coarse), dim=1).double().numpy())


def _outer(group: Group, values: dict[str, F32]) -> tuple[F32, F32]:
    with torch.no_grad():
        matrix, numbers = group.search(group.small, *(torch.from_numpy(value) for value in values.values()))
    return matrix.numpy(), numbers.numpy()


def _seed_golden(group: Group) -> GoldenPart:
    """Return the single frame with which the others agree best, as a first golden part."""
    rng = np.random.default_rng([group.seed, 1])
    tried = rng.permutation(len(group.small))[:TRIED_ON]
    firsts = [group.contrast[i : i + 1] for i in tried[:REFERENCES]]
    best, best_match = None, -np.inf
    for contrast in firsts:
        golden = _golden(contrast, group.mask, group.mask)
        match = np.median(find(group, group.small[tried], build_values(group.settings, golden, group.seed)).shown[:, 0])
        if match > best_match:
            best, best_match = golden, float(match)
    assert best is not None
    return best


def _golden(mean: Tensor, weight: Tensor, mask: Tensor) -> GoldenPart:
    """Return a golden part from mean contrast and weight [1, 1, L, L], its pivot the centre of its contrast."""
    contrast = (mean * mask)[0, 0].numpy()
    say = (weight * mask)[0, 0].numpy()
    energy = say.astype(np.float64) * contrast.astype(np.float64) ** 2
    axis = (2 * np.arange(len(say)) + 1) / len(say) - 1
    total = max(float(energy.sum()), 1e-12)
    pivot = np.array([(energy.sum(axis=0) * axis).sum(), (energy.sum(axis=1) * axis).sum()]) / total
    return GoldenPart(contrast.astype(np.float32), say.astype(np.float32), pivot)


def _rebuild(group: Group, golden: GoldenPart, anchor: F32) -> GoldenPart:
    """Return the golden part from the frames as they lie on the last one."""
    values = build_values(group.settings, golden, group.seed)
    found = find(group, group.small, values)
    angle = _angle(find(group, _as_batch(anchor), values).matrix)[0]
    matrix = found.matrix @ _centring(group.settings, found.matrix, golden.pivot, angle)
    return _rebuilt(group, matrix)


def _rebuilt(group: Group, matrix: F64) -> GoldenPart:
    """Return the golden part of frames whose inner matrices are known."""
    mean, spread, seen = moments(group, matrix)
    energetic = (mean**2 * seen).flatten()
    floor = max(float((spread.flatten() * energetic).sum() / energetic.sum().clamp(min=1e-9)), LEAST_VARIANCE)
    weight = seen * (2 * floor) / (spread + floor)
    return _golden(mean, weight, (seen >= 0.5).float())


def _on_fiducials(
    group: Group, golden: GoldenPart, anchor: F32, fiducials: tuple[tuple[float, float], ...]
) -> GoldenPart:
    """Return the golden part with nearly all say given to marks, points as shares of the anchor frame."""
    at_anchor = find(group, _as_batch(anchor), build_values(group.settings, golden, group.seed)).matrix[0]
    shares = np.array([[x, y, 1.0] for x, y in fiducials])
    pixels = shares * [*group.settings.small_wh, 1] - [0.5, 0.5, 0]
    seen = np.linalg.inv(at_anchor) @ group.settings.to_canvas() @ pixels.T  # [3, 4]
    axis = positions(group.settings.canvas)
    far = [
        np.maximum(np.abs(axis - x), np.abs(axis - y)[:, None]) for x, y in (seen[:2] / seen[2]).T
    ]  # squares about each mark
    say = np.where(np.min(far, axis=0) <= 2 * FIDUCIAL_SHARE, 1.0, ELSEWHERE_SAY)
    return replace(golden, weight=(golden.weight * say).astype(np.float32))


def _with_symmetry(group: Group, golden: GoldenPart, anchor: F32) -> GoldenPart:
    """Return the golden part with its order of symmetry; where it has one, every frame is turned to its nearest."""
    if not group.settings.full_circle or len(group.small) < 4:
        return golden
    place = find(group, group.small, build_values(group.settings, golden, group.seed)).matrix
    parts = [_rebuilt(group.some(slice(n, None, 2)), place[n::2]) for n in (0, 1)]
    one, other = (find(group, group.small, build_values(group.settings, part, group.seed)).matrix for part in parts)
    if same_answer(one, other):
        return golden
    order = symmetry_order(group.search, group.contrast, place, golden, group.seed)
    if order == 1:
        return golden
    return _rebuild(group, golden.with_symmetry(order), anchor).with_symmetry(order)


def _angle(matrix: F64) -> F64:
    """Return the rotations of inner matrices, degrees."""
    return np.asarray(np.rad2deg(np.arctan2(matrix[:, 0, 1] - matrix[:, 1, 0], matrix[:, 0, 0] + matrix[:, 1, 1])))


def _centring(settings: PoseSettings, matrix: F64, pivot: F64, anchor_deg: float) -> F64:
    """Return the change of gauge: middle place and size of the frames; the anchor's angle, or the middle one."""
    places = matrix[:, :2, :2] @ pivot + matrix[:, :2, 2]
    middle = np.median(places, axis=0)
    size = np.median(np.sqrt(np.abs(np.linalg.det(matrix[:, :2, :2])))) if len(settings.scales) > 1 else 1.0
    angle = anchor_deg
    if not settings.full_circle:
        angle = float(np.median(_angle(matrix)))
    change = turned(-angle if len(settings.rotations_deg) > 1 else 0.0, 1 / size, np.zeros(2))
    change[:2, 2] = pivot - change[:2, :2] @ middle
    return change


def moments(group: Group, matrix: F64) -> tuple[Tensor, Tensor, Tensor]:
    """Return trimmed mean, trimmed variance and share of frames that show each golden pixel, each [1, 1, L, L]."""
    moves = torch.from_numpy(matrix.astype(np.float32))
    side = group.settings.canvas
    seen = see_all(group.contrast, moves, side)  # [n, 1, L, L]
    share = see_all(group.mask.expand(len(moves), -1, -1, -1), moves, side).mean(dim=0, keepdim=True)
    drop = int(TRIM * len(moves))
    ordered = seen.sort(dim=0).values[drop : len(moves) - drop]
    mean = ordered.mean(dim=0, keepdim=True)
    off = ((seen - mean) ** 2).sort(dim=0).values[: len(moves) - drop]
    return mean, off.mean(dim=0, keepdim=True), share


def _typical(settings: PoseSettings, golden: GoldenPart, shown: F64) -> F32:
    """Return `pose_typical` from match, appearance and margin [n, 3] of good frames."""
    typical = typical_of(golden.symmetry)
    middle = np.median(shown, axis=0)
    typical[:2] = 1 / np.maximum(middle[:2], 0.05)
    if len(settings.rotations_deg) > 1 and golden.symmetry == 1:
        typical[2] = 1 / max(middle[2], 0.02)
    else:
        typical[2], typical[3] = 0.0, 1.0
    return typical


def _spread(group: Group, matrix: F64, golden: GoldenPart) -> float:
    """Return the frames' variance about their mean against their variance, where the golden part has a say."""
    mean, spread, seen = moments(group, matrix)
    inside = (seen >= 0.5).float()
    return float((spread * inside).sum() / ((spread + mean**2) * inside).sum().clamp(min=1e-9))
