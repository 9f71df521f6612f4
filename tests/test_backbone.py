"""Backbones of any architecture: tapped, resized to their patches, exported, and refused where their licence is."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from commands import run
from conftest import write_part
from lineside.cli.backbones import command
from lineside.cli.check import command as check
from lineside.errors import UsageError
from lineside.graph.run import Graph
from lineside.graph.trunk import tap_grids
from lineside.recipe import load_recipe
from lineside.train import train
from lineside.transfer.backbone import load_backbone
from lineside.transfer.backbone_table import KNOWN, known_backbones, measured
from lineside.transfer.backbone_taps import choose_taps, probed

ALLOWED = ("apache-2.0", "mit", "bsd-3-clause")
VIT = {"depth": 4, "embed_dim": 48, "num_heads": 3}
SWIN = {"depths": (1, 1, 2, 1), "embed_dim": 24, "num_heads": (1, 2, 4, 8)}
CONVNEXT = {"depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)}


def write_network(folder: Path, architecture: str, licence: str | None, **arguments: object) -> Path:
    """Write a network with random weights as timm's local folder, smaller where `arguments` say so."""
    torch.manual_seed(0)
    network = timm.create_model(architecture, pretrained=False, **arguments)
    config = {**network.pretrained_cfg, "license": licence}
    document = {"architecture": architecture, "pretrained_cfg": config, "model_args": arguments}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(document))
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / "model.safetensors")
    return folder


STRIDED = ("stride 8", "stride 16"), ((8, 12), (4, 6))
SLOW = [
    ("resnet18", {"layers": (1, 1, 1, 1)}, *STRIDED),
    ("wide_resnet50_2", {"layers": (1, 1, 1, 1), "base_width": 16}, *STRIDED),
    ("mobilenetv4_conv_small", {}, *STRIDED),
    ("convnext_atto", CONVNEXT, *STRIDED),
    ("swin_tiny_patch4_window7_224", SWIN, *STRIDED),
    ("vit_tiny_patch16_224", VIT, ("block 2 of 4", "block 3 of 4"), ((4, 6), (4, 6))),
    ("vit_small_patch16_dinov3", VIT, ("block 2 of 4", "block 3 of 4"), ((4, 6), (4, 6))),
    ("vit_base_patch16_clip_224", VIT, ("block 2 of 4", "block 3 of 4"), ((4, 6), (4, 6))),
]


@pytest.mark.parametrize(
    ("architecture", "arguments", "words", "grids"),
    [
        ("vit_small_patch14_reg4_dinov2", VIT, ("block 2 of 4", "block 3 of 4"), ((5, 7), (5, 7))),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW),
    ],
)
def test_every_kind_of_network_becomes_the_same_trunk(
    tmp_path: Path,
    architecture: str,
    arguments: dict[str, object],
    words: tuple[str, ...],
    grids: tuple[tuple[int, int], ...],
) -> None:
    """Random weights from a local folder: tapped, exported, and ONNX Runtime gives torch's maps in any batch."""
    write_network(tmp_path / "net", architecture, "apache-2.0", **arguments)
    backbone = load_backbone("local-dir:net", "auto", ALLOWED, tmp_path, (96, 64))
    assert backbone.taps == words
    exported = backbone.exported(("tap0", "tap1"), (96, 64))
    assert tap_grids(exported) == grids
    graph = Graph(exported)
    working = np.random.default_rng(0).standard_normal((3, 3, 64, 96)).astype(np.float32)
    with torch.inference_mode():
        expected = [tap.numpy() for tap in backbone.module(torch.from_numpy(working))]
    for batch in (1, 3):
        found = graph({"working": working[:batch]})
        for name, tap, channels in zip(("tap0", "tap1"), expected, backbone.channels, strict=True):
            assert found[name].shape[1] == channels
            assert np.abs(found[name] - tap[:batch]).max() <= 1e-4 * np.abs(tap).max()


