"""Recipes: what is right resolves the same everywhere, what is wrong is named with its line, key and remedy."""

import contextlib
import difflib
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import images
from lineside import recipe as recipe_module
from lineside.errors import RecipeError
from lineside.recipe import LoadedRecipe, Recipe, load_recipe, portable, schema_text
from lineside.recipe_model import Capture, Light

ROOT = Path(__file__).parents[1]


def load(folder: Path, text: str) -> LoadedRecipe:
    """Load a recipe of this text beside an empty folder of images."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return load_recipe(folder)


# --- what is right


def test_two_lines_are_a_recipe(tmp_path: Path) -> None:
    """Only part and images are required; everything else has its default."""
    recipe = load(tmp_path, "part: a\nimages: images\n").recipe
    assert recipe == Recipe(part="a", images="images")
    assert (recipe.capture.bit_depth, recipe.capture.group, recipe.capture.color) == (8, None, "auto")
    assert (recipe.normalise.working_wh, recipe.normalise.light.gain_limits) == ((256, 256), (0.4, 2.5))
    assert (recipe.transfer.method, recipe.transfer.backbone, recipe.transfer.taps) == (
        "lineside",
        "lite0",
        (8, 16, 32),
    )
    assert (recipe.transfer.projection, recipe.transfer.memory, recipe.transfer.augment) == (128, 1024, "default")
    assert (recipe.calibrate.overkill, recipe.calibrate.crossfit, recipe.calibrate.folds) == (0.05, "auto", 5)
    assert recipe.seed == 0


def test_every_key_can_be_given(tmp_path: Path) -> None:
    """A recipe that names every key is read, value by value."""
    text = """\
part: cap-7_b
images: images
capture: {bit_depth: 12, group: '^(?P<part>[0-9]+)_', color: mono}
normalise:
  size: [512, 256]
  light: {exposure: off, gain_limits: [0.5, 2], flat_field: null}
  pose: {model: none}
  roi: null
transfer:
  task: anomaly
  method: anomalib.Patchcore
  backbone: timm:resnet18
  taps: [8, 16]
  projection: null
  memory: 512
  augment:
    - RandomBrightnessContrast: {p: 0.5, brightness_limit: [-0.1, 0.1]}
    - HorizontalFlip: {}
  adapt: none
  licences: [MIT, Apache-2.0]
  options: {coreset_sampling_ratio: 1e-2, layers: [layer2, layer3], pre_trained: true}
  weights: weights
  reference_images: dtd
