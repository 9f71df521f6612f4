"""What is known of anomalib's models: which can be a graph of ours, and what each needs that is not in a wheel.

A table rather than a trial at run time: a recipe's `method:` is checked without importing torch, and what a model would
download (some at construction, some into the working folder) is asked for by name before it is built. Tried with
anomalib 2.7.0 on random images and weights: each was built, fitted for an epoch, exported, and run in ONNX Runtime with
batches of 1, 2 and 7 against torch. Not tried, for want of their weights: L2BT, AnomalyVFM. The worst relative
difference was 1e-5, except 1.4e-4 for Dsr, which rounds to a codebook. A test keeps the names equal to anomalib's.
"""

import difflib
from dataclasses import dataclass

from lineside.errors import UsageError
from lineside.transfer.weights_folder import UNKNOWN_LICENCE, WEIGHTS_FILE

LICENCE = "apache-2.0"
METHOD_PREFIX = "anomalib."
_RESNETS = ("resnet18", "wide_resnet50_2")
_REVERSIBLE = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip
_RELEASE = "anomalib's release on GitHub"
_DINO = "a timm folder (config.json, model.safetensors) of"


@dataclass(frozen=True)
class OwnWeights:
    """Pretrained weights that a model brings itself, as a contract names them."""

    name: str
    source: str
    licence: str = UNKNOWN_LICENCE
    """As timm states it of the very file, lower case. ``unknown``: neither timm, torchvision, open_clip nor anomalib
    states one."""


@dataclass(frozen=True)
class KnownModel:
    """One of anomalib's models.

    Attributes
    ----------
    name : str
        Its class in ``anomalib.models``.
    refused : str
        Why it cannot be used, in one clause; empty where it can.
    takes_backbone : bool
        Whether its backbone is any convolutional timm model, so that the recipe's own backbone can be put in.
    backbones : tuple of str
        The architectures that it takes, where it takes only some.
    downloads : str
        What it fetches where it is not given locally; empty where it fetches nothing but its default backbone.
    local : str
        What ``transfer.weights`` may be instead; empty where anomalib takes no local folder.
    own : OwnWeights or None
        The pretrained weights that are in it, beside the recipe's backbone; None where there are none.
    weights_file : str or None
        File that must be in ``transfer.weights``, without which it cannot be trained; ``{model_size}`` in it stands
        for the option of that name, small where it is not given.
    hub_file : str or None
        File that is read where ``transfer.weights`` is given, and downloaded where it is not.
    encoder_option : str or None
        Argument of its constructor that names the encoder whose weights ``transfer.weights`` holds.
    reference_option : str or None
        Argument of its constructor for ``transfer.reference_images``.
    unit_input : bool
        Whether it wants images in 0 to 1 instead of normalised for a backbone.
    validates : bool
        Whether it calibrates itself during validation, which is otherwise off.
    batch_size : int or None
        Images per training step, where the model prescribes it.
    clip : bool
        Whether its encoder is CLIP: ``transfer.weights`` may then be a folder as open_clip writes it.
    least_side_px : int
        Least width and height of the working image that it can take.
    """

    name: str
    refused: str = ""
    takes_backbone: bool = False
    backbones: tuple[str, ...] = ()
    downloads: str = ""
    local: str = ""
    own: OwnWeights | None = None
    weights_file: str | None = None
    hub_file: str | None = None
    encoder_option: str | None = None
    reference_option: str | None = None
    unit_input: bool = False
    validates: bool = False
    batch_size: int | None = None
    clip: bool = False
    least_side_px: int = 0

    @property
    def remedy(self) -> str:
        """What to do where its download fails, as a sentence."""
        if self.local:
            return f"Give it locally: transfer.weights: {self.local}."
        if self.takes_backbone:
            return "Give a backbone locally: transfer.backbone: lite0 or local-dir:<folder>."
        return "anomalib takes no local folder for it: train it where there is a network, or choose another model."


TIMM_HUB = "timm hub"


def _dino(name: str, weights: str, licence: str, option: str | None = None) -> KnownModel:
    architecture = weights.split(".")[0]
    return KnownModel(
        name,
        downloads=architecture,
        local=f"{_DINO} {architecture}",
        own=OwnWeights(weights, TIMM_HUB, licence),
        hub_file=WEIGHTS_FILE,
        encoder_option=option,
    )


def _hub(name: str, weights: str, file: str, licence: str) -> KnownModel:
    return KnownModel(
        name,
        downloads=f"torchvision's {weights}",
        local=f"a folder that holds {file}",
        own=OwnWeights(f"{weights}, ImageNet-1k", "torchvision", licence),
        hub_file=file,
    )


