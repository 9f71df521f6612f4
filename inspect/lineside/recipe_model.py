"""The recipe's model: every key with its default, its unit, what it takes and what it does.

The one definition: checking, the JSON Schema for completion in editors and the errors' wording all come out of it.
`x-expected` is the sentence that every error on the key is made of. pydantic's own messages were rejected, because a
union of types gives several for one mistake and none says what to write instead.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from lineside.recipe_block import Block, empty_block, key, refuse
from lineside.recipe_calibrate import Calibrate
from lineside.recipe_classes import Classes
from lineside.recipe_normalise import Normalise, Step

Option = (
    StrictBool | StrictInt | StrictFloat | StrictStr | list[StrictBool | StrictInt | StrictFloat | StrictStr] | None
)
"""A keyword argument for somebody else's code: an anomalib model, an Albumentations transform."""
Target = Literal["any", "vnni"]
"""Which processors an int8 model is for."""


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise PydanticCustomError("lineside", "{reason}", {"reason": f"not a regular expression: {error}"}) from None
    return text


def _ascending(taps: Any) -> Any:
    if taps != "auto" and (not taps or min(taps) < 1 or list(taps) != sorted(set(taps))):
        raise ValueError
    return taps


def _one_name_each(steps: Any) -> Any:
    if isinstance(steps, tuple) and (not steps or any(len(step) != 1 for step in steps)):
        raise ValueError
    return steps


def _lower_case(names: Any) -> Any:
    if isinstance(names, list | tuple):
        return tuple(name.lower() if isinstance(name, str) else name for name in names)
    return names


class Capture(Block):
    """How frames come from the camera."""

    bit_depth: Literal[8, 10, 12, 14, 16] = key(
        8, "8, 10, 12, 14 or 16", "Bits per sample that the camera delivers; above 8 the files must be 16 bit.", "bit"
    )
    group: Annotated[StrictStr, AfterValidator(_regular_expression)] | None = key(
        None,
        "a regular expression on file names, such as '^(?P<part>[0-9]+)_', or null",
        "Finds the physical part's name in an image's file name: the group 'part', else the first group, else the "
        "whole match. Images of one part never stand on both sides of a split. null: every image is a part of its own.",
    )
    color: Literal["auto", "rgb", "mono"] = key(
        "auto",
        "auto, rgb or mono",
        "Channels of the frame. auto: mono when every good training image has one channel, else rgb.",
    )
    px_per_mm: Annotated[StrictFloat, Field(gt=0)] | None = key(
        None,
        "a number above 0, such as 20, or null",
        "Pixels of the camera's frame along a millimetre of the part, for calibrate.least_defect_mm2.",
        "px/mm",
    )


class Prompts(Block):
    """What method: text compares images with."""

    good: tuple[Annotated[StrictStr, Field(min_length=1)], ...] = key(
        (),
        "a list of phrases such as [flawless bottle cap]",
        "What a good part is, as it stands in a sentence after 'a'. None: WinCLIP's words with the part's name.",
    )
    defect: tuple[Annotated[StrictStr, Field(min_length=1)], ...] = key(
        (),
        "a list of phrases such as [bottle cap with a scratch, stained bottle cap]",
        "What a defective part is, as it stands in a sentence after 'a'. None: WinCLIP's words with the part's name.",
    )


