"""Deciding and fitting the front on good frames: flat field, pose, light and region, in the order they are applied in.

Works on reductions, in torch, with the very modules that are exported. The gate's limits are no part of it: they are
learned from quality numbers that ONNX Runtime measured with the exported front.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lineside.errors import UsageError
from lineside.normalise.flat_field import FlatMaps, estimated_flat
from lineside.normalise.front import FENCE, FLAT_VALUES, PART, REGION, Front, FrontSettings, middle_size, small_size
from lineside.normalise.gate_rules import GateSettings
from lineside.normalise.light import LIGHT_NUMBERS, LightSettings
from lineside.normalise.light_auto import LightDecision, choose_light
from lineside.normalise.light_fit import fit_light
from lineside.normalise.pose_auto import PoseDecision, choose_pose
from lineside.normalise.pose_search import POSE_NUMBERS
from lineside.normalise.pose_settings import PoseSettings
from lineside.normalise.region import combine, region_cells
from lineside.normalise.resize import resize_u8
from lineside.recipe_normalise import Normalise

ANCHOR_MATCH = 0.5
"""Least match of the anchor picture; good frames match about 1, other parts less than 0.43 (rendered caps)."""

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FrontRequest:
    """What the recipe asks of the front, and what surrounds it.

    Attributes
    ----------
    normalise : Normalise
        The recipe's block.
    channels : int
    frame_wh : tuple of int
        Usual size of the recipe's frames.
    grid_wh : tuple of int
        Cells of the region.
    fixed_frame_wh : tuple of int or None
        The only size that the gate lets through.
    flat : FlatMaps or None
        From pictures of an empty target.
    roi : ndarray of float32 [h, w]
        Region of interest at the working size, in the anchor's coordinates.
    blank_outside : bool
    mean, std : tuple of float
    seed : int
    """

    normalise: Normalise
    channels: int
    frame_wh: tuple[int, int]
    grid_wh: tuple[int, int]
    fixed_frame_wh: tuple[int, int] | None
    flat: FlatMaps | None
    roi: Floats
    blank_outside: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    seed: int

    @property
    def fenced(self) -> bool:
        """Whether a region of interest leaves anything out."""
        return bool((self.roi < 1.0).any())

    @property
    def working_wh(self) -> tuple[int, int]:
        """Working size for the recipe's usual frames."""
        return self.normalise.working_wh(self.frame_wh)

    @property
    def search_middle_wh(self) -> tuple[int, int]:
        """Size of the reductions that the fit looks at: those of a pose, unless none is asked for."""
        working_wh = self.working_wh
        return working_wh if self.normalise.pose.model == "none" else middle_size(working_wh, self.frame_wh)


@dataclass(frozen=True)
class FrontDecision:
    """A front, decided and fitted.

    Attributes
    ----------
    settings : FrontSettings
    values : mapping of str to ndarray of float32
        By the names of the graph's inputs.
    words : tuple of str
        What was decided and why, a sentence or two for each step.
    numbers : mapping of str to mapping of str to float
        The numbers behind each step.
    golden : ndarray of float32 [C, h, w]
        Median of the aligned good frames' working images, 0 to 255, light as it was.
    """

    settings: FrontSettings
    values: Mapping[str, Floats]
    words: tuple[str, ...]
    numbers: Mapping[str, Mapping[str, float]]
    golden: Floats

    @property
    def choices(self) -> tuple[str, ...]:
        """What was chosen where there was a choice."""
        light, pose = self.settings.light, self.settings.pose
        return (
            f"flat field {self.settings.flat_field}",
            f"pose {pose.model if pose else 'none'}",
            *(f"{name} {getattr(light, name)}" for name in ("exposure", "white_balance", "gradient", "contrast")),
        )

    @property
    def described(self) -> dict[str, str]:
        """The steps before the network, in words, for the contract."""
        light, pose = self.settings.light, self.settings.pose
        low, high = light.gain_limits
        told = {
            "flat field": self.settings.flat_field,
            "exposure": f"gain {low:g} to {high:g}" if light.exposure else "off",
            "white balance": light.white_balance.replace("_", " "),
            "gradient": f"plane, up to {light.gradient_limit:.0%} from middle to border" if light.gradient else "off",
            "contrast": "factor {:g} to {:g}".format(*light.contrast_limits) if light.contrast else "off",
            "pose": "off",
        }
        if pose:
            told["pose"] = f"{pose.model}: ±{pose.angle_deg:g}°, ±{pose.shift:.0%} shift, ±{pose.scale:.0%} scale"
        return told

    def with_values(self, more: Mapping[str, Floats]) -> "FrontDecision":
        """Return the same with more values."""
        return replace(self, values={**self.values, **more})


