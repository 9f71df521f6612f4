"""Text prompts over a CLIP model: what is asked, where the model comes from, and that tower and head say what they
should. The CLIP here is tiny and its weights are random: it tests the mechanics, not the accuracy."""

import numpy as np
import pytest

from lineside.errors import MissingExtraError, StorageError, UsageError
from lineside.transfer.text_folder import CONFIG_FILE, check_clip_licence, read_clip_folder
from lineside.transfer.text_prompts import TEMPLATES, prompt_texts, sentences
from tiny_clip import write_clip

GRID_HW = (4, 6)
WORKING_WH = (96, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny CLIP as open_clip writes it."""
    return write_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="module")
def towers(folder):
    """The same, loaded for a working size that is not its own."""
    from lineside.transfer.text_tower import load_clip

    return load_clip(read_clip_folder(folder), prompt_texts("cap", (), ()), WORKING_WH)


def unit(*shape, seed=0):
    """Return random unit vectors along the second dimension."""
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def judge(patches, image, region, texts, map_wh=None):
    """Run the head in torch; scores, maps and embeddings as arrays."""
    import torch

    from lineside.transfer.text_head import TextHead

    grid = patches.shape[2:]
    with torch.inference_mode():
        head = TextHead(grid, map_wh or (4 * grid[1], 4 * grid[0]))
        return [out.numpy() for out in head(*map(torch.from_numpy, (patches, image, region, texts)))]


def test_the_states_of_a_part_bear_its_name():
    """Without phrases of the recipe both sides are WinCLIP's states with the part's name in words."""
    texts = prompt_texts("bottle-cap_2", (), ())
    assert "flawless bottle cap 2" in texts.good
    assert "bottle cap 2 with defect" in texts.defect


def test_phrases_of_the_recipe_win_on_their_side():
    """A side with phrases of its own uses those alone, the other keeps its states."""
    texts = prompt_texts("cap", (), ("cap with a scratch",))
    assert texts.defect == ("cap with a scratch",)
    assert "perfect cap" in texts.good


def test_every_phrase_stands_in_every_template():
    """Sentences are all pairs of phrase and template, braces in a phrase included."""
    told = sentences(["a", "{x}"])
    assert len(told) == 2 * len(TEMPLATES)
    assert "a dark photo of the {x}." in told


def test_a_folder_says_how_its_model_sees(folder):
    """Mean, deviation, patch size and licence come from the folder's own files."""
    clip = read_clip_folder(folder)
    assert (clip.mean, clip.std, clip.patch_px) == ((0.5, 0.4, 0.3), (0.25, 0.25, 0.25), 16)
    assert clip.licence == "mit"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (None, f"does not hold {CONFIG_FILE}"),
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"model_cfg": {"vision_cfg": 3}}', "cannot be read"),
        ('{"model_cfg": {"vision_cfg": {}}, "preprocess_cfg": {"mean": [1]}}', "cannot be read"),
        ('{"model_cfg": {"vision_cfg": {"timm_model_name": "convnext_base"}}}', "plain vision transformer"),
        ('{"model_cfg": {"vision_cfg": {"layers": [3, 4, 6, 3]}}}', "plain vision transformer"),
        ('{"model_cfg": {"vision_cfg": {"patch_size": [16, 8]}}}', "plain vision transformer"),
        ('{"model_cfg": {"vision_cfg": {}}}', "holds none of open_clip_model.safetensors"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(config, told, tmp_path):
    """Every way in which a folder is no usable CLIP is one line that names the key and what was expected."""
    if config is not None:
        (tmp_path / CONFIG_FILE).write_text(config)
    if "holds none" not in told:
        (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=told) as caught:
        read_clip_folder(tmp_path)
    assert caught.value.message.startswith("transfer.weights: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("licence", "told"), [(None, "states no licence"), ("cc-by-nc-4.0", "'cc-by-nc-4.0'")])
def test_a_licence_that_is_not_allowed_stops_the_training(licence, told, tmp_path):
    """Weights without a licence, or with one that the recipe does not allow, are refused with the reason."""
    clip = read_clip_folder(write_clip(tmp_path / "clip", licence))
    with pytest.raises(UsageError, match=told):
        check_clip_licence(clip, ("mit",))
    check_clip_licence(clip, ("mit", licence or "unknown"))


def test_weights_are_never_unpickled(tmp_path):
    """A checkpoint that holds more than tensors is refused and nothing in it runs."""
    import torch

    from lineside.transfer.text_tower import load_clip

    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    clip = write_clip(tmp_path / "clip")
    (clip / "open_clip_model.safetensors").unlink()
    torch.save({"state_dict": Trap()}, clip / "open_clip_pytorch_model.bin")
    with pytest.raises(StorageError, match="could not be loaded"):
        load_clip(read_clip_folder(clip), prompt_texts("cap", (), ()), (64, 64))
    assert not (tmp_path / "sprung").exists()


def test_without_open_clip_the_pip_line_is_named(folder, monkeypatch):
    """Where the package is not installed the message says how to install it."""
    from lineside.transfer.text_tower import load_clip

    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lineside\[text\]'"):
        load_clip(read_clip_folder(folder), prompt_texts("cap", (), ()), (64, 64))


def test_texts_are_mean_directions_of_their_sentences(folder, towers):
    """A text is the mean of the unit vectors that open_clip gives its sentences, made a unit vector."""
    import open_clip
    import torch

    model = open_clip.create_model(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(sentences(prompt_texts("cap", (), ()).good))
    with torch.inference_mode():
        mean = model.eval().encode_text(tokens, normalize=True).mean(dim=0)
    np.testing.assert_allclose(towers.texts[0], (mean / mean.norm()).numpy(), atol=1e-5)


def test_the_image_is_embedded_as_open_clip_embeds_it(folder, towers):
    """The tower's second output is open_clip's own image embedding at this working size."""
    import open_clip
    import torch

    working = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    model = open_clip.create_model(f"local-dir:{folder}", force_image_size=(64, 96)).eval()
    with torch.inference_mode():
        expected = model.encode_image(working, normalize=True)
        _, image = towers.tower(working)
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_a_patch_of_the_last_block_attends_to_itself_alone(towers):
    """Patches are what the last block gives under a mask that leaves each token nothing but itself."""
    import torch
    import torch.nn.functional as F

    visual = towers.tower.visual
    working = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        patches, _ = towers.tower(working)
        x = visual._embeds(working)
        alone = torch.full((x.shape[1], x.shape[1]), float("-inf")).fill_diagonal_(0.0)
        first, last = visual.transformer.resblocks
        tokens = visual.ln_post(last(first(x), attn_mask=alone))[:, 1:] @ visual.proj
    expected = F.normalize(tokens, dim=2).transpose(1, 2).reshape(2, -1, *GRID_HW)
    np.testing.assert_allclose(patches, expected, atol=1e-5)


def test_a_working_size_of_no_whole_patches_is_rounded_up(tmp_path):
    """Patches of 14 px do not divide 64: the tower sees the whole frame, as 5 rows of 70 px."""
    import torch

    from lineside.transfer.text_tower import load_clip

    clip = read_clip_folder(write_clip(tmp_path / "clip", patch_size=14, image_size=28))
    tower = load_clip(clip, prompt_texts("cap", (), ()), WORKING_WH).tower
    with torch.inference_mode():
        patches, _ = tower(torch.zeros(1, 3, 64, 96))
    assert tower.size_hw == (70, 98)
    assert patches.shape[2:] == (5, 7)


@pytest.mark.parametrize("grid_hw", [GRID_HW, (2, 5), (1, 1)])
def test_the_head_says_what_loops_over_windows_say(grid_hw):
    """Scores equal those of the slow reference, region and grids smaller than the largest window included."""
    from lineside.transfer.text_head import reference_text_score

    patches, image, texts = unit(5, 8, *grid_hw), unit(5, 8, seed=1), unit(2, 8, seed=2)
    region = (np.random.default_rng(3).random((5, 1, *grid_hw)) < 0.7).astype(np.float32)
    score, _, _ = judge(patches, image, region, texts)
    rows = [slice(i, i + 1) for i in range(5)]
    expected = [reference_text_score(patches[i], image[i], region[i], texts) for i in rows]
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_a_patch_that_reads_as_a_defect_stands_out_where_it_is():
    """A patch in the direction of the defect text raises the score, and the map is largest at its place."""
    texts = unit(2, 8, seed=2)
    patches = np.broadcast_to(texts[0][None, :, None, None], (1, 8, *GRID_HW)).copy()
    image, region = texts[:1].copy(), np.ones((1, 1, *GRID_HW), np.float32)
    before, _, _ = judge(patches, image, region, texts)
    patches[0, :, 1, 4] = texts[1]
    after, anomaly_map, _ = judge(patches, image, region, texts)
    assert after[0] > before[0]
    row, column = np.unravel_index(anomaly_map[0].argmax(), anomaly_map[0].shape)
    assert (row // 4, column // 4) == (1, 4)


def test_what_lies_outside_the_region_has_no_say():
    """A patch outside the region changes neither score nor map, and the map is 0 there."""
    texts, image = unit(2, 8, seed=2), unit(1, 8, seed=1)
    patches, region = unit(1, 8, *GRID_HW), np.ones((1, 1, *GRID_HW), np.float32)
    region[0, 0, :, 5] = 0.0
    expected = judge(patches, image, region, texts)
    patches[0, :, :, 5] = texts[1][:, None]
    for found, before in zip(judge(patches, image, region, texts), expected, strict=True):
        np.testing.assert_array_equal(found, before)
    assert (expected[1][0, :, 20:] == 0).all()
    assert (expected[1][0, :, :20] > 0).all()
