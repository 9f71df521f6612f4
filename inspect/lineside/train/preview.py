"""What the front makes of every good image, before any training: what an engineer looks at to trust a set-up.

Runs the very modules that are exported, in torch, fitted on all good images; nothing is judged, so nothing is held out.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.capture.copies import load_grouped
from lineside.capture.decode import read_image
from lineside.capture.folder import frame_channels
from lineside.graph.trunk import export_reduction
from lineside.normalise.front import FLAT_VALUES, GATE_LIMITS, Front
from lineside.normalise.front_fit import FrontDecision, FrontRequest, decide_front
from lineside.normalise.gate_limits import NO_LIMIT, gate_of, reasons
from lineside.recipe import LoadedRecipe
from lineside.train.front_fit import front_limits, open_limits
from lineside.train.images import FrameReader, References
from lineside.train.progress import Journal, Progress
from lineside.train.recipe_regions import DrawnRegion, drawn_regions
from lineside.train.setup import anchor_frame, front_request, usual_frame_wh
from lineside.transfer.augment import Augmenter

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
GRID_STRIDE = 8
"""Cells of the region that is shown, px of the working image: the finest stride that the network is tapped at."""


@dataclass(frozen=True)
class PreviewRow:
    """One image through the front.

    Attributes
    ----------
    name : str
    raw, aligned, working, region : ndarray of uint8 [h, w, 3]
        The frame, reduced; after the pose; after the light too; and that with what does not count darkened.
    pose : tuple of float
        angle_deg, dx_px, dy_px, scale, confidence.
    quality : mapping of str to float
    reasons : tuple of str
        Bits of the gate that are set.
    """

    name: str
    raw: Pixels
    aligned: Pixels
    working: Pixels
    region: Pixels
    pose: tuple[float, ...]
    quality: dict[str, float]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """A recipe's front and what it makes of images.

    Attributes
    ----------
    part : str
    decision : FrontDecision
    golden : ndarray of uint8 [h, w, 3]
        The middle of the aligned good images, light as it was.
    limits : mapping of str to (low, high)
        Of the gate, by quality name; None where there is none.
    rows : tuple of PreviewRow
    regions : tuple of DrawnRegion
        What the recipe draws on the golden part.
    """

    part: str
    decision: FrontDecision
    golden: Pixels
    limits: dict[str, tuple[float | None, float | None]]
    rows: tuple[PreviewRow, ...]
    regions: tuple[DrawnRegion, ...]


def preview(loaded: LoadedRecipe, image: Path | None, progress: Progress) -> Preview:
    """Fit the front on all good training images and run it on them, or on one other image.

    Parameters
    ----------
    loaded : LoadedRecipe
    image : Path or None
        Shown instead of the good images.
    progress : Progress

    Raises
    ------
    RecipeError, UsageError, ImageError
        When recipe or images are wrong.
    """
    journal = Journal(progress)
    recipe = loaded.recipe
    journal.stage("images")
    dataset, _ = load_grouped(loaded)
    reader = FrameReader(frame_channels(loaded, dataset), recipe.capture.bit_depth)
    one = read_image(image, channels=reader.channels, bit_depth=reader.bit_depth) if image else None
    fitted = dataset.select("train", good=None if recipe.transfer.task == "classify" else True)
    references = References(fitted, reader, Augmenter("none", recipe.seed), 0)
    width, height = recipe.normalise.working_wh(usual_frame_wh(references))
    grid_wh = (width // GRID_STRIDE, height // GRID_STRIDE)
    unit = (0.0, 0.0, 0.0), (1.0 / 255, 1.0 / 255, 1.0 / 255)  # the working tensor is then in grey levels
    request = front_request(loaded, references, *unit, grid_wh, blank_outside=False)
    reduction = export_reduction(request.search_middle_wh, reader.channels)
    journal.stage("reducing", len(references.samples))
    middles = []
    for sample in references.samples:
        middles.append(reduction(reader.read(sample))[0])
        journal.step()
    journal.stage("light and pose")
    reduced = np.concatenate(middles)
    decision = decide_front(reduced, reduction(anchor_frame(loaded, references))[0][0], request)
    shown = _Shown(decision, request, reduced)
    if image is not None and one is not None:
        rows = [shown.row(image.name, one)]
    else:
        journal.stage("pictures", len(references.samples))
        rows = []
        for sample in references.samples:
            rows.append(shown.row(sample.name, reader.read(sample)))
            journal.step()
    golden, regions = _picture(decision.golden.transpose(1, 2, 0)), drawn_regions(loaded, request.frame_wh)
    return Preview(recipe.part, decision, golden, shown.named_limits(), tuple(rows), regions)


class _Shown:
    """A fitted front in torch, with limits from the images that it was fitted on."""

    def __init__(self, decision: FrontDecision, request: FrontRequest, middles: Pixels) -> None:
        self._settings = decision.settings
        self._front = Front(decision.settings)
        self._values = {**decision.values, GATE_LIMITS: open_limits(decision.settings.gate)}
        self._reduce = export_reduction(decision.settings.middle_wh, request.channels)
        quality = np.concatenate(
            [self._outputs(middle[None], request.frame_wh)[4] for middle in self._fitting(middles)]
        )
        self._limits = front_limits(quality, decision.settings.gate, request.normalise.gate)

    def _fitting(self, middles: Pixels) -> Pixels:
        """Reductions of the size that the decided front takes."""
        import torch

        from lineside.normalise.resize import resize_u8

        width, height = self._settings.middle_wh
        if middles.shape[1:3] == (height, width):
            return middles
        return np.asarray(resize_u8(torch.from_numpy(middles), height, width).numpy(), np.uint8)

    def _outputs(self, middle: Pixels, frame_wh: tuple[float, float]) -> list[npt.NDArray[np.generic]]:
        import torch

        size = torch.tensor([float(side) for side in frame_wh])
        given = [torch.from_numpy(np.array(self._values[name])) for name in self._front.value_names]
        with torch.inference_mode():
            return [value.numpy() for value in self._front(torch.from_numpy(middle), size, *given)]

    def row(self, name: str, frame: Pixels) -> PreviewRow:
        """Run one frame [H, W, C]."""
        import torch

        middle, frame_wh = self._reduce(frame)
        outputs = self._outputs(middle, (float(frame_wh[0]), float(frame_wh[1])))
        working, pose, _, _, quality, region, _, matrix = outputs
        flat = [torch.from_numpy(self._values[key]) for key in FLAT_VALUES if key in self._values]
        with torch.inference_mode():
            aligned, _ = self._front.aligned(torch.from_numpy(middle), flat, torch.from_numpy(matrix))
        corrected = _picture(working[0].transpose(1, 2, 0))
        gate = int(gate_of(quality.astype(np.float32), self._limits, self._settings.gate)[0])
        numbers = zip(self._settings.gate.quality_names, quality[0].tolist(), strict=True)
        return PreviewRow(
            name=name,
            raw=_picture(middle[0]),
            aligned=_picture(aligned[0].numpy().transpose(1, 2, 0)),
            working=corrected,
            region=_darkened(corrected, region[0, 0].astype(np.float32)),
            pose=tuple(float(value) for value in pose[0]),
            quality=dict(numbers),
            reasons=reasons(gate),
        )

    def named_limits(self) -> dict[str, tuple[float | None, float | None]]:
        """Return the gate's limits by name."""

        def bound(value: float) -> float | None:
            return None if abs(value) >= NO_LIMIT else value

        names = self._settings.gate.quality_names
        return {n: (bound(low), bound(high)) for n, (low, high) in zip(names, self._limits.tolist(), strict=True)}


def _picture(levels: npt.NDArray[np.generic]) -> Pixels:
    """Grey levels [h, w, 1 or 3] as a picture [h, w, 3]."""
    whole = np.clip(np.rint(levels.astype(np.float32)), 0, 255).astype(np.uint8)
    return np.repeat(whole, 3, axis=2) if whole.shape[2] == 1 else whole


def _darkened(picture: Pixels, region: Floats) -> Pixels:
    """Darken what lies outside the region [gh, gw]."""
    height, width = picture.shape[:2]
    rows = np.arange(height) * region.shape[0] // height
    columns = np.arange(width) * region.shape[1] // width
    counts = region[rows][:, columns][:, :, None] >= 0.5
    return np.where(counts, picture, picture // 4)
