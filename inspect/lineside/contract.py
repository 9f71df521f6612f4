"""The graph's contract: what every lineside ONNX file takes and returns, and the document that travels inside it.

The document is plain dataclasses over the standard library, because `lineside.runtime` must read it with nothing but
numpy and onnxruntime installed; pydantic reads the very same classes to publish the JSON Schema and to validate
(`contract.schema.json`, kept true by a test). A pydantic model of its own was rejected: two definitions drift apart.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from lineside.contract_reading import built
from lineside.contract_thresholds import EscapeStatement, LeastDefect, RegionLimit, Threshold
from lineside.errors import BundleError

CONTRACT_VERSION = "7.0"
MODEL_FILE, CONTRACT_FILE, SUMS_FILE = "model.onnx", "contract.json", "SHA256SUMS"
"""Names within a bundle; `SUMS_FILE` lists all others with their SHA-256."""
SIGNATURE_FILE = "SIGNATURE.json"
"""Beside them where a bundle was signed: the signature over `SUMS_FILE`."""
METADATA_KEY = "lineside"
INPUT_FRAME = "frame"
INPUT_THRESHOLDS = ("threshold_ng", "threshold_review")
OUTPUTS = (
    "score",
    "verdict",
    "anomaly_map",
    "pose",
    "transform",
    "gate",
    "quality",
    "defect_class",
    "class_prob",
    "class_p_value",
    "embedding",
)
POSE_FIELDS = ("angle_deg", "dx_px", "dy_px", "scale", "confidence")
NO_DEFECT_CLASS = -1
UNKNOWN_DEFECT_CLASS = -2
UNKNOWN_CLASS = "unknown"
"""What a part is called that belongs to none of the classes."""
MAX_FRAME_PIXELS = 200_000_000
"""Largest frame or picture, H · W, that is taken unless more is asked for; the largest line and area cameras of machine
vision stay below it. A small file can claim any size."""


class Verdict(IntEnum):
    """The four answers; the value is what the graph's `verdict` output holds."""

    OK = 0
    NG = 1
    REVIEW = 2
    NO_CALL = 3


@dataclass(frozen=True)
class FrameSpec:
    """What the input `frame` must be: uint8, [N, H, W, channels]."""

    channels: Literal[1, 3]
    """1 for a grey camera, 3 for red, green, blue in this order."""
    bit_depth: int
    """Bits per sample of the camera, 8 to 16; above 8 a frame is reduced to uint8 by `depth_rule`."""
    depth_rule: str
    """The exact rule from camera samples to uint8, in words; `lineside.bit_depth.to_uint8` applies it."""


@dataclass(frozen=True)
class Component:
    """A part of the model that somebody made: where it comes from and under which licence."""

    role: Literal["backbone", "weights", "method"]
    name: str
    source: str
    licence: str
    sha256: str
    """Of the weights file or, for code, of nothing: the empty string. A method's version stands in `software`."""


@dataclass(frozen=True)
class Precision:
    """Arithmetic of the network. What stands before and behind it, its outputs included, is float32."""

    network: Literal["fp32", "int8"]
    weight_bits: int
    """Of the dense convolutions' weights: 32; of an int8 network 7, which every processor multiplies exactly, or 8,
    which processors without VNNI do not."""
    statement: str
    """What that means, and how it was chosen, in a few sentences."""


@dataclass(frozen=True)
class Fitted:
    """One thing that was fitted on images, and how the calibration scores were kept honest about it."""

    what: str
    crossfit: str


@dataclass(frozen=True)
class QualityLimit:
    """A number of `quality`, and between what a good part's lies."""

    quality: str
    """One of `quality_names`."""
    lower: float | None
    upper: float | None

    def exceeded(self, value: float) -> bool:
        """Whether a value lies outside."""
        return (self.lower is not None and value < self.lower) or (self.upper is not None and value > self.upper)


