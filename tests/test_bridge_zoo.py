"""anomalib's models that need weights of their own: constructed, fitted for one step and exported as the training does
it, each on 64 px where it can. No network is needed: the weights are random, which suits a test of the mechanics; each
test says whose they are. PatchCore, PaDiM, STFPM and others on the recipe's backbone are in `test_bridge`."""

import json

import numpy as np
import pytest

from lineside.errors import UsageError
from lineside.transfer.bridge import BridgeSpec, fit_anomalib
from tiny_clip import write_clip

SIZE_WH = (96, 64)


def make_working(n, size_wh=SIZE_WH, seed=0):
    """Return n coarse random working tensors in 0 to 1, wider than high as frames are."""
    width, height = size_wh
    coarse = np.random.default_rng(seed).random((n, 3, height // 8, width // 8), np.float32)
    return coarse.repeat(8, axis=2).repeat(8, axis=3)


def write_timm(folder, architecture, **arguments):
    """Write timm's local folder of an architecture with random weights; the arguments make it small."""
    import timm
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(architecture, pretrained=False, **arguments)
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    config = {
        "architecture": architecture,
        "num_classes": model.num_classes,
        "model_args": arguments,
        "pretrained_cfg": {"num_classes": model.num_classes},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_teacher(folder):
    """Write EfficientAd's small teacher with random weights, where anomalib's download would put it."""
    import torch
    from anomalib.models.image.efficient_ad.torch_model import SmallPatchDescriptionNetwork

    file = folder / "efficientad_pretrained_weights" / "pretrained_teacher_small.pth"
    file.parent.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(SmallPatchDescriptionNetwork(384).state_dict(), file)
    return folder


def write_references(folder):
    """Write one random picture in a folder of one class, as an image set has it."""
    import cv2

    (folder / "things").mkdir(parents=True)
    cv2.imwrite(str(folder / "things" / "0.png"), np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    return folder


def fit(model, *, backbone=None, weights=None, references=None, size_wh=SIZE_WH, goods=2, **options):
    """Fit a model on random images."""
    return fit_anomalib(BridgeSpec(model, backbone, options, weights, references, seed=0), make_working(goods, size_wh))


def check_exported(bridged, size_wh=SIZE_WH):
    """Export as the training does, and hold ONNX Runtime's scores and maps for 1 and 3 frames against torch's."""
    import torch

    from lineside.graph.run import Graph
    from lineside.transfer.bridge_head import BridgedHead, export_bridged_head

    map_wh = (size_wh[0] // 4, size_wh[1] // 4)
    graph, head = Graph(export_bridged_head(bridged, map_wh, make_working(2, size_wh))), BridgedHead(bridged, map_wh)
    for n in (1, 3):
        working = make_working(n, size_wh, seed=n)
        found = graph({"working": working}, ("score", "anomaly_map"))
        with torch.inference_mode():
            score, anomaly_map, _ = head(torch.from_numpy(working))
        assert anomaly_map.shape == (n, *map_wh[::-1])
        for name, expected in (("score", score.numpy()), ("anomaly_map", anomaly_map.numpy())):
            np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_fastflow_becomes_a_graph(tmp_path):
    """Two flow steps over a ResNet18 of one random block a stage, one training step."""
    backbone = write_timm(tmp_path / "resnet", "resnet18", layers=[1, 1, 1, 1])
    check_exported(fit("Fastflow", backbone=backbone, flow_steps=2, max_steps=1))


@pytest.mark.slow
def test_reverse_distillation_becomes_a_graph(tmp_path):
    """Encoder: a ResNet18 of one random block a stage; decoder: anomalib's own, one training step."""
    backbone = write_timm(tmp_path / "resnet", "resnet18", layers=[1, 1, 1, 1])
    check_exported(fit("ReverseDistillation", backbone=backbone, max_steps=1))


@pytest.mark.slow
def test_efficient_ad_becomes_a_graph(tmp_path):
    """Teacher of random weights, one random reference image, one training step, at 256 px, its least size."""
    teacher, references = write_teacher(tmp_path / "weights"), write_references(tmp_path / "references")
    size_wh = (256, 256)
    check_exported(fit("EfficientAd", weights=teacher, references=references, size_wh=size_wh, max_steps=1), size_wh)


@pytest.mark.slow
def test_anomaly_dino_becomes_a_graph(tmp_path):
    """A DINOv2 of the real depth and patch size, 48 dimensions wide, random weights; it takes no training step."""
    weights = write_timm(
        tmp_path / "dino", "vit_small_patch14_dinov2", embed_dim=48, num_heads=3, img_size=56, mlp_ratio=1.0
    )
    check_exported(fit("AnomalyDINO", weights=weights))


@pytest.mark.slow
def test_winclip_becomes_a_graph(tmp_path):
    """A CLIP of two random blocks in place of ViT-B/16+ at 240 px; class name left to anomalib's "object"."""
    check_exported(fit("WinClip", weights=write_clip(tmp_path / "clip")))


def test_an_image_too_small_for_a_model_names_the_size_to_set(tmp_path):
    """EfficientAd on 96×64 px is refused before anything is loaded, with the recipe's key and a size that works."""
    file = tmp_path / "efficientad_pretrained_weights" / "pretrained_teacher_small.pth"
    file.parent.mkdir()
    file.touch()
    with pytest.raises(UsageError, match=r"at least 256×256 px, found 96×64\. Set normalise\.size: \[256, 256\]"):
        fit("EfficientAd", weights=tmp_path, references=tmp_path)


def test_winclip_refuses_a_folder_without_a_model(tmp_path):
    """A weights folder of another kind is refused with what WinClip needs."""
    with pytest.raises(UsageError, match=r"does not hold open_clip_config\.json"):
        fit("WinClip", weights=tmp_path)
