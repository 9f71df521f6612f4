"""The recipe's `normalise` block: light, pose, region and gate."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictFloat, StrictInt, StrictStr, model_validator

from lineside.recipe_block import Block, empty_block, key, refuse

LEAST_SIDE, LARGEST_SIDE, SIDE_STEP = 64, 1024, 32
Side = Annotated[StrictInt, Field(ge=LEAST_SIDE, le=LARGEST_SIDE, multiple_of=SIDE_STEP)]
"""A side of the working size, px."""
Share = Annotated[StrictFloat, Field(ge=0, le=1)]
Point = tuple[Share, Share]
Paths = (
    Annotated[StrictStr, Field(min_length=1)]
    | Annotated[tuple[Annotated[StrictStr, Field(min_length=1)], ...], Field(min_length=1)]
)
Step = Literal["auto", "on", "off"]


def as_paths(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return one path or several as a tuple."""
    return () if value is None else (value,) if isinstance(value, str) else value


def _gain_limits(limits: tuple[float, float]) -> tuple[float, float]:
    if not (0 < limits[0] <= 1 <= limits[1] <= 100):
        raise ValueError
    return limits


def _region(region: object) -> object:
    if isinstance(region, tuple) and isinstance(region[0], float | int):
        x0, y0, x1, y1 = region
        if not (x0 < x1 and y0 < y1):
            raise ValueError
    return region


Roi = Annotated[
    tuple[Share, Share, Share, Share]
    | Annotated[tuple[Point, ...], Field(min_length=3)]
    | Annotated[StrictStr, Field(min_length=1)]
    | None,
    AfterValidator(_region),
]
"""A region of the anchor picture."""
ROI = (
    "a box [x0, y0, x1, y1] with x0 < x1 and y0 < y1, a polygon [[x, y], ...] of three points or more, both in numbers "
    "from 0 to 1, a mask image relative to this file, or null"
)


class Light(Block):
    """What evens out the light."""

    exposure: Step = key(
        "auto", "auto, on or off", "Exposure gain of each image towards the golden part's level. auto: where it helps."
    )
    gain_limits: Annotated[tuple[StrictFloat, StrictFloat], AfterValidator(_gain_limits)] = key(
        (0.4, 2.5),
        "two numbers [low, high], low above 0 and up to 1, high from 1 to 100, such as [0.4, 2.5]",
        "Least and largest exposure gain that is applied; a frame that needs more gets no call.",
        "factor",
    )
    flat_field: Literal["auto", "estimate"] | Paths | None = key(
        None,
        "null, auto, estimate, or one or a list of images relative to this file",
        "Evens out lamp and lens: from pictures of an empty, evenly lit target (`lineside flatfield` makes one), or "
        "estimated from the good images. auto: estimated where it helps.",
    )
    dark_frame: Paths | None = key(
        None,
        "one or a list of images relative to this file, or null",
        "Pictures with the lens covered, taken off before the flat field is divided out.",
    )
    white_balance: Literal["auto", "off", "grey_world", "golden"] = key(
        "auto",
        "auto, off, grey_world or golden",
        "Colour cast of each image: to equal channel means, or to the golden part's channels. auto: golden or off.",
    )
    gradient: Step = key(
        "auto", "auto, on or off", "Slow brightness gradient of each image against the golden part, divided out."
    )
    gradient_limit: Annotated[StrictFloat, Field(gt=0, le=0.9)] = key(
        0.5,
        "a number above 0 up to 0.9, such as 0.5",
        "Largest gradient that is corrected, from the frame's middle to its border; beyond it a frame gets no call.",
        "share of the level",
    )
    contrast: Step = key("auto", "auto, on or off", "Contrast of each image towards the golden part's, bounded.")
    contrast_limits: Annotated[tuple[StrictFloat, StrictFloat], AfterValidator(_gain_limits)] = key(
        (0.7, 1.4),
        "two numbers [low, high], low above 0 and up to 1, high from 1 to 100, such as [0.7, 1.4]",
        "Least and largest contrast factor that is applied.",
        "factor",
    )

    @model_validator(mode="after")
    def _dark_with_flat(self) -> "Light":
        if self.dark_frame is not None and self.flat_field in (None, "auto", "estimate"):
            reason = "only allowed with images in flat_field; name them, or remove this key"
            refuse("dark_frame", reason)
        return self


