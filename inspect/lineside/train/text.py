"""Defects by name: a CLIP model and prompts as a method, our front before them, our thresholds behind them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from lineside.contract import Component, Fitted
from lineside.contract_thresholds import LeastDefect, RegionLimit
from lineside.errors import UsageError
from lineside.graph.run import Graph
from lineside.graph.trunk import Reduction, Trunk, export_backbone, export_front
from lineside.normalise.front import FrontSettings
from lineside.recipe import LoadedRecipe
from lineside.train.front_fit import FittedFront, FrontFitter
from lineside.train.images import References
from lineside.train.method import FittedHead
from lineside.train.progress import Journal
from lineside.train.setup import FRONT_FITTED, anchor_frame, front_request, usual_frame_wh
from lineside.train.tail import HeadRun, finish
from lineside.transfer.adaptation_gate import Outcome
from lineside.transfer.head import REGION
from lineside.transfer.text_folder import ClipFolder, check_clip_licence, read_clip_folder
from lineside.transfer.text_head import TEXTS, export_text_head, reference_text_score
from lineside.transfer.text_prompts import TEMPLATES, PromptTexts, prompt_texts
from lineside.transfer.text_tower import TOWER_OUTPUTS, load_clip

Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]

WANTED = (*TOWER_OUTPUTS, REGION)
UNIT = "probability of a defect, from text"


class TextMethod:
    """Image tower exported once, prompts read once; good frames decide front and threshold. See `Method`."""

    prefers_holdout = False
    withheld: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()
    least_defect: LeastDefect | None = None
    regions: tuple[RegionLimit, ...] = ()
    adaptation: Outcome | None = None

    def __init__(self, loaded: LoadedRecipe, references: References, journal: Journal) -> None:
        recipe = loaded.recipe
        clip = _allowed(loaded)
        prompts = recipe.transfer.prompts
        texts = prompt_texts(recipe.part, prompts.good, prompts.defect)
        journal.stage("CLIP and prompts")
        working_wh = recipe.normalise.working_wh(usual_frame_wh(references))
        towers = load_clip(clip, texts, working_wh)
        self._texts = towers.texts
        journal.stage("export of the image tower")
        self._tower = export_backbone(towers.tower, TOWER_OUTPUTS, working_wh, clip.config_sha256())
        height, width = towers.tower.grid_hw
        self.map_wh = (working_wh[0] // 4, working_wh[1] // 4)
        self.embedding = "mean of the frame's patch tokens, in the space that CLIP compares images and texts in"
        self.components = _components(clip)
        self.fitted: tuple[Fitted, ...] = (
            *FRONT_FITTED,
            Fitted("text directions", "read from the prompts; no image has a say in them"),
        )
        self.neutral_outputs: Mapping[str, str] = {}
        self._references = references
        self._head = export_text_head((height, width), self.map_wh, self._texts.shape[1])
        self._graph = Graph(self._head)
        request = front_request(loaded, references, clip.mean, clip.std, (width, height), blank_outside=True)
        anchor = anchor_frame(loaded, references)
        self._fronts = FrontFitter(request, references, anchor, self._build, TOWER_OUTPUTS, journal)
        journal.note(_described(clip, texts, (width, height)))

    def fit_each(self, many: Sequence[Sequence[int]]) -> Iterator[FittedHead]:
        """Fit heads one after the other, their fronts side by side."""
        self._fronts.decide(many)
        return map(self.fit, many)

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Fit the front on these good frames; the head is what the prompts say."""
        front = self._fronts.fit(positions)
        head = HeadRun(
            model=self._head,
            constants={TEXTS: self._texts},
            wanted=WANTED,
            run=partial(self._run, front),
            reference=self._reference,
            unit=(UNIT,),
        )
        rows = self._references.rows(positions, with_copies=False)
        return finish(front, head, rows, self._references, self.map_wh)

    def _run(self, front: FittedFront, row: int) -> Arrays:
        taken = {name: front.outputs[name][row : row + 1] for name in WANTED}
        return self._graph({**taken, TEXTS: self._texts}, ("score", "anomaly_map", "embedding"))

    def _reference(self, outputs: Arrays) -> float:
        patches, image, region = (outputs[name].astype(np.float32) for name in WANTED)
        return reference_text_score(patches, image, region, self._texts)

    def _build(self, settings: FrontSettings, values: Mapping[str, Floats], reduction: Reduction) -> Trunk:
        return export_front(settings, values, reduction).before(self._tower, TOWER_OUTPUTS)


def _allowed(loaded: LoadedRecipe) -> ClipFolder:
    transfer = loaded.recipe.transfer
    if transfer.weights is None:  # the recipe's own check comes first
        raise UsageError("transfer.weights: expected a folder with a CLIP model as open_clip writes it, found none.")
    clip = read_clip_folder(loaded.resolve(transfer.weights))
    check_clip_licence(clip, transfer.licences)
    return clip


def _components(clip: ClipFolder) -> tuple[Component, ...]:
    name = clip.folder.name
    return (
        Component(
            "backbone", f"CLIP image tower: {name}", f"PyPI: open_clip_torch {version('open_clip_torch')}", "mit", ""
        ),
        Component("weights", name, f"local folder {name}", clip.licence, clip.sha256()),
        Component("method", "lineside text prompts, after WinCLIP (Jeong et al., 2023)", "lineside", "apache-2.0", ""),
    )


def _described(clip: ClipFolder, texts: PromptTexts, grid_wh: tuple[int, int]) -> str:
    def quoted(phrases: Sequence[str]) -> str:
        return ", ".join(f'"{phrase}"' for phrase in phrases)

    return (
        f"CLIP from {clip.folder.name}, {grid_wh[0]}×{grid_wh[1]} patches a frame. Good is: {quoted(texts.good)}. "
        f"A defect is: {quoted(texts.defect)}. Each in {len(TEMPLATES)} sentences."
    )
