"""Loading a recipe: the file, what it resolves to, and its hash.

The keys themselves stand in `recipe_model`, what is said of mistakes in `recipe_errors`. Write the JSON Schema again
with ``python -m lineside.recipe``; a test keeps it true.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pydantic import ValidationError

from lineside.errors import RecipeError
from lineside.recipe_calibrate import Calibrate
from lineside.recipe_classes import Classes
from lineside.recipe_errors import located_error
from lineside.recipe_model import Capture, Export, Recipe, Target, Transfer
from lineside.recipe_normalise import Gate, Light, Normalise, Pose
from lineside.recipe_yaml import Located, Location, Value, dotted, read_yaml

__all__ = [
    "RECIPE_FILE",
    "Calibrate",
    "Capture",
    "Classes",
    "Export",
    "Gate",
    "Light",
    "LoadedRecipe",
    "Normalise",
    "Pose",
    "Recipe",
    "Target",
    "Transfer",
    "load_recipe",
    "portable",
    "recipe_sha256",
    "schema_text",
    "varied",
]
RECIPE_FILE = "recipe.yaml"
SCHEMA_FILE = "recipe.schema.json"


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe, and where it stands."""

    recipe: Recipe
    file: Path
    folder: Path
    sha256: str
    """Of the resolved recipe, the same on every machine: of an absolute path only its last name counts."""
    lines: Mapping[Location, int] = field(default_factory=dict, repr=False, compare=False)

    def resolve(self, relative: str) -> Path:
        """Return a path that the recipe names, taken from the recipe's folder."""
        return self.folder / relative

    @property
    def images_dir(self) -> Path:
        """The folder of images."""
        return self.resolve(self.recipe.images)

    def error(self, message: str, key: str) -> RecipeError:
        """Return an error on a dotted key, with its line where the file has one."""
        return RecipeError(message, file=self.file, line=self.lines.get(tuple(key.split("."))), key=key)


def load_recipe(path: Path) -> LoadedRecipe:
    """Read and check a recipe.

    Parameters
    ----------
    path : Path
        The recipe's folder, or the YAML file itself.

    Raises
    ------
    RecipeError
        When there is none, it cannot be read, a key or value is wrong (all of them are named), or a folder that it
        names is missing.
    """
    path = Path(path)
    file = path / RECIPE_FILE if path.is_dir() else path
    return _checked(read_yaml(_read_text(file), file), file)


def varied(loaded: LoadedRecipe, changes: Mapping[str, Value]) -> LoadedRecipe:
    """Return a recipe with other values at some keys, as if its file held them.

    Parameters
    ----------
    loaded : LoadedRecipe
    changes : mapping of str to value
        By dotted key, such as ``transfer.memory``.

    Raises
    ------
    RecipeError
        When a key or value is wrong.
    """
    located = read_yaml(_read_text(loaded.file), loaded.file)
    lines = {at: line for at, line in located.lines.items() if dotted(at) not in changes}
    for key, value in changes.items():
        *blocks, last = key.split(".")
        block = located.value
        for name in blocks:
            inner = block.get(name)
            if not isinstance(inner, dict):
                block[name] = inner = {}
            block = inner
        block[last] = value
    return _checked(Located(located.value, lines), loaded.file)


def _checked(located: Located, file: Path) -> LoadedRecipe:
    try:
        recipe = Recipe.model_validate(located.value)
    except ValidationError as error:
        raise located_error(error, located, file, Recipe) from None
    loaded = LoadedRecipe(recipe, file, file.parent, recipe_sha256(recipe), located.lines)
    _refuse_missing(loaded)
    _refuse_unscaled(loaded)
    _refuse_regions(loaded)
    _refuse_class_factors(loaded)
    return loaded


def _refuse_class_factors(loaded: LoadedRecipe) -> None:
    """Refuse tolerated classes where none is told beside a threshold."""
    transfer = loaded.recipe.transfer
    told = transfer.task in ("auto", "both") and transfer.method == "lineside" and transfer.classes.method != "none"
    if loaded.recipe.calibrate.class_factors and not told:
        raise loaded.error(
            "only allowed where classes of defects are told beside a threshold: transfer.task both (or auto), method "
            "lineside and a way of telling classes; delete it.",
            "calibrate.class_factors",
        )


def _refuse_regions(loaded: LoadedRecipe) -> None:
    """Refuse thresholds of regions where the score is not pooled from patches."""
    recipe = loaded.recipe
    if recipe.calibrate.regions and (recipe.transfer.method != "lineside" or recipe.transfer.task == "classify"):
        raise loaded.error(
            "only allowed with method: lineside and without task: classify, whose score has no regions; delete it.",
            "calibrate.regions",
        )


