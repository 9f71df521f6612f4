"""Recipes: what is wrong in `normalise` and `export.frame` is named with its line, key and remedy."""

from pathlib import Path

import pytest

from test_recipe_broken import HEAD, broken_message

BLOCK = f"{HEAD}normalise:\n  "
LIGHT_BLOCK, POSE_BLOCK = f"{BLOCK}light:\n    ", f"{BLOCK}pose:\n    "

# Each case is the whole text of the recipe, and the exact error.

SIZE = "a whole number or [width, height], each from 64 to 1024 and a multiple of 32"
FLAT = "null, auto, estimate, or one or a list of images relative to this file"
LIGHT = (
    "exposure, gain_limits, flat_field, dark_frame, white_balance, gradient, gradient_limit, contrast, contrast_limits"
)
POSE = "model, angle_deg, shift, scale, anchor, fiducials"
FOUR = "four points [x, y], each from 0 to 1, or null"
REGION = (
    "a box [x0, y0, x1, y1] with x0 < x1 and y0 < y1, a polygon [[x, y], ...] of three points or more, both in numbers "
    "from 0 to 1, a mask image relative to this file, or null"
)
FRAME = "[width, height], each a whole number from 16 to 16384, or null"
RELATIVE = "The path is relative to the recipe."
WITH_FLAT = "only allowed with images in flat_field; name them, or remove this key"