def decide_front(middles: Pixels, anchor: Pixels, request: FrontRequest) -> FrontDecision:
    """Decide and fit the front on good frames.

    Parameters
    ----------
    middles : ndarray of uint8 [n, h, w, C]
        Reductions of good frames, of `request.search_middle_wh`.
    anchor : ndarray of uint8 [h, w, C]
        Reduction of the frame whose pose is the golden part's; need not be among them.
    request : FrontRequest

    Returns
    -------
    FrontDecision
        Its values lack the gate's limits.
    """
    with torch.inference_mode(), _one_thread():
        return _decided(torch.from_numpy(middles), torch.from_numpy(anchor[None]), request)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to one thread: the many small operations of a fit lose more by waiting than they win by sharing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _decided(middles: Tensor, anchor: Tensor, request: FrontRequest) -> FrontDecision:
    recipe = request.normalise
    flat, flat_words = _flat(middles, request)
    base = _settings(request, flat)
    front = Front(base)  # without a pose, to make small images with
    maps = tuple(torch.from_numpy(value) for value in flat.values())
    smalls, anchor_small = front.small(middles, maps)[:, 0].numpy(), front.small(anchor, maps)[0, 0].numpy()
    pose = choose_pose(smalls, anchor_small, _asked_pose(request), request.seed)
    _refuse_strange_anchor(pose)
    settings = _with_pose(base, pose, request)
    matrices = pose.fit.matrices if pose.fit else np.repeat(np.eye(3, dtype=np.float32)[None], len(middles), axis=0)
    images, valid = _aligned(Front(settings), middles, maps, matrices)
    part = _part(pose, request)
    valid, shown = valid * request.roi, _shown(part, request)
    light = choose_light(images, valid, recipe.light, request.seed, shown)
    values = {**flat, **(pose.fit.values if pose.fit else {})}
    settings = replace(settings, light=light.settings, gate=_gate(request, light.settings, settings.pose, flat))
    if settings.lit:
        values.update(fit_light(images, valid, shown))
    whole = np.ones((request.working_wh[1], request.working_wh[0]), np.float32)
    seen = (whole if part is None else part) * (request.roi >= 0.5)
    region, region_words = _region(part, request)
    values[PART] = seen[None, None].astype(np.float32)
    values[REGION] = region[None, None]
    if request.fenced:
        values[FENCE] = request.roi[None, None]
    words = (*flat_words, pose.words, *_light_words(light), *light.words, *region_words)
    return FrontDecision(settings, values, words, _numbers(pose, light), np.median(images, axis=0))


def _settings(request: FrontRequest, flat: Mapping[str, Floats]) -> FrontSettings:
    """Settings without a pose, nothing of the light switched on."""
    dark = flat.get(FLAT_VALUES[1])
    light = LightSettings()
    return FrontSettings(
        channels=request.channels,
        working_wh=request.working_wh,
        middle_wh=request.working_wh,
        small_wh=small_size(request.frame_wh),
        grid_wh=request.grid_wh,
        flat_field="none" if not flat else "gain" if dark is None or not dark.any() else "gain and dark",
        light=light,
        pose=None,
        gate=_gate(request, light, None, flat),
        blank_outside=request.blank_outside,
        mean=request.mean,
        std=request.std,
        fenced=request.fenced,
    )


def _asked_pose(request: FrontRequest) -> PoseSettings:
    asked = request.normalise.pose
    return PoseSettings(
        model=asked.model,
        small_wh=small_size(request.frame_wh),
        angle_deg=asked.angle_deg,
        shift=asked.shift,
        scale=asked.scale,
        fiducials=asked.fiducials,
    )


def _with_pose(settings: FrontSettings, pose: PoseDecision, request: FrontRequest) -> FrontSettings:
    if pose.settings is None:
        return settings
    return replace(settings, pose=pose.settings, middle_wh=request.search_middle_wh)


def _refuse_strange_anchor(pose: PoseDecision) -> None:
    if pose.fit is not None and pose.fit.anchor_match < ANCHOR_MATCH:
        raise UsageError(
            "normalise.pose.anchor: the anchor picture does not show the part as the good images do (match "
            f"{pose.fit.anchor_match:.2f}, 1 is typical; without the key it is the first good image). Name a good "
            "image of the part there."
        )