calibrate: {overkill: 0.01, crossfit: holdout, folds: 4}
export: {precision: fp32, frame: null}
seed: 7
"""
    (tmp_path / "weights").mkdir()
    (tmp_path / "dtd").mkdir()
    recipe = load(tmp_path, text).recipe
    assert recipe.normalise.working_wh == (512, 256)
    assert recipe.normalise.light == Light(exposure="off", gain_limits=(0.5, 2.0))
    assert recipe.transfer.projection is None
    assert recipe.transfer.licences == ("mit", "apache-2.0")
    assert recipe.transfer.options == {
        "coreset_sampling_ratio": 0.01,
        "layers": ["layer2", "layer3"],
        "pre_trained": True,
    }
    assert recipe.transfer.augment == (
        {"RandomBrightnessContrast": {"p": 0.5, "brightness_limit": [-0.1, 0.1]}},
        {"HorizontalFlip": {}},
    )
    assert recipe.calibrate.crossfit == "holdout"


@pytest.mark.parametrize("word", ["on", "off", "auto", "'off'", '"on"'])
def test_on_and_off_are_words(tmp_path: Path, word: str) -> None:
    """on and off, which YAML 1.1 reads as booleans, simply work."""
    recipe = load(tmp_path, f"part: a\nimages: images\nnormalise: {{light: {{exposure: {word}}}}}\n").recipe
    assert recipe.normalise.light.exposure == word.strip("'\"")


@pytest.mark.parametrize(("text", "value"), [("1e-2", 0.01), ("5E-2", 0.05), (".5", 0.5), ("+0.25", 0.25)])
def test_numbers_are_read_as_people_write_them(tmp_path: Path, text: str, value: float) -> None:
    """1e-2 is a number, although YAML 1.1 takes it for a text."""
    assert (
        load(tmp_path, f"part: a\nimages: images\ncalibrate: {{overkill: {text}}}\n").recipe.calibrate.overkill == value
    )


def test_a_leading_zero_is_not_octal(tmp_path: Path) -> None:
    """Seed 010 is ten, not eight."""
    assert load(tmp_path, "part: a\nimages: images\nseed: 010\n").recipe.seed == 10


def test_words_that_look_like_dates_or_booleans_are_names(tmp_path: Path) -> None:
    """A part may be called no, or after a date."""
    assert load(tmp_path, "part: no\nimages: images\n").recipe.part == "no"
    assert load(tmp_path, "part: 2026-01-31\nimages: images\n").recipe.part == "2026-01-31"


def test_a_block_whose_lines_are_all_comments_is_its_defaults(tmp_path: Path) -> None:
    """Commenting out the only line of a block is no mistake."""
    recipe = load(tmp_path, "part: a\nimages: images\ncapture:\n  # bit_depth: 12\n").recipe
    assert recipe.capture == Capture()


def test_the_file_itself_can_be_named(tmp_path: Path) -> None:
    """A recipe under another name loads by its path; a byte order mark does not matter."""
    folder = images.write_recipe(tmp_path)
    (folder / "images").mkdir()
    file = (folder / "recipe.yaml").rename(folder / "night shift.yml")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    loaded = load_recipe(file)
    assert (loaded.file, loaded.folder, loaded.images_dir) == (file, folder, folder / "images")
    assert loaded.resolve("weights") == folder / "weights"


def test_a_recipe_cannot_be_changed() -> None:
    """A loaded recipe is a value."""
    with pytest.raises(ValueError, match="frozen"):
        Recipe(part="a", images="b").seed = 1  # type: ignore[misc]


def test_the_hash_is_that_of_the_meaning(tmp_path: Path) -> None:
    """Order, comments, spelt-out defaults and the folder's place do not change the hash; a value does."""
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    plain = load(tmp_path / "x", "part: a\nimages: images\n")
    spelt = load(tmp_path / "y", "# same\nseed: 0\nimages: images\npart: a\ncapture: {bit_depth: 8}\n")
    other = load(tmp_path / "y", "part: a\nimages: images\nseed: 1\n")
    assert plain.sha256 == spelt.sha256
    assert plain.sha256 != other.sha256


def test_the_hash_holds_no_machine_path(tmp_path: Path) -> None:
    """Of an absolute path only the last name counts."""
    hashes = set()
    for place in ("x", "y"):
        (tmp_path / place / "caps").mkdir(parents=True)
        loaded = load(tmp_path, f"part: a\nimages: {(tmp_path / place / 'caps').as_posix()}\n")
        hashes.add(loaded.sha256)
        assert portable(loaded.recipe)["images"] == "caps"
        assert loaded.images_dir == tmp_path / place / "caps"
    assert len(hashes) == 1


def test_the_shipped_schema_is_that_of_the_model() -> None:
    """The JSON Schema in the package is written by `python -m lineside.recipe` from the model as it is."""
    shipped = Path(recipe_module.__file__).with_name("recipe.schema.json")
    assert shipped.read_text(encoding="utf-8") == schema_text()


def test_every_key_has_a_default_a_unit_and_a_description() -> None:
    """The schema says of each key what it does, its unit and, but for part and images, its default."""
    schema = json.loads(schema_text())
    assert schema["required"] == ["part", "images"]
    blocks = {"Recipe": schema, **schema["$defs"]}
    for block, document in blocks.items():
        for key, value in document["properties"].items():
            if "$ref" not in value:
                assert {"description", "x-unit", "x-expected"} <= value.keys(), (block, key)
            assert "default" in value or key in ("part", "images"), (block, key)