BROKEN: dict[str, tuple[str, str]] = {
    "size odd": (
        BLOCK + "size: [256, 200]\n",
        f"F:4: normalise.size: expected {SIZE}; found the list [256, 200].",
    ),
    "exposure": (
        LIGHT_BLOCK + "exposure: maybe\n",
        'F:5: normalise.light.exposure: expected auto, on or off; found the text "maybe".',
    ),
    "gain": (
        LIGHT_BLOCK + "gain_limits: [1.2, 2]\n",
        "F:5: normalise.light.gain_limits: expected two numbers [low, high], low above 0 and up to 1, high from 1 "
        "to 100, such as [0.4, 2.5]; found the list [1.2, 2].",
    ),
    "exposure number": (
        LIGHT_BLOCK + "exposure: 1\n",
        "F:5: normalise.light.exposure: expected auto, on or off; found 1.",
    ),
    "flat field number": (
        LIGHT_BLOCK + "flat_field: 3\n",
        f"F:5: normalise.light.flat_field: expected {FLAT}; found 3.",
    ),
    "flat field empty": (
        LIGHT_BLOCK + "flat_field: []\n",
        f"F:5: normalise.light.flat_field: expected {FLAT}; found the list [].",
    ),
    "flat field missing": (
        LIGHT_BLOCK + "flat_field: flat.png\n",
        "F:5: normalise.light.flat_field: expected an image, auto, estimate or null, found nothing at D/flat.png. "
        f"{RELATIVE}",
    ),
    "one flat field missing": (
        LIGHT_BLOCK + "flat_field:\n      - recipe.yaml\n      - flat.png\n",
        "F:5: normalise.light.flat_field: expected an image, auto, estimate or null, found nothing at D/flat.png. "
        f"{RELATIVE}",
    ),
    "flat field a folder": (
        LIGHT_BLOCK + "flat_field: images\n",
        "F:5: normalise.light.flat_field: expected an image, auto, estimate or null, found a folder at D/images. "
        f"{RELATIVE}",
    ),
    "dark number": (
        LIGHT_BLOCK + "flat_field: recipe.yaml\n    dark_frame: true\n",
        "F:6: normalise.light.dark_frame: expected one or a list of images relative to this file, or null; found true.",
    ),
    "dark missing": (
        LIGHT_BLOCK + "flat_field: recipe.yaml\n    dark_frame: dark.png\n",
        f"F:6: normalise.light.dark_frame: expected an image, found nothing at D/dark.png. {RELATIVE}",
    ),
    "dark alone": (
        LIGHT_BLOCK + "dark_frame: recipe.yaml\n",
        f"F:5: normalise.light.dark_frame: {WITH_FLAT}.",
    ),
    "dark with an estimate": (
        LIGHT_BLOCK + "flat_field: estimate\n    dark_frame: recipe.yaml\n",
        f"F:6: normalise.light.dark_frame: {WITH_FLAT}.",
    ),
    "white balance": (
        LIGHT_BLOCK + "white_balance: on\n",
        'F:5: normalise.light.white_balance: expected auto, off, grey_world or golden; found the text "on".',
    ),
    "gradient": (
        LIGHT_BLOCK + "gradient: 0.5\n",
        "F:5: normalise.light.gradient: expected auto, on or off; found 0.5.",
    ),
    "gradient limit": (
        LIGHT_BLOCK + "gradient_limit: 0\n",
        "F:5: normalise.light.gradient_limit: expected a number above 0 up to 0.9, such as 0.5; found 0.",
    ),
    "gradient limit text": (
        LIGHT_BLOCK + "gradient_limit: 50 %\n",
        'F:5: normalise.light.gradient_limit: expected a number above 0 up to 0.9, such as 0.5; found the text "50 %".',
    ),
    "contrast": (
        LIGHT_BLOCK + "contrast: golden\n",
        'F:5: normalise.light.contrast: expected auto, on or off; found the text "golden".',
    ),
    "contrast limits": (
        LIGHT_BLOCK + "contrast_limits: [0.7]\n",
        "F:5: normalise.light.contrast_limits: expected two numbers [low, high], low above 0 and up to 1, high "
        "from 1 to 100, such as [0.7, 1.4]; found the list [0.7].",
    ),
    "light misspelt": (
        LIGHT_BLOCK + "white_ballance: off\n",
        "F:5: normalise.light.white_ballance: unknown key 'white_ballance'; did you mean 'white_balance'? Known "
        f"keys here: {LIGHT}.",
    ),
    "light not block": (
        BLOCK + "light: off\n",
        f'F:4: normalise.light: expected a block of keys ({LIGHT}); found the text "off".',
    ),
    "pose": (
        POSE_BLOCK + "model: fourier\n",
        "F:5: normalise.pose.model: expected auto, none, shift, rigid, similarity or perspective; found the text "
        '"fourier".',
    ),
    "pose angle": (
        POSE_BLOCK + "angle_deg: 360\n",
        "F:5: normalise.pose.angle_deg: expected a number from 0 to 180; found 360.",
    ),
    "pose angle text": (
        POSE_BLOCK + "angle_deg: 15°\n",
        'F:5: normalise.pose.angle_deg: expected a number from 0 to 180; found the text "15°".',
    ),
    "pose shift": (
        POSE_BLOCK + "shift: 20\n",
        "F:5: normalise.pose.shift: expected a number above 0 up to 0.5; found 20.",
    ),
    "pose scale": (
        POSE_BLOCK + "scale: [0.9, 1.1]\n",
        "F:5: normalise.pose.scale: expected a number from 0 to 0.3; found the list [0.9, 1.1].",
    ),
    "anchor missing": (
        POSE_BLOCK + "anchor: golden.png\n",
        f"F:5: normalise.pose.anchor: expected an image, found nothing at D/golden.png. {RELATIVE}",
    ),
    "anchor list": (
        POSE_BLOCK + "anchor: [golden.png]\n",
        'F:5: normalise.pose.anchor: expected an image relative to this file, or null; found the list ["golden.png"].',
    ),
    "three fiducials": (
        POSE_BLOCK + "model: perspective\n    fiducials: [[0, 0], [1, 0], [1, 1]]\n",
        f"F:6: normalise.pose.fiducials: expected {FOUR}; found the list [[0, 0], [1, 0], [1, 1]].",
    ),
    "fiducials in px": (
        POSE_BLOCK + "model: perspective\n    fiducials: [[10, 10], [90, 10], [90, 90], [10, 90]]\n",
        f"F:6: normalise.pose.fiducials: expected {FOUR}; found the list [[10, 10], [90, 10], [90, 90], [10, 90]].",
    ),
    "fiducials without perspective": (
        POSE_BLOCK + "model: rigid\n    fiducials: [[0, 0], [1, 0], [1, 1], [0, 1]]\n",
        "F:6: normalise.pose.fiducials: only allowed with model: perspective, and the model here is rigid.",
    ),
    "pose misspelt": (
        POSE_BLOCK + "angel_deg: 15\n",
        f"F:5: normalise.pose.angel_deg: unknown key 'angel_deg'; did you mean 'angle_deg'? Known keys here: {POSE}.",
    ),
    "pose nearly": (
        POSE_BLOCK + "mode: rigid\n",
        f"F:5: normalise.pose.mode: unknown key 'mode'; did you mean 'model'? Known keys here: {POSE}.",
    ),
    "light in pose": (
        POSE_BLOCK + "gradient: on\n",
        "F:5: normalise.pose.gradient: unknown key 'gradient'; did you mean 'normalise.light.gradient'? Known "
        f"keys here: {POSE}.",
    ),
    "roi in px": (
        BLOCK + "roi: [0, 0, 10, 10]\n",
        f"F:4: normalise.roi: expected {REGION}; found the list [0, 0, 10, 10].",
    ),
    "roi upside down": (
        BLOCK + "roi: [0.1, 0.8, 0.9, 0.2]\n",
        f"F:4: normalise.roi: expected {REGION}; found the list [0.1, 0.8, 0.9, 0.2].",
    ),
    "roi three numbers": (
        BLOCK + "roi: [0, 0, 1]\n",
        f"F:4: normalise.roi: expected {REGION}; found the list [0, 0, 1].",
    ),
    "roi two points": (
        BLOCK + "roi: [[0, 0], [1, 1]]\n",
        f"F:4: normalise.roi: expected {REGION}; found the list [[0, 0], [1, 1]].",
    ),
    "roi missing": (
        BLOCK + "roi: mask.png\n",
        f"F:4: normalise.roi: expected an image, found nothing at D/mask.png. {RELATIVE}",
    ),
    "foreground": (
        BLOCK + "foreground: mask.png\n",
        'F:4: normalise.foreground: expected auto, on or off; found the text "mask.png".',
    ),
    "gate mode": (
        BLOCK + "gate: {mode: auto}\n",
        'F:4: normalise.gate.mode: expected on or off; found the text "auto".',
    ),
    "gate margin": (
        BLOCK + "gate: {margin: 0.5}\n",
        "F:4: normalise.gate.margin: expected a number from 1 to 100, such as 6; found 0.5.",
    ),
    "gate off": (
        BLOCK + "gate: off\n",
        'F:4: normalise.gate: expected a block of keys (mode, margin); found the text "off".',
    ),
    "gate misspelt": (
        BLOCK + "gate:\n    margins: 6\n",
        "F:5: normalise.gate.margins: unknown key 'margins'; did you mean 'margin'? Known keys here: mode, margin.",
    ),
    "export frame": (
        HEAD + "export: {frame: 1280}\n",
        f"F:3: export.frame: expected {FRAME}; found 1280.",
    ),
    "export frame 8": (
        HEAD + "export: {frame: [8, 8]}\n",
        f"F:3: export.frame: expected {FRAME}; found the list [8, 8].",
    ),
    "export frame text": (
        HEAD + "export: {frame: 1280x1024}\n",
        f'F:3: export.frame: expected {FRAME}; found the text "1280x1024".',
    ),
    "export misspelt": (
        HEAD + "export: {frames: [1280, 1024]}\n",
        "F:3: export.frames: unknown key 'frames'; did you mean 'frame'? Known keys here: precision, target, frame.",
    ),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_block_is_named_with_line_key_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    """Each mistake gives its own error with the file, the line, the key, what was expected and what was found."""
    assert broken_message(tmp_path, text) == expected
