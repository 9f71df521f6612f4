"""The recipe's block `calibrate`: the one wish that decides the threshold, in the plant's words.

Exactly one of `WISHES` holds; where none is named it is `overkill`, and where another is named `overkill` is null.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat, StrictInt, StrictStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from lineside.contract_thresholds import Wish
from lineside.errors import UsageError
from lineside.recipe_block import Block, key, refuse
from lineside.recipe_normalise import ROI, Roi

Name = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
LARGEST_SCORE = 1e30
"""Of a threshold that is given: scores are float32, in which larger ones are soon infinite."""
WISHES = ("overkill", "escape", "cost", "threshold")
OVERKILL = "a share above 0 and below 1, such as 0.05 (no number of images can support 0)"
ESCAPE = "null, or a share above 0 and below 1, such as 0.01 (no number of images can support 0)"
MANY_PARTS = 40
"""Good parts from which on two thirds of them tell nearly what all of them do."""
RATE = "a number between 0 and 1000000, both excluded, such as 800"


class Cost(Block):
    """What a wrong verdict costs, both in one currency."""

    overkill: StrictFloat = Field(
        gt=0,
        description="Of a good part called NG.",
        json_schema_extra={"x-expected": "a number above 0", "x-unit": "any currency"},
    )
    escape: StrictFloat = Field(
        gt=0,
        description="Of a defective part called OK.",
        json_schema_extra={"x-expected": "a number above 0", "x-unit": "the same currency"},
    )


class RegionThreshold(Block):
    """A region of the part with a threshold of its own."""

    roi: Roi = key(
        ...,
        ROI.removesuffix(", or null"),
        "Where it is: drawn in the anchor picture, and moves with the part. Where two overlap, the first counts.",
        "share of the picture's width and height",
    )
    factor: Annotated[StrictFloat, Field(gt=0)] = key(
        ...,
        "a number above 0, such as 0.7 (stricter) or 2.0 (more tolerant)",
        "NG beyond so many thresholds.",
        "thresholds",
    )

    @field_validator("roi", mode="before")
    @classmethod
    def _somewhere(cls, value: Any) -> Any:
        if value is None:
            raise ValueError
        return value


class Calibrate(Block):
    """Where the threshold comes from."""

    overkill: Annotated[StrictFloat, Field(gt=0, lt=1)] | None = key(
        0.05, OVERKILL, "The wish where no other is named: share of good parts that may be called NG.",
        "share of good parts",
    )  # fmt: skip
    confidence: Annotated[StrictFloat, Field(gt=0, lt=1)] | None = key(
        None,
        "a number between 0 and 1, both excluded, such as 0.95, or null",
        "With overkill: it is to be kept with this probability over calibrations, which at 0.05 and 0.95 needs 59 good "
        "parts. null: it is to be kept on average.",
        "probability",
    )
    escape: Annotated[StrictFloat, Field(gt=0, lt=1)] | None = key(
        None,
        ESCAPE,
        "Instead of overkill: share of defective parts that may be called OK. Needs defective images in train/<class>.",
        "share of defective parts",
    )
    cost: Cost | None = key(
        None,
        "a block of keys (overkill, escape), or null",
        "Instead of overkill: the threshold at which a part costs least. Needs defective images in train/<class>, and "
        "defect_rate_ppm.",
    )
    defect_rate_ppm: Annotated[StrictFloat, Field(gt=0, lt=1_000_000)] | None = key(
        None, f"{RATE}, or null", "With cost: defective parts in a million parts of production.", "ppm"
    )
    threshold: Annotated[StrictFloat, Field(ge=-LARGEST_SCORE, le=LARGEST_SCORE)] | None = key(
        None,
        "a number from -1e30 to 1e30, or null",
        "Instead of overkill: NG above this score, whatever the images say.",
        "of the score",
    )
    review: Annotated[StrictFloat, Field(gt=0, lt=1)] | None = key(
        None,
        "a number between 0 and 1, both excluded, such as 0.05, or null",
        "Share of good parts that may go to a person (REVIEW), beyond those called NG. null: none does.",
        "share of good parts",
    )
    least_defect_mm2: Annotated[StrictFloat, Field(gt=0)] | None = key(
        None,
        "a number above 0, such as 0.5, or null",
        "A region of the anomaly map smaller than this makes no part NG. Needs capture.px_per_mm; only with method: "
        "lineside, and not with task: classify. null: every region counts.",
        "mm²",
    )
    regions: Annotated[dict[Name, RegionThreshold], Field(min_length=1)] | None = key(
        None,
        "blocks of keys (roi, factor), each under a name of letters, digits, - and _, or null",
        "Regions of the part with thresholds of their own; the rest keeps a factor of 1. The threshold is taken from "
        "good images that were scored so, and its promise holds for the part as a whole. Only with method: lineside, "
        "and not with task: classify.",
    )
    class_factors: Annotated[dict[str, Annotated[StrictFloat, Field(ge=1)]], Field(min_length=1)] | None = key(
        None,
        "numbers of 1 or more by the names of defect classes, such as {stain: 1.5}, or null",
        "How many thresholds a part that is called by such a class may reach before it is NG or REVIEW. A defect of "
        "another class that is called so by mistake is tolerated too. Only where classes of defects are told beside a "
        "threshold (task: both), and with overkill or threshold as the wish.",
        "thresholds",
    )
    crossfit: Literal["auto", "folds", "holdout"] = key(
        "auto",
        "auto, folds or holdout",
        "How good images get a score from a model that has not seen them. holdout: 20 % of the parts are kept out. "
        "auto: folds for lineside's own method, holdout for anomalib's.",
    )
    folds: Literal["auto"] | Annotated[StrictInt, Field(ge=2, le=20)] = key(
        "auto", "auto, or a whole number from 2 to 20", "Number of folds. auto: 5, from 40 good parts on 3.", "folds"
    )

    @model_validator(mode="before")
    @classmethod
    def _no_default_beside_a_wish(cls, value: Any) -> Any:
        if isinstance(value, dict) and "overkill" not in value and any(value.get(name) is not None for name in WISHES):
            return {**value, "overkill": None}
        return value

    @model_validator(mode="after")
    def _one_wish(self) -> "Calibrate":
        named = [name for name in WISHES if getattr(self, name) is not None]
        if not named:
            refuse("overkill", f"expected {OVERKILL}; found nothing (null)")
        if len(named) > 1:
            first, second = named[:2]
            refuse(second, f"{first} and {second} are both named, and one wish decides: delete one of them")
        if self.cost is not None and self.defect_rate_ppm is None:
            refuse(
                "cost",
                "a cost needs the share of defective parts in production: add calibrate.defect_rate_ppm, such as 800",
            )
        if self.cost is None and self.defect_rate_ppm is not None:
            refuse("defect_rate_ppm", "only counts with calibrate.cost: add that, or delete this")
        if self.confidence is not None and self.overkill is None:
            refuse("confidence", f"only counts with calibrate.overkill, and the wish is {named[0]}: delete one of them")
        if self.class_factors is not None and (self.escape is not None or self.cost is not None):
            refuse(
                "class_factors",
                f"the wish is {named[0]}, and defects that are tolerated escape as they should: write overkill, or "
                "threshold, or take the threshold from new images by `lineside calibrate`",
            )
        if self.class_factors is not None and self.threshold is not None and self.threshold <= 0:
            refuse("class_factors", f"a threshold of {self.threshold:g} has no multiple: write one above 0")
        if self.review is not None and self.overkill is not None and self.overkill + self.review >= 1.0:
            refuse("review", f"with an overkill of {self.overkill:g} less than {1.0 - self.overkill:g} is left")
        return self

    def folds_of(self, parts: int) -> int:
        """Return the number of folds for so many good parts.

        Measured on ball-screw drives, 50 good parts, 3 drawings, with 5 and 3 folds at a wish of 0.05: overkill 0.043
        and 0.040, escapes 0.315 and 0.301, training 70 and 55 CPU seconds.
        """
        if self.folds != "auto":
            return self.folds
        return 5 if parts < MANY_PARTS else 3

    @property
    def named_images(self) -> dict[str, tuple[str, ...]]:
        """Mask images that the block names, by dotted key: paths as written."""
        regions = (self.regions or {}).items()
        return {f"calibrate.regions.{name}.roi": (one.roi,) for name, one in regions if isinstance(one.roi, str)}

    @property
    def wish(self) -> Wish:
        """What decides the threshold."""
        if self.cost is not None:
            costs = {"overkill_cost": self.cost.overkill, "escape_cost": self.cost.escape}
            return Wish("cost", **costs, defect_rate_ppm=self.defect_rate_ppm)
        if self.escape is not None:
            return Wish("escape", self.escape)
        if self.threshold is not None:
            return Wish("fixed", score=self.threshold)
        return Wish("overkill", self.overkill, confidence=self.confidence)


def wish_of(options: Mapping[str, float]) -> Wish | None:
    """Read the options of a command as the block is read.

    Parameters
    ----------
    options : mapping of str to float
        By name: overkill, confidence, escape, threshold, cost_overkill, cost_escape, defect_rate_ppm, review.

    Returns
    -------
    Wish or None
        None where no option is a wish.

    Raises
    ------
    UsageError
        When an option is out of range, two are wishes, or one lacks another.
    """
    if "confidence" in options and not any(name in options for name in (*WISHES, "cost_overkill", "cost_escape")):
        raise UsageError("--confidence: only counts with --overkill: add that, such as --overkill 0.05.")
    costs = {name: options[f"cost_{name}"] for name in ("overkill", "escape") if f"cost_{name}" in options}
    block: dict[str, Any] = {name: value for name, value in options.items() if not name.startswith("cost_")}
    block |= {"cost": costs} if costs else {}
    try:
        wish = Calibrate.model_validate(block).wish
    except ValidationError as error:
        raise UsageError(_option_words(error.errors()[0])) from None
    return wish if any(name in block for name in WISHES) else None


def _option_words(detail: ErrorDetails) -> str:
    """Say in a command's words what the block refuses."""
    named = detail.get("ctx", {}).get("key")
    at = [str(part) for part in detail["loc"]] or [str(named)]
    field = (Cost if at[0] == "cost" and len(at) > 1 else Calibrate).model_fields[at[-1]]
    extra, said = field.json_schema_extra, detail["msg"]
    if detail["type"] == "missing":
        said = "is missing beside the other cost"
    elif detail["type"] != "lineside" and isinstance(extra, dict):
        said = f"expected {extra['x-expected']}".replace("null, or ", "").replace(", or null", "")
    said = said.replace("calibrate.cost", "--cost-overkill and --cost-escape").replace("calibrate.", "--")
    option = "--cost-overkill" if at == ["cost"] else "--" + "-".join(at)
    return f"{option}: {said}.".replace("_", "-")