@pytest.mark.parametrize("name", ["caps", "weave"])
def test_the_recipes_that_ship_are_right(name: str) -> None:
    """The recipes of the sample data load, and fit the JSON Schema as editors apply it."""
    import jsonschema

    loaded = load_recipe(ROOT / "recipes" / name)
    assert loaded.recipe.part == name
    jsonschema.validate(yaml.safe_load(loaded.file.read_text(encoding="utf-8")), json.loads(schema_text()))


_KNOWN = {
    key
    for schema in (json.loads(schema_text()), *json.loads(schema_text())["$defs"].values())
    for key in schema["properties"]
}

# --- what is wrong: the text after part and images (or the whole text), and the exact error

PART = "1 to 64 letters, digits, - and _, no - or _ first (a number in quotes)"
OVERKILL = "a number between 0 and 1, both excluded, such as 0.05"
SIZE = "a whole number or [width, height], each from 64 to 1024 and a multiple of 32"
TAPS = "a list of one or more of 2, 4, 8, 16, 32, ascending, each once"
AUGMENT = "default, none, or a list of 'Name: {argument: value}', one Albumentations transform each"
METHOD = "lineside, or anomalib.<Model> such as anomalib.Patchcore"
NEEDS = "A recipe needs at least the keys 'part' and 'images'."
TOP = "part, images, capture, normalise, transfer, calibrate, export, seed"
ONLY = "(the only value available in this version)"
COLON = (
    "a ':' where none can stand; each line is 'key: value', check this line and the one above, and their indentation"
)
HEAD = "part: a\nimages: images\n"

