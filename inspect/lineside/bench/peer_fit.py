"""anomalib's own models as peers: its defaults, its fit, its exporter.

Unlike in `lineside.transfer.bridge` nothing of ours stands around them: pre-processor and post-processor are
anomalib's, since they are what its users pay for. What had to be done to run an export at all is said in `Peer.words`.
Its coreset alone is chosen by `lineside.transfer.memory.k_centre`, from the same projected features by the same rule:
anomalib reads all patches once for every entry, many minutes for 5,120 of 51,200.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError
from lineside.transfer.bridge_catalog import KNOWN_MODELS, METHOD_PREFIX, KnownModel, resolve_model

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]
OPSET = 18
"""torch writes no older one; from anomalib's default, 14, it comes back to this, with a page of errors."""
OWN_BACKBONES = ("resnet18", "wide_resnet50_2")
"""For these anomalib's models know layers and numbers of features themselves."""
_SHOWN = (bool, int, float, str, list, tuple)


@dataclass(frozen=True)
class Peer:
    """A fitted and exported peer."""

    name: str
    """As in ``anomalib.Patchcore (wide_resnet50_2)``."""
    model: bytes
    """ONNX; its input is float32 [N, 3, H, W], 0 to 1, of the frame's size."""
    pretrained: bool
    """False: random weights, and scores that mean nothing."""
    words: tuple[str, ...]
    """How it was made, and what was done so that its export runs."""


@dataclass(frozen=True)
class _Backbone:
    name: str | None
    """timm's name; None: the model's own default."""
    folder: Path | None
    """With its weights; None: random ones."""


def check_peers(names: Iterable[str]) -> tuple[KnownModel, ...]:
    """Return what is known of peers, without importing torch.

    Raises
    ------
    UsageError
        When a name is no model of anomalib that can stand behind any backbone, or comes twice, or there is none.
    """
    known = tuple(resolve_model(name.strip()) for name in names if name.strip())
    usable = [name for name, model in KNOWN_MODELS.items() if model.takes_backbone]
    for model in known:
        if not model.takes_backbone:
            raise UsageError(
                f"--peer: {METHOD_PREFIX}{model.name} brings a network of its own, whose weights it downloads; "
                f"expected one of {', '.join(METHOD_PREFIX + name for name in usable)}."
            )
    if len(set(known)) < len(known) or not known:
        raise UsageError("--peer: expected different models such as anomalib.Patchcore,anomalib.Padim.")
    return known


def fit_peer(
    known: KnownModel,
    backbone: str | None,
    goods: Iterable[Pixels],
    frame_hw: tuple[int, int],
    seed: int = 0,
    keep: Callable[[Any], None] = lambda module: None,
) -> Peer:
    """Fit a model of anomalib as its users would, and export it for frames of one size.

    Parameters
    ----------
    known : KnownModel
        Of `check_peers`.
    backbone : str or None
        ``lite0`` or ``local-dir:<folder>`` with their weights, or timm's name of an architecture, whose weights are
        random: nothing is downloaded. None: the model's own default, random.
    goods : iterable of ndarray of uint8 [H, W, C]
        Good frames.
    frame_hw : tuple of int
        Height and width of the frames that the export takes.
    seed : int
    keep : callable
        Is handed anomalib's module.

    Raises
    ------
    UsageError
        When there is no such backbone, or it does not suit the model.
    LinesideError
        When the model cannot be fitted.
    """
    from lineside.transfer.bridge import load_class
    from lineside.transfer.bridge_scope import bars_off, guest, timm_weights_from
    from lineside.transfer.bridge_train import explained, train

    kind = load_class(known)
    with tempfile.TemporaryDirectory(prefix="lineside-") as scratch, guest(seed):
        found = _backbone(backbone, Path(scratch) / "backbone")
        with timm_weights_from({found.name: found.folder} if found.name and found.folder else {}), bars_off():
            try:
                module = kind(**_arguments(kind, found))
                own = module.pre_processor
                tensors = _prepared(own, goods)
                module.pre_processor = None  # the trainer is handed what it made
                with _coreset_in_blocks(seed):
                    train(module, tensors, known, {}, Path(scratch))
                module.pre_processor = own
                model, changed = _exported(module, known, frame_hw, Path(scratch))
            except Exception as error:
                raise explained(error, known) from error
    keep(module)
    described = _fitted_words(kind, module, found, tensors)
    name = f"{METHOD_PREFIX}{known.name} ({module.hparams['backbone']})"
    return Peer(name, model, found.folder is not None, (described, *changed))


