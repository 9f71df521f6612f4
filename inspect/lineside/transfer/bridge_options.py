"""From a recipe to the arguments of an anomalib model's constructor.

What the recipe names is checked against the constructor's own signature, and wins. What it leaves open follows the
backbone folder: anomalib's defaults name ResNet layers (`layer2`, `layer3`), here the layers of the same stride are
taken. anomalib itself drops a layer that it does not find and fails later with a bare KeyError.
"""

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineside.errors import UsageError

TRAINING_OPTIONS = ("max_epochs", "max_steps", "train_batch_size")
_OUR_PARTS = ("pre_processor", "post_processor", "evaluator", "visualizer")
_RESNET_LAYER = re.compile(r"layer([1-4])")
# Defard et al., PaDiM, ICPR 2021, section IV: 100 of the 448 dimensions of a ResNet-18 lose next to nothing.
_PADIM_FEATURES = 100
_GLASS_LAYERS = ("layer2", "layer3")  # what its default, None, stands for


@dataclass(frozen=True)
class _Stage:
    """One tap of a convolutional backbone."""

    name: str
    stride: int
    channels: int


def architecture_of(folder: Path, key: str) -> str:
    """Return timm's name of the architecture that a local folder holds the weights of.

    Raises
    ------
    UsageError
        When the folder does not hold ``config.json`` and ``model.safetensors``, as timm writes them.
    """
    missing = [name for name in ("config.json", "model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"{key}: {folder} does not hold {missing[0]}; expected a folder as timm's save_for_hf writes it."
        )
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["architecture"])
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{key}: {folder / 'config.json'} names no architecture; expected timm's config.json."
        ) from None


def split_options(model: type, options: Mapping[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a recipe's options into the model's own and those of the training run.

    Raises
    ------
    UsageError
        When an option is neither; the message lists what the model takes.
    """
    known = parameters(model)
    for name in options:
        if name not in known and name not in TRAINING_OPTIONS:
            raise UsageError(
                f"anomalib.{model.__name__} has no option {name!r}. Its options: {', '.join(known) or 'none'}; "
                f"those of the training: {', '.join(TRAINING_OPTIONS)}."
            )
    own = {name: value for name, value in options.items() if name in known}
    return own, {name: value for name, value in options.items() if name not in known}


def parameters(model: type) -> dict[str, inspect.Parameter]:
    """Return the options of a model's constructor, less the parts of anomalib that lineside replaces."""
    signature = inspect.signature(model)
    return {name: value for name, value in signature.parameters.items() if name not in _OUR_PARTS}


def backbone_arguments(
    model: type, folder: Path, options: Mapping[str, Any], size_wh: tuple[int, int]
) -> dict[str, Any]:
    """Return the arguments that name a backbone, and its layers, to a model.

    The backbone goes by timm's plain name of its architecture (`bridge_scope.timm_weights_from` supplies the weights):
    anomalib decides by the name what a backbone is, and would take a folder ``models/gravity`` (with "vit" in it) for a
    transformer.

    Parameters
    ----------
    model : type
        A class of ``anomalib.models``.
    folder : Path
        Backbone folder (``config.json``, ``model.safetensors``).
    options : Mapping
        The recipe's options for the constructor: never overridden.
    size_wh : tuple of int
        Width and height of the working tensor in pixels.

    Raises
    ------
    UsageError
        When a layer does not exist in this backbone, or the defaults name one of a stride that it does not have.
    """
    return architecture_arguments(model, architecture_of(folder, "transfer.backbone"), options, size_wh)


def architecture_arguments(
    model: type, name: str, options: Mapping[str, Any], size_wh: tuple[int, int]
) -> dict[str, Any]:
    """Return the same for timm's name of an architecture."""
    known = parameters(model)
    arguments: dict[str, Any] = {"backbone": name}
    asked = "layers" if "layers" in known else "layer" if "layer" in known else None
    if asked is None or "vit" in name:
        return arguments
    stages = _stages(name)
    if asked in options:
        layers = _checked(options[asked], stages, f"anomalib.{model.__name__}: {asked}")
    else:
        layers = [_same_stride(layer, stages, model) for layer in _listed(known[asked].default or _GLASS_LAYERS)]
        arguments[asked] = layers if asked == "layers" else layers[0]
    chosen = [stage for stage in stages if stage.name in layers]
    if "n_features" in known and options.get("n_features") is None:
        arguments["n_features"] = min(_PADIM_FEATURES, sum(stage.channels for stage in chosen))
    if "input_dim" in known and "input_dim" not in options:
        pool = int(options.get("pooling_kernel_size", known["pooling_kernel_size"].default))
        arguments["input_dim"] = _flat_size(chosen[0], size_wh, pool)
    return arguments


def _stages(name: str) -> list[_Stage]:
    import timm

    info = timm.create_model(name, pretrained=False, features_only=True, exportable=True).feature_info
    return [_Stage(*row) for row in zip(info.module_name(), info.reduction(), info.channels(), strict=True)]


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _checked(value: Any, stages: list[_Stage], where: str) -> list[str]:
    names = [stage.name for stage in stages]
    for layer in _listed(value):
        if layer not in names:
            raise UsageError(f"{where}: this backbone has no layer {layer!r}. Its layers: {_described(stages)}.")
    return _listed(value)


def _same_stride(layer: str, stages: list[_Stage], model: type) -> str:
    """Return this backbone's layer of the stride that a ResNet's layer has: layer1 is stride 4, layer4 is stride 32."""
    match = _RESNET_LAYER.fullmatch(layer)
    stride = 2 ** (int(match.group(1)) + 1) if match else None
    found = [stage.name for stage in stages if stage.stride == stride]
    if not found:
        raise UsageError(
            f"anomalib.{model.__name__} wants the backbone's {layer}, and this backbone has nothing of that stride. "
            f"Name its layers in the options. Its layers: {_described(stages)}."
        )
    return found[-1]


def _described(stages: list[_Stage]) -> str:
    return ", ".join(f"{stage.name} (stride {stage.stride}, {stage.channels} channels)" for stage in stages)


def _flat_size(stage: _Stage, size_wh: tuple[int, int], pool: int) -> int:
    width, height = (-(-side // stage.stride) // pool for side in size_wh)
    return stage.channels * width * height
