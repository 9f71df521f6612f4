"""The weights that anomalib's models bring: their licences, their files, and what the contract says of them."""

import hashlib
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from commands import run
from images import write_recipe
from lineside.cli.check import command as check
from lineside.errors import RecipeError, UsageError
from lineside.recipe import LoadedRecipe, load_recipe
from lineside.recipe_model import Transfer
from lineside.transfer.bridge_catalog import KNOWN_MODELS, TIMM_HUB
from lineside.transfer.bridge_weights import refuse_missing, refuse_unlicensed, weights_component, weights_hashed
from lineside.transfer.method_check import check_method
from tiny_clip import write_clip

ALLOWED = Transfer().licences


def recipe(folder: Path, transfer: str) -> LoadedRecipe:
    """Write a recipe beside an empty folder of images, and load it."""
    (folder / "images" / "good").mkdir(parents=True, exist_ok=True)
    return load_recipe(write_recipe(folder, f"transfer: {transfer}\n"))


def timm_folder(folder: Path, architecture: str, licence: str | None = None) -> Path:
    """Write what stands for a timm folder: its configuration and a file of weights."""
    folder.mkdir(parents=True)
    stated = {} if licence is None else {"license": licence}
    (folder / "config.json").write_text(json.dumps({"architecture": architecture, "pretrained_cfg": stated}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize(
    ("name", "licence"),
    [("SuperADD", "dinov3-license"), ("Csflow", "unknown"), ("WinClip", "unknown"), ("AnomalyVFM", "unknown")],
)
def test_weights_that_a_recipe_does_not_allow_are_refused_before_they_are_fetched(
    tmp_path: Path, name: str, licence: str
) -> None:
    """Without transfer.weights the licence of what would be downloaded counts; a recipe that allows it passes."""
    with pytest.raises(
        RecipeError, match=rf"transfer\.method: anomalib\.{name}: .*add {licence} to transfer\.licences"
    ):
        check_method(recipe(tmp_path, f"{{method: anomalib.{name}}}"))
    check_method(recipe(tmp_path, f"{{method: anomalib.{name}, licences: [apache-2.0, {licence}]}}"))


@pytest.mark.parametrize("name", ["AnomalyDINO", "Dinomaly", "InpFormer", "GeneralAD", "FoundAD", "L2BT", "Cfa"])
def test_weights_of_an_allowed_licence_pass_and_are_named(tmp_path: Path, name: str) -> None:
    """The contract says which weights, from where, under which licence; a recipe without that licence refuses them."""
    check_method(recipe(tmp_path, f"{{method: anomalib.{name}}}"))
    component = weights_component(KNOWN_MODELS[name], {}, None)
    assert component is not None
    assert component.role == "weights"
    assert component.licence in ALLOWED
    assert all((component.name, component.source))
    with pytest.raises(UsageError, match=f"the weights .* have the licence '{component.licence}'"):
        refuse_unlicensed(KNOWN_MODELS[name], {}, None, ("mit",))


def test_an_encoder_that_the_options_name_has_its_own_licence(tmp_path: Path) -> None:
    """AnomalyDINO on DINOv3 is refused, in FoundAD's spelling too; SuperADD takes an encoder by its option."""
    with pytest.raises(RecipeError, match=r"vit_small_patch16_dinov3 .*'dinov3-license'"):
        check_method(
            recipe(tmp_path, "{method: anomalib.AnomalyDINO, options: {encoder_name: vit_small_patch16_dinov3}}")
        )
    with pytest.raises(RecipeError, match=r"vit_base_patch16_dinov3 .*'dinov3-license'"):
        check_method(recipe(tmp_path, "{method: anomalib.FoundAD, options: {encoder_name: dinov3_vit_base_16}}"))
    check_method(recipe(tmp_path, "{method: anomalib.SuperADD, options: {backbone: vit_small_patch14_dinov2}}"))


@pytest.mark.parametrize(
    ("licence", "told"),
    [("cc-by-nc-4.0", "'cc-by-nc-4.0', which"), (None, "nothing states the licence of the weights")],
)
def test_a_local_folder_speaks_for_its_weights(tmp_path: Path, licence: str | None, told: str) -> None:
    """Its config.json states the licence, as for a backbone, and the file is hashed; unknown where it states none."""
    folder = timm_folder(tmp_path / "dino", "vit_small_patch14_dinov2", licence)
    with pytest.raises(RecipeError, match=rf"transfer\.weights: .*{told}"):
        check_method(recipe(tmp_path, "{method: anomalib.AnomalyDINO, weights: dino}"))
    named = licence or "unknown"
    check_method(recipe(tmp_path, f"{{method: anomalib.AnomalyDINO, weights: dino, licences: [apache-2.0, {named}]}}"))
    known = KNOWN_MODELS["AnomalyDINO"]
    component = weights_component(known, {}, folder)
    assert component is not None
    hashed = weights_hashed(component, known, {}, folder)
    assert (hashed.name, hashed.source, hashed.licence) == ("dino", "transfer.weights", named)
    assert hashed.sha256 == hashlib.sha256(b"weights").hexdigest()


def test_a_folder_of_other_weights_is_refused(tmp_path: Path) -> None:
    """In its place the model's own would be downloaded, whose licence nobody looked at."""
    timm_folder(tmp_path / "dino", "vit_small_patch14_dinov2", "mit")
    for transfer, fetched in (
        ("{method: anomalib.FoundAD, weights: dino}", "vit_base_patch14_dinov2.lvd142m"),
        ("{method: anomalib.Dinomaly, weights: dino, options: {encoder_name: vit_base_patch14_dinov2}}", "vit_base"),
    ):
        with pytest.raises(RecipeError, match=f"holds vit_small_patch14_dinov2, and .* would fetch {fetched}"):
            check_method(recipe(tmp_path, transfer))
    with pytest.raises(RecipeError, match=r"does not hold checkpoints/wide_resnet50_2-9ba9bcbe\.pth"):
        check_method(recipe(tmp_path, "{method: anomalib.Cfa, weights: dino}"))
    with pytest.raises(RecipeError, match=r"anomalib\.Patchcore reads no such folder"):
        check_method(recipe(tmp_path, "{method: anomalib.Patchcore, weights: dino}"))


def test_all_that_is_missing_is_asked_for_at_once(tmp_path: Path) -> None:
    """EfficientAd's teacher and its images, in one message, by the check and before anything is read by training."""
    folder = recipe(tmp_path, "{method: anomalib.EfficientAd}").folder
    code, _, message = run("check", check, folder)
    assert code == 2
    assert (
        "transfer.weights: a folder that holds efficientad_pretrained_weights/pretrained_teacher_small.pth" in message
    )
    assert "transfer.reference_images: a local folder of images" in message
    with pytest.raises(UsageError, match=r"transfer\.reference_images: .*needs a download"):
        refuse_missing(KNOWN_MODELS["Draem"], {}, None, None)


def test_weights_that_must_be_local_need_their_licence_too(tmp_path: Path) -> None:
    """EfficientAd's teacher: nobody states its licence, so the folder does, or the recipe takes it on itself."""
    file = tmp_path / "teacher" / "efficientad_pretrained_weights" / "pretrained_teacher_small.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"teacher")
    transfer = "{method: anomalib.EfficientAd, weights: teacher, reference_images: images}"
    with pytest.raises(RecipeError, match=r"nothing states the licence of the weights teacher .*config\.json"):
        check_method(recipe(tmp_path, transfer))
    (tmp_path / "teacher" / "config.json").write_text('{"pretrained_cfg": {"license": "Apache-2.0"}}')
    check_method(recipe(tmp_path, transfer))
    component = weights_component(KNOWN_MODELS["EfficientAd"], {}, tmp_path / "teacher")
    assert component is not None
    hashed = weights_hashed(component, KNOWN_MODELS["EfficientAd"], {}, tmp_path / "teacher")
    assert (hashed.licence, hashed.sha256) == ("apache-2.0", hashlib.sha256(b"teacher").hexdigest())
    with pytest.raises(RecipeError, match=r"does not hold .*pretrained_teacher_medium\.pth"):
        check_method(recipe(tmp_path, transfer.replace("weights:", "options: {model_size: medium}, weights:")))


def test_a_clip_folder_speaks_for_itself(tmp_path: Path) -> None:
    """Its model card states the licence; without one it is refused."""
    write_clip(tmp_path / "clip")
    check_method(recipe(tmp_path, "{method: anomalib.WinClip, weights: clip}"))
    write_clip(tmp_path / "silent", licence=None)
    with pytest.raises(RecipeError, match=r"silent states no licence"):
        check_method(recipe(tmp_path, "{method: anomalib.WinClip, weights: silent}"))


def test_the_check_needs_no_torch(tmp_path: Path) -> None:
    """All models of the table are looked at without importing torch, timm or anomalib."""
    folder = recipe(tmp_path, "{method: anomalib.Patchcore, taps: [4, 8]}").folder
    code = (
        "import sys\nfrom pathlib import Path\nfrom lineside.recipe import load_recipe, varied\n"
        "from lineside.transfer.bridge_catalog import usable_models\nfrom lineside.errors import RecipeError\n"
        "from lineside.transfer.method_check import check_method\n"
        f"loaded = load_recipe(Path({str(folder)!r}))\n"
        "for name in usable_models():\n"
        "    try:\n        check_method(varied(loaded, {'transfer.method': f'anomalib.{name}'}))\n"
        "    except RecipeError:\n        pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'anomalib', 'onnx')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_the_table_says_of_weights_what_timm_says() -> None:
    """Names and licences of the encoders are timm's, of torchvision's file too; the names are anomalib's defaults."""
    import inspect

    import timm
    import torchvision

    from lineside.transfer.bridge import load_class

    for known in KNOWN_MODELS.values():
        if known.own is not None and known.own.source == TIMM_HUB:
            assert timm.get_pretrained_cfg(known.own.name).license == known.own.licence
            if known.encoder_option is not None:
                default = inspect.signature(load_class(known)).parameters[known.encoder_option].default
                assert timm.get_pretrained_cfg(default).hf_hub_id == f"timm/{known.own.name}"
    wide = torchvision.models.get_model_weights("wide_resnet50_2").DEFAULT
    cfa, csflow = KNOWN_MODELS["Cfa"], KNOWN_MODELS["Csflow"]
    assert f"checkpoints/{Path(wide.url).name}" == cfa.hub_file
    assert timm.get_pretrained_cfg("wide_resnet50_2.tv2_in1k").url == wide.url
    assert cfa.own is not None
    assert timm.get_pretrained_cfg("wide_resnet50_2.tv2_in1k").license == cfa.own.licence
    own = torchvision.models.EfficientNet_B5_Weights.IMAGENET1K_V1.url
    assert f"checkpoints/{Path(own).name}" == csflow.hub_file


@pytest.mark.slow
def test_weights_that_were_fetched_are_hashed_as_they_came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A timm encoder by its numbers, torchvision's file by its bytes; here both stand in for the network's answer."""
    import timm
    import torch

    from lineside.contract import Component
    from lineside.train.bridged import _with_fetched
    from lineside.transfer.backbone import state_sha256
    from lineside.transfer.bridge import BridgeSpec, fit_anomalib
    from lineside.transfer.bridge_fetched import fetched_hashes

    small = {"embed_dim": 48, "num_heads": 3, "img_size": 56, "mlp_ratio": 1.0, "depth": 12}
    make, made = timm.create_model, []

    def answered(model_name: str, pretrained: bool = False, **arguments: object) -> torch.nn.Module:
        made.append(make(model_name, pretrained=False, **{**arguments, **small}))
        return made[-1]

    monkeypatch.setattr(timm, "create_model", answered)
    goods = np.random.default_rng(0).random((2, 3, 56, 56), np.float32)
    fitted = fit_anomalib(BridgeSpec("AnomalyDINO", None, {}, None, None, seed=0), goods)
    assert fitted.fetched == (state_sha256(made[0]),)
    parts = (Component("weights", "w", "timm hub", "apache-2.0", ""), Component("method", "m", "s", "mit", ""))
    assert [one.sha256 for one in _with_fetched(parts, fitted.fetched)] == [*fitted.fetched, ""]

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "net-1234.pth").write_bytes(b"file")
    api = import_module("torchvision.models._api")
    monkeypatch.setattr(api, "load_state_dict_from_url", lambda url, **_: {})
    with fetched_hashes() as hashes:
        api.load_state_dict_from_url("https://here/net-1234.pth")
    assert hashes == [hashlib.sha256(b"file").hexdigest()]
