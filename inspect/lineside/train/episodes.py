"""What reptile and anil learn to learn from: the classes of other recipes, or rendered parts with their defects.

Other parts have no fitted front here: their frames are reduced to the working size and taken as they are, and pooled
where their masks point (all over, where parts are sorted). Light and pose of another part are no concern of this one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from lineside.capture.copies import load_grouped
from lineside.capture.decode import read_image
from lineside.capture.truth import defect_mask
from lineside.graph.run import Graph
from lineside.normalise.front import FrontSettings
from lineside.recipe import LoadedRecipe, load_recipe
from lineside.synth import DEFECTS, render
from lineside.train.progress import Journal
from lineside.transfer.class_weight import mask_cells
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import normalisation
from lineside.transfer.classes.meta import MetaMethod, Start, Task, learn_start
from lineside.transfer.classes.pooling import CLASS_EMBEDDING, CLASS_WEIGHT

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

META: tuple[MetaMethod, ...] = ("reptile", "anil")
RENDERED = 10
"""Parts rendered of each kind of defect, and good ones."""
RENDERED_PX = 192
MOST = 40
"""Images that are taken of a class of another recipe."""


@dataclass(frozen=True)
class Shown:
    """An image of another part: pixels [H, W, 3], its class (None: good), and where its defect is [H, W]."""

    frame: Pixels
    label: str | None
    mask: Pixels | None


@dataclass(frozen=True)
class Pooler:
    """Backbone and pooling, to see other parts with.

    Attributes
    ----------
    backbone : onnx.ModelProto
        Working tensor -> taps.
    pool : onnx.ModelProto
        Taps and weights -> embedding.
    grid_hw : tuple of int
        Cells of the weights.
    settings : FrontSettings
        Working size, mean and deviation are taken from them.
    masked : bool
        Whether frames are pooled where their mask points, and not all over.
    """

    backbone: "onnx.ModelProto"
    pool: "onnx.ModelProto"
    grid_hw: tuple[int, int]
    settings: FrontSettings
    masked: bool


def start_of(loaded: LoadedRecipe, pooler: Pooler, journal: Journal) -> Start | None:
    """Meta-learn a start where the recipe's method needs one; None elsewhere.

    Raises
    ------
    UsageError
        When the episodes' recipes have no two classes of images between them.
    """
    classes, seed = loaded.recipe.transfer.classes, loaded.recipe.seed
    method = next((name for name in META if name == classes.method), None)
    if method is None:
        return None
    journal.stage("episodes")
    tasks = list(_tasks(loaded, pooler))
    start = learn_start(tasks, method, seed)
    journal.note(f"Classes begin from {start.episodes} episodes of {', '.join(start.sources)}, by {method}.")
    return start


def _tasks(loaded: LoadedRecipe, pooler: Pooler) -> Iterator[Task]:
    backbone, pool = Graph(pooler.backbone), Graph(pooler.pool)
    episodes = loaded.recipe.transfer.classes.episodes
    if isinstance(episodes, str):
        shown = {f"rendered {part}": _rendered(part) for part in DEFECTS if part != loaded.recipe.part}
    else:
        shown = {folder: _of_recipe(loaded.resolve(folder)) for folder in episodes}
    for name, images in shown.items():
        seen = [(_embedding(image, backbone, pool, pooler), image.label) for image in images]
        yield _task(name, seen)


def _task(name: str, seen: Sequence[tuple[Floats, str | None]]) -> Task:
    names = sorted({label for _, label in seen if label is not None})
    goods = [embedding for embedding, label in seen if label is None]
    rows = [(embedding, names.index(label)) for embedding, label in seen if label is not None]
    size = len(seen[0][0]) if seen else 0
    embeddings = np.stack([embedding for embedding, _ in rows]) if rows else np.zeros((0, size), np.float32)
    labels = np.array([number for _, number in rows], np.int64)
    if len(names) < 2:
        return Task(name, embeddings.astype(np.float64), labels)  # which says what is wrong
    examples = Examples(embeddings, labels, np.arange(len(rows), dtype=np.int64), np.ones(len(rows), np.bool_))
    mean, scale = normalisation(examples, np.stack(goods) if goods else np.zeros((0, size), np.float32))
    return Task(name, (embeddings - mean) * scale, labels)


def _embedding(image: Shown, backbone: Graph, pool: Graph, pooler: Pooler) -> Floats:
    settings = pooler.settings
    small = cv2.resize(image.frame, settings.working_wh, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    working = (small - np.array(settings.mean, np.float32)) / np.array(settings.std, np.float32)
    taps = backbone({"working": np.ascontiguousarray(working.transpose(2, 0, 1))[None]})
    weight = np.ones(pooler.grid_hw, np.float32)
    if pooler.masked and image.mask is not None:
        cells = mask_cells(image.mask, _resized(image.mask, settings.working_wh), settings.working_wh, weight.shape)
        weight = cells if cells.any() else weight
    return np.asarray(pool({**taps, CLASS_WEIGHT: weight[None, None]})[CLASS_EMBEDDING][0], np.float32)


def _resized(mask: Pixels, working_wh: tuple[int, int]) -> Floats:
    """Frame px -> working px without any pose, [3, 3]."""
    x, y = working_wh[0] / mask.shape[1], working_wh[1] / mask.shape[0]
    return np.array([[x, 0.0, 0.5 * x - 0.5], [0.0, y, 0.5 * y - 0.5], [0.0, 0.0, 1.0]], np.float32)


def _rendered(part: str) -> Iterator[Shown]:
    for number, defect in enumerate((None, *DEFECTS[part])):
        for i in range(RENDERED):
            made = render(part, 1000 * number + i, defect, severity=1.0, size=RENDERED_PX)
            mask = np.asarray(made.mask > 0, np.uint8) if defect else None
            yield Shown(np.asarray(made.image, np.uint8), defect, mask)


def _of_recipe(folder: Path) -> Iterator[Shown]:
    loaded = load_recipe(folder)
    counted: dict[str, int] = {}
    for sample in load_grouped(loaded)[0].select("train"):
        counted[sample.label] = counted.get(sample.label, 0) + 1
        if counted[sample.label] > MOST:
            continue
        frame = read_image(sample.path, channels=3, bit_depth=loaded.recipe.capture.bit_depth)
        marked = defect_mask(sample, (frame.shape[1], frame.shape[0]))
        mask = None if marked is None else marked.astype(np.uint8)
        yield Shown(frame, None if sample.is_good else sample.label, mask)