class Pose(Block):
    """What evens out the part's angle and place."""

    model: Literal["auto", "none", "shift", "rigid", "similarity", "perspective"] = key(
        "auto",
        "auto, none, shift, rigid, similarity or perspective",
        "How every frame is aligned to the golden part. rigid: shift and rotation; similarity: and scale. auto: what "
        "the good images show to help, none where they show no consistent pose.",
    )
    angle_deg: Annotated[StrictFloat, Field(ge=0, le=180)] = key(
        180.0,
        "a number from 0 to 180",
        "Largest rotation that is looked for, both ways; 180 is the full circle.",
        "deg",
    )
    shift: Annotated[StrictFloat, Field(gt=0, le=0.5)] = key(
        0.15,
        "a number above 0 up to 0.5",
        "Largest shift that is looked for, both ways.",
        "share of the frame's longer side",
    )
    scale: Annotated[StrictFloat, Field(ge=0, le=0.3)] = key(
        0.1, "a number from 0 to 0.3", "Largest change of size that is looked for, both ways.", "share of the size"
    )
    anchor: Annotated[StrictStr, Field(min_length=1)] | None = key(
        None,
        "an image relative to this file, or null",
        "The picture whose pose is the golden part's: region and angles are read in it. null: the first good "
        "training image.",
    )
    fiducials: tuple[Point, Point, Point, Point] | None = key(
        None,
        "four points [x, y], each from 0 to 1, or null",
        "Marks that a perspective is read from, in the anchor picture; only with model: perspective. null: the part's "
        "own edges.",
        "share of the picture's width and height",
    )

    @model_validator(mode="after")
    def _perspective_only(self) -> "Pose":
        if self.fiducials is not None and self.model != "perspective":
            reason = f"only allowed with model: perspective, and the model here is {self.model}"
            refuse("fiducials", reason)
        return self


class Gate(Block):
    """What refuses a bad picture."""

    mode: Literal["on", "off"] = key(
        "on", "on or off", "Whether frames outside the limits learned from the good images get no call."
    )
    margin: Annotated[StrictFloat, Field(ge=1, le=100)] = key(
        6.0,
        "a number from 1 to 100, such as 6",
        "How far outside the good images' spread a limit lies.",
        "robust standard deviations of the good images",
    )


class Normalise(Block):
    """What is made equal in every frame before anything looks at it."""

    size: Side | tuple[Side, Side] = key(
        256,
        "a whole number or [width, height], each from 64 to 1024 and a multiple of 32",
        "Working size that every frame is reduced to; one number means the area of such a square, in the proportions "
        "of the recipe's frames.",
        "px",
    )
    light: Annotated[Light, BeforeValidator(empty_block)] = Light()
    pose: Annotated[Pose, BeforeValidator(empty_block)] = Pose()
    roi: Roi = key(
        None,
        ROI,
        "Region that is inspected, drawn in the anchor picture; it moves with the part. null: all of it.",
        "share of the picture's width and height",
    )
    foreground: Step = key(
        "auto", "auto, on or off", "Leave out what does not move with the part, as learned from the good images."
    )
    gate: Annotated[Gate, BeforeValidator(empty_block)] = Gate()

    @property
    def named_images(self) -> dict[str, tuple[str, ...]]:
        """Images that the block names, by dotted key: paths as written."""
        light, region = self.light, self.roi
        flat = () if light.flat_field in ("auto", "estimate") else as_paths(light.flat_field)
        named = {
            "normalise.light.flat_field": flat,
            "normalise.light.dark_frame": as_paths(light.dark_frame),
            "normalise.pose.anchor": as_paths(self.pose.anchor),
            "normalise.roi": as_paths(region) if isinstance(region, str) else (),
        }
        return {key: paths for key, paths in named.items() if paths}

    def working_wh(self, frame_wh: tuple[int, int]) -> tuple[int, int]:
        """Return the working size (width, height) in px for frames of this size.

        One number asks for the area of a square with this side, in the frames' own proportions: squashing a long part
        into a square costs resolution along it. Sides are multiples of 32, which all strides divide, from 64 to 1024.
        """
        if not isinstance(self.size, int):
            return self.size
        stretch = math.sqrt(frame_wh[0] / frame_wh[1])
        width, height = (
            min(LARGEST_SIDE, max(LEAST_SIDE, SIDE_STEP * round(side / SIDE_STEP)))
            for side in (self.size * stretch, self.size / stretch)
        )
        return width, height