_MODELS = (
    # any convolutional timm backbone, the embedded one included
    KnownModel("Patchcore", takes_backbone=True),
    KnownModel("Padim", takes_backbone=True),
    KnownModel("MHPatchcore", takes_backbone=True),
    KnownModel("Dfm", takes_backbone=True),
    KnownModel("Dfkde", takes_backbone=True),
    KnownModel("Fre", takes_backbone=True),
    KnownModel("Stfpm", takes_backbone=True),
    KnownModel("Glass", takes_backbone=True),
    KnownModel("Patchflow", takes_backbone=True),
    KnownModel("Supersimplenet", takes_backbone=True),
    KnownModel("Fastflow", takes_backbone=True, backbones=_RESNETS),
    KnownModel("Uflow", takes_backbone=True, backbones=_RESNETS),
    KnownModel("ReverseDistillation", takes_backbone=True, backbones=_REVERSIBLE),
    # no backbone, or one of their own
    KnownModel("Ganomaly"),
    _dino("AnomalyDINO", "vit_small_patch14_dinov2.lvd142m", "apache-2.0", "encoder_name"),
    _dino("Dinomaly", "vit_base_patch14_reg4_dinov2.lvd142m", "apache-2.0", "encoder_name"),
    _dino("InpFormer", "vit_base_patch14_reg4_dinov2.lvd142m", "apache-2.0", "encoder_name"),
    _dino("GeneralAD", "vit_large_patch14_dinov2.lvd142m", "apache-2.0", "backbone"),
    _dino("SuperADD", "vit_huge_plus_patch16_dinov3.lvd1689m", "dinov3-license", "backbone"),
    _dino("FoundAD", "vit_base_patch14_dinov2.lvd142m", "apache-2.0"),
    _dino("L2BT", "vit_base_patch14_reg4_dinov2.lvd142m", "apache-2.0"),
    _hub("Cfa", "wide_resnet50_2", "checkpoints/wide_resnet50_2-9ba9bcbe.pth", "bsd-3-clause"),
    _hub("Csflow", "efficientnet_b5", "checkpoints/efficientnet_b5_lukemelas-1a07897c.pth", UNKNOWN_LICENCE),
    KnownModel("Draem", reference_option="dtd_dir", downloads="texture images (DTD)", unit_input=True),
    KnownModel(
        "Dsr", downloads="a pretrained discrete model", local="a folder", unit_input=True,
        weights_file="dsr/vq_model_pretrained_128_4096.pckl", own=OwnWeights("DSR's discrete model", _RELEASE),
    ),
    KnownModel(
        "EfficientAd", downloads="a pretrained teacher and ImageNette", local="a folder", unit_input=True,
        weights_file="efficientad_pretrained_weights/pretrained_teacher_{model_size}.pth",
        reference_option="imagenet_dir", own=OwnWeights("EfficientAd's teacher", _RELEASE), validates=True,
        batch_size=1, least_side_px=256,  # its autoencoder ends in a kernel of 8 at stride 32
    ),
    KnownModel(
        "WinClip", downloads="CLIP through open_clip", validates=True, clip=True,
        own=OwnWeights("ViT-B-16-plus-240, laion400m_e31", "open_clip"),
        local="a folder with a CLIP model as open_clip writes it (open_clip_config.json, open_clip_model.safetensors)",
    ),
    KnownModel(
        "AnomalyVFM", downloads="its weights from the Hugging Face hub", unit_input=True, validates=True,
        own=OwnWeights("AnomalyVFM on RADIO", "Hugging Face hub: MaticFuc/anomalyvfm_radio"),
    ),
    # cannot be a graph
    KnownModel("Cflow", refused="it walks through its pixels in a loop, which fixes the batch in a graph"),
    KnownModel("UniNet", refused="it doubles and halves its batch in a way that fixes the batch in a graph"),
    KnownModel("Rad", refused="it searches its memory in a loop over the images, which fixes the batch in a graph"),
    KnownModel("VlmAd", refused="it asks a language model for a text, which is no graph"),
    KnownModel("CFM", refused="it needs a 3-D point cloud beside each image"),
    KnownModel("AiVad", refused="it is a video model, and a verdict here is on one frame"),
    KnownModel("Fuvas", refused="it is a video model, and a verdict here is on one frame"),
)  # fmt: skip
KNOWN_MODELS = {model.name: model for model in _MODELS}


def resolve_model(name: str) -> KnownModel:
    """Return what is known of an anomalib model, without importing anomalib.

    Parameters
    ----------
    name : str
        ``Patchcore``, or as a recipe's method ``anomalib.Patchcore``.

    Raises
    ------
    UsageError
        When there is no such image model (the message names the nearest and lists all), or it cannot be a graph.
    """
    plain = name.removeprefix(METHOD_PREFIX)
    known = KNOWN_MODELS.get(plain)
    if known is None:
        by_lower = {each.lower(): each for each in KNOWN_MODELS}
        near = difflib.get_close_matches(plain.lower(), by_lower, n=1, cutoff=0.0)
        raise UsageError(
            f"anomalib has no model {plain!r}. The nearest is {METHOD_PREFIX}{by_lower[near[0]]}. "
            f"Its image models: {', '.join(usable_models())}."
        )
    if known.refused:
        raise UsageError(f"{METHOD_PREFIX}{plain} cannot be used: {known.refused}. Choose another, such as Patchcore.")
    return known


def usable_models() -> list[str]:
    """Return the names of the image models that can be a graph, sorted."""
    return sorted(name for name, model in KNOWN_MODELS.items() if not model.refused)
