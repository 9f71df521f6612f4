"""Finds the golden part in a small grey image: where it lies, how it is turned and how large it is.

Coarse, on a canvas of 32 px: the golden part at every rotation and scale is correlated with the image over every
shift. The templates are a product of two matrices of low rank, so that one convolution with 96 of them serves 360.
Then the best few rotations are refined by inverse compositional Lucas-Kanade (Baker and Matthews, IJCV 56, 2004) on a
few hundred informative golden pixels at 64 px, and the one that fits best on a few thousand at 128 px. Jacobian and
Hessian are constants of the golden part there, so an iteration is one GridSample and one matrix product.

Log-polar phase correlation was rejected: it needs the centre first, and its spectrum of magnitudes mirrors the part.

Inside, points are measured in halves of the canvas's side from its middle, right and down, as GridSample counts them:
the same at every size of the pyramid.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lineside.normalise.geometry import F32
from lineside.normalise.pose_settings import PoseSettings

POSE_NUMBERS = ("confidence", "match", "appearance", "rotation")
"""What `PoseSearch` returns beside the matrix, all about 1 for good frames and clipped to 0 to 1: the least of the
other numbers that matter; how well the aligned frame fits the golden part; how well what does not depend on the
rotation fits (outline, rings); how much better the rotation fits than any other."""

LEVEL_OFFSET = 16.0
"""Grey levels added to the level that contrast is measured against, so that noise in the dark stays small."""

MIN_GAIN = 0.3
MAX_STEP = 0.08
"""Least contrast that a step is divided by, and the longest step, in halves of the canvas's side."""

_FAR = 1e4


