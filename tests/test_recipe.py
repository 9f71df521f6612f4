"""Recipes: what is right resolves the same everywhere, and the schema says what the model says."""

import json
from pathlib import Path

import pytest
import yaml

import images
from lineside import recipe as recipe_module
from lineside.recipe import Capture, Gate, Light, LoadedRecipe, Pose, Recipe, load_recipe, portable, schema_text
from lineside.recipe_normalise import Normalise

ROOT = Path(__file__).parents[1]


def load(folder: Path, text: str) -> LoadedRecipe:
    """Load a recipe of this text beside an empty folder of images."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    return load_recipe(folder)


def test_two_lines_are_a_recipe(tmp_path: Path) -> None:
    """Only part and images are required; everything else has its default."""
    recipe = load(tmp_path, "part: a\nimages: images\n").recipe
    assert recipe == Recipe(part="a", images="images")
    assert (recipe.capture.bit_depth, recipe.capture.group, recipe.capture.color) == (8, None, "auto")
    assert (recipe.normalise.working_wh((640, 640)), recipe.normalise.light.gain_limits) == ((256, 256), (0.4, 2.5))
    assert (recipe.normalise.light.flat_field, recipe.normalise.light.contrast) == (None, "auto")
    assert (recipe.normalise.pose.model, recipe.normalise.roi, recipe.normalise.foreground) == ("auto", None, "auto")
    assert (recipe.normalise.gate.mode, recipe.normalise.gate.margin, recipe.export.frame) == ("on", 6.0, None)
    assert (recipe.transfer.method, recipe.transfer.backbone, recipe.transfer.taps) == (
        "lineside",
        "lite0",
        "auto",
    )
    assert (recipe.transfer.projection, recipe.transfer.memory, recipe.transfer.augment) == (128, "auto", "default")
    assert (recipe.calibrate.overkill, recipe.calibrate.crossfit, recipe.calibrate.folds) == (0.05, "auto", "auto")
    assert recipe.seed == 0


def test_every_key_can_be_given(tmp_path: Path) -> None:
    """A recipe that names every key is read, value by value."""
    text = """\