def _aligned(front: Front, middles: Tensor, maps: tuple[Tensor, ...], matrices: Floats) -> tuple[Floats, Floats]:
    """Working images [n, C, h, w] with the light as it was, and where they lie inside their frames [n, 1, h, w]."""
    width, height = front.settings.middle_wh
    images, valid = [], []
    for middle, matrix in zip(middles, matrices, strict=True):
        reduced = middle[None]
        if tuple(reduced.shape[1:3]) != (height, width):
            reduced = resize_u8(reduced, height, width)  # reductions are those of a pose, and none was found
        image, inside = front.aligned(reduced, maps, torch.from_numpy(matrix[None]))
        images.append(image.numpy())
        valid.append(inside.numpy())
    return np.concatenate(images), np.concatenate(valid)


def _flat(middles: Tensor, request: FrontRequest) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """Values of the flat field, none where it is off, and what was decided."""
    asked = request.normalise.light.flat_field
    if asked is None:
        return {}, ()
    if request.flat is not None:
        return dict(zip(FLAT_VALUES, (request.flat.gain, request.flat.dark), strict=True)), ()
    estimate = estimated_flat(list(middles.numpy()))
    words = (f"Flat field: {estimate.words}",)
    if not estimate.usable:
        return {}, words
    return dict(zip(FLAT_VALUES, (estimate.maps.gain, estimate.maps.dark), strict=True)), words


def _part(pose: PoseDecision, request: FrontRequest) -> Floats | None:
    """Where the part is at the working size, [h, w]; None where that is not known."""
    if pose.fit is None or request.normalise.foreground == "off":
        return None
    width, height = request.working_wh
    small = torch.from_numpy(pose.fit.foreground)[None, None]
    part = nn.functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
    return (part[0, 0] >= 0.5).to(torch.float32).numpy()


def _shown(part: Floats | None, request: FrontRequest) -> Floats | None:
    """Where the part is, [h, w], as far as its background is inside the region of interest."""
    return None if part is None else np.where(request.roi > 0.5, part, np.float32(1.0))


def _region(part: Floats | None, request: FrontRequest) -> tuple[Floats, tuple[str, ...]]:
    """Cells that count [gh, gw], of the region of interest and the part, and what was decided."""
    cells = region_cells(combine(request.roi, part), (request.grid_wh[1], request.grid_wh[0]))
    share = float(cells.mean())
    if share < 1.0:
        words = f"Inspected is {share:.0%} of the golden part's picture: what moves with the part, and a margin."
        if part is None:
            words = f"Inspected is {share:.0%} of the picture, the recipe's region."
        return cells, (words,)
    if request.normalise.foreground == "on" and part is None:
        return cells, ("The whole picture is inspected: without a pose nothing tells the part from its background.",)
    return cells, ()


def _gate(
    request: FrontRequest, light: LightSettings, pose: PoseSettings | None, flat: Mapping[str, Floats]
) -> GateSettings:
    recipe = request.normalise
    only_wh = request.fixed_frame_wh or (request.frame_wh if flat else None)  # a gain map knows one camera's frames
    stated = [("gradient", 0.0, light.gradient_limit)] if light.gradient else []
    if light.exposure:
        stated.append(("exposure_gain", *light.gain_limits))
    if light.white_balance != "off":
        stated.append(("cast", 0.0, light.cast_limit))
    reach = (recipe.pose.angle_deg, recipe.pose.shift, recipe.pose.scale)
    gated = recipe.gate.mode == "on"
    return GateSettings(
        channels=request.channels,
        working_wh=request.working_wh,
        light_names=LIGHT_NUMBERS if gated or light.corrects else (),
        pose_names=POSE_NUMBERS if pose else (),
        pose_range=reach if pose else None,
        frame_wh=only_wh,
        stated=tuple(stated),
        on=gated,
    )


def _light_words(light: LightDecision) -> tuple[str, ...]:
    return tuple(f"{row.step.replace('_', ' ')} {'on' if row.on else 'off'}: {row.words}" for row in light.steps)


def _numbers(pose: PoseDecision, light: LightDecision) -> dict[str, dict[str, float]]:
    found = {"pose": dict(pose.numbers)} if pose.numbers else {}
    for row in light.steps:
        before = {f"{kind} visible without": value for kind, value in row.visible_without.items()}
        after = {f"{kind} visible with": value for kind, value in row.visible_with.items()}
        spread = {"spread without": row.spread_without, "spread with": row.spread_with}
        found[row.step] = {**spread, **before, **after}
    return found
