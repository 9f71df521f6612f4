"""anomalib's models behind our own front and thresholds.

anomalib's own model is trained by anomalib's own `Engine`, on the working tensors that ONNX Runtime computed, and its
torch model then goes into the one graph. Its exporter was rejected: it resizes without antialiasing what it evaluated
with antialiasing, fixes PatchCore's batch, writes two files, and clamps scores between the extremes of a validation
set. So its pre-processor, post-processor and evaluator are off, and scores stay raw.
"""

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lineside.errors import LinesideError, MissingExtraError, UsageError
from lineside.transfer.bridge_catalog import LICENCE, KnownModel, resolve_model
from lineside.transfer.bridge_fetched import fetched_hashes
from lineside.transfer.bridge_loops import batch_kept_dynamic, defining_modules, without_loops
from lineside.transfer.bridge_options import architecture_of, backbone_arguments, split_options
from lineside.transfer.bridge_scope import bars_off, clip_from, guest, timm_weights_from, weights_from
from lineside.transfer.bridge_train import build, explained, train
from lineside.transfer.bridge_weights import refuse_missing, refuse_size
from lineside.transfer.text_folder import ClipFolder, read_clip_folder

MIN_GOODS = 2


@dataclass(frozen=True)
class BridgeSpec:
    """What the recipe asks of anomalib.

    Attributes
    ----------
    model : str
        Name of a class in ``anomalib.models``: ``Patchcore``, ``Padim`` …
    backbone_folder : Path or None
        Folder with ``config.json`` and ``model.safetensors``; None takes the model's own default, which it downloads.
    options : Mapping
        Keyword arguments of the model's constructor; also `max_epochs`, `max_steps` and `train_batch_size` of its
        training (100 epochs in batches of 32 where the model itself does not say).
    weights : Path or None
        Local folder with the pretrained files that the model would download.
    reference_images : Path or None
        Local folder with the images that the model would download to train with.
    seed : int
        Everything random in the fit follows from it.
    """

    model: str
    backbone_folder: Path | None
    options: Mapping[str, object]
    weights: Path | None
    reference_images: Path | None
    seed: int


class BridgedModel(nn.Module):
    """A fitted anomalib model: working tensor in, raw score and raw anomaly map out.

    Attributes
    ----------
    model_name, licence, source : str
        For the contract.
    uses_backbone : bool
        Whether the backbone folder is in it; False for models with an encoder of their own.
    has_map : bool
        False where anomalib's model gives no map; `forward` then returns zeros of 1 × 1.
    fetched : tuple of str
        SHA-256 of weights that it downloaded, in order.
    """

    def __init__(
        self, inner: nn.Module, model_name: str, *, uses_backbone: bool, has_map: bool, fetched: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.inner = inner.eval().requires_grad_(False)
        self._modules_of_inner = defining_modules(inner)
        self.model_name = model_name
        self.licence = LICENCE
        self.source = f"anomalib {version('anomalib')}"
        self.uses_backbone = uses_backbone
        self.has_map = has_map
        self.fetched = fetched

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Judge working tensors.

        Parameters
        ----------
        x : Tensor of float32 [N, 3, H, W]
            Normalised as in the fit.

        Returns
        -------
        score : Tensor of float32 [N]
            Larger is worse; as anomalib's model gives it, else the largest value of the map (as anomalib's
            post-processor takes it).
        anomaly_map : Tensor of float32 [N, h, w]
            As anomalib's model gives it.
        """
        with batch_kept_dynamic(self._modules_of_inner):
            answer = self.inner(x)
        score, anomaly_map = answer.pred_score, answer.anomaly_map  # [N] or [N, 1]; [N, 1, h, w] or [N, h, w]
        if score is None:
            score = anomaly_map.amax(dim=(-2, -1))
        if anomaly_map is None:
            anomaly_map = x.new_zeros((x.shape[0], 1, 1))
        elif anomaly_map.ndim == 4:
            anomaly_map = anomaly_map.squeeze(1)
        return score.reshape(-1).float(), anomaly_map.float()

    def score(self, working: npt.NDArray[np.float32]) -> float:
        """Score one working tensor [1, 3, H, W] in torch: the reference that the exported graph is held against."""
        with torch.inference_mode():
            return float(self(torch.from_numpy(working))[0][0])


def fit_anomalib(spec: BridgeSpec, goods: npt.NDArray[np.float32]) -> BridgedModel:
    """Train an anomalib model on good working tensors.

    Parameters
    ----------
    spec : BridgeSpec
        What to train.
    goods : ndarray of float32 [n, 3, H, W]
        Working tensors of good images, as the exported front gives them, n ≥ 2; not changed.

    Returns
    -------
    BridgedModel
        In eval mode, on the CPU; the same for the same arguments on the same machine.

    Raises
    ------
    UsageError
        When the model, an option or a layer does not exist, or the goods are too few or of the wrong shape.
    LinesideError
        When the model needs a download that is not given locally, or cannot be fitted on these images.
    """
    known = resolve_model(spec.model)
    _check_goods(goods)
    refuse_missing(known, spec.options, spec.weights, spec.reference_images)
    refuse_size(known, (goods.shape[3], goods.shape[2]))
    kind = load_class(known)
    with guest(spec.seed), tempfile.TemporaryDirectory(prefix="lineside-") as scratch:
        own, training = split_options(kind, spec.options)
        size_wh = (goods.shape[3], goods.shape[2])
        arguments = _arguments(known, kind, spec, own, size_wh)
        uses_backbone = spec.backbone_folder is not None and "backbone" in arguments.keys() - own.keys()
        try:
            with (
                fetched_hashes() as fetched,
                timm_weights_from(_timm_folders(spec, known)),
                clip_from(_clip_folder(spec, known), size_wh[::-1]),
                weights_from(spec.weights),
                bars_off(),
            ):
                module = build(kind, arguments, size_wh)
                train(module, goods, known, training, Path(scratch))
                return _finish(module, known, goods, uses_backbone=uses_backbone, fetched=tuple(fetched))
        except Exception as error:
            raise explained(error, known) from error


def load_class(known: KnownModel) -> Any:
    """Return anomalib's class of a model.

    Raises
    ------
    MissingExtraError
        When anomalib is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import anomalib.engine
            import anomalib.models
    except ImportError:
        raise MissingExtraError("anomalib", "train") from None
    return getattr(anomalib.models, known.name)