@pytest.mark.parametrize(
    ("architecture", "auto", "wrong", "words"),
    [
        ("resnet18", ("stride 8", "stride 16"), (8, 12), "has the strides 2, 4, 8, 16, 32; found 12"),
        ("vit_tiny_patch16_224", ("block 6 of 12", "block 9 of 12"), (8, 16), "the blocks 1 to 12; found 16"),
        ("convnext_atto", ("stride 8", "stride 16"), (2, 8), "has the strides 4, 8, 16, 32; found 2"),
    ],
)
def test_taps_follow_the_architecture(
    architecture: str, auto: tuple[str, ...], wrong: tuple[int, ...], words: str
) -> None:
    """auto chooses strides or blocks; what a network does not have is refused, naming what it has."""
    network = probed(architecture)
    assert choose_taps(network, "auto").words == auto
    with pytest.raises(UsageError, match=words):
        choose_taps(network, wrong)


def test_blocks_are_counted_from_one() -> None:
    """The first and the last block are 1 and 12, as people count them, and timm counts them from 0."""
    taps = choose_taps(probed("vit_tiny_patch16_224"), (1, 12))
    assert (taps.indices, taps.words) == ((0, 11), ("block 1 of 12", "block 12 of 12"))


def test_nothing_behind_the_last_tap_is_kept() -> None:
    """The embedded network to stride 16 has 0.70 million parameters, to stride 32 four times as many."""
    counts = [
        sum(p.numel() for p in load_backbone("lite0", taps, ALLOWED, Path()).module.parameters())
        for taps in ((8, 16), (8, 16, 32))
    ]
    assert counts[0] == 700_768
    assert counts[1] > 4 * counts[0]


def test_the_embedded_network_is_what_is_said_of_it_before_it_is_built() -> None:
    """Channels and strides of all its stages are those that its maps have."""
    backbone = load_backbone("lite0", (2, 4, 8, 16, 32), ALLOWED, Path())
    with torch.inference_mode():
        maps = backbone.module(torch.zeros(1, 3, 64, 96))
    assert [tap.shape[1] for tap in maps] == list(backbone.channels)
    assert [(64 // tap.shape[2], 96 // tap.shape[3]) for tap in maps] == [(s, s) for s in backbone.strides]


def test_an_export_that_was_kept_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded backbone's graph is found by the hash of its weights; timm is not even imported for it."""
    kept = load_backbone("lite0", (8,), ALLOWED, Path()).exported(("tap0",), (64, 64))
    monkeypatch.setitem(sys.modules, "timm", None)
    again = load_backbone("lite0", (8,), ALLOWED, Path()).exported(("tap0",), (64, 64))
    assert again.SerializeToString(deterministic=True) == kept.SerializeToString(deterministic=True)


def test_a_position_embedding_is_resampled_when_the_weights_are_loaded(tmp_path: Path) -> None:
    """At the trained size it is the stored one; at another its values stay those of the place, as fine as needed."""
    write_network(tmp_path / "net", "vit_tiny_patch16_224", "mit", **VIT)
    own = load_backbone("local-dir:net", (1,), ALLOWED, tmp_path, (224, 224)).module.network.pos_embed
    wider = load_backbone("local-dir:net", (1,), ALLOWED, tmp_path, (448, 224)).module.network.pos_embed
    grid, twice = own[0, 1:].reshape(14, 14, -1), wider[0, 1:].reshape(14, 28, -1)
    assert torch.equal(own[0, 0], wider[0, 0])
    assert torch.corrcoef(torch.stack((grid.flatten(), twice[:, ::2].flatten())))[0, 1] > 0.8


def test_a_licence_of_the_hub_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    """timm states it by name: no network is asked, and `check` refuses it too."""
    name = "timm:vit_small_patch16_dinov3.lvd1689m"
    with pytest.raises(UsageError, match=r"the weights .* has the licence 'dinov3-license', which .* not allow"):
        load_backbone(name, "auto", ("apache-2.0", "mit"), tmp_path)
    (tmp_path / "images" / "good").mkdir(parents=True)
    (tmp_path / "recipe.yaml").write_text(f"part: p\nimages: images\ntransfer: {{backbone: '{name}'}}\n")
    code, _, message = run("check", check, tmp_path)
    assert code == 2
    assert "dinov3-license" in message


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("cc-by-nc-4.0", "the weights net .* has the licence 'cc-by-nc-4.0', which .* not allow"),
        (None, "nothing states the licence of the weights net"),
    ],
)
def test_a_licence_that_is_not_allowed_is_refused_with_the_reason(
    tmp_path: Path, licence: str | None, words: str
) -> None:
    """The message names the part, its licence and the way out; a recipe that allows the licence gets the network."""
    write_network(tmp_path / "net", "vit_tiny_patch16_224", licence, **VIT)
    with pytest.raises(UsageError, match=words):
        load_backbone("local-dir:net", "auto", ALLOWED, tmp_path)
    assert load_backbone("local-dir:net", "auto", (licence or "unknown",), tmp_path).components[0].licence


