"""A deployed bundle opened to be changed: its graph, its fitted numbers, its state, and frames run through it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lineside.capture.decode import read_image
from lineside.contract import INPUT_FRAME, Contract
from lineside.errors import BundleError, ImageError, UsageError
from lineside.export.bundle_files import read_sums
from lineside.export.load import load_bundle
from lineside.export.recorded import VECTORS_FILE
from lineside.export.state import STATE_FILE, read_state
from lineside.graph.rewrite import constants, read_model, with_outputs
from lineside.graph.run import Graph, parallel
from lineside.image_files import is_own_output, walk_images
from lineside.train.line_state import LineState, line_state
from lineside.transfer.head import REGION, tap_name

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]
Taken = Mapping[str, Floats]

MOST_FRAMES = 200
"""Of a larger folder, as many images are taken, evenly: statistics gain nothing from more, and it stays a matter of
seconds."""
MASKS = "ground_truth"
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Opened:
    """A bundle of any method, opened to get other thresholds."""

    folder: Path
    sha256: str
    """Of its model.onnx."""
    contract: Contract
    model: "onnx.ModelProto"
    constants: Mapping[str, Array]
    """Fitted numbers by name."""
    arrays: Mapping[str, Array]
    """All of state.npz, what other parts of lineside keep there included; nothing where the bundle has none."""

    @property
    def seed(self) -> int:
        """Of what is drawn to prove the changed bundle."""
        return int(self.arrays["seed"]) if "seed" in self.arrays else 0


@dataclass(frozen=True)
class Parent(Opened):
    """A bundle of lineside's own method, opened to follow its line."""

    state: LineState

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the taps."""
        return tuple(tap_name(number) for number in range(len(self.state.shape.channels)))


@dataclass(frozen=True)
class LineImage:
    """An image of the line."""

    path: Path
    name: str
    load: Callable[[], Pixels]
    """Reads the frame [H, W, C]."""
    label: str = UNLABELLED
    """Its class, where one was given."""


@dataclass(frozen=True)
class Observed:
    """What a graph said of some frames.

    Attributes
    ----------
    scores : ndarray of float64 [n]
        Of the patches, findings left out.
    final : ndarray of float64 [n]
        The graph's score, findings included.
    embeddings : ndarray of float32 [n, d]
    quality : ndarray of float32 [n, q + 1]
        As the contract names it, novelty last.
    gate : ndarray of int64 [n]
    taken : tuple of mapping
        Taps and region of each frame.
    """

    scores: npt.NDArray[np.float64]
    final: npt.NDArray[np.float64]
    embeddings: Floats
    quality: Floats
    gate: npt.NDArray[np.int64]
    taken: tuple[Taken, ...]

    @property
    def novelty(self) -> Floats:
        """The last column of quality."""
        return self.quality[:, -1]


def open_bundle(folder: Path) -> Opened:
    """Open a bundle folder, whatever method it was trained by.

    Raises
    ------
    UsageError
        When `folder` is no folder.
    BundleError
        When a file was altered, or the bundle's state cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a bundle folder, as `lineside train` writes it.")
    bundle = load_bundle(folder)
    assert bundle.contract is not None  # a folder has one
    arrays = read_state(folder) if STATE_FILE in read_sums(folder) else {}
    model = read_model(bundle.model, str(folder))
    opened = Opened(folder, bundle.model_sha256, bundle.contract, model, constants(model), arrays)
    if not arrays:
        return opened
    return Parent(**vars(opened), state=line_state(arrays, str(folder / STATE_FILE)))


def open_parent(folder: Path) -> Parent:
    """Open a bundle folder that can follow its line.

    Raises
    ------
    UsageError
        When `folder` is no folder.
    BundleError
        When a file was altered, the bundle sorts parts, or it keeps no state: its method cannot follow the line.
    """
    opened = open_bundle(folder)
    told = opened.contract.classes
    if told is not None and told.task == "classify":
        raise BundleError(
            f"{folder}: this model sorts parts, and its score comes from the classes alone, so it follows its line by "
            "training alone. Put images of the line as it is now into its classes' folders and train the recipe again."
        )
    if not isinstance(opened, Parent):
        method = next((c.name for c in opened.contract.components if c.role == "method"), "unknown")
        raise BundleError(
            f"{folder}: keeps no {STATE_FILE}, so it cannot follow the line (method: {method}). Expected a bundle of "
            "lineside's own method (`transfer.method: lineside`): train the recipe again with it."
        )
    return opened


def line_images(
    sources: Sequence[Path], contract: Contract, *, most: int = MOST_FRAMES, label: str = UNLABELLED
) -> tuple[LineImage, ...]:
    """List images, folders recursively, in a fixed order; at most `most` of them, evenly.

    Raises
    ------
    UsageError
        When a source does not exist.
    ImageError
        When there is no image.
    """
    found: dict[Path, str] = {}
    for source in sources:
        if not source.exists():
            raise UsageError(f"{source}: there is no such file or folder.")
        inside = walk_images(source, skip=_no_frames) if source.is_dir() else iter((source,))
        for path in inside:
            name = path.relative_to(source).as_posix() if source.is_dir() else path.name
            found.setdefault(path.resolve(), name)
    if not found:
        raise ImageError("no image in it.", path=", ".join(str(source) for source in sources))
    spec, listed = contract.frame, list(found.items())
    chosen = np.unique(np.linspace(0, len(listed) - 1, min(most, len(listed))).round().astype(int))
    read = partial(read_image, channels=spec.channels, bit_depth=spec.bit_depth)
    return tuple(LineImage(path, name, partial(read, path), label) for path, name in (listed[i] for i in chosen))


def vector_images(parent: Opened) -> tuple[LineImage, ...]:
    """Return the frames of the bundle's vectors: a few of the old images that are still at hand."""
    file = parent.folder / VECTORS_FILE
    try:
        entries = json.loads(file.read_bytes())["vectors"]
        return tuple(_vector_image(file.parent / entry["frame"], entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{file}: cannot be read ({error}). Copy the bundle again.") from None


def _vector_image(path: Path, entry: Mapping[str, Any]) -> LineImage:
    frame = np.frombuffer(path.read_bytes(), np.uint8).reshape(entry["frame_shape_hwc"])
    return LineImage(path, f"vector {entry['name']}", lambda: frame)


def _no_frames(folder: Path) -> bool:
    return folder.name == MASKS or is_own_output(folder)


def observe(parent: Parent, images: Sequence[LineImage], done: Callable[[], None]) -> Observed:
    """Run frames through the parent's graph, one at a time as on the line, and keep the taps."""
    kept = (*parent.taps, REGION)
    graph = Graph(with_outputs(parent.model, ("patch_score", *kept)))
    names = ("patch_score", "score", "embedding", "quality", "gate")

    def one(image: LineImage) -> dict[str, Array]:
        out = graph({INPUT_FRAME: image.load()[None]}, (*names, *kept))
        done()
        return out

    outs = list(parallel(one, images))
    stacked = {name: np.concatenate([out[name] for out in outs]) for name in names}
    return Observed(
        stacked["patch_score"].astype(np.float64),
        stacked["score"].astype(np.float64),
        stacked["embedding"].astype(np.float32),
        stacked["quality"].astype(np.float32),
        stacked["gate"].astype(np.int64),
        tuple({name: out[name].astype(np.float32, copy=False) for name in kept} for out in outs),
    )