BROKEN: dict[str, tuple[str, str]] = {
    "empty": ("", f"F: the file is empty. {NEEDS}"),
    "only comments": ("# nothing\n", f"F: the file is empty. {NEEDS}"),
    "a list": ("- part: a\n", f"F:1: expected lines 'key: value', found a list. {NEEDS}"),
    "a text": ("part\n", f"F:1: expected lines 'key: value', found the text 'part'. {NEEDS}"),
    "two documents": (HEAD + "---\npart: b\n", "F:3: not valid YAML: a second document ('---'); a recipe is one."),
    "tab": (HEAD + "capture:\n\tbit_depth: 8\n", "F:4: indented with a tab, which YAML does not allow. Use spaces."),
    "tab after key": (HEAD + "capture:\tx\n\tb: 1", "F:3: not valid YAML: a tab; use spaces."),
    "unclosed quote": (
        "part: 'a\nimages: images\n",
        "F:3: not valid YAML: while scanning a quoted scalar, found unexpected end of stream.",
    ),
    "unclosed bracket": (
        HEAD + "transfer: {taps: [8, 16}\n",
        "F:3: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '}'.",
    ),
    "no colon": ("part a\nimages: images\n", f"F:2: not valid YAML: {COLON}."),
    "bad indentation": ("part: a\n  images: images\n", f"F:2: not valid YAML: {COLON}."),
    "alias": ("part: &a x\nimages: *a\n", "F:2: not valid YAML: an alias (*name) is not allowed in a recipe."),
    "merge key": (HEAD + "capture: {<<: {bit_depth: 8}}\n", "F:3: a merge key (<<) is not allowed in a recipe."),
    "tag": (
        "part: !!python/object:os.system a\nimages: images\n",
        "F:1: not valid YAML: a tag (tag:yaml.org,2002:python/object:os.system) is not allowed in a recipe.",
    ),
    "tag2": ("part: !x a\nimages: images\n", "F:1: not valid YAML: a tag (!x) is not allowed in a recipe."),
    "control": ("part: a\u0007\nimages: images\n", "F:1: the character U+0007 is not allowed in YAML. Remove it."),
    "deep": ("part: " + "[" * 3000, "F: nested too deeply for a recipe."),
    "key twice": (
        HEAD + "seed: 1\nseed: 2\n",
        "F:4: seed: the key is given twice, first in line 3. Remove one of them.",
    ),
    "key twice in a block": (
        HEAD + "capture:\n  bit_depth: 8\n  bit_depth: 12\n",
        "F:5: capture.bit_depth: the key is given twice, first in line 4. Remove one of them.",
    ),
    "list as key": (HEAD + "[a, b]: 1\n", "F:3: a key must be a plain word."),
    "no part": ("images: images\n", f"F: part: the key is missing, and required: expected {PART}."),
    "no images": ("part: a\n", "F: images: the key is missing, and required: expected a folder relative to this file."),
    "part with a space": ("part: a b\nimages: images\n", f'F:1: part: expected {PART}; found the text "a b".'),
    "part a number": ("part: 4711\nimages: images\n", f"F:1: part: expected {PART}; found 4711."),
    "part empty": ("part:\nimages: images\n", f"F:1: part: expected {PART}; found nothing (null)."),
    "part a path": ("part: ../a\nimages: images\n", f'F:1: part: expected {PART}; found the text "../a".'),
    "images missing": (
        "part: a\nimages: ../nowhere\n",
        "F:2: images: expected a folder of images, found nothing at D/../nowhere. The path is relative to the recipe.",
    ),
    "images a file": (
        "part: a\nimages: recipe.yaml\n",
        "F:2: images: expected a folder of images, found a file at F. The path is relative to the recipe.",
    ),
    "images a list": (
        "part: a\nimages: [x]\n",
        'F:2: images: expected a folder relative to this file; found the list ["x"].',
    ),
    "misspelt": (
        HEAD + "calibrate:\n  overkil: 0.1\n",
        "F:4: calibrate.overkil: unknown key 'overkil'; did you mean 'overkill'? "
        "Known keys here: overkill, crossfit, folds.",
    ),
    "misspelt block": (
        HEAD + "normalize: {size: 256}\n",
        f"F:3: normalize: unknown key 'normalize'; did you mean 'normalise'? Known keys here: {TOP}.",
    ),
    "wrong place": (
        HEAD + "backbone: lite0\n",
        f"F:3: backbone: unknown key 'backbone'; did you mean 'transfer.backbone'? Known keys here: {TOP}.",
    ),
    "missing indentation": (
        HEAD + "calibrate:\noverkill: 0.1\n",
        f"F:4: overkill: unknown key 'overkill'; did you mean 'calibrate.overkill'? Known keys here: {TOP}.",
    ),
    "too much indentation": (
        HEAD + "calibrate:\n  overkill: 0.1\n  seed: 3\n",
        "F:5: calibrate.seed: unknown key 'seed'; did you mean 'seed' without indentation? "
        "Known keys here: overkill, crossfit, folds.",
    ),
    "block not block": (
        HEAD + "capture: 12\n",
        "F:3: capture: expected a block of keys (bit_depth, group, color); found 12.",
    ),
    "number as key": (HEAD + "8: 1\n", f"F:3: 8: unknown key '8'; did you mean 'transfer'? Known keys here: {TOP}."),
    "bit depth": (
        HEAD + "capture: {bit_depth: 11}\n",
        "F:3: capture.bit_depth: expected 8, 10, 12, 14 or 16; found 11.",
    ),
    "group": (
        HEAD + "capture:\n  group: '([0-9]+'\n",
        "F:4: capture.group: not a regular expression: missing ), unterminated subpattern at position 0.",
    ),
    "group number": (
        HEAD + "capture: {group: 3}\n",
        "F:3: capture.group: expected a regular expression on file names, such as '^(?P<part>[0-9]+)_', "
        "or null; found 3.",
    ),
    "color": (
        HEAD + "capture: {color: bgr}\n",
        'F:3: capture.color: expected auto, rgb or mono; found the text "bgr".',
    ),
    "size 100": (HEAD + "normalise: {size: 100}\n", f"F:3: normalise.size: expected {SIZE}; found 100."),
    "size text": (
        HEAD + "normalise:\n  size: 256x256\n",
        f'F:4: normalise.size: expected {SIZE}; found the text "256x256".',
    ),
    "size 3": (
        HEAD + "normalise: {size: [256, 256, 3]}\n",
        f"F:3: normalise.size: expected {SIZE}; found the list [256, 256, 3].",
    ),
    "size bool": (HEAD + "normalise: {size: true}\n", f"F:3: normalise.size: expected {SIZE}; found true."),
    "exposure": (
        HEAD + "normalise:\n  light:\n    exposure: maybe\n",
        'F:5: normalise.light.exposure: expected auto, on or off; found the text "maybe".',
    ),
    "gain": (
        HEAD + "normalise:\n  light:\n    gain_limits: [1.2, 2]\n",
        "F:5: normalise.light.gain_limits: expected two numbers [low, high], low above 0 and up to 1, "
        "high from 1 to 100, such as [0.4, 2.5]; found the list [1.2, 2].",
    ),
    "pose": (
        HEAD + "normalise:\n  pose: {model: fourier}\n",
        f'F:4: normalise.pose.model: expected none {ONLY}; found the text "fourier".',
    ),
    "roi": (
        HEAD + "normalise: {roi: [0, 0, 10, 10]}\n",
        f"F:3: normalise.roi: expected null {ONLY}; found the list [0, 0, 10, 10].",
    ),
    "method": (
        HEAD + "transfer: {method: patchcore}\n",
        f'F:3: transfer.method: expected {METHOD}; found the text "patchcore".',
    ),
    "backbone": (
        HEAD + "transfer: {backbone: resnet18}\n",
        'F:3: transfer.backbone: expected lite0, timm:<name> or local-dir:<folder>; found the text "resnet18".',
    ),
    "taps": (HEAD + "transfer: {taps: [8, 12]}\n", f"F:3: transfer.taps: expected {TAPS}; found the list [8, 12]."),
    "taps order": (
        HEAD + "transfer: {taps: [16, 8]}\n",
        f"F:3: transfer.taps: expected {TAPS}; found the list [16, 8].",
    ),
    "taps empty": (HEAD + "transfer: {taps: []}\n", f"F:3: transfer.taps: expected {TAPS}; found the list []."),
    "projection": (
        HEAD + "transfer: {projection: 8}\n",
        "F:3: transfer.projection: expected a whole number from 16 to 1024, or null for none; found 8.",
    ),
    "memory": (
        HEAD + "transfer: {memory: 1e3}\n",
        "F:3: transfer.memory: expected a whole number from 16 to 16384; found 1000.0.",
    ),
    "augment": (
        HEAD + "transfer:\n  augment:\n    - HorizontalFlip\n",
        f'F:4: transfer.augment: expected {AUGMENT}; found the list ["HorizontalFlip"].',
    ),
    "licence": (
        HEAD + "transfer: {licences: mit}\n",
        'F:3: transfer.licences: expected a list of SPDX licence ids such as apache-2.0; found the text "mit".',
    ),
    "options": (
        HEAD + "transfer:\n  options: {layers: [layer2]}\n",
        "F:3: transfer.options: only allowed with method: anomalib.<Model>, and the method here is lineside.",
    ),
    "adapt": (
        HEAD + "transfer: {adapt: student}\n",
        f'F:3: transfer.adapt: expected none {ONLY}; found the text "student".',
    ),
    "overkill 0": (HEAD + "calibrate:\n  overkill: 0\n", f"F:4: calibrate.overkill: expected {OVERKILL}; found 0."),
    "overkill 5": (HEAD + "calibrate:\n  overkill: 5\n", f"F:4: calibrate.overkill: expected {OVERKILL}; found 5."),
    "overkill percent": (
        HEAD + "calibrate:\n  overkill: 5 %\n",
        f'F:4: calibrate.overkill: expected {OVERKILL}; found the text "5 %".',
    ),
    "overkill comma": (
        HEAD + "calibrate:\n  overkill: 0,05\n",
        f'F:4: calibrate.overkill: expected {OVERKILL}; found the text "0,05" (write a decimal point).',
    ),
    "overkill nan": (
        HEAD + "calibrate:\n  overkill: .nan\n",
        f'F:4: calibrate.overkill: expected {OVERKILL}; found the text ".nan".',
    ),
    "overkill none": (
        HEAD + "calibrate:\n  overkill:\n",
        f"F:4: calibrate.overkill: expected {OVERKILL}; found nothing (null).",
    ),
    "folds": (
        HEAD + "calibrate: {folds: 2.5}\n",
        "F:3: calibrate.folds: expected a whole number from 2 to 20; found 2.5.",
    ),
    "precision": (
        HEAD + "export: {precision: int8}\n",
        f'F:3: export.precision: expected fp32 {ONLY}; found the text "int8".',
    ),
    "seed": (HEAD + "seed: -1\n", "F:3: seed: expected a whole number from 0 to 4294967295; found -1."),
    "network missing": (
        HEAD + "transfer:\n  backbone: local-dir:nets\n",
        "F:4: transfer.backbone: expected a folder with a network, found nothing at D/nets. "
        "The path is relative to the recipe.",
    ),
    "weights missing": (
        HEAD + "transfer:\n  method: anomalib.Fastflow\n  weights: w.safetensors\n",
        "F:5: transfer.weights: expected a file or folder with weights, found nothing at D/w.safetensors. "
        "The path is relative to the recipe.",
    ),
    "reference images a file": (
        HEAD + "transfer:\n  method: anomalib.Draem\n  reference_images: recipe.yaml\n",
        "F:5: transfer.reference_images: expected a folder of images, found a file at F. "
        "The path is relative to the recipe.",
    ),
    "several": (
        HEAD + "sede: 1\ncapture:\n  bit_depth: '8'\n",
        (
            f"F:3: sede: unknown key 'sede'; did you mean 'seed'? Known keys here: {TOP}.\n"
            f'F:5: capture.bit_depth: expected 8, 10, 12, 14 or 16; found the text "8".'
        ),
    ),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_recipe_is_named_with_line_key_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    """Each mistake gives its own error with the file, the line, the key, what was expected and what was found."""
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text)
    assert str(caught.value).replace(str(tmp_path / "recipe.yaml"), "F").replace(str(tmp_path), "D") == expected
    assert caught.value.message == str(caught.value)
    assert caught.value.exit_code == 2


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    """A folder without a recipe, and a path to nothing, say what is expected."""
    expected = "no recipe there. Expected a folder with a recipe.yaml, or a recipe file; `lineside new` writes one."
    for path, named in ((tmp_path, tmp_path / "recipe.yaml"), (tmp_path / "x.yaml", tmp_path / "x.yaml")):
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert str(caught.value) == f"{named}: {expected}"


