"""Recipes: what is wrong is named with its line, key and remedy."""

import contextlib
import difflib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.errors import RecipeError
from lineside.recipe import LoadedRecipe, Recipe, load_recipe, schema_text

_KNOWN = {
    key
    for schema in (json.loads(schema_text()), *json.loads(schema_text())["$defs"].values())
    for key in schema["properties"]
}


def load(folder: Path, text: str) -> LoadedRecipe:
    """Load a recipe of this text beside an empty folder of images."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return load_recipe(folder)


# Each case is the whole text of the recipe, and the exact error.

PART = "1 to 64 letters, digits, - and _, no - or _ first (a number in quotes)"
OVERKILL = "a share above 0 and below 1, such as 0.05 (no number of images can support 0)"
SIZE = "a whole number or [width, height], each from 64 to 1024 and a multiple of 32"
TAPS = "auto, or a list of one or more whole numbers from 1, ascending, each once, such as [8, 16]"
AUGMENT = "default, none, or a list of 'Name: {argument: value}', one Albumentations transform each"
METHOD = "lineside, text, or anomalib.<Model> such as anomalib.Patchcore"
NEEDS = "A recipe needs at least the keys 'part' and 'images'."
TOP = "part, images, capture, normalise, transfer, calibrate, export, seed"
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
        "Known keys here: overkill, confidence, escape, cost, defect_rate_ppm, threshold, review, least_defect_mm2, "
        "regions, class_factors, crossfit, folds.",
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
        "Known keys here: overkill, confidence, escape, cost, defect_rate_ppm, threshold, review, least_defect_mm2, "
        "regions, class_factors, crossfit, folds.",
    ),
    "block not block": (
        HEAD + "capture: 12\n",
        "F:3: capture: expected a block of keys (bit_depth, group, color, px_per_mm); found 12.",
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
    "method": (
        HEAD + "transfer: {method: patchcore}\n",
        f'F:3: transfer.method: expected {METHOD}; found the text "patchcore".',
    ),
    "backbone": (
        HEAD + "transfer: {backbone: resnet18}\n",
        'F:3: transfer.backbone: expected lite0, timm:<name> or local-dir:<folder>; found the text "resnet18".',
    ),
    "taps": (HEAD + "transfer: {taps: [0, 8]}\n", f"F:3: transfer.taps: expected {TAPS}; found the list [0, 8]."),
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
        "F:3: transfer.memory: expected auto, or a whole number from 16 to 16384; found 1000.0.",
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
        "F:4: transfer.options: only allowed with method: anomalib.<Model>, and the method here is lineside.",
    ),
    "adapt": (
        HEAD + "transfer: {adapt: student}\n",
        'F:3: transfer.adapt: expected none or try; found the text "student".',
    ),
    "adapt classify": (
        HEAD + "transfer:\n  task: classify\n  adapt: try\n",
        "F:5: transfer.adapt: only none with task: classify; try adapts the network to what good parts look like.",
    ),
    "adapt anomalib": (
        HEAD + "transfer:\n  method: anomalib.Padim\n  adapt: try\n",
        "F:5: transfer.adapt: only none with method: anomalib.Padim; try adapts the network of method: lineside.",
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
    "escape 0": (
        HEAD + "calibrate:\n  escape: 0\n",
        "F:4: calibrate.escape: expected null, or a share above 0 and below 1, such as 0.01 (no number of images "
        "can support 0); found 0.",
    ),
    "two wishes": (
        HEAD + "calibrate:\n  overkill: 0.05\n  escape: 0.001\n",
        "F:5: calibrate.escape: overkill and escape are both named, and one wish decides: delete one of them.",
    ),
    "a confidence in no overkill": (
        HEAD + "calibrate:\n  confidence: 0.95\n  escape: 0.01\n",
        "F:4: calibrate.confidence: only counts with calibrate.overkill, and the wish is escape: delete one of them.",
    ),
    "a confidence of certainty": (
        HEAD + "calibrate: {confidence: 1.0}\n",
        "F:3: calibrate.confidence: expected a number between 0 and 1, both excluded, such as 0.95, or null; found "
        "1.0.",
    ),
    "cost without prevalence": (
        HEAD + "calibrate:\n  cost: {overkill: 0.4, escape: 250}\n",
        "F:4: calibrate.cost: a cost needs the share of defective parts in production: add calibrate.defect_rate_ppm, "
        "such as 800.",
    ),
    "prevalence without cost": (
        HEAD + "calibrate:\n  defect_rate_ppm: 800\n",
        "F:4: calibrate.defect_rate_ppm: only counts with calibrate.cost: add that, or delete this.",
    ),
    "cost misspelt": (
        HEAD + "calibrate:\n  defect_rate_ppm: 800\n  cost:\n    overkill: 0.4\n    escape: 250\n    escap: 2\n",
        "F:8: calibrate.cost.escap: unknown key 'escap'; did you mean 'escape'? Known keys here: overkill, escape.",
    ),
    "cost a number": (
        HEAD + "calibrate:\n  defect_rate_ppm: 800\n  cost: 3\n",
        "F:5: calibrate.cost: expected a block of keys (overkill, escape); found 3.",
    ),
    "review too wide": (
        HEAD + "calibrate:\n  overkill: 0.5\n  review: 0.6\n",
        "F:5: calibrate.review: with an overkill of 0.5 less than 0.5 is left.",
    ),
    "overkill none": (
        HEAD + "calibrate:\n  overkill:\n",
        f"F:4: calibrate.overkill: expected {OVERKILL}; found nothing (null).",
    ),
    "folds": (
        HEAD + "calibrate: {folds: 2.5}\n",
        "F:3: calibrate.folds: expected auto, or a whole number from 2 to 20; found 2.5.",
    ),
    "precision": (
        HEAD + "export: {precision: fp16}\n",
        'F:3: export.precision: expected fp32, int8 or auto; found the text "fp16".',
    ),
    "int8 of another method": (
        HEAD + "transfer:\n  method: anomalib.Padim\nexport:\n  precision: int8\n",
        "F:6: export.precision: only fp32 with method: anomalib.Padim; int8 is for method: lineside.",
    ),
    "int8 sorting": (
        HEAD + "transfer:\n  task: classify\nexport:\n  frame: [64, 64]\n  precision: auto\n",
        "F:7: export.precision: only fp32 with task: classify; int8 is for task: anomaly and both.",
    ),
    "target unknown": (
        HEAD + "export:\n  precision: int8\n  target: avx2\n",
        'F:5: export.target: expected any or vnni; found the text "avx2".',
    ),
    "target without int8": (
        HEAD + "export: {target: vnni}\n",
        "F:3: export.target: only allowed with precision: int8 or auto, and the precision here is fp32.",
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


def broken_message(folder: Path, text: str) -> str:
    """Return the error of a recipe of this text, its file as F and its folder as D."""
    with pytest.raises(RecipeError) as caught:
        load(folder, text)
    assert caught.value.message == str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(folder / "recipe.yaml"), "F").replace(str(folder), "D")


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_recipe_is_named_with_line_key_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    """Each mistake gives its own error with the file, the line, the key, what was expected and what was found."""
    assert broken_message(tmp_path, text) == expected


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
