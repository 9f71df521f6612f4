"""What a model was trained on, written down: one hash over all images, and the lock file that names every one."""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from lineside.dataset import Dataset
from lineside.image_files import read_content
from lineside.recipe import LoadedRecipe, portable


def data_sha256(dataset: Dataset) -> str:
    """Return the SHA-256 (hex) over every image's name, side, label, content, mask and boxes."""
    return _data_sha256(dataset, _content_hashes(dataset))


def lock_document(loaded: LoadedRecipe, dataset: Dataset) -> str:
    """Return the YAML of recipe.lock.yaml: every default made explicit, the hashes, and each image with its side.

    The same recipe and images give the same text on every machine: it holds no absolute path and no time.
    """
    hashes = _content_hashes(dataset)
    document: dict[str, Any] = {
        "recipe": portable(loaded.recipe),
        "recipe_sha256": loaded.sha256,
        "data_sha256": _data_sha256(dataset, hashes),
        "layout": dataset.layout,
        "images": [
            {"name": s.name, "split": s.split, "label": s.label, "group": s.group, "sha256": hashes[s.path]}
            | ({"copy_of": s.copy_of} if s.copy_of else {})
            for s in dataset.samples
        ],
    }
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=2**20)
    return text


def _content_hashes(dataset: Dataset) -> dict[Path, str]:
    paths = [path for s in dataset.samples for path in (s.path, s.mask) if path is not None]
    return {path: hashlib.sha256(read_content(path)).hexdigest() for path in paths}


def _data_sha256(dataset: Dataset, hashes: dict[Path, str]) -> str:
    total = hashlib.sha256()
    for s in dataset.samples:
        fields = (s.name, s.split, s.label, hashes[s.path], hashes[s.mask] if s.mask else "", *map(repr, s.boxes))
        total.update("\0".join(fields).encode() + b"\n")
    return total.hexdigest()