def _refuse_unscaled(loaded: LoadedRecipe) -> None:
    """Refuse a smallest defect in mm² where nothing says what a millimetre is, or no patches are compared."""
    recipe, key = loaded.recipe, "calibrate.least_defect_mm2"
    if recipe.calibrate.least_defect_mm2 is None:
        return
    if recipe.capture.px_per_mm is None:
        raise loaded.error(
            "an area in mm² needs the scale of the picture: add capture.px_per_mm, pixels of the frame along a "
            "millimetre of the part, such as 20.",
            key,
        )
    if recipe.transfer.method != "lineside" or recipe.transfer.task == "classify":
        raise loaded.error(
            "only allowed with method: lineside and without task: classify, whose score has no regions; delete it.",
            key,
        )


def _refuse_missing(loaded: LoadedRecipe) -> None:
    """Refuse paths that lead nowhere; weights may be a file or a folder, all else are folders."""
    transfer = loaded.recipe.transfer
    kind, _, network = transfer.backbone.partition(":")
    for key, what, path in (
        ("images", "a folder of images", loaded.recipe.images),
        ("transfer.backbone", "a folder with a network", network if kind == "local-dir" else None),
        ("transfer.weights", "a file or folder with weights", transfer.weights),
        ("transfer.reference_images", "a folder of images", transfer.reference_images),
    ):
        place = loaded.resolve(path) if path is not None else None
        if place is not None and not (place.is_dir() or (place.is_file() and key == "transfer.weights")):
            found = "a file" if place.exists() else "nothing"
            message = f"expected {what}, found {found} at {place}. The path is relative to the recipe."
            raise loaded.error(message, key)
    _refuse_missing_episodes(loaded)
    for key, paths in loaded.recipe.named_images.items():
        what = "an image, auto, estimate or null" if key.endswith("flat_field") else "an image"
        for place in map(loaded.resolve, paths):
            if not place.is_file():
                found = "a folder" if place.exists() else "nothing"
                raise loaded.error(
                    f"expected {what}, found {found} at {place}. The path is relative to the recipe.", key
                )


def _refuse_missing_episodes(loaded: LoadedRecipe) -> None:
    episodes = loaded.recipe.transfer.classes.episodes
    for folder in () if isinstance(episodes, str) else episodes:
        file = loaded.resolve(folder) / RECIPE_FILE
        if not file.is_file():
            message = f"expected recipe folders, found no recipe at {file}. The path is relative to the recipe."
            raise loaded.error(message, "transfer.classes.episodes")


def portable(recipe: Recipe) -> dict[str, Any]:
    """Return the resolved recipe as JSON values, without machine paths: of an absolute path only its last name."""
    document = recipe.model_dump(mode="json")
    transfer, normalise = document["transfer"], document["normalise"]
    for block, key in (("light", "flat_field"), ("light", "dark_frame"), ("pose", "anchor")):
        normalise[block][key] = _last_names(normalise[block][key])
    for place in (normalise, *(document["calibrate"]["regions"] or {}).values()):
        if isinstance(place["roi"], str):
            place["roi"] = _last_name(place["roi"])
    document["images"] = _last_name(document["images"])
    for key in ("weights", "reference_images"):
        transfer[key] = _last_name(transfer[key]) if transfer[key] else None
    episodes = transfer["classes"]["episodes"]
    transfer["classes"]["episodes"] = _last_names(episodes) if isinstance(episodes, list) else episodes
    kind, colon, folder = transfer["backbone"].partition(":")
    transfer["backbone"] = kind + colon + (_last_name(folder) if kind == "local-dir" else folder)
    return document


def recipe_sha256(recipe: Recipe) -> str:
    """Return the SHA-256 (hex) of the resolved recipe's canonical JSON."""
    text = json.dumps(portable(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def schema_text() -> str:
    """Return the recipe's JSON Schema, as the package ships it."""
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _last_name(path: str) -> str:
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    return PureWindowsPath(path).name if absolute else path


def _last_names(value: str | list[str] | None) -> str | list[str] | None:
    return [_last_name(path) for path in value] if isinstance(value, list) else value and _last_name(value)


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(
            f"no recipe there. Expected a folder with a {RECIPE_FILE}, or a recipe file; `lineside new` writes one.",
            file=file,
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RecipeError("not a text in UTF-8. Save it as UTF-8.", file=file, line=line) from None
    except OSError as error:
        raise RecipeError(f"cannot be read ({error.strerror}).", file=file) from None


if __name__ == "__main__":
    Path(__file__).with_name(SCHEMA_FILE).write_text(schema_text(), encoding="utf-8", newline="\n")
