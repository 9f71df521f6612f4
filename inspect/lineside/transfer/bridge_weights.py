"""What anomalib's models need beside the good images, and under which licence: refused before anything is fitted.

Several of them bring an encoder, which anomalib would download without a word. A contract names such weights like any
others, with licence and hash, and a licence that the recipe does not allow stops the training. Torch-free.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lineside.contract import Component
from lineside.errors import UsageError
from lineside.transfer.backbone_check import timm_licence
from lineside.transfer.bridge_catalog import TIMM_HUB, KnownModel, OwnWeights
from lineside.transfer.bridge_options import architecture_of
from lineside.transfer.text_folder import check_clip_licence, read_clip_folder
from lineside.transfer.weights_folder import CONFIG_FILE, UNKNOWN_LICENCE, file_sha256, stated_licence

GIVEN = "transfer.weights"
_ENCODER_OPTIONS = ("encoder_name", "backbone")
"""Arguments by which anomalib's models are told another encoder."""
_FAMILY_FIRST = re.compile(r"(dinov[23])_vit_([a-z]+)_(\d+)")
"""How FoundAD names encoders: dinov2_vit_base_14."""


def weights_component(known: KnownModel, options: Mapping[str, object], weights: Path | None) -> Component | None:
    """Return what a contract says of the weights that a model brings, not yet hashed; None where it brings none.

    Parameters
    ----------
    known : KnownModel
    options : Mapping
        Of the recipe: they may name another encoder.
    weights : Path or None
        The recipe's folder, instead of the download.
    """
    if known.own is None:
        return None
    if weights is None:
        return _downloaded(known.own, _asked(options))
    licence = read_clip_folder(weights).licence if known.clip else stated_licence(weights)
    return Component("weights", weights.name, GIVEN, licence, "")


def weights_hashed(
    component: Component, known: KnownModel, options: Mapping[str, object], weights: Path | None
) -> Component:
    """Return the component with the hash of its file, where that lies in the recipe's folder."""
    if weights is None:
        return component
    file = read_clip_folder(weights).weights if known.clip else weights / _file_of(known, options)
    return replace(component, sha256=file_sha256(file))


def refuse_unlicensed(
    known: KnownModel, options: Mapping[str, object], weights: Path | None, licences: tuple[str, ...]
) -> None:
    """Refuse weights whose licence the recipe does not allow, before they are fetched.

    Raises
    ------
    UsageError
        Naming the weights, their licence and the way out.
    """
    component = weights_component(known, options, weights)
    if component is None or component.licence in licences:
        return
    if known.clip and weights is not None:
        check_clip_licence(read_clip_folder(weights), licences)
    key = "transfer.method" if weights is None else GIVEN
    told = f"the weights {component.name} ({component.source}) have the licence {component.licence!r}, which"
    if component.licence == UNKNOWN_LICENCE:
        told = f"nothing states the licence of the weights {component.name} ({component.source}), which"
    remedy = f"If you may use them, add {component.licence} to transfer.licences"
    if component.licence == UNKNOWN_LICENCE and not known.clip and known.local:
        remedy += f", or state their licence in {CONFIG_FILE} (pretrained_cfg: license) of the folder {GIVEN}"
    allowed = ", ".join(licences)
    raise UsageError(f"{key}: anomalib.{known.name}: {told} the recipe does not allow ({allowed}). {remedy}.")


def refuse_missing(
    known: KnownModel, options: Mapping[str, object], weights: Path | None, reference_images: Path | None
) -> None:
    """Refuse a model without the files that it needs: all that is missing at once.

    Raises
    ------
    UsageError
    """
    for key, folder in (("weights", weights), ("reference_images", reference_images)):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"transfer.{key}: there is no folder {folder}.")
    wanted = []
    if known.weights_file is not None and weights is None:
        wanted.append(f"transfer.weights: a folder that holds {_file_of(known, options)}")
    given = reference_images or options.get(known.reference_option or "")
    if known.reference_option is not None and (given is None or not Path(str(given)).is_dir()):
        wanted.append("transfer.reference_images: a local folder of images")
    if wanted:
        raise UsageError(
            f"{wanted[0].partition(': ')[0]}: anomalib.{known.name} needs a download ({known.downloads}). Give it "
            f"locally: {'; '.join(wanted)}."
        )
    if weights is not None:
        _refuse_other_weights(known, options, weights)


def refuse_size(known: KnownModel, size_wh: tuple[int, int]) -> None:
    """Refuse working images that are too small for a model.

    Raises
    ------
    UsageError
    """
    least = known.least_side_px
    if min(size_wh) < least:
        raise UsageError(
            f"normalise.size: anomalib.{known.name} needs working images of at least {least}×{least} px, found "
            f"{size_wh[0]}×{size_wh[1]}. Set normalise.size: [{max(least, size_wh[0])}, {max(least, size_wh[1])}]."
        )


def _refuse_other_weights(known: KnownModel, options: Mapping[str, object], weights: Path) -> None:
    """Refuse a folder in whose place something would be downloaded all the same."""
    if not known.local:
        raise UsageError(f"{GIVEN}: anomalib.{known.name} reads no such folder; delete the key.")
    if known.clip:
        read_clip_folder(weights)
        return
    if known.own is not None and known.own.source == TIMM_HUB:
        held, asked = architecture_of(weights, GIVEN), _asked(options)
        wanted = asked or (held if known.encoder_option else known.own.name)
        if wanted.split(".")[0] != held:
            raise UsageError(f"{GIVEN}: {weights} holds {held}, and anomalib.{known.name} would fetch {wanted}.")
    elif _asked(options) is not None:
        raise UsageError(f"{GIVEN}: read for the usual encoder of anomalib.{known.name} alone, not {_asked(options)}.")
    if not (weights / _file_of(known, options)).is_file():
        raise UsageError(f"{GIVEN}: {weights} does not hold {_file_of(known, options)}.")


def _file_of(known: KnownModel, options: Mapping[str, object]) -> str:
    return (known.weights_file or known.hub_file or "").format(model_size=options.get("model_size", "small"))


def _downloaded(own: OwnWeights, asked: str | None) -> Component:
    if asked is None:
        return Component("weights", own.name, own.source, own.licence, "")
    licence = timm_licence(asked) if own.source == TIMM_HUB else None
    return Component("weights", asked, own.source, licence or UNKNOWN_LICENCE, "")


def _asked(options: Mapping[str, object]) -> str | None:
    """Return the encoder that the recipe's options name, as timm does."""
    named = next((str(options[key]) for key in _ENCODER_OPTIONS if key in options), None)
    return None if named is None else _FAMILY_FIRST.sub(r"vit_\2_patch\3_\1", named)