def _check_goods(goods: npt.NDArray[np.float32]) -> None:
    if goods.ndim != 4 or goods.shape[1] != 3:
        raise UsageError(f"Expected working tensors of shape [n, 3, H, W], found {list(goods.shape)}.")
    if len(goods) < MIN_GOODS:
        raise UsageError(f"anomalib models need at least {MIN_GOODS} good images to be fitted, found {len(goods)}.")


def _arguments(
    known: KnownModel, kind: type, spec: BridgeSpec, own: dict[str, Any], size_wh: tuple[int, int]
) -> dict[str, Any]:
    arguments = dict(own)
    if spec.backbone_folder is not None and known.takes_backbone and "backbone" not in own:
        _check_backbone(known, architecture_of(spec.backbone_folder, "transfer.backbone"))
        arguments |= backbone_arguments(kind, spec.backbone_folder, own, size_wh)
    if spec.weights is not None and known.encoder_option is not None:
        arguments.setdefault(known.encoder_option, architecture_of(spec.weights, "transfer.weights"))
    if known.clip:
        arguments.setdefault("class_name", "object")  # anomalib's default; it would take it from a data set's name
    if spec.reference_images is not None and known.reference_option is not None:
        arguments.setdefault(known.reference_option, spec.reference_images)
    return arguments


def _check_backbone(known: KnownModel, architecture: str) -> None:
    if known.backbones and architecture not in known.backbones:
        raise UsageError(
            f"anomalib.{known.name} takes only these backbones: {', '.join(known.backbones)}; transfer.backbone is "
            f"{architecture}. Name one of them, or as the option `backbone` (then it is downloaded)."
        )


def _clip_folder(spec: BridgeSpec, known: KnownModel) -> ClipFolder | None:
    """Return the recipe's folder with a CLIP model, where this model takes one."""
    return read_clip_folder(spec.weights) if known.clip and spec.weights is not None else None


def _timm_folders(spec: BridgeSpec, known: KnownModel) -> dict[str, Path]:
    """Return the local timm folders of the recipe by architecture."""
    folders: dict[str, Path] = {}
    if spec.backbone_folder is not None:
        folders[architecture_of(spec.backbone_folder, "transfer.backbone")] = spec.backbone_folder
    if spec.weights is not None and not known.clip and (spec.weights / "config.json").is_file():
        folders[architecture_of(spec.weights, "transfer.weights")] = spec.weights
    return folders


def _finish(
    module: Any, known: KnownModel, goods: npt.NDArray[np.float32], *, uses_backbone: bool, fetched: tuple[str, ...]
) -> BridgedModel:
    """Take the torch model out of anomalib's module, ready for export, and try it."""
    inner = without_loops(module.model)
    with torch.no_grad():
        answer = inner.eval()(torch.from_numpy(goods[:MIN_GOODS].copy()))
        has_map = getattr(answer, "anomaly_map", None) is not None
        bridged = BridgedModel(inner, known.name, uses_backbone=uses_backbone, has_map=has_map, fetched=fetched)
        score, anomaly_map = bridged(torch.from_numpy(goods[:MIN_GOODS].copy()))
    if not (torch.isfinite(score).all() and torch.isfinite(anomaly_map).all()):
        raise LinesideError(
            f"anomalib.{known.name}: its scores on the training images are not finite after fitting on {len(goods)} "
            "good images. Give more good images, or choose another method."
        )
    return bridged