class Transfer(Block):
    """How a pretrained network and the good images become a detector."""

    task: Literal["auto", "anomaly", "classify", "both"] = key(
        "auto",
        "auto, anomaly, classify or both",
        "What is learnt. anomaly: what good looks like. both: that, and which class a defect belongs to. classify: "
        "into which of the folders of train/ a part belongs, without looking for anomalies. auto: both where train/ "
        "holds images of a defect class and the method is lineside, else anomaly.",
    )
    method: StrictStr = key(
        "lineside",
        "lineside, text, or anomalib.<Model> such as anomalib.Patchcore",
        "The detector: lineside's own; a CLIP model that is told in words what good and what a defect is; or an image "
        "model of anomalib by its class name.",
        pattern=r"^(lineside|text|anomalib\.[A-Za-z_][A-Za-z0-9_]*)$",
    )
    backbone: StrictStr = key(
        "lite0",
        "lite0, timm:<name> or local-dir:<folder>",
        "The pretrained network: EfficientNet-Lite0 from an installed package, a timm model from the hub (needs a "
        "network), or a folder relative to this file.",
        pattern=r"^(lite0|timm:\S+|local-dir:.*\S)$",
    )
    taps: Annotated[Literal["auto"] | tuple[StrictInt, ...], AfterValidator(_ascending)] = key(
        "auto",
        "auto, or a list of one or more whole numbers from 1, ascending, each once, such as [8, 16]",
        "Where the network's features are taken, which is cut off after the last: strides of a convolutional network, "
        "or block numbers of a plain transformer, counted from 1. auto: strides 8 and 16, or the blocks at a half and "
        "three quarters of the depth.",
    )
    projection: Annotated[StrictInt, Field(ge=16, le=1024)] | None = key(
        128,
        "a whole number from 16 to 1024, or null for none",
        "Dimensions that features are projected to.",
        "dimensions",
    )
    memory: Literal["auto"] | Annotated[StrictInt, Field(ge=16, le=16384)] = key(
        "auto",
        "auto, or a whole number from 16 to 16384",
        "Good patches that are remembered. auto: 20 for each good image, 1024 at least and 4096 at most; the search "
        "takes as much longer.",
        "entries",
    )
    augment: Annotated[
        Literal["default", "none"] | tuple[dict[StrictStr, dict[StrictStr, Option]], ...],
        AfterValidator(_one_name_each),
    ] = key(
        "default",
        "default, none, or a list of 'Name: {argument: value}', one Albumentations transform each",
        "Disturbed copies of the good images that are learnt from too. default: brightness, small angle and shift.",
    )
    augment_copies: Literal["auto"] | Annotated[StrictInt, Field(ge=1, le=32)] = key(
        "auto",
        "auto, or a whole number from 1 to 32",
        "Disturbed copies of each good image; of no effect with augment: none. auto: 3 of up to 20 images, else 1.",
        "copies",
    )
    distance: Literal["nearest", "density", "subspace", "combined"] = key(
        "nearest",
        "nearest, density, subspace or combined",
        "How patches are compared with good ones where not with their own place. nearest: to the nearest of the "
        "memory. density: the same, over how far good patches lie apart there. subspace: what their leading directions "
        "leave over. combined: the mean of nearest and subspace by their ranks among held-out good patches.",
    )
    whiten: Step = key(
        "auto",
        "auto, on or off",
        "Let directions in which good patches differ much count little, where no pose is found. auto: where that tells "
        "held-out good images from synthetic defects better.",
    )
    mirror: StrictBool = key(
        True,
        "true or false",
        "Learn from mirror images of the good images too, where no pose is found. false: for parts whose mirror image "
        "is a defect.",
    )
    adapt: Literal["none", "try"] = key(
        "none",
        "none or try",
        "Adaptation of the network to the part, by synthetic defects on good images. try: learnt on 40 % of the good "
        "parts, and kept only where it beats the unchanged network on the others; only with method: lineside.",
    )
    classes: Annotated[Classes, BeforeValidator(empty_block)] = Classes()
    licences: Annotated[
        tuple[Annotated[StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")], ...], BeforeValidator(_lower_case)
    ] = key(
        ("apache-2.0", "mit", "bsd-3-clause"),
        "a list of SPDX licence ids such as apache-2.0",
        "Licences that the network, its weights and the method may have; others stop the training.",
        min_length=1,
    )
    options: dict[StrictStr, Option] = key(
        {},
        "a block of 'argument: value', each a number, text, true, false, null or a list of them",
        "Keyword arguments of an anomalib model; only with method: anomalib.<Model>.",
    )
    weights: StrictStr | None = key(
        None,
        "a path relative to this file, or null",
        "The folder of a CLIP model as open_clip writes it, for method: text; or pretrained weights that an anomalib "
        "model would otherwise download.",
        min_length=1,
    )
    reference_images: StrictStr | None = key(
        None,
        "a folder relative to this file, or null",
        "Images of other things that an anomalib model would otherwise download.",
        min_length=1,
    )

    prompts: Annotated[Prompts, BeforeValidator(empty_block)] = Prompts()

    @model_validator(mode="after")
    def _keys_of_the_method(self) -> "Transfer":
        """Refuse keys that this method does not read, and a text method without a CLIP model."""
        anomalib, text = self.method.startswith("anomalib."), self.method == "text"
        takers = {"options": ("anomalib.<Model>", anomalib), "reference_images": ("anomalib.<Model>", anomalib)}
        takers |= {"weights": ("text or anomalib.<Model>", anomalib or text), "prompts": ("text", text)}
        for name, (methods, taken) in takers.items():
            if not taken and getattr(self, name) not in ({}, None, Prompts()):
                refuse(name, f"only allowed with method: {methods}, and the method here is {self.method}")
        if text and self.weights is None:
            refuse("weights", "expected the folder of a CLIP model as open_clip writes it, found none")
        return self

    @model_validator(mode="after")
    def _adapts_lineside(self) -> "Transfer":
        if self.adapt != "none" and self.method != "lineside":
            refuse("adapt", f"only none with method: {self.method}; try adapts the network of method: lineside")
        if self.adapt != "none" and self.task == "classify":
            refuse("adapt", "only none with task: classify; try adapts the network to what good parts look like")
        return self

    @model_validator(mode="after")
    def _classes_allowed(self) -> "Transfer":
        if self.task not in ("classify", "both"):
            return self
        reason = None
        if self.method != "lineside":
            reason = (
                f"classes are told by method: lineside alone, and the method here is {self.method}; write task: anomaly"
            )
        elif self.classes.method == "none":
            reason = f"{self.task} tells classes, and classes.method is none; write task: anomaly"
        if reason:
            refuse("task", reason)
        return self


class Export(Block):
    """What the ONNX file is like."""

    precision: Literal["fp32", "int8", "auto"] = key(
        "fp32",
        "fp32, int8 or auto",
        "Arithmetic of the network; what stands before and behind it is always fp32. int8: a quarter of the size and "
        "faster, for convolutional networks with method: lineside and task: anomaly or both. auto: both are trained, "
        "and int8 is taken where it keeps the ranks of the scores and all calibration verdicts, and is faster here.",
    )
    target: Target = key(
        "any",
        "any or vnni",
        "The processors that an int8 model is for. any: 7-bit weights where 8 bits would saturate without VNNI. vnni: "
        "8-bit weights, for processors that all have it (AVX-512 VNNI or AVX-VNNI).",
    )
    frame: tuple[Annotated[StrictInt, Field(ge=16, le=16384)], Annotated[StrictInt, Field(ge=16, le=16384)]] | None = (
        key(
            None,
            "[width, height], each a whole number from 16 to 16384, or null",
            "The frame size that the camera delivers; frames of another size get no call. null: any size.",
            "px",
        )
    )


class Recipe(Block):
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
    capture: Annotated[Capture, BeforeValidator(empty_block)] = Capture()
    normalise: Annotated[Normalise, BeforeValidator(empty_block)] = Normalise()
    transfer: Annotated[Transfer, BeforeValidator(empty_block)] = Transfer()
    calibrate: Annotated[Calibrate, BeforeValidator(empty_block)] = Calibrate()
    export: Annotated[Export, BeforeValidator(empty_block)] = Export()
    seed: StrictInt = key(0, "a whole number from 0 to 4294967295", "Seed of every random draw.", ge=0, le=2**32 - 1)

    @model_validator(mode="after")
    def _int8_allowed(self) -> "Recipe":
        """Refuse int8 where no network of lineside's own method is exported, and a target that nothing would read."""
        export, transfer = self.export, self.transfer
        if export.precision != "fp32" and transfer.method != "lineside":
            refuse("export.precision", f"only fp32 with method: {transfer.method}; int8 is for method: lineside")
        if export.precision != "fp32" and transfer.task == "classify":
            refuse("export.precision", "only fp32 with task: classify; int8 is for task: anomaly and both")
        if export.precision == "fp32" and export.target != "any":
            refuse("export.target", "only allowed with precision: int8 or auto, and the precision here is fp32")
        return self

    @property
    def named_images(self) -> dict[str, tuple[str, ...]]:
        """Images that the recipe names beside its folder, by dotted key: paths as written."""
        return self.normalise.named_images | self.calibrate.named_images
