"""anomalib's models as a method: our front before them, our thresholds behind them, one graph."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.contract import Component, Fitted
from lineside.contract_thresholds import LeastDefect, RegionLimit
from lineside.graph.run import Graph
from lineside.graph.trunk import export_front
from lineside.recipe import LoadedRecipe
from lineside.train.front_fit import FrontFitter
from lineside.train.images import References
from lineside.train.method import FittedHead
from lineside.train.progress import Journal
from lineside.train.setup import FRONT_FITTED, anchor_frame, front_request, usual_frame_wh
from lineside.train.tail import HeadRun, finish
from lineside.transfer.adaptation_gate import Outcome
from lineside.transfer.backbone import Triple, load_backbone, write_local_dir
from lineside.transfer.bridge import BridgeSpec, fit_anomalib, load_class
from lineside.transfer.bridge_catalog import LICENCE, KnownModel, resolve_model
from lineside.transfer.bridge_head import THUMBNAIL, export_bridged_head
from lineside.transfer.bridge_options import split_options
from lineside.transfer.bridge_weights import refuse_size, weights_component, weights_hashed
from lineside.transfer.familiar import THUMBNAIL_SPREAD
from lineside.transfer.method_check import refuse_model
from lineside.transfer.text_folder import CLIP_MEAN, CLIP_STD, ClipFolder, read_clip_folder

Floats = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[np.generic]]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
"""What anomalib's own pre-processor normalises with (torchvision's ImageNet statistics)."""
UNIT_MEAN: Triple = (0.0, 0.0, 0.0)
UNIT_STD: Triple = (1.0, 1.0, 1.0)


class BridgedMethod:
    """Front exported alone; the model is trained on the working tensors that it computes. See `Method`."""

    prefers_holdout = True
    withheld: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()
    least_defect: LeastDefect | None = None
    regions: tuple[RegionLimit, ...] = ()
    adaptation: Outcome | None = None

    def __init__(self, loaded: LoadedRecipe, references: References, journal: Journal) -> None:
        recipe, transfer = loaded.recipe, loaded.recipe.transfer
        self._known = resolve_model(transfer.method)
        clip = _clip_of(self._known, loaded)
        refuse_model(self._known, loaded)
        width, height = recipe.normalise.working_wh(usual_frame_wh(references))
        refuse_size(self._known, (width, height))
        split_options(load_class(self._known), transfer.options)
        journal.stage("backbone")
        mean, std, components = _input_of(self._known, loaded, clip)
        self.map_wh = (width // 4, height // 4)
        self.embedding = f"working image reduced to {THUMBNAIL}×{THUMBNAIL} cells of red, green, blue"
        self.components: tuple[Component, ...] = components
        self.neutral_outputs: Mapping[str, str] = {}
        again = "fitted on none of the parts that it scores for the threshold"
        self.fitted: tuple[Fitted, ...] = (*FRONT_FITTED, Fitted(transfer.method, again))
        self._loaded, self._references, self._journal = loaded, references, journal
        request = front_request(loaded, references, mean, std, self.map_wh, blank_outside=True)
        anchor = anchor_frame(loaded, references)
        self._fronts = FrontFitter(request, references, anchor, export_front, ("working",), journal)

    def fit_each(self, many: Sequence[Sequence[int]]) -> Iterator[FittedHead]:
        """Fit heads one after the other, their fronts side by side."""
        self._fronts.decide(many)
        return map(self.fit, many)

    def fit(self, positions: Sequence[int]) -> FittedHead:
        """Train the model on these good frames, by anomalib's own Engine."""
        front = self._fronts.fit(positions)
        rows = self._references.rows(positions, with_copies=True)
        working = front.outputs["working"].astype(np.float32, copy=False)
        self._journal.stage(f"training {self._loaded.recipe.transfer.method} on {len(positions)} frames")
        with tempfile.TemporaryDirectory(prefix="lineside-") as folder:
            model = fit_anomalib(self._spec(Path(folder)), working[rows[front.gate[rows] == 0]])
        self.components = _with_fetched(self.components, model.fetched)
        if not model.has_map:
            self.neutral_outputs = {"anomaly_map": "0: the model gives no map"}
        exported = export_bridged_head(model, self.map_wh, working[rows[:2]])
        graph = Graph(exported)

        def run(row: int) -> Arrays:
            return graph({"working": working[row : row + 1]}, ("score", "anomaly_map", "embedding"))

        def reference(outputs: Arrays) -> float:
            return model.score(outputs["working"].astype(np.float32, copy=False))

        head = HeadRun(exported, {}, ("working",), run, reference, least_spread=THUMBNAIL_SPREAD)
        return finish(front, head, self._references.rows(positions, with_copies=False), self._references, self.map_wh)

    def _spec(self, folder: Path) -> BridgeSpec:
        transfer = self._loaded.recipe.transfer
        return BridgeSpec(
            model=self._known.name,
            backbone_folder=self._backbone_folder(folder),
            options=transfer.options,
            weights=self._loaded.resolve(transfer.weights) if transfer.weights else None,
            reference_images=self._loaded.resolve(transfer.reference_images) if transfer.reference_images else None,
            seed=self._loaded.recipe.seed,
        )

    def _backbone_folder(self, folder: Path) -> Path | None:
        name = self._loaded.recipe.transfer.backbone
        if not self._known.takes_backbone:
            return None
        if name.startswith("local-dir:"):
            return self._loaded.resolve(name.removeprefix("local-dir:"))
        return write_local_dir(name, folder / "backbone")


def _clip_of(known: KnownModel, loaded: LoadedRecipe) -> ClipFolder | None:
    """Return the recipe's folder with a CLIP model, where this model takes one."""
    weights = loaded.recipe.transfer.weights
    return read_clip_folder(loaded.resolve(weights)) if known.clip and weights is not None else None


def _input_of(
    known: KnownModel, loaded: LoadedRecipe, clip: ClipFolder | None
) -> tuple[Triple, Triple, tuple[Component, ...]]:
    """Return mean and standard deviation of what the model takes, and what it is made of."""
    transfer = loaded.recipe.transfer
    method = Component("method", transfer.method, f"PyPI: anomalib {version('anomalib')}", LICENCE, "")
    if known.takes_backbone:
        backbone = load_backbone(transfer.backbone, transfer.taps, transfer.licences, Path(loaded.folder))
        return backbone.mean, backbone.std, (*backbone.components, method)
    mean, std = (CLIP_MEAN, CLIP_STD) if known.clip else (IMAGENET_MEAN, IMAGENET_STD)
    if clip is not None:
        mean, std = clip.mean, clip.std
    elif known.unit_input:
        mean, std = UNIT_MEAN, UNIT_STD
    folder = loaded.resolve(transfer.weights) if transfer.weights else None
    weights = weights_component(known, transfer.options, folder)
    return mean, std, (*((weights_hashed(weights, known, transfer.options, folder),) if weights else ()), method)


def _with_fetched(components: tuple[Component, ...], fetched: tuple[str, ...]) -> tuple[Component, ...]:
    """Return the components with the hash of weights that were downloaded, where no file of the recipe gave it."""
    return tuple(
        replace(one, sha256=fetched[0]) if one.role == "weights" and not one.sha256 and fetched else one
        for one in components
    )
