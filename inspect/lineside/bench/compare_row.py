"""One run of a comparison as a line of JSON, so that a comparison that was stopped goes on where it was."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from lineside.errors import BundleError

Number = float | None


@dataclass(frozen=True)
class Measures:
    """What one training gave on the test images. None: there is nothing to measure it on."""

    auroc: Number
    """Of all test images' scores, those without a call included: nobody gains by refusing."""
    pixel_auroc: Number
    aupro: Number
    overkill: Number
    """Share of the good test images with a call that are NG; None where there is no threshold."""
    escapes: Number
    """Share of the defective test images with a call that are OK."""
    no_call: Number
    """Share of all test images."""
    class_accuracy: Number
    """Share of the test images of the trained classes whose most probable class is the right one."""
    fit_s: Number
    """From the images to the assembled graph, cross-fitting included, imports left out: processor seconds, which other
    work of the machine moves little."""
    ms_per_image: Number
    """Median of one frame through the whole graph, in milliseconds of one core."""
    megabytes: Number
    """Of model.onnx; 10^6 bytes."""


@dataclass(frozen=True)
class Scores:
    """What paired differences are drawn from, in the order of the images' names."""

    good: tuple[float, ...] = ()
    defective: tuple[float, ...] = ()
    class_right: tuple[bool, ...] = ()
    """Test images of the trained classes: whether the most probable class is the right one."""


@dataclass(frozen=True)
class Row:
    """One run, or why it failed."""

    key: str
    """SHA-256 of what it is made from: recipe as varied, images, draw."""
    part: str
    label: str
    method: str
    shots: int
    class_shots: int | None
    seed: int
    program: str
    """First digits of the SHA-256 of lineside's sources: rows of different programs are told apart."""
    error: str | None
    measures: Measures | None
    scores: Scores = field(default=Scores(), repr=False)

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str, where: str) -> "Row":
        """Read a line.

        Raises
        ------
        BundleError
            When it is none that this version writes.
        """
        try:
            values: dict[str, Any] = json.loads(line)
            measures = values.pop("measures")
            scores = {name: tuple(numbers) for name, numbers in values.pop("scores").items()}
            return cls(**values, measures=Measures(**measures) if measures else None, scores=Scores(**scores))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise BundleError(
                f"{where}: not a run that this version of lineside wrote. Use --fresh, or name another --out."
            ) from None
