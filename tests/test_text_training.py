"""A recipe with text prompts, from the folder to verdicts, on a tiny CLIP with random weights."""

import re

import cv2
import numpy as np
import pytest
import yaml

from conftest import write_part
from lineside.errors import RecipeError, UsageError
from lineside.recipe import load_recipe
from lineside.transfer.method_check import check_method
from tiny_clip import write_clip

SMALL = "{size: 64, pose: {model: none}, light: {exposure: 'off'}, gate: {mode: 'off'}}"


def write_recipe(folder, transfer, goods=2, crossfit="auto"):
    """Write a recipe with this transfer block and a few parts."""
    write_part(folder, goods, 1, 1, size=64, normalise=SMALL)
    file = folder / "recipe.yaml"
    recipe = yaml.safe_load(file.read_text())
    recipe |= {"transfer": transfer, "calibrate": {"crossfit": crossfit}}
    file.write_text(yaml.safe_dump(recipe))
    return folder


@pytest.mark.parametrize(
    ("transfer", "told"),
    [
        ({"method": "text"}, "transfer.weights: expected the folder of a CLIP model"),
        ({"prompts": {"good": ["cap"]}}, "transfer.prompts: only allowed with method: text"),
        ({"weights": "clip"}, "transfer.weights: only allowed with method: text or anomalib.<Model>"),
        (
            {"method": "text", "weights": "images", "options": {"a": 1}},
            "transfer.options: only allowed with method: ano",
        ),
        ({"method": "text", "weights": "images", "prompts": {"bad": []}}, "transfer.prompts.bad: unknown key"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(transfer, told, tmp_path):
    """A recipe whose keys do not fit its method is refused with file, line and key."""
    with pytest.raises(RecipeError, match=r"recipe\.yaml:\d+: " + re.escape(told)):
        load_recipe(write_recipe(tmp_path, transfer))


def test_a_folder_without_a_model_is_refused_before_any_training(tmp_path):
    """`lineside check` says which folder holds no CLIP, with the recipe's line."""
    loaded = load_recipe(write_recipe(tmp_path, {"method": "text", "weights": "images"}))
    with pytest.raises(RecipeError, match=r"recipe\.yaml:\d+: transfer\.weights: .* does not hold open_clip_config"):
        check_method(loaded)


def test_a_licence_that_is_not_known_is_refused_before_any_training(tmp_path):
    """Weights of unknown licence need the user's word for them."""
    write_clip(tmp_path / "clip", licence=None)
    loaded = load_recipe(write_recipe(tmp_path, {"method": "text", "weights": "clip"}))
    with pytest.raises(RecipeError, match=r"add unknown to transfer\.licences"):
        check_method(loaded)


@pytest.mark.slow
def test_a_recipe_with_prompts_becomes_a_bundle(tmp_path):
    """Training proves the graph against the loops over windows; the bundle judges a frame as the training did and
    names CLIP, its licence and the prompts."""
    from lineside.runtime import Inspector
    from lineside.train import train

    write_clip(tmp_path / "clip")
    transfer = {"method": "text", "weights": "clip", "prompts": {"defect": ["cap with a stain"]}}
    loaded = load_recipe(write_recipe(tmp_path, transfer, goods=6, crossfit="holdout"))
    record = train(loaded, tmp_path / "model")
    assert ("weights", "clip", "mit") in {(c.role, c.name, c.licence) for c in record.contract.components}
    assert any("cap with a stain" in note for note in record.decisions)
    frame = cv2.imread(str(tmp_path / "images/test/good/000.png"))[:, :, ::-1]
    scored = next(one for one in record.tested if one.label == "good")
    assert Inspector(tmp_path / "model").inspect(np.ascontiguousarray(frame)).score == pytest.approx(scored.score)


def test_a_method_of_text_counts_good_parts_as_folds(tmp_path):
    """`lineside check` expects cross-fitting for texts, as training does, and no hold-out."""
    from lineside.capture.check import check_recipe

    loaded = load_recipe(write_recipe(tmp_path, {"method": "text", "weights": "images"}, goods=2))
    told = [problem.text for problem in check_recipe(loaded).problems]
    assert not any("held out" in text for text in told)


def test_winclip_sees_as_its_folder_says(tmp_path):
    """anomalib's WinClip gets the normalisation of the CLIP that it is given, and the contract its stated licence."""
    from lineside.train import bridged
    from lineside.transfer.bridge_catalog import resolve_model

    write_clip(tmp_path / "clip")
    loaded = load_recipe(write_recipe(tmp_path, {"method": "anomalib.WinClip", "weights": "clip"}))
    known = resolve_model("WinClip")
    mean, std, components = bridged._input_of(known, loaded, bridged._clip_of(known, loaded))
    assert (mean, std) == ((0.5, 0.4, 0.3), (0.25, 0.25, 0.25))
    assert [(one.name, one.licence) for one in components if one.role == "weights"] == [("clip", "mit")]


def test_the_weights_of_a_bundle_are_hashed(tmp_path):
    """The hash that enters the contract is that of the file that is read."""
    import hashlib

    from lineside.transfer.text_folder import read_clip_folder

    folder = write_clip(tmp_path / "clip")
    content = (folder / "open_clip_model.safetensors").read_bytes()
    assert read_clip_folder(folder).sha256() == hashlib.sha256(content).hexdigest()


def test_a_wrong_folder_is_a_usage_error(tmp_path):
    """A folder that is not there is refused as one that holds no model."""
    from lineside.transfer.text_folder import read_clip_folder

    with pytest.raises(UsageError, match="does not hold open_clip_config"):
        read_clip_folder(tmp_path / "nowhere")
