"""A local folder with a CLIP model, as open_clip writes it and as it lies on the Hugging Face hub.

Read without torch, so that `lineside check` can refuse a wrong folder. Weights are never downloaded: which CLIP, and
under which licence, is the user's decision, so the folder is given.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lineside.errors import UsageError
from lineside.transfer.weights_folder import UNKNOWN_LICENCE, file_sha256

Triple = tuple[float, float, float]

CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors",
    "open_clip_pytorch_model.bin", "pytorch_model.bin",
)  # fmt: skip
"""Names that open_clip looks for, in its order of preference."""
CLIP_MEAN: Triple = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Triple = (0.26862954, 0.26130258, 0.27577711)
"""What OpenAI's and LAION's CLIP were trained with, and open_clip takes where a folder does not say."""
USUAL_PATCH_PX = 16
"""open_clip's default."""
OTHER_TOWERS = {
    "timm_model_name", "attentional_pool", "block_type", "qk_norm", "scaled_cosine_attn", "scale_heads",
    "scale_attn_inner", "scale_attn", "scale_fc",
}  # fmt: skip
"""Keys of an image tower that is no plain transformer: its patches cannot be read one by one as ours are."""


@dataclass(frozen=True)
class ClipFolder:
    """What stands in a CLIP folder.

    Attributes
    ----------
    folder : Path
    weights : Path
        The file that open_clip will read.
    patch_px : int
        Side of the square that one token of the image tower stands for.
    mean, std : tuple of float
        Of red, green, blue on a scale of 0 to 1.
    licence : str
        Lower case, from the front matter of the folder's README.md; ``unknown`` where it says none.
    """

    folder: Path
    weights: Path
    patch_px: int
    mean: Triple
    std: Triple
    licence: str

    def sha256(self) -> str:
        """Return the hash of the weights."""
        return file_sha256(self.weights)

    def config_sha256(self) -> str:
        """Return the hash of the configuration."""
        return hashlib.sha256((self.folder / CONFIG_FILE).read_bytes()).hexdigest()


def read_clip_folder(folder: Path, key: str = "transfer.weights") -> ClipFolder:
    """Read the description of a CLIP folder.

    Raises
    ------
    UsageError
        When it is no such folder, its configuration cannot be read, or its image tower is none that patches can be
        read from; `key` is named as the place to mend.
    """
    wanted = f"expected a folder with {CONFIG_FILE} and weights, as open_clip writes it"
    if not (folder / CONFIG_FILE).is_file():
        raise UsageError(f"{key}: {folder} does not hold {CONFIG_FILE}; {wanted}.")
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise UsageError(f"{key}: {folder} holds none of {', '.join(WEIGHT_FILES)}; {wanted}.")
    try:
        document = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        preprocess: Mapping[str, object] = dict(document.get("preprocess_cfg", {}))
        vision = dict(document["model_cfg"]["vision_cfg"])
        mean, std = (_triple(preprocess.get(name, usual)) for name, usual in (("mean", CLIP_MEAN), ("std", CLIP_STD)))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UsageError(
            f"{key}: {folder / CONFIG_FILE} cannot be read ({type(error).__name__}: {error}); {wanted}."
        ) from None
    return ClipFolder(folder, weights, _patch_px(vision, folder, key), mean, std, _licence(folder / "README.md"))


def check_clip_licence(clip: ClipFolder, licences: tuple[str, ...]) -> None:
    """Refuse weights whose licence the recipe does not allow.

    Raises
    ------
    UsageError
    """
    if clip.licence in licences:
        return
    told = "states no licence (a line 'license:' at the top of its README.md)"
    if clip.licence != UNKNOWN_LICENCE:
        told = f"has the licence {clip.licence!r}, which the recipe does not allow ({', '.join(licences)})"
    raise UsageError(
        f"transfer.weights: {clip.folder.name} {told}. If you may use it, add {clip.licence} to transfer.licences."
    )


def _patch_px(vision: Mapping[str, object], folder: Path, key: str) -> int:
    """Return the side of a patch, refusing towers other than plain vision transformers."""
    patch = vision.get("patch_size", USUAL_PATCH_PX)
    plain = isinstance(vision.get("layers", 1), int) and not (OTHER_TOWERS & {k for k, v in vision.items() if v})
    if not plain or not isinstance(patch, int):
        raise UsageError(
            f"{key}: {folder.name}: its image tower is none that patches can be read from. Give a CLIP with a plain "
            "vision transformer, such as ViT-B-32, ViT-B-16 or ViT-L-14."
        )
    return patch


def _triple(values: object) -> Triple:
    if not isinstance(values, list | tuple):
        raise TypeError("mean and std are lists of three numbers")
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _licence(readme: Path) -> str:
    """Return the licence in the front matter of a model card."""
    try:
        lines = readme.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return UNKNOWN_LICENCE
    if not lines or lines[0].strip() != "---":
        return UNKNOWN_LICENCE
    for line in lines[1:]:
        if line.strip() == "---":
            break
        found = re.fullmatch(r"license:\s*['\"]?([A-Za-z0-9.+-]+)['\"]?\s*", line)
        if found:
            return found.group(1).lower()
    return UNKNOWN_LICENCE
