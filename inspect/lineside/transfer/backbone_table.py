"""Known backbones with what one needs to choose: licence, taps, parameters and multiplications up to the last tap.

The numbers stand in `backbones.json` beside this file, so that they can be shown without torch; `measured_table`
computes them from timm's own networks, and a test holds the file to it. Licences are those of timm's `pretrained_cfg`:
what timm says of the weights, which is where to look further and no legal advice. Made again by
``python -m lineside.transfer.backbone_table``.
"""

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from lineside.recipe_model import Transfer

TABLE_FILE = "backbones.json"
SIDE_PX = 256
"""Of the square working image that multiplications are counted for."""
KNOWN = (
    "lite0",
    "timm:mobilenetv4_conv_small.e2400_r224_in1k",
    "timm:mobilenetv4_conv_medium.e500_r256_in1k",
    "timm:tf_efficientnet_lite2.in1k",
    "timm:efficientnet_b0.ra_in1k",
    "timm:resnet18.a1_in1k",
    "timm:resnet18.tv_in1k",
    "timm:resnet34.a1_in1k",
    "timm:resnet50.a1_in1k",
    "timm:wide_resnet50_2.racm_in1k",
    "timm:wide_resnet50_2.tv_in1k",
    "timm:hgnetv2_b0.ssld_stage2_ft_in1k",
    "timm:repvit_m1.dist_in1k",
    "timm:convnext_atto.d2_in1k",
    "timm:convnext_tiny.fb_in1k",
    "timm:convnextv2_atto.fcmae_ft_in1k",
    "timm:convnext_tiny.dinov3_lvd1689m",
    "timm:swin_tiny_patch4_window7_224.ms_in1k",
    "timm:deit_tiny_patch16_224.fb_in1k",
    "timm:vit_small_patch16_224.dino",
    "timm:vit_small_patch14_dinov2.lvd142m",
    "timm:vit_small_patch14_reg4_dinov2.lvd142m",
    "timm:vit_base_patch14_dinov2.lvd142m",
    "timm:vit_small_patch16_dinov3.lvd1689m",
    "timm:vit_base_patch16_clip_224.laion2b",
    "timm:vit_base_patch16_clip_224.openai",
)
"""What the table holds; ``timm:`` takes every other name of timm's hub as well."""


@dataclass(frozen=True)
class KnownBackbone:
    """One line of the table."""

    backbone: str
    """As the recipe names it."""
    licence: str
    """Of the weights, an SPDX id where there is one, lower case."""
    taps: tuple[str, ...]
    """Those of ``taps: auto``, in words."""
    channels: tuple[int, ...]
    """Of each tap."""
    parameters: int
    """Up to the last tap."""
    macs: int
    """Multiplications with addition for one image of `SIDE_PX` squared, in convolutions, matrix products and attention;
    activations and normalisations are left out."""

    @property
    def allowed(self) -> bool:
        """Whether a recipe allows the licence as it is."""
        return self.licence in Transfer().licences


def known_backbones() -> tuple[KnownBackbone, ...]:
    """Return the table."""
    rows = json.loads(files("lineside.transfer").joinpath(TABLE_FILE).read_text(encoding="utf-8"))
    return tuple(
        KnownBackbone(**{**row, "taps": tuple(row["taps"]), "channels": tuple(row["channels"])}) for row in rows
    )


def measured(backbone: str) -> KnownBackbone:
    """Compute one line, from the network without its weights (torch's meta device: nothing is allocated)."""
    import timm
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from lineside.transfer.backbone_check import LITE0_ARCHITECTURE
    from lineside.transfer.backbone_taps import build_tapped

    model = LITE0_ARCHITECTURE if backbone == "lite0" else backbone.removeprefix("timm:")
    with torch.device("meta"), torch.no_grad():
        network = build_tapped(model, "auto", (SIDE_PX, SIDE_PX))
        with FlopCounterMode(display=False) as counter:
            network.module(torch.zeros(1, 3, SIDE_PX, SIDE_PX))
    return KnownBackbone(
        backbone=backbone,
        licence=str(timm.get_pretrained_cfg(model).license).lower(),
        taps=network.words,
        channels=network.channels,
        parameters=sum(parameter.numel() for parameter in network.module.parameters()),
        macs=counter.get_total_flops() // 2,  # torch counts a multiplication with addition as two
    )


def table_text() -> str:
    """Return what `TABLE_FILE` must hold."""
    return json.dumps([asdict(measured(name)) for name in KNOWN], indent=1) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name(TABLE_FILE).write_text(table_text(), encoding="utf-8")
