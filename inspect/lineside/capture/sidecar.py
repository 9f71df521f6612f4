"""The JSON file beside a picture: of `lineside capture`, or of whoever else writes one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_sidecar(picture: Path) -> Mapping[str, Any]:
    """Return the JSON object in the file of the picture's name with ``.json``; empty where there is none."""
    try:
        document = json.loads(picture.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