part: cap-7_b
images: images
capture: {bit_depth: 12, group: '^(?P<part>[0-9]+)_', color: mono}
normalise:
  size: [512, 256]
  light:
    exposure: off
    gain_limits: [0.5, 2]
    flat_field: [light/a.png, light/b.png]
    dark_frame: light/dark.png
    white_balance: grey_world
    gradient: on
    gradient_limit: 0.3
    contrast: on
    contrast_limits: [0.8, 1.2]
  pose:
    model: perspective
    angle_deg: 15
    shift: 0.1
    scale: 0
    anchor: light/a.png
    fiducials: [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]
  roi: [[0, 0], [1, 0], [0.5, 1]]
  foreground: off
  gate: {mode: off, margin: 8}
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
export: {precision: fp32, frame: [1280, 1024]}
seed: 7
"""
    (tmp_path / "light").mkdir()
    for name in ("a", "b", "dark"):
        (tmp_path / "light" / f"{name}.png").touch()
    (tmp_path / "weights").mkdir()
    (tmp_path / "dtd").mkdir()
    recipe = load(tmp_path, text).recipe
    assert recipe.normalise.working_wh((640, 640)) == (512, 256)
    assert recipe.normalise.light == Light(
        exposure="off",
        gain_limits=(0.5, 2.0),
        flat_field=("light/a.png", "light/b.png"),
        dark_frame="light/dark.png",
        white_balance="grey_world",
        gradient="on",
        gradient_limit=0.3,
        contrast="on",
        contrast_limits=(0.8, 1.2),
    )
    corners = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9))
    assert recipe.normalise.pose == Pose(
        model="perspective", angle_deg=15.0, shift=0.1, scale=0.0, anchor="light/a.png", fiducials=corners
    )
    assert recipe.normalise.roi == ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0))
    assert recipe.normalise.foreground == "off"
    assert recipe.normalise.gate == Gate(mode="off", margin=8.0)
    assert recipe.export.frame == (1280, 1024)
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
@pytest.mark.parametrize("key", ["exposure", "gradient", "contrast"])
def test_on_and_off_are_words(tmp_path: Path, key: str, word: str) -> None:
    """on and off, which YAML 1.1 reads as booleans, simply work."""
    recipe = load(tmp_path, f"part: a\nimages: images\nnormalise: {{light: {{{key}: {word}}}}}\n").recipe
    assert getattr(recipe.normalise.light, key) == word.strip("'\"")


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("[0.1, 0, 1, 0.5]", (0.1, 0.0, 1.0, 0.5)),
        ("[[0, 0], [1, 0], [1, 1], [0, 1]]", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),
        ("recipe.yaml", "recipe.yaml"),
        ("null", None),
    ],
)
def test_a_region_is_a_box_a_polygon_or_an_image(tmp_path: Path, text: str, region: object) -> None:
    """Four numbers are a box, a list of points is a polygon even where it has four of them, a text is a file."""
    assert load(tmp_path, f"part: a\nimages: images\nnormalise: {{roi: {text}}}\n").recipe.normalise.roi == region


@pytest.mark.parametrize("word", ["auto", "estimate", "null"])
def test_a_flat_field_that_is_a_word_names_no_file(tmp_path: Path, word: str) -> None:
    """Words are told from paths: nothing is looked for on the disk."""
    text = f"part: a\nimages: images\nnormalise: {{light: {{flat_field: {word}}}}}\n"
    assert load(tmp_path, text).recipe.normalise.named_images == {}


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


def test_no_path_of_light_pose_or_region_is_in_the_hash(tmp_path: Path) -> None:
    """Of the images that `normalise` names, too, only the last name of an absolute path counts."""
    image = tmp_path / "flat.png"
    image.touch()
    light = f"light: {{flat_field: [{image.as_posix()}], dark_frame: {image.as_posix()}}}"
    text = f"normalise: {{{light}, pose: {{anchor: {image.as_posix()}}}, roi: {image.as_posix()}}}\n"
    document = portable(load(tmp_path, f"part: a\nimages: images\n{text}").recipe)
    assert tmp_path.as_posix() not in json.dumps(document)
    assert document["normalise"]["light"]["flat_field"] == ["flat.png"]
    assert document["normalise"]["roi"] == "flat.png"


def test_the_shipped_schema_is_that_of_the_model() -> None:
    """The JSON Schema in the package is written by `python -m lineside.recipe` from the model as it is."""
    shipped = Path(recipe_module.__file__).with_name("recipe.schema.json")
    assert shipped.read_text(encoding="utf-8") == schema_text()


def test_every_key_has_a_default_a_unit_and_a_description() -> None:
    """The schema says of each key what it does, its unit and, but for part, images, costs and regions, its default."""
    schema = json.loads(schema_text())
    assert schema["required"] == ["part", "images"]
    blocks = {"Recipe": schema, **schema["$defs"]}
    for block, document in blocks.items():
        for key, value in document["properties"].items():
            if "$ref" not in value:
                assert {"description", "x-unit", "x-expected"} <= value.keys(), (block, key)
            assert "default" in value or key in ("part", "images") or block in ("Cost", "RegionThreshold"), (
                block,
                key,
            )


@pytest.mark.parametrize("name", ["caps", "weave"])
def test_the_recipes_that_ship_are_right(name: str) -> None:
    """The recipes of the sample data load, and fit the JSON Schema as editors apply it."""
    import jsonschema

    loaded = load_recipe(ROOT / "recipes" / name)
    assert loaded.recipe.part == name
    jsonschema.validate(yaml.safe_load(loaded.file.read_text(encoding="utf-8")), json.loads(schema_text()))


@pytest.mark.parametrize(
    ("frame_wh", "working_wh"),
    [((640, 480), (288, 224)), ((1130, 460), (416, 160)), ((100, 1000), (96, 800)), ((50, 5000), (64, 1024))],
)
def test_one_number_keeps_the_frames_proportions(frame_wh: tuple[int, int], working_wh: tuple[int, int]) -> None:
    """A size of 256 is the area of 256 × 256 in the frame's proportions, in steps of 32, between 64 and 1024."""
    assert Normalise().working_wh(frame_wh) == working_wh