def _backbone(name: str | None, scratch: Path) -> _Backbone:
    import timm

    from lineside.transfer.backbone import write_local_dir
    from lineside.transfer.bridge_options import architecture_of

    if name is None:
        return _Backbone(None, None)
    if name == "lite0" or name.startswith("local-dir:"):
        folder = write_local_dir(name, scratch) if name == "lite0" else Path(name.removeprefix("local-dir:"))
        return _Backbone(architecture_of(folder, "--backbone"), folder)
    if not timm.is_model(name):
        raise UsageError(
            f"--backbone: expected lite0, local-dir:<folder> or one of timm's architectures such as wide_resnet50_2, "
            f"found {name!r}."
        )
    return _Backbone(name, None)


def _arguments(kind: type, backbone: _Backbone) -> dict[str, Any]:
    from lineside.transfer.bridge_options import architecture_arguments

    parts = {"pre_trained": backbone.folder is not None, "evaluator": False, "visualizer": False}
    if backbone.name is None:
        return parts
    if backbone.name in OWN_BACKBONES:
        return {**parts, "backbone": backbone.name}
    size_wh = (256, 256)  # of no effect on the models that take a backbone and a list of layers
    return {**parts, **architecture_arguments(kind, backbone.name, {}, size_wh)}


def _prepared(pre_processor: Any, goods: Iterable[Pixels]) -> npt.NDArray[np.float32]:
    """Frames as the model's own pre-processor makes them, [n, 3, h, w]."""
    return np.concatenate([pre_processor.transform(planes(frame)).numpy() for frame in goods])


def planes(frame: Pixels) -> "torch.Tensor":
    """Return a frame [H, W, C] as anomalib takes it, float32 [1, 3, H, W], 0 to 1."""
    import torch

    colour = np.broadcast_to(frame, (*frame.shape[:2], 3))  # grey is spread
    return torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1)[None], np.float32) / np.float32(255.0))


@contextmanager
def _coreset_in_blocks(seed: int) -> Iterator[None]:
    """Have PatchCore choose its memory by the rule that it has, in blocks."""
    from anomalib.models.components.sampling.k_center_greedy import KCenterGreedy
    from anomalib.models.image.patchcore import torch_model

    from lineside.transfer.bridge_scope import swapped
    from lineside.transfer.memory import k_centre

    class InBlocks(KCenterGreedy):  # type: ignore[misc]
        def select_coreset_idxs(self) -> list[int]:
            self.model.fit(self.embedding)
            features = self.model.transform(self.embedding).numpy().astype(np.float32, copy=False)
            return [int(index) for index in k_centre(features, self.coreset_size, seed)]

    with swapped(torch_model, "KCenterGreedy", InBlocks):
        yield


def _exported(
    module: Any, known: KnownModel, frame_hw: tuple[int, int], scratch: Path
) -> tuple[bytes, tuple[str, ...]]:
    """Export by anomalib's own exporter; also say what was changed before."""
    import onnx
    import torch

    from lineside.graph.onnx_export import quiet
    from lineside.transfer.bridge_loops import batch_kept_dynamic, defining_modules, without_loops

    module.model = without_loops(module.model)
    with quiet(), batch_kept_dynamic(defining_modules(module.model)), torch.no_grad():
        path = module.to_onnx(scratch / "export", input_size=frame_hw, opset_version=OPSET)
    words = [
        f"Exported by anomalib's own exporter for frames of {frame_hw[1]}×{frame_hw[0]}, opset {OPSET}: its resize "
        "is in the graph, without antialiasing, as anomalib writes it, and so is its post-processor. Frames are given "
        "as float32 planes from 0 to 1, made before the clock starts."
    ]
    if known.name in ("Patchcore", "MHPatchcore", "Dfkde"):
        words.append(
            "Its loop over the batch was replaced by a search of the same answers without one: as it is, the exporter "
            "fixes the batch at the two images of its example, and ONNX Runtime refuses a single frame."
        )
    return bytes(onnx.load(str(path)).SerializeToString()), tuple(words)


def _fitted_words(kind: type, module: Any, backbone: _Backbone, tensors: npt.NDArray[np.float32]) -> str:
    import torch

    from lineside.transfer.bridge_options import parameters

    taken = {name: module.hparams.get(name) for name in parameters(kind) if name not in ("backbone", "pre_trained")}
    shown = ", ".join(f"{name} {value}" for name, value in taken.items() if type(value) in _SHOWN)
    weights = "its weights" if backbone.folder else "random weights, on which time does not depend"
    count, _, height, width = tensors.shape
    memory = getattr(module.model, "memory_bank", None)
    bank = "" if not isinstance(memory, torch.Tensor) else f"; memory of {memory.shape[0]} × {memory.shape[1]}"
    return (
        f"anomalib {version('anomalib')}, {weights}; fitted on {count} good frames at {width}×{height} ({shown}){bank}."
    )
