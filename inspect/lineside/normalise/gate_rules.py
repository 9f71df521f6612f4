"""What the gate may say, and which number says it. Torch-free: graph, fitting and the slow twin all read it from here.

Every number in `quality` has at most one reason to refuse a frame for, a side on which it does, and a scale on which
its spread is taken. A table was preferred to code in the modules that measure: what trips the gate stands in one place.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

GATE_BITS = (
    "exposure",
    "light",
    "clipped",
    "contrast",
    "focus",
    "noise",
    "pose",
    "out_of_view",
    "pose_range",
    "frame_size",
    "unfamiliar",
)
"""Names of the bits, in order; every bundle has all of them, so that a bit means the same on every line."""

GATE_WORDS = (
    "the frame is darker or brighter than the exposure correction may mend",
    "the light is more uneven or more coloured than the light correction may mend",
    "too much of the frame is saturated or black",
    "the picture has far less or far more contrast than the good ones",
    "the picture is out of focus or blurred by motion",
    "the picture is far noisier than the good ones",
    "the part was not found in the frame",
    "too much of the part lies outside the frame",
    "the part lies further off, further turned or otherwise sized than the recipe allows",
    "the frame does not have the size that the model was made for",
    "the frame does not show this part",
)
"""The same as sentences for people."""

UNFAMILIAR = GATE_BITS.index("unfamiliar")
"""The bit that is set behind the trunk, from the embedding (`lineside.transfer.familiar`)."""

Side = Literal["low", "high", "both"]


class Rule(NamedTuple):
    """How one quality number speaks.

    Attributes
    ----------
    bit : str or None
        The reason it stands for; None: told, never refused for.
    side : "low", "high" or "both"
        On which side there is a limit.
    log : bool
        Whether its spread is taken of the logarithm (positive numbers) or of the number itself.
    floor : float
        Half-width that a learned limit has at least, natural logarithms or the number's unit: what good frames and
        defects may differ by without the picture being bad.
    widest : float
        Half-width that a learned limit has at most; where few good frames differ much, a bad picture is still bad.
    """

    bit: str | None
    side: Side
    log: bool
    floor: float
    widest: float = math.inf


MEASURED = ("focus_across_ratio", "focus_down_ratio", "detail_ratio", "spread_share", "noise_level")
"""What `gate_measures.Measures` reads off the working image."""
RANGE_NAMES = ("pose_angle_deg", "pose_shift_share", "pose_scale_change")
"""Size of the found pose: |angle|, longer of |dx| and |dy| over the frame's longer side, |scale - 1|."""
VIEW_NAME = "view_share"
"""Share of the golden part that lies inside the frame."""
SIZE_NAMES = ("frame_width_px", "frame_height_px")

_TOLD = Rule(None, "both", False, 0.0)
RULES: dict[str, Rule] = {
    "mean_level": _TOLD,
    "exposure_gain": Rule("exposure", "both", True, 0.5),
    "cast": Rule("light", "high", False, 0.2),
    "gradient": Rule("light", "high", False, 0.3),
    "contrast": Rule("contrast", "both", True, 0.7),
    "clipped_share": Rule("clipped", "high", False, 0.10),
    "black_share": Rule("clipped", "high", False, 0.25),
    "part_step": _TOLD,
    "half_step": _TOLD,
    "shading": _TOLD,
    "confidence": _TOLD,
    "match": Rule("pose", "low", False, 0.5, 0.52),
    "appearance": Rule("pose", "low", False, 0.4, 0.6),
    "rotation": _TOLD,
    "focus_across_ratio": Rule("focus", "low", True, 0.4),
    "focus_down_ratio": Rule("focus", "low", True, 0.4),
    "detail_ratio": Rule("focus", "low", True, 0.2),
    "spread_share": Rule("contrast", "both", True, 0.6),
    "noise_level": Rule("noise", "high", True, 1.1),
    VIEW_NAME: Rule("out_of_view", "low", False, 0.15, 0.2),
    **{name: Rule("pose_range", "high", False, 0.0) for name in RANGE_NAMES},
    **{name: Rule("frame_size", "both", False, 0.5) for name in SIZE_NAMES},
}
"""By quality name."""


@dataclass(frozen=True)
class GateSettings:
    """What of the gate is decided before any image is seen.

    Attributes
    ----------
    working_wh : tuple of int
        Size of the working image, px.
    channels : int
        Of the working image: 1 or 3.
    light_names, pose_names : tuple of str
        Columns of the light's and of the pose search's numbers; none of the former where neither a correction nor the
        gate needs them, none of the latter where there is no search.
    pose_range : tuple of float or None
        Largest angle (degrees), shift (share of the frame's longer side) and change of scale; None without a search.
    frame_wh : tuple of int or None
        The only frame size that is taken; None takes every size.
    stated : tuple of (str, float, float)
        Limits that the recipe states, by quality name: taken as they are, not learned.
    on : bool
        False: nothing is refused, and nothing is measured that light and pose do not measure for themselves.
    """

    working_wh: tuple[int, int]
    channels: int
    light_names: tuple[str, ...]
    pose_names: tuple[str, ...] = ()
    pose_range: tuple[float, float, float] | None = None
    frame_wh: tuple[int, int] | None = None
    stated: tuple[tuple[str, float, float], ...] = ()
    on: bool = True

    def __post_init__(self) -> None:
        if bool(self.pose_names) != (self.pose_range is not None):
            raise ValueError("a pose search has both numbers and a range")
        unknown = sorted({*self.light_names, *self.pose_names, *(name for name, _, _ in self.stated)} - set(RULES))
        if unknown:
            raise ValueError(f"the gate has no rule for {', '.join(unknown)}")

    @property
    def searches(self) -> bool:
        """Whether there is a pose search."""
        return bool(self.pose_names)

    @property
    def quality_names(self) -> tuple[str, ...]:
        """Columns of `quality`, in order."""
        if not self.on:
            return (*self.light_names, *self.pose_names)
        pose = (*self.pose_names, VIEW_NAME, *RANGE_NAMES) if self.searches else ()
        size = SIZE_NAMES if self.frame_wh is not None else ()
        return (*self.light_names, *MEASURED, *pose, *size)

    @property
    def stated_names(self) -> tuple[str, ...]:
        """Quality numbers whose limits the recipe states and no image has a say in."""
        if not self.on:
            return ()
        pose = RANGE_NAMES if self.pose_range is not None else ()
        size = SIZE_NAMES if self.frame_wh is not None else ()
        return (*(name for name, _, _ in self.stated), *pose, *size)

    @property
    def bits(self) -> tuple[int | None, ...]:
        """Bit of each quality number, in order."""
        named = (RULES[name].bit for name in self.quality_names)
        return tuple(None if bit is None else GATE_BITS.index(bit) for bit in named)
