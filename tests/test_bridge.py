"""The anomalib bridge: what it accepts and refuses, that its graph says what anomalib's model says, and that it is a
good guest."""

import copy
import json
import logging
import random
import tempfile
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from lineside.errors import LinesideError, UsageError
from lineside.transfer.bridge_catalog import resolve_model

SIZE_PX = 64


def make_goods(n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return n smooth random working tensors."""
    coarse = np.random.default_rng(seed).normal(size=(n, 3, SIZE_PX // 8, SIZE_PX // 8)).astype(np.float32)
    return coarse.repeat(8, axis=2).repeat(8, axis=3)


def write_backbone(folder: Path, architecture: str = "test_efficientnet") -> Path:
    """Write a tiny backbone with random weights as timm's local folder."""
    import timm
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(architecture, pretrained=False)
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    config = {"architecture": architecture, "num_classes": 1000, "pretrained_cfg": {"num_classes": 1000}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A tiny backbone whose path would make anomalib take it for a transformer."""
    return write_backbone(tmp_path_factory.mktemp("vit") / "tiny")


def make_spec(model="Patchcore", folder=None, seed=0, **options):
    """Return what a recipe would ask for."""
    from lineside.transfer.bridge import BridgeSpec

    return BridgeSpec(model, folder, options, weights=None, reference_images=None, seed=seed)


def fit(model, folder, n=6, seed=0, **options):
    """Fit a model on n random images."""
    from lineside.transfer.bridge import fit_anomalib

    return fit_anomalib(make_spec(model, folder, seed, **options), make_goods(n))


@pytest.fixture(scope="module")
def patchcore(backbone):
    """PatchCore fitted on six images."""
    return fit("Patchcore", backbone)


def judge(model, images):
    """Return scores and maps as arrays."""
    import torch

    with torch.no_grad():
        score, anomaly_map = model(torch.from_numpy(images))
    return score.numpy(), anomaly_map.numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("Patchcore", {}),
        ("Patchcore", {"num_neighbors": 1}),
        ("Padim", {}),
        ("MHPatchcore", {}),
        ("Stfpm", {"max_epochs": 1}),
        ("Dfkde", {"n_pca_components": 3}),
    ],
    ids=["patchcore", "patchcore-nearest", "padim", "mh-patchcore", "stfpm", "dfkde"],
)
def test_the_exported_graph_says_what_torch_says_at_any_batch(model, options, backbone, tmp_path):
    """One file of standard operators gives torch's scores and maps for batches of 1, 2 and 7."""
    import onnx
    import onnxruntime
    import torch

    from lineside.graph.onnx_export import export_module

    bridged = fit(model, backbone, **options)
    graph = export_module(bridged, {"x": torch.from_numpy(make_goods(2))}, ("score", "anomaly_map"), {"x": {0: "N"}})
    onnx.save(graph, tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for n in (1, 2, 7):
        images = make_goods(n, seed=n)
        for found, expected in zip(session.run(None, {"x": images}), judge(bridged, images), strict=True):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.slow
def test_patchcore_scores_as_anomalibs_own_loop_does(patchcore, monkeypatch):
    """The loop-free search gives the scores, re-weighting included, of anomalib's chunked one."""
    import torch
    from anomalib.models.image.patchcore import torch_model

    monkeypatch.setattr(torch_model, "DEFAULT_CHUNK_SIZE", 50)
    original = copy.deepcopy(patchcore.inner)
    del original.nearest_neighbors
    images = make_goods(3, seed=9)
    with torch.no_grad():
        expected = original(torch.from_numpy(images))
    score, anomaly_map = judge(patchcore, images)
    assert original.num_neighbors == 9
    np.testing.assert_allclose(score, expected.pred_score.numpy(), rtol=1e-5)
    np.testing.assert_allclose(anomaly_map, expected.anomaly_map[:, 0].numpy(), rtol=1e-5)


@pytest.mark.slow
def test_scores_stay_raw(patchcore):
    """A stranger scores beyond everything seen in training: nothing clamps or normalises it."""
    near, _ = judge(patchcore, make_goods(6))
    far, _ = judge(patchcore, 20 * make_goods(6, seed=5))
    assert far.min() > 2 * near.max()
    assert far.max() > 1


@pytest.mark.slow
@pytest.mark.parametrize(("model", "strides"), [("Patchcore", [8, 16]), ("Padim", [4, 8, 16])])
def test_default_layers_are_those_of_the_same_stride(model, strides, backbone):
    """Where the recipe names no layers, those with a ResNet's strides are taken."""
    inner = fit(model, backbone).inner
    assert inner.feature_extractor.reductions == strides


@pytest.mark.slow
def test_layers_of_the_recipe_win(backbone):
    """Layers that the recipe names are not replaced."""
    assert fit("Patchcore", backbone, layers=["blocks.0"]).inner.feature_extractor.layers == ["blocks.0"]


@pytest.mark.slow
def test_an_unknown_layer_lists_the_layers_of_the_backbone(backbone):
    """A layer that the backbone does not have is refused, with those that it has."""
    with pytest.raises(UsageError, match=r"no layer 'layer2'.*blocks\.0 \(stride"):
        fit("Patchcore", backbone, layers=["layer2"])


@pytest.mark.slow
def test_an_unknown_option_lists_the_options(backbone):
    """An option that the constructor does not take is refused, with those that it takes."""
    with pytest.raises(UsageError, match=r"no option 'coreset'.*coreset_sampling_ratio.*max_epochs") as caught:
        fit("Patchcore", backbone, coreset=0.1)
    assert "post_processor" not in caught.value.message


@pytest.mark.slow
def test_a_value_that_anomalib_refuses_is_a_usage_error(backbone):
    """anomalib's own complaint about an option comes out as one line."""
    with pytest.raises(UsageError, match=r"Padim refused .*n_features") as caught:
        fit("Padim", backbone, n_features=100_000)
    assert "\n" not in caught.value.message


@pytest.mark.slow
def test_a_backbone_that_a_model_does_not_take_is_refused(backbone):
    """A model for certain backbones says which."""
    with pytest.raises(UsageError, match="Fastflow takes only these backbones: resnet18"):
        fit("Fastflow", backbone)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Patchcore", "Padim"])
def test_two_good_images_are_enough(model, backbone):
    """The smallest set of goods gives finite scores."""
    score, anomaly_map = judge(fit(model, backbone, n=2), make_goods(3, seed=2))
    assert np.isfinite(score).all()
    assert np.isfinite(anomaly_map).all()


@pytest.mark.slow
def test_one_good_image_is_refused(backbone):
    """No covariance comes from one image."""
    with pytest.raises(UsageError, match="at least 2 good images"):
        fit("Padim", backbone, n=1)


@pytest.mark.slow
def test_frames_instead_of_working_tensors_are_refused(backbone):
    """Images with the channels last are no working tensors."""
    from lineside.transfer.bridge import fit_anomalib

    with pytest.raises(UsageError, match=r"\[n, 3, H, W\], found \[4, 8, 8, 3\]"):
        fit_anomalib(make_spec(folder=backbone), np.zeros((4, 8, 8, 3), np.float32))


@pytest.mark.slow
def test_the_trainer_sees_the_very_tensors_and_leaves_them_alone(backbone):
    """Training images are float32 as given, not 8-bit copies, and the caller's array is not changed."""
    from lineside.transfer.bridge import fit_anomalib
    from lineside.transfer.bridge_data import tensor_datamodule

    goods = 3 * make_goods(4)
    before = goods.copy()
    module = tensor_datamodule(goods, 4)
    module.setup()
    seen = module.train_data.collate_fn([module.train_data[i] for i in range(4)]).image.numpy()
    fit_anomalib(make_spec(folder=backbone), goods)
    np.testing.assert_array_equal(seen, before)
    np.testing.assert_array_equal(goods, before)


@pytest.mark.slow
def test_the_fit_follows_from_the_seed(patchcore, backbone):
    """The same seed gives the same model; another seed starts the coreset elsewhere."""
    again = fit("Patchcore", backbone)
    other = fit("Patchcore", backbone, seed=1)
    assert np.array_equal(patchcore.inner.memory_bank, again.inner.memory_bank)
    assert not np.array_equal(patchcore.inner.memory_bank, other.inner.memory_bank)


@pytest.mark.slow
def test_global_random_states_are_put_back(backbone):
    """Whoever draws random numbers after a fit draws what he would have drawn without it."""
    import torch

    def draw():
        return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002

    fit("Padim", backbone)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    expected = draw()
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    fit("Padim", backbone)
    assert draw() == expected
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
def test_a_fit_prints_nothing_and_leaves_no_file(backbone, tmp_path, monkeypatch, capfd):
    """No bar, log, warning, checkpoint or folder remains of anomalib's engine, and loggers keep their levels."""
    fit("Patchcore", backbone)  # loads the modules, whose import may print
    scratch, here = tmp_path / "scratch", tmp_path / "here"
    scratch.mkdir()
    here.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.chdir(here)
    level = logging.getLogger("lightning.pytorch").level
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit("Patchcore", backbone)
    assert capfd.readouterr() == ("", "")
    assert not caught
    assert list(scratch.iterdir()) == []
    assert list(here.iterdir()) == []
    assert logging.getLogger("lightning.pytorch").level == level


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "key"), [("Draem", "transfer.reference_images"), ("Dsr", "transfer.weights"), ("EfficientAd", "weights")]
)
def test_what_would_be_downloaded_is_asked_for_by_its_key(model, key, tmp_path, monkeypatch):
    """A model that downloads is refused before it writes anything, and the key that takes a local folder is named."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LinesideError, match="needs a download") as caught:
        fit(model, None)
    assert key in caught.value.message
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_failed_download_is_one_line_with_the_remedy(monkeypatch):
    """A connection that fails while the model is built says what is missing and what to give instead."""
    import timm

    def no_network(*_, **__):
        try:
            raise ConnectionRefusedError("refused")
        except OSError as error:
            raise RuntimeError("cannot load\nweights") from error

    monkeypatch.setattr(timm, "create_model", no_network)
    with pytest.raises(LinesideError, match=r"needs a download.*transfer\.backbone: lite0") as caught:
        fit("Patchcore", None)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("error", "package", "pip_line"),
    [
        (
            ImportError("open_clip is required for VLM models. Install it with: 'uv pip install anomalib[vlm,clip]'"),
            "open_clip",
            "pip install open_clip_torch",
        ),
        (
            ModuleNotFoundError("No module named 'nowhere.inner'", name="nowhere.inner"),
            "nowhere",
            "pip install nowhere",
        ),
        (ImportError("X requires 'numpy' and 'nowhere'. Install them."), "nowhere", "pip install nowhere"),
    ],
    ids=["a sentence", "a module", "the missing one of two"],
)
def test_a_missing_package_is_named_with_its_pip_line(error, package, pip_line, monkeypatch):
    """A model whose optional package is not installed is no failed fit: the package and its pip line are named."""
    from lineside.transfer import bridge_train

    found = bridge_train.find_spec
    monkeypatch.setattr(bridge_train, "find_spec", lambda name: None if name == "open_clip" else found(name))
    told = bridge_train.explained(error, resolve_model("WinClip"))
    assert isinstance(told, UsageError)
    assert told.message == (
        f"anomalib.WinClip needs the package {package}, which is not installed. Install it with: {pip_line}"
    )


def test_a_package_that_is_there_and_cannot_be_imported_is_not_called_missing():
    """A broken installation keeps its own words."""
    from lineside.transfer.bridge_train import explained

    error = ImportError("libGL.so.1: cannot open shared object file", name="cv2")
    told = explained(error, resolve_model("Padim"))
    assert "cannot be imported (ImportError: libGL.so.1" in told.message
    assert "pip install" not in told.message


@pytest.mark.slow
def test_a_folder_without_weights_is_refused(tmp_path):
    """A backbone folder must hold both of timm's files."""
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    with pytest.raises(UsageError, match=r"does not hold model\.safetensors"):
        fit("Patchcore", tmp_path)


@pytest.mark.slow
def test_ctrl_c_stays_a_keyboard_interrupt(backbone, monkeypatch):
    """An interrupted fit raises KeyboardInterrupt, not Lightning's SystemExit, and Ctrl-C goes on working."""
    import signal

    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(PatchcoreModel, "subsample_embedding", interrupted)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        fit("Patchcore", backbone)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.slow
def test_the_model_carries_its_licence_and_source(patchcore):
    """The contract's entries come with the model."""
    from importlib.metadata import version

    assert (patchcore.model_name, patchcore.licence) == ("Patchcore", "apache-2.0")
    assert patchcore.source == f"anomalib {version('anomalib')}"
    assert patchcore.uses_backbone
    assert patchcore.has_map