@dataclass(frozen=True)
class Finding:
    """A reason for NG that no patch shows: numbers of `quality` that, all beyond their limits, raise the score."""

    name: str
    words: str
    """The reason as a sentence for people."""
    limits: tuple[QualityLimit, ...]

    def holds(self, quality: Mapping[str, float]) -> bool:
        """Whether all numbers lie beyond their limits."""
        return all(limit.exceeded(quality[limit.quality]) for limit in self.limits)


@dataclass(frozen=True)
class ClassStatement:
    """How classes are told apart, from how many images, and what is known of it."""

    task: Literal["both", "classify"]
    """both: a class for what is not OK. classify: the score itself comes from the classes."""
    method: str
    """Such as lda; see `transfer.classes.method` of the recipe."""
    images: Mapping[str, int]
    """Training images by class."""
    accuracy: float | None
    """Share of the training images that models fitted without their part call rightly, 0 to 1; None where no class has
    a part to spare, and where the line changed since."""
    n: int
    """Number of those images."""
    confidence: float
    """Confidence of `interval`, 0 to 1."""
    interval: tuple[float, float]
    """Interval of the accuracy, both ends 0 to 1."""
    temperature: float | None
    """What the logits behind `class_prob` were divided by, so that a probability says about how often the class is
    right (Guo et al., 2017); it moves no class before another. None where no example could be held out to fit it on:
    then probabilities rank classes, and say nothing of how often they are right."""
    unknown: float
    """A part is called unknown where its conformal p-value of belonging to its class is below this; 0: never."""
    statement: str
    """What may be said of it, in a few sentences, the choice of the method included."""

    @property
    def names_good_parts(self) -> bool:
        """Whether `defect_class` names what is OK too, because every class is a kind of good part."""
        return self.task == "classify" and "good" not in self.images


@dataclass(frozen=True)
class Ancestor:
    """A model that this one was made from without training again, and what was done to it."""

    how: Literal["adapted", "extended", "calibrated"]
    """adapted: to unlabelled frames of a line that changed; extended: by further good or defective images; calibrated:
    another threshold, from new images."""
    parent_sha256: str
    """Of the parent's model.onnx."""
    frames: int
    """Number of frames that it was done with."""
    statement: str
    """What was done, and what of the parent's promises holds no longer, in a few sentences."""


