"""The recipe's model: every key with its default, its unit, what it takes and what it does.

The one definition: checking, the JSON Schema for completion in editors and the errors' wording all come out of it.
`x-expected` is the sentence that every error on the key is made of. pydantic's own messages were rejected, because a
union of types gives several for one mistake and none says what to write instead. Keys whose other values come later
take only the neutral value and say so.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

Option = (
    StrictBool | StrictInt | StrictFloat | StrictStr | list[StrictBool | StrictInt | StrictFloat | StrictStr] | None
)
"""A keyword argument for somebody else's code: an anomalib model, an Albumentations transform."""

Side = Annotated[StrictInt, Field(ge=64, le=1024, multiple_of=32)]
"""A side of the working size, px."""


def _key(default: Any, expected: str, description: str, unit: str = "none", **limits: Any) -> Any:
    """Return a pydantic field with the sentence that its errors are made of."""
    extra: dict[str, JsonValue] = {"x-expected": expected, "x-unit": unit}
    told = f"{description} Takes {expected}." + (f" Unit: {unit}." if unit != "none" else "")
    return Field(default, description=told, json_schema_extra=extra, **limits)


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise PydanticCustomError("lineside", "{reason}", {"reason": f"not a regular expression: {error}"}) from None
    return text


def _ascending_powers_of_two(strides: tuple[int, ...]) -> tuple[int, ...]:
    if not strides or any(s not in (2, 4, 8, 16, 32) for s in strides) or list(strides) != sorted(set(strides)):
        raise ValueError
    return strides


def _gain_limits(limits: tuple[float, float]) -> tuple[float, float]:
    if not (0 < limits[0] <= 1 <= limits[1] <= 100):
        raise ValueError
    return limits


def _one_name_each(steps: Any) -> Any:
    if isinstance(steps, tuple) and (not steps or any(len(step) != 1 for step in steps)):
        raise ValueError
    return steps


def _lower_case(names: Any) -> Any:
    if isinstance(names, list | tuple):
        return tuple(name.lower() if isinstance(name, str) else name for name in names)
    return names


def _empty_block(value: Any) -> Any:
    """Take a block whose every line is commented out (YAML: null) as the block's defaults."""
    return {} if value is None else value


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Capture(_Block):
    """How frames come from the camera."""

    bit_depth: Literal[8, 10, 12, 14, 16] = _key(
        8, "8, 10, 12, 14 or 16", "Bits per sample that the camera delivers; above 8 the files must be 16 bit.", "bit"
    )
    group: Annotated[StrictStr, AfterValidator(_regular_expression)] | None = _key(
        None,
        "a regular expression on file names, such as '^(?P<part>[0-9]+)_', or null",
        "Finds the physical part's name in an image's file name: the group 'part', else the first group, else the "
        "whole match. Images of one part never stand on both sides of a split. null: every image is a part of its own.",
    )
    color: Literal["auto", "rgb", "mono"] = _key(
        "auto",
        "auto, rgb or mono",
        "Channels of the frame. auto: mono when every good training image has one channel, else rgb.",
    )


class Light(_Block):
    """What evens out the light."""

    exposure: Literal["auto", "on", "off"] = _key(
        "auto",
        "auto, on or off",
        "Exposure gain of each image against the mean level of the goods. auto: on.",
    )
    gain_limits: Annotated[tuple[StrictFloat, StrictFloat], AfterValidator(_gain_limits)] = _key(
        (0.4, 2.5),
        "two numbers [low, high], low above 0 and up to 1, high from 1 to 100, such as [0.4, 2.5]",
        "Least and largest exposure gain that is applied.",
        "factor",
    )
    flat_field: None = _key(
        None, "null (the only value available in this version)", "Flat-field correction; not available yet."
    )


class Pose(_Block):
    """What evens out the part's angle and place."""

    model: Literal["none"] = _key(
        "none", "none (the only value available in this version)", "How the part is aligned; not available yet."
    )


