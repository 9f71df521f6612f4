"""All that can be refused of a recipe's method before a training: its name, its licences, its folders, its taps.

The one place that `check`, `train` and `compare` ask. Nothing heavy is imported for what is known without it, and no
image is read: what depends on the images is refused where they are.
"""

import json
import re
from typing import TYPE_CHECKING

from lineside.errors import UsageError
from lineside.transfer.backbone_check import LITE0_ARCHITECTURE, refuse_backbone
from lineside.transfer.bridge_catalog import LICENCE, METHOD_PREFIX, KnownModel, resolve_model
from lineside.transfer.bridge_weights import refuse_missing, refuse_unlicensed
from lineside.transfer.text_folder import check_clip_licence, read_clip_folder
from lineside.transfer.weights_folder import CONFIG_FILE

if TYPE_CHECKING:
    from lineside.recipe import LoadedRecipe

_KEYED = re.compile(r"(transfer\.[a-z_.]+): (.*)", re.DOTALL)


def check_method(loaded: "LoadedRecipe") -> None:
    """Refuse a recipe whose method cannot be trained, or not under the licences that the recipe allows.

    Raises
    ------
    RecipeError
        With file, line and key.
    """
    try:
        _refuse(loaded)
    except UsageError as error:
        keyed = _KEYED.fullmatch(error.message)
        key, message = keyed.groups() if keyed else ("transfer.method", error.message)
        raise loaded.error(message, key) from None


def _refuse(loaded: "LoadedRecipe") -> None:
    transfer = loaded.recipe.transfer
    if transfer.method == "text":
        assert transfer.weights is not None  # the recipe's own rule
        check_clip_licence(read_clip_folder(loaded.resolve(transfer.weights)), transfer.licences)
        return
    if transfer.method.startswith(METHOD_PREFIX):
        known = resolve_model(transfer.method)
        refuse_model(known, loaded)
        if not known.takes_backbone:
            return
    refuse_backbone(transfer.backbone, transfer.taps, transfer.licences, loaded.folder)


def refuse_model(known: KnownModel, loaded: "LoadedRecipe") -> None:
    """Refuse an anomalib model by its licence, that of its weights, the files that it needs, and its backbone.

    Raises
    ------
    UsageError
    """
    transfer = loaded.recipe.transfer
    if known.takes_backbone and "backbone" in transfer.options:
        raise UsageError(
            "transfer.options.backbone: name it in transfer.backbone instead: its licence is checked there."
        )
    if LICENCE not in transfer.licences:
        raise UsageError(f"transfer.method: anomalib's licence {LICENCE!r} is not one that transfer.licences allows.")
    weights = loaded.resolve(transfer.weights) if transfer.weights else None
    references = loaded.resolve(transfer.reference_images) if transfer.reference_images else None
    refuse_missing(known, transfer.options, weights, references)
    refuse_unlicensed(known, transfer.options, weights, transfer.licences)
    architecture = _architecture(loaded)
    if known.backbones and architecture not in (*known.backbones, None):
        raise UsageError(
            f"transfer.backbone: anomalib.{known.name} takes only these: {', '.join(known.backbones)}; found "
            f"{architecture}."
        )


def _architecture(loaded: "LoadedRecipe") -> str | None:
    """Return timm's name of the backbone; None where the folder does not say it, which is refused by another."""
    kind, _, rest = loaded.recipe.transfer.backbone.partition(":")
    if kind != "local-dir":
        return LITE0_ARCHITECTURE if kind == "lite0" else rest.split(".")[0]
    try:
        return str(json.loads((loaded.resolve(rest) / CONFIG_FILE).read_text(encoding="utf-8"))["architecture"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