@dataclass(frozen=True)
class Contract:
    """The document in `metadata_props["lineside"]` and in `contract.json`."""

    contract_version: str
    part: str
    frame: FrameSpec
    working_wh: tuple[int, int]
    map_wh: tuple[int, int]
    threshold_ng: Threshold
    threshold_review: Threshold
    """The same as `threshold_ng` where there is no band for REVIEW."""
    escapes: EscapeStatement
    least_defect: LeastDefect | None
    """None where every region counts."""
    regions: tuple[RegionLimit, ...]
    """Those of the part that have thresholds of their own; empty where none has."""
    class_factors: Mapping[str, float]
    """By class: how many thresholds a part that is called so may reach, 1 or more, for its `score` is divided by it;
    classes that are not named, unknown and findings: 1."""
    map_threshold: float
    """A cell of `anomaly_map` above it belongs to a defect; in the map's unit. It decides no verdict."""
    map_rule: str
    """How it was found, in words."""
    class_names: tuple[str, ...]
    """Meaning of `defect_class` 0, 1, …, and of the columns of `class_prob`. Where parts are sorted and ``good`` is one
    of the classes, it is the last."""
    classes: ClassStatement | None
    """None where no classes are told."""
    gate_bits: tuple[str, ...]
    """Bit i of `gate` set means: no call, for this reason."""
    gate_words: tuple[str, ...]
    """The same reasons as sentences for people, in the same order."""
    quality_names: tuple[str, ...]
    """Columns of `quality`, unit in the name."""
    quality_limits: tuple[tuple[float | None, float | None], ...]
    """Lower and upper limit of each column, beyond which a bit of `gate` is set; None where there is none."""
    findings: tuple[Finding, ...]
    """Reasons for NG beside the anomaly map."""
    normalisation: Mapping[str, str]
    """The steps before the network, in words: what is on, and within which bounds."""
    neutral_outputs: Mapping[str, str]
    """Outputs that this bundle does not compute, and the neutral value that they hold."""
    embedding: str
    """What `embedding` is, in words."""
    score_tolerance_rel: float
    """Relative difference of `score` that another machine may show on the bundle's vectors."""
    precision: Precision
    components: tuple[Component, ...]
    fitted: tuple[Fitted, ...]
    image_counts: Mapping[str, int]
    recipe_sha256: str
    data_sha256: str
    software: Mapping[str, str]
    lineage: tuple[Ancestor, ...]
    """From the parent back to the model that was trained; empty for that one."""

    def to_json(self) -> str:
        """Return the document as JSON text: sorted keys, two spaces, a final newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str) -> "Contract":
        """Read the document.

        Parameters
        ----------
        text : str
            JSON text.
        where : str
            Where it was found, for the error message.

        Raises
        ------
        BundleError
            When the text is no JSON, lacks a field, has one of another type, or is of another major version.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise BundleError(f"{where}: the contract is no JSON document ({error}).") from None
        if not isinstance(document, dict):
            raise BundleError(f"{where}: the contract must be a JSON object, found {type(document).__name__}.")
        version = document.get("contract_version")
        if not isinstance(version, str) or version.split(".")[0] != CONTRACT_VERSION.split(".")[0]:
            raise BundleError(
                f"{where}: contract version {version!r} cannot be read by this lineside, which reads "
                f"{CONTRACT_VERSION}. Install the lineside that wrote the bundle, or train again."
            )
        return built(cls, document, where)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> "Contract":
        """Read the document out of a model's metadata.

        Raises
        ------
        BundleError
            When the model holds none, or as `from_json`.
        """
        if METADATA_KEY not in metadata:
            raise BundleError(f"{where}: no contract in metadata_props[{METADATA_KEY!r}]; this is no lineside model.")
        return cls.from_json(metadata[METADATA_KEY], f"{where}: metadata_props[{METADATA_KEY!r}]")

    def reasons(self, gate: int) -> tuple[str, ...]:
        """Names of the bits that are set in `gate`, in the contract's order."""
        return tuple(name for bit, name in enumerate(self.gate_bits) if gate >> bit & 1)

    def in_words(self, reason: str) -> str:
        """Return a reason, of the gate or a finding, as a sentence for people."""
        gate = dict(zip(self.gate_bits, self.gate_words, strict=True))
        return gate.get(reason) or next(finding.words for finding in self.findings if finding.name == reason)

    def is_good(self, label: str) -> bool:
        """Whether images in a folder of this name ought to be OK: ``good``; where all classes are good, any of them."""
        sorts = self.classes is not None and self.classes.names_good_parts
        return label in self.class_names if sorts else label == "good"

    def class_name(self, index: int) -> str | None:
        """Return what a value of `defect_class` means: a class, ``"unknown"``, or None where no class was told."""
        if index == NO_DEFECT_CLASS:
            return None
        return self.class_names[index] if index >= 0 else UNKNOWN_CLASS

    @property
    def tolerances(self) -> tuple[float, ...]:
        """What `class_factors` says of each class in their order; nothing where it names none."""
        return tuple(self.class_factors.get(name, 1.0) for name in self.class_names) if self.class_factors else ()

    @property
    def tolerance_words(self) -> str | None:
        """Which classes are tolerated, how far, and what that risks; None where none is."""
        if not self.class_factors:
            return None
        named = ", ".join(f"{name} up to {factor:g} times" for name, factor in sorted(self.class_factors.items()))
        return (
            f"What is called by a tolerated class is NG and REVIEW only beyond more than the thresholds: {named}. Its "
            "score is divided by that. A defect of another class that is called so by mistake is tolerated too; bounds "
            "of escapes count that. Overkill is no higher than is stated, nor are NG and REVIEW together; REVIEW alone "
            "may be, since parts that were NG go there."
        )

    def found(self, quality: Mapping[str, float]) -> tuple[str, ...]:
        """Names of the findings that these quality numbers amount to, in the contract's order."""
        return tuple(finding.name for finding in self.findings if finding.holds(quality))