def test_a_folder_with_pickled_weights_is_refused(tmp_path: Path) -> None:
    """Only safetensors are read, and the message says how to write them."""
    folder = write_network(tmp_path / "net", "vit_tiny_patch16_224", "mit", **VIT)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"holds no model\.safetensors.*safe_serialization=True"):
        load_backbone("local-dir:net", "auto", ALLOWED, tmp_path)


@pytest.mark.slow
def test_a_transformer_trains_end_to_end(tmp_path: Path) -> None:
    """A recipe with a plain transformer of 14 px patches gives a bundle whose parity was proven; taps are named."""
    folder = write_part(tmp_path / "part", goods=8, test_goods=1, test_defects=1)
    write_network(folder / "net", "vit_small_patch14_reg4_dinov2", "apache-2.0", **VIT)
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("transfer: {", "transfer: {backbone: local-dir:net, "))
    record = train(load_recipe(folder), tmp_path / "model")
    assert record.contract.components[0].name == "vit_small_patch14_reg4_dinov2"
    assert any("block 2 of 4, block 3 of 4; " in words and "9×9 patches" in words for words in record.decisions)


# ---- the table


@pytest.mark.parametrize(
    "names", [("lite0", "timm:vit_small_patch14_dinov2.lvd142m"), pytest.param(KNOWN, marks=pytest.mark.slow)]
)
def test_the_table_holds_what_timms_networks_measure(names: tuple[str, ...]) -> None:
    """Licence, taps, parameters and multiplications in the file are those of the networks themselves."""
    stored = {row.backbone: row for row in known_backbones()}
    assert tuple(stored) == KNOWN
    assert [stored[name] for name in names] == [measured(name) for name in names]


def test_multiplications_are_counted_as_by_hand() -> None:
    """ResNet18 at 224 px needs 1.8 GMACs as published; to stride 16 at 256 px, layers 1 to 3 and the stem."""
    stem = 64 * 3 * 49 * 128**2
    layer1 = 4 * 64 * 64 * 9 * 64**2
    layer2 = (64 * 128 * 9 + 3 * 128 * 128 * 9 + 64 * 128) * 32**2
    layer3 = (128 * 256 * 9 + 3 * 256 * 256 * 9 + 128 * 256) * 16**2
    assert measured("timm:resnet18.a1_in1k").macs == stem + layer1 + layer2 + layer3


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON for machines; a licence that recipes do not allow by default is marked."""
    command(as_json=True)
    rows = {row["backbone"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["lite0"]["allowed"]
    assert not rows["timm:vit_small_patch16_dinov3.lvd1689m"]["allowed"]
    command()
    text = capsys.readouterr().out
    assert "lite0" in text
    assert "*" in text
