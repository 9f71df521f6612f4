"""CLIP's two towers: the image tower as a trunk with patch tokens that can be read against text, and texts as numbers.

CLIP compares the class token with text; its patch tokens after the last block are mixtures for that token's benefit
and point anywhere. So the last block is run a second time for the patches with every token attending to itself alone:
its value and output projections are applied to each patch, the rest of the block and the final projection as they are
(MaskCLIP: Zhou et al., ECCV 2022, section 3.2). That costs one block without attention. WinCLIP's own way, the whole
tower once for every window of 2×2 and 3×3 patches, was rejected: at 16×16 patches it is 421 windows, about 12 times
the tokens of the frame, and its place is the CPU beside a line.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineside.errors import MissingExtraError, StorageError, UsageError
from lineside.transfer.text_folder import ClipFolder
from lineside.transfer.text_prompts import PromptTexts, sentences

if TYPE_CHECKING:
    from open_clip.transformer import VisionTransformer

TOWER_OUTPUTS = ("patches", "image")
"""Outputs of the image tower in the graph."""
TEXT_BATCH = 32
"""Sentences that are read at once."""


@dataclass(frozen=True)
class Clip:
    """Both towers, frozen.

    Attributes
    ----------
    tower : ImageTower
    texts : ndarray of float32 [2, d]
        Unit vectors: what is said of good parts, what is said of defective ones.
    """

    tower: "ImageTower"
    texts: npt.NDArray[np.float32]


class ImageTower(nn.Module):
    """The image tower: working tensor in; patch tokens and the image's embedding out, both in the space of the texts.

    Parameters
    ----------
    visual : VisionTransformer
        open_clip's, made for this working size.
    size_wh : tuple of int
        What the tower was made for, px: the working size, rounded to whole patches.
    """

    def __init__(self, visual: "VisionTransformer", size_wh: tuple[int, int]) -> None:
        super().__init__()
        self.visual = visual.eval().requires_grad_(False)
        self.size_hw = size_wh[::-1]
        rows, columns = visual.grid_size
        self.grid_hw: tuple[int, int] = (int(rows), int(columns))

    def forward(self, working: Tensor) -> tuple[Tensor, Tensor]:
        """Embed working tensors.

        Parameters
        ----------
        working : Tensor of float32 [N, 3, h, w]

        Returns
        -------
        patches : Tensor of float32 [N, d, gh, gw]
            Unit vectors.
        image : Tensor of float32 [N, d]
            Unit vectors.
        """
        visual: Any = self.visual
        if tuple(working.shape[2:]) != self.size_hw:  # a size that 14 px do not divide
            working = F.interpolate(working, size=self.size_hw, mode="bilinear", align_corners=False)
        x = visual._embeds(working)  # [N, 1 + gh·gw, width]
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            x = block(x)
        pooled, _ = visual._pool(last(x))
        dense = visual.ln_post(_each_for_itself(last, x))[:, 1:] @ visual.proj  # [N, gh·gw, d]
        height, width = self.grid_hw
        patches = F.normalize(dense, dim=2).transpose(1, 2).reshape(x.shape[0], -1, height, width)
        return patches, F.normalize(pooled @ visual.proj, dim=1)


def load_clip(clip: ClipFolder, prompts: PromptTexts, working_wh: tuple[int, int]) -> Clip:
    """Load a CLIP model and read the prompts.

    Parameters
    ----------
    clip : ClipFolder
    prompts : PromptTexts
    working_wh : tuple of int
        Of the working tensor; position embeddings are resampled to it.

    Raises
    ------
    MissingExtraError
        When open_clip is not installed.
    StorageError
        When the weights cannot be loaded.
    UsageError
        When its tokenizer cannot be used.
    """
    width, height = (-(-side // clip.patch_px) * clip.patch_px for side in working_wh)
    model, tokenise = _open(clip, (width, height))
    texts = np.stack([_read(model, tokenise, phrases) for phrases in (prompts.good, prompts.defect)])
    return Clip(ImageTower(model.visual, (width, height)), texts)


def open_clip_model(clip: ClipFolder, size_hw: tuple[int, int]) -> Any:
    """Return open_clip's model of a folder for images of this size, in float32, in evaluation mode.

    Raises
    ------
    MissingExtraError, StorageError
    """
    try:
        import open_clip
    except ImportError:
        raise MissingExtraError("open_clip_torch", "text") from None
    try:
        return open_clip.create_model(
            f"local-dir:{clip.folder}", force_image_size=size_hw, require_pretrained=True, weights_only=True
        ).eval()
    except Exception as error:  # open_clip, safetensors and torch each raise classes of their own
        raise StorageError(
            f"transfer.weights: {clip.weights}: the weights could not be loaded ({_first_line(error)}). "
            "Give the folder of one model as open_clip writes it."
        ) from None


def _open(clip: ClipFolder, size_wh: tuple[int, int]) -> tuple[Any, Any]:
    model = open_clip_model(clip, size_wh[::-1])
    import open_clip

    try:
        return model, open_clip.get_tokenizer(f"local-dir:{clip.folder}")
    except Exception as error:  # a tokenizer of the transformers package, or files that are missing
        raise UsageError(
            f"transfer.weights: {clip.folder.name}: its tokenizer cannot be used ({_first_line(error)}). "
            "Give a CLIP with open_clip's own tokenizer, such as ViT-B-16."
        ) from None


def _read(model: Any, tokenise: Any, phrases: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the mean direction [d] of all sentences with these phrases."""
    told = sentences(phrases)
    rows = []
    with torch.inference_mode():
        for start in range(0, len(told), TEXT_BATCH):
            tokens = tokenise(told[start : start + TEXT_BATCH])  # [b, context]
            rows.append(F.normalize(model.encode_text(tokens).float(), dim=1))
        direction = F.normalize(torch.cat(rows).mean(dim=0), dim=0)  # [d]
    return direction.numpy().astype(np.float32)


def _each_for_itself(block: Any, x: Tensor) -> Tensor:
    """Run a block with every token attending to itself alone: of the attention remain two linear maps."""
    attention = block.attn
    width = x.shape[2]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias[2 * width :]
    value = F.linear(block.ln_1(x), attention.in_proj_weight[2 * width :], bias)
    x = x + block.ls_1(attention.out_proj(value))
    seen: Tensor = x + block.ls_2(block.mlp(block.ln_2(x)))
    return seen


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
