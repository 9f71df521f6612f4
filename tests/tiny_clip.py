"""A CLIP model with random weights and two blocks a tower: what tests of text prompts run on."""

import json
from pathlib import Path

CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_clip(folder: Path, licence: str | None = "mit", **vision: object) -> Path:
    """Write the tiny CLIP as open_clip writes a model; return the folder. `vision` changes the image tower."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], **vision}}
    folder.mkdir(parents=True)
    document = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.25, 0.25]}}
    (folder / "open_clip_config.json").write_text(json.dumps(document))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    if licence is not None:
        (folder / "README.md").write_text(f"---\ntags:\n- clip\nlicense: {licence}\n---\nA model for tests.\n")
    return folder