def blur_matrix(size: int, sigma: float) -> F32:
    """Return the matrix [size, size] of a Gaussian blur whose weights are renormalised at the border."""
    at = np.arange(size)
    weights = np.exp(-0.5 * ((at[:, None] - at[None, :]) / sigma) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


class PoseSearch(nn.Module):
    """The pose of the golden part in small grey images.

    Parameters
    ----------
    settings : PoseSettings
        `value_names` are the fitted values that `forward` takes, in this order; `fit_pose` makes them.
    """

    blur_x: Tensor
    blur_y: Tensor
    into: Tensor
    back: Tensor
    shifts: Tensor
    scale_of: Tensor
    place_of: Tensor

    def __init__(self, settings: PoseSettings) -> None:
        super().__init__()
        if settings.model in ("auto", "none"):
            raise ValueError(f"a search needs a pose model, found {settings.model!r}")
        self.settings = settings
        self.value_names = tuple(settings.value_shapes())
        sigma = settings.canvas / 10
        into = settings.to_canvas()
        self.register_buffer("blur_x", torch.from_numpy(blur_matrix(settings.small_wh[0], sigma).T.copy()))
        self.register_buffer("blur_y", torch.from_numpy(blur_matrix(settings.small_wh[1], sigma)))
        self.register_buffer("into", torch.from_numpy(into))
        self.register_buffer("back", torch.from_numpy(np.linalg.inv(into.astype(np.float64)).astype(np.float32)))
        self._register_tables()

    def _register_tables(self) -> None:
        """Register what each place of the correlation means: shift as a matrix to add, number of the scale."""
        reach, scales = self.settings.reach, len(self.settings.scales)
        step = 2.0 / (self.settings.canvas // 4)
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1) * step
        places = np.zeros((x.size, 9), np.float32)
        places[:, 2], places[:, 5] = x, y
        self.register_buffer("shifts", torch.from_numpy(places))
        self.register_buffer("scale_of", torch.arange(scales).repeat_interleave(x.size))
        self.register_buffer("place_of", torch.arange(x.size).repeat(scales))

    def features(self, small: Tensor) -> Tensor:
        """Return local contrast, -1 to 1, on the canvas: neither gain nor slow gradient changes it.

        Parameters
        ----------
        small : Tensor of float32 [N, 1, hs, ws]
            Grey levels 0 to 255.

        Returns
        -------
        Tensor of float32 [N, 1, canvas, canvas], 0 outside the image
        """
        around = torch.matmul(torch.matmul(self.blur_y, small), self.blur_x)
        contrast = (small - around) / (small + around + 2 * LEVEL_OFFSET)
        (width, height), (x, y), side = self.settings.small_wh, self.settings.corner, self.settings.canvas
        if (width, height) == (side, side):
            return contrast
        return functional.pad(contrast, (x, side - width - x, y, side - height - y))

    def forward(self, small: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        """Find the part.

        Parameters
        ----------
        small : Tensor of float32 [N, 1, hs, ws]
            Grey levels 0 to 255.
        *values : Tensor
            In the order of `value_names`.

        Returns
        -------
        matrix : Tensor of float32 [N, 3, 3]
            Golden small pixel -> frame small pixel.
        numbers : Tensor of float32 [N, 4]
            `POSE_NUMBERS`.
        """
        given = dict(zip(self.value_names, values, strict=True))
        inner, match, coarse = self.search(small, given)
        matrix = torch.matmul(self.back, torch.matmul(inner, torch.matmul(given["pose_gauge"], self.into)))
        if self.settings.model == "perspective":
            matrix = matrix / matrix[:, 2:, 2:]
        return matrix, _numbers(match, coarse, given["pose_typical"])

    def search(self, small: Tensor, given: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return inner matrix [N, 3, 3], match [N, 1], and appearance and margin [N, 2], none of them scaled."""
        fine = self.features(small)
        middle = functional.avg_pool2d(fine, 2)
        starts = self.candidates(functional.avg_pool2d(middle, 2), given)
        best, coarse = self._choose(middle, self._refine_coarse(middle, starts, given), given)
        inner = self._refine(fine, best, given["pose_points_fine"], given["pose_read_fine"], given["pose_generators"])
        if self.settings.model == "perspective":
            inner = self._refine(
                fine, inner, given["pose_points_fine"], given["pose_read_full"], given["pose_generators_full"]
            )
        seen = self.see(fine, inner, given["pose_points_fine"])  # [N, 1, P]
        reading = torch.matmul(seen, given["pose_read_fine"])[:, :, self.settings.freedoms :]
        energy = torch.matmul(seen * seen, given["pose_weigh_fine"])
        match = correlation(reading[:, :, :1], reading[:, :, 1:], energy)
        return inner[:, 0], match[:, 0], coarse

    def candidates(self, coarse: Tensor, given: dict[str, Tensor]) -> Tensor:
        """Return where the refinement starts, inner matrices [N, K, 3, 3].

        Parameters
        ----------
        coarse : Tensor of float32 [N, 1, canvas/4, canvas/4]
        given : dict of Tensor
            The values by name.
        """
        settings = self.settings
        reach, rotations, scales = settings.reach, len(settings.rotations_deg), len(settings.scales)
        response = functional.conv2d(functional.pad(coarse, (reach, reach, reach, reach)), given["pose_basis"])
        score = torch.matmul(given["pose_mixing"], response.flatten(2))  # [N, R*S, places]
        if settings.by_rotation:
            best, at = torch.unflatten(score, 1, (rotations, scales)).flatten(2).max(dim=2)  # [N, R]
            chosen = self._peaks_by_rotation(best + given["pose_open"])  # [N, K]
            idle = _look_up(given["pose_open"], chosen) < 0.0
            chosen = torch.where(idle, chosen[:, :1].expand_as(chosen), chosen)
            spot = at.gather(1, chosen)  # scale * places + place
            template = chosen * scales + _look_up(self.scale_of, spot)
            place = _look_up(self.place_of, spot)
        else:
            best, at = score.max(dim=1)  # [N, places]
            place = self._peaks_by_place(best)
            template = at.gather(1, place)
        start = _look_up(given["pose_starts"], template) + _look_up(self.shifts, place)  # [N, K, 9]
        return torch.unflatten(start, 2, (3, 3))

    def _peaks_by_rotation(self, best: Tensor) -> Tensor:
        """Return the numbers [N, K] of the best rotations that are no slope of a better one."""
        near = 2
        if self.settings.full_circle:
            ring = torch.cat((best[:, -near:], best, best[:, :near]), dim=1)
        else:
            ring = functional.pad(best, (near, near), value=-_FAR)
        highest = functional.max_pool1d(ring[:, None], 2 * near + 1, stride=1)[:, 0]  # [N, R]
        peaks = torch.where(best >= highest, best, best - _FAR)
        return torch.topk(peaks, min(self.settings.candidates, best.shape[1]), dim=1).indices

    def _peaks_by_place(self, best: Tensor) -> Tensor:
        """Return the numbers [N, K] of the best places that are no slope of a better one."""
        side = 2 * self.settings.reach + 1
        field = functional.pad(torch.unflatten(best, 1, (1, side, side)), (1, 1, 1, 1), value=-_FAR)
        highest = functional.max_pool2d(field, 3, stride=1).flatten(1)
        peaks = torch.where(best >= highest, best, best - _FAR)
        return torch.topk(peaks, min(self.settings.candidates, side * side), dim=1).indices

    def see(self, image: Tensor, matrix: Tensor, points: Tensor) -> Tensor:
        """Return what golden points [P, 3] show under matrices [N, K, 3, 3] in images [N, 1, h, w]: [N, K, P]."""
        if self.settings.model == "perspective":
            where = torch.matmul(points, matrix.transpose(2, 3))  # [N, K, P, 3]
            grid = where[:, :, :, :2] / where[:, :, :, 2:]
        else:
            grid = torch.matmul(points, matrix[:, :, :2].transpose(2, 3))  # [N, K, P, 2]
        seen = functional.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return seen[:, 0]

    def _refine_coarse(self, image: Tensor, matrix: Tensor, given: dict[str, Tensor]) -> Tensor:
        points, read = given["pose_points_coarse"], given["pose_read_coarse"]
        return self.descend(image, matrix, points, read, given["pose_generators"], self.settings.steps_coarse)

    def _refine(self, image: Tensor, matrix: Tensor, points: Tensor, read: Tensor, generators: Tensor) -> Tensor:
        return self.descend(image, matrix, points, read, generators, self.settings.steps_fine)

    def descend(
        self, image: Tensor, matrix: Tensor, points: Tensor, read: Tensor, generators: Tensor, steps: int
    ) -> Tensor:
        """Return matrices [N, K, 3, 3] after so many steps of Lucas-Kanade.

        Parameters
        ----------
        image : Tensor of float32 [N, 1, h, w]
        matrix : Tensor of float32 [N, K, 3, 3]
        points : Tensor of float32 [P, 3]
        read : Tensor of float32 [P, p + 1 or more]
            Columns: from what the points show to each parameter's error, then to its contrast.
        generators : Tensor of float32 [p, 9]
            The matrix by which each parameter moves the points.
        steps : int
        """
        count = generators.shape[0]
        for _ in range(steps):
            reading = torch.matmul(self.see(image, matrix, points), read)  # [N, K, p + 1 ...]
            gain = reading[:, :, count : count + 1].clamp(min=MIN_GAIN)
            step = (reading[:, :, :count] / gain).clamp(min=-MAX_STEP, max=MAX_STEP)
            delta = torch.unflatten(torch.matmul(step, generators), 2, (3, 3))
            moved = torch.matmul(matrix, delta)
            matrix = matrix - moved + 0.5 * torch.matmul(moved, delta)  # exp(-delta) to the second order
        return matrix

    def _choose(self, image: Tensor, matrix: Tensor, given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the best candidate [N, 1, 3, 3], and its appearance and margin over other rotations [N, 2]."""
        count = self.settings.freedoms
        seen = self.see(image, matrix, given["pose_points_coarse"])  # [N, K, P]
        reading = torch.matmul(seen, given["pose_read_coarse"])[:, :, count:]  # [N, K, 4]
        energy = torch.matmul(seen * seen, given["pose_weigh_coarse"])  # [N, K, 2]
        match = correlation(reading[:, :, 0:1], reading[:, :, 1:2], energy[:, :, 0:1])  # [N, K, 1]
        appearance = correlation(reading[:, :, 2:3], reading[:, :, 3:4], energy[:, :, 1:2])
        across, upright = matrix[:, :, 0, 1:2], matrix[:, :, 0, :1]  # [N, K, 1]
        level = upright * torch.rsqrt(across * across + upright * upright + 1e-12)  # cosine of the angle
        match = match + given["pose_typical"][6] * level  # of several equal rotations, the nearest
        top, chosen = match.max(dim=1, keepdim=True)  # [N, 1, 1]
        best = torch.unflatten(matrix.flatten(2).gather(1, chosen.expand(-1, 1, 9)), 2, (3, 3))
        shown = appearance.gather(1, chosen)[:, 0]  # [N, 1]
        elsewhere = match - 2.0 * self._same_rotation(matrix, best, given["pose_typical"])
        margin = (top - elsewhere.amax(dim=1, keepdim=True))[:, 0]
        return best, torch.cat((shown, margin), dim=1)

    def _same_rotation(self, matrix: Tensor, best: Tensor, typical: Tensor) -> Tensor:
        """Return 1 for candidates [N, K, 1] whose rotation is the best one's, as far as the part's symmetry goes."""
        a, b = matrix[:, :, 0, :1], matrix[:, :, 0, 1:2]  # [N, K, 1]
        c, d = best[:, :, 0, :1], best[:, :, 0, 1:2]  # [N, 1, 1]
        cosine = (a * c + b * d) * torch.rsqrt((a * a + b * b) * (c * c + d * d) + 1e-12)
        angle = torch.acos(cosine.clamp(min=-1.0, max=1.0))
        return (torch.cos(angle * typical[4]) >= typical[5]).to(torch.float32)


def correlation(product: Tensor, mean: Tensor, energy: Tensor) -> Tensor:
    """Return the weighted correlation from weighted sums over points; the golden part's own energy is 1."""
    return product * torch.rsqrt((energy - mean * mean).clamp(min=0.0) + 1e-6)


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """Return rows of a table for an index [N, K]."""
    return torch.unflatten(table.index_select(0, index.flatten()), 0, (-1, index.shape[1]))


def _numbers(match: Tensor, coarse: Tensor, typical: Tensor) -> Tensor:
    """Return `POSE_NUMBERS` [N, 4] from what was measured and what is typical of good frames."""
    shown = torch.cat((match, coarse), dim=1)  # [N, 3]
    relative = (shown * typical[:3] + torch.cat((torch.zeros(2), typical[3:4]))).clamp(min=0.0, max=1.0)
    confidence = torch.minimum(relative[:, :1], relative[:, 2:])
    return torch.cat((confidence, relative), dim=1)
