"""What a local folder with weights says of them: licence and hash. Read without torch, so that a check stays light."""

import hashlib
import json
from pathlib import Path

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
"""As timm's `save_for_hf` names them."""
UNKNOWN_LICENCE = "unknown"
"""Of what nothing states a licence of."""


def stated_licence(folder: Path) -> str:
    """Return the licence in ``config.json`` (pretrained_cfg: license), lower case; ``unknown`` where it states none."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return str(config["pretrained_cfg"]["license"] or UNKNOWN_LICENCE).lower()
    except (OSError, ValueError, KeyError, TypeError):
        return UNKNOWN_LICENCE


def file_sha256(path: Path) -> str:
    """Return the hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