def test_a_recipe_in_another_encoding(tmp_path: Path) -> None:
    """A file that is not UTF-8 is named with the line of the first such byte."""
    (tmp_path / "recipe.yaml").write_bytes(b"part: a\nimages: Pr\xfcfling\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'recipe.yaml'}:2: not a text in UTF-8. Save it as UTF-8."


def test_an_error_on_a_key_has_its_line(tmp_path: Path) -> None:
    """What training finds wrong with a key later still points at the line."""
    loaded = load(tmp_path, HEAD + "transfer:\n  taps: [8]\n")
    error = loaded.error("no such stride.", "transfer.taps")
    assert str(error) == f"{tmp_path / 'recipe.yaml'}:4: transfer.taps: no such stride."
    assert loaded.error("x.", "calibrate.folds").line is None


@settings(deadline=None)
@given(key=st.from_regex(r"[a-z_]{1,12}", fullmatch=True).filter(lambda k: k not in _KNOWN))
def test_an_unknown_key_names_the_nearest_known_one(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    """Whatever is written, the suggestion is a key of this block and none is spelt more like it."""
    with pytest.raises(RecipeError) as caught:
        load(tmp_path_factory.mktemp("r"), f"{HEAD}'{key}': 1\n")
    suggested = str(caught.value).split("did you mean '")[1].split("'")[0]
    alike = {known: difflib.SequenceMatcher(None, known, key).ratio() for known in Recipe.model_fields}
    assert alike[suggested] == pytest.approx(max(alike.values()))


@settings(deadline=None)
@given(text=st.text(max_size=200))
def test_no_text_gives_another_exception(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Any text at all is a recipe or a `RecipeError`."""
    with contextlib.suppress(RecipeError):
        load(tmp_path_factory.mktemp("r"), text.encode("utf-8", "replace").decode())
