"""Where a backbone is tapped: stages by their stride, transformer blocks by their number.

timm builds the network and knows its stages; what is added here is one way of asking for all of them. A convolutional
network, and a transformer that coarsens from stage to stage (Swin, Hiera), is tapped by stride. A plain transformer
(ViT: DINOv2, DINOv3, CLIP's image tower) has one stride throughout, so it is tapped by block; its patch tokens lie as a
map, each passed through the last normalisation as DINOv2 itself gives them (`get_intermediate_layers`; Oquab et al.,
2024). Networks with a fixed input size get their position embedding resampled to the working size when they are loaded.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lineside.errors import UsageError
from lineside.transfer.tap_strides import TapNumbers, choose_strides, stride_words

AUTO_DEPTHS = (1 / 2, 3 / 4)
"""Of a plain transformer's blocks. Its last blocks serve the training's task, its first ones hold little but colour."""


@dataclass(frozen=True)
class Taps:
    """Which of a network's stages or blocks are read.

    Attributes
    ----------
    indices : tuple of int
        As timm counts them, from 0.
    words : tuple of str
        Each as people say it: ``stride 8``, ``block 6 of 12``.
    by_block : bool
        Whether these are a plain transformer's blocks.
    """

    indices: tuple[int, ...]
    words: tuple[str, ...]
    by_block: bool


@dataclass(frozen=True)
class TappedNetwork:
    """A network cut after its last tap.

    Attributes
    ----------
    module : torch.nn.Module
        Working tensor [N, 3, h, w] -> one feature map [N, c, gh, gw] a tap.
    strides, channels : tuple of int
        One a tap; the stride in px of the network's own input.
    words : tuple of str
        One a tap.
    config : dict
        timm's ``pretrained_cfg``.
    """

    module: nn.Module
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    words: tuple[str, ...]
    config: dict[str, Any]


class _Resized(nn.Module):
    """Brings the working tensor to a size that the network's patches divide."""

    def __init__(self, network: nn.Module, size_hw: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.size_hw = network, size_hw

    def forward(self, working: Tensor) -> list[Tensor]:
        """Return the network's maps."""
        taps: list[Tensor] = self.network(F.interpolate(working, self.size_hw, mode="bilinear", align_corners=False))
        return taps


class _Blocks(nn.Module):
    """A plain transformer's patch tokens behind some of its blocks, normalised, as maps."""

    def __init__(self, network: Any, indices: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.indices = network, network.prune_intermediate_layers(list(indices))

    def forward(self, working: Tensor) -> list[Tensor]:
        """Return one map a block [N, c, gh, gw]."""
        maps: list[Tensor] = self.network.forward_intermediates(
            working, indices=self.indices, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return maps


def build_tapped(
    model: str, taps: TapNumbers, working_wh: tuple[int, int] | None = None, *, pretrained: bool = False
) -> TappedNetwork:
    """Build a timm model with its weights, cut after the last tap.

    Parameters
    ----------
    model : str
        A name that timm knows, or ``local-dir:<folder>``.
    taps : "auto" or sequence of int
        Strides, or numbers of a plain transformer's blocks counted from 1; ascending.
    working_wh : tuple of int, optional
        Width and height in px of the working tensor; None: the size that the network was trained with.
    pretrained : bool
        False: the weights are random.

    Raises
    ------
    UsageError
        When the network has no such stride or block; the message names what there is.
    """
    import timm

    probe = probed(model)
    chosen = choose_taps(probe, taps)
    size_hw = _input_hw(probe, working_wh)
    sized: dict[str, Any] = {"img_size": size_hw} if _fixed(probe) else {}
    if chosen.by_block:
        network: Any = timm.create_model(model, pretrained=pretrained, num_classes=0, **sized)
        module: nn.Module = _Blocks(network, chosen.indices)
        stages = [network.feature_info[i] for i in chosen.indices]
        strides, channels = [s["reduction"] for s in stages], [s["num_chs"] for s in stages]
    else:
        getter = {"feature_cls": "getter"} if str(getattr(probe, "output_fmt", "")).endswith("NHWC") else {}
        module = network = timm.create_model(
            model, pretrained=pretrained, features_only=True, out_indices=chosen.indices, **sized, **getter
        )
        strides, channels = network.feature_info.reduction(), network.feature_info.channels()
        _cut(network)
    if working_wh is not None and size_hw != (working_wh[1], working_wh[0]):
        module = _Resized(module, size_hw)
    config = dict(network.pretrained_cfg)
    return TappedNetwork(module.eval(), tuple(strides), tuple(channels), chosen.words, config)


def _cut(network: Any) -> None:
    """Drop what stands behind the last tap; timm leaves that in EfficientNets and MobileNets, and runs it."""
    stage, _, number = network.feature_info.module_name()[-1].partition(".")
    if isinstance(getattr(network, "blocks", None), nn.Sequential) and stage == "blocks":
        network.blocks = network.blocks[: int(number.partition(".")[0]) + 1]


def probed(model: str) -> Any:
    """Return timm's feature extractor of a model with all its stages and no weights at all, which takes no time."""
    import timm

    with torch.device("meta"):
        return timm.create_model(model, pretrained=False, features_only=True)


def choose_taps(probe: Any, taps: TapNumbers) -> Taps:
    """Find the stages or blocks that are asked for in a network of `probed`.

    Raises
    ------
    UsageError
        When there is no such stride or block.
    """
    strides = [int(stride) for stride in probe.feature_info.reduction()]
    if len(strides) > 1 and len(set(strides)) == 1:
        return _blocks(len(probe.model.feature_info), taps)
    taps = choose_strides(strides, taps)
    last = [len(strides) - 1 - strides[::-1].index(stride) for stride in taps]  # the last stage of a stride
    return Taps(tuple(last), stride_words(taps), by_block=False)


def _blocks(depth: int, taps: TapNumbers) -> Taps:
    if taps == "auto":
        taps = sorted({max(1, round(depth * share)) for share in AUTO_DEPTHS})
    for number in taps:
        if not 1 <= number <= depth:
            raise UsageError(
                f"transfer.taps: this backbone is a plain transformer, tapped by block; it has the blocks 1 to "
                f"{depth}; found {number}."
            )
    return Taps(tuple(n - 1 for n in taps), tuple(f"block {n} of {depth}" for n in taps), by_block=True)


def _fixed(probe: Any) -> bool:
    """Whether the network is built for one input size."""
    return bool(probe.pretrained_cfg.get("fixed_input_size"))


def _input_hw(probe: Any, working_wh: tuple[int, int] | None) -> tuple[int, int]:
    """Return the network's input size: the working size, or where patches do not divide it the next one that they do.

    The nearest, by at most half a patch a side. Padding was rejected: a frame's border would be seen as a defect.
    """
    if working_wh is None:
        _, height, width = probe.pretrained_cfg["input_size"]
        return int(height), int(width)
    strides = probe.feature_info.reduction()
    step = max(strides) if _fixed(probe) or len(set(strides)) == 1 else 1
    height, width = (max(1, round(side / step)) * step for side in (working_wh[1], working_wh[0]))
    return height, width