class Normalise(_Block):
    """What is made equal in every frame before anything looks at it."""

    size: Side | tuple[Side, Side] = _key(
        256,
        "a whole number or [width, height], each from 64 to 1024 and a multiple of 32",
        "Working size that every frame is reduced to; one number is a square.",
        "px",
    )
    light: Annotated[Light, BeforeValidator(_empty_block)] = Light()
    pose: Annotated[Pose, BeforeValidator(_empty_block)] = Pose()
    roi: None = _key(
        None, "null (the only value available in this version)", "Region that is inspected; not available yet."
    )

    @property
    def working_wh(self) -> tuple[int, int]:
        """Working size as (width, height) in px."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


class Transfer(_Block):
    """How a pretrained network and the good images become a detector."""

    task: Literal["anomaly"] = _key(
        "anomaly", "anomaly (the only value available in this version)", "What is learnt: what good looks like."
    )
    method: StrictStr = _key(
        "lineside",
        "lineside, or anomalib.<Model> such as anomalib.Patchcore",
        "The detector: lineside's own, or an image model of anomalib by its class name.",
        pattern=r"^(lineside|anomalib\.[A-Za-z_][A-Za-z0-9_]*)$",
    )
    backbone: StrictStr = _key(
        "lite0",
        "lite0, timm:<name> or local-dir:<folder>",
        "The pretrained network: EfficientNet-Lite0 from an installed package, a timm model from the hub (needs a "
        "network), or a folder relative to this file.",
        pattern=r"^(lite0|timm:\S+|local-dir:.*\S)$",
    )
    taps: Annotated[tuple[StrictInt, ...], AfterValidator(_ascending_powers_of_two)] = _key(
        (8, 16),
        "a list of one or more of 2, 4, 8, 16, 32, ascending, each once",
        "Strides of the network's stages whose features are used; the network is cut off after the last.",
        "px per feature",
    )
    projection: Annotated[StrictInt, Field(ge=16, le=1024)] | None = _key(
        128,
        "a whole number from 16 to 1024, or null for none",
        "Dimensions that features are projected to.",
        "dimensions",
    )
    memory: StrictInt = _key(
        1024,
        "a whole number from 16 to 16384",
        "Good patches that are remembered.",
        "entries",
        ge=16,
        le=16384,
    )
    augment: Annotated[
        Literal["default", "none"] | tuple[dict[StrictStr, dict[StrictStr, Option]], ...],
        AfterValidator(_one_name_each),
    ] = _key(
        "default",
        "default, none, or a list of 'Name: {argument: value}', one Albumentations transform each",
        "Disturbed copies of the good images that are learnt from too. default: brightness, small angle and shift.",
    )
    augment_copies: StrictInt = _key(
        1,
        "a whole number from 1 to 32",
        "Disturbed copies of each good image; of no effect with augment: none.",
        "copies",
        ge=1,
        le=32,
    )
    adapt: Literal["none"] = _key(
        "none", "none (the only value available in this version)", "Adaptation of the network; not available yet."
    )
    licences: Annotated[
        tuple[Annotated[StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")], ...], BeforeValidator(_lower_case)
    ] = _key(
        ("apache-2.0", "mit", "bsd-3-clause"),
        "a list of SPDX licence ids such as apache-2.0",
        "Licences that the network, its weights and the method may have; others stop the training.",
        min_length=1,
    )
    options: dict[StrictStr, Option] = _key(
        {},
        "a block of 'argument: value', each a number, text, true, false, null or a list of them",
        "Keyword arguments of an anomalib model; only with method: anomalib.<Model>.",
    )
    weights: StrictStr | None = _key(
        None,
        "a path relative to this file, or null",
        "Pretrained weights that an anomalib model would otherwise download.",
        min_length=1,
    )
    reference_images: StrictStr | None = _key(
        None,
        "a folder relative to this file, or null",
        "Images of other things that an anomalib model would otherwise download.",
        min_length=1,
    )

    @model_validator(mode="after")
    def _anomalib_only(self) -> "Transfer":
        for key in ("options", "weights", "reference_images"):
            if getattr(self, key) and self.method == "lineside":
                reason = f"only allowed with method: anomalib.<Model>, and the method here is {self.method}"
                raise PydanticCustomError("lineside", "{reason}", {"reason": reason, "key": key})
        return self


class Calibrate(_Block):
    """Where the threshold comes from."""

    overkill: StrictFloat = _key(
        0.05,
        "a number between 0 and 1, both excluded, such as 0.05",
        "Share of good parts that may be called NG.",
        "share of good parts",
        gt=0,
        lt=1,
    )
    crossfit: Literal["auto", "folds", "holdout"] = _key(
        "auto",
        "auto, folds or holdout",
        "How good images get a score from a model that has not seen them. holdout: 20 % of the parts are kept out. "
        "auto: folds for lineside's own method, holdout for anomalib's.",
    )
    folds: StrictInt = _key(5, "a whole number from 2 to 20", "Number of folds.", "folds", ge=2, le=20)


class Export(_Block):
    """What the ONNX file is like."""

    precision: Literal["fp32"] = _key(
        "fp32", "fp32 (the only value available in this version)", "Arithmetic of the network."
    )
    frame: None = _key(None, "null (the only value available in this version)", "A fixed frame size; null: any size.")


class Recipe(_Block):
    """A part's settings. Only `part` and `images` are required."""

    part: StrictStr = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="The part's name; models and results are filed under it.",
        json_schema_extra={
            "x-expected": "1 to 64 letters, digits, - and _, no - or _ first (a number in quotes)",
            "x-unit": "none",
        },
    )
    images: StrictStr = Field(
        min_length=1,
        description="The folder of images, relative to this file.",
        json_schema_extra={"x-expected": "a folder relative to this file", "x-unit": "none"},
    )
    capture: Annotated[Capture, BeforeValidator(_empty_block)] = Capture()
    normalise: Annotated[Normalise, BeforeValidator(_empty_block)] = Normalise()
    transfer: Annotated[Transfer, BeforeValidator(_empty_block)] = Transfer()
    calibrate: Annotated[Calibrate, BeforeValidator(_empty_block)] = Calibrate()
    export: Annotated[Export, BeforeValidator(_empty_block)] = Export()
    seed: StrictInt = _key(0, "a whole number from 0 to 4294967295", "Seed of every random draw.", ge=0, le=2**32 - 1)
