"""Red rabbits: parts that are known to be bad and are sent through now and again; one that passes is too many."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lineside.batch.judge import Judge
from lineside.batch.row import UNREADABLE, Row
from lineside.bench.evaluation.images import LabelledImage
from lineside.bench.evaluation.parts import Part, parts_of
from lineside.contract import Verdict
from lineside.runtime import Inspector


@dataclass(frozen=True)
class Rabbits:
    """Challenge parts and what became of them."""

    folder: str
    parts: tuple[Part, ...]

    @property
    def passed(self) -> tuple[Part, ...]:
        """Those that were not called NG, the lowest score first: REVIEW, NO_CALL and unreadable count as passed."""
        missed = (part for part in self.parts if part.verdict != Verdict.NG.name)
        return tuple(sorted(missed, key=lambda part: (part.score is not None, part.score or 0.0, part.name)))

    @property
    def unreadable(self) -> int:
        """Number of parts with a file that cannot be read."""
        return sum(part.verdict == UNREADABLE for part in self.parts)


def challenge(inspector: Inspector, folder: Path, images: Sequence[LabelledImage]) -> Rabbits:
    """Inspect challenge parts, one image after another; nothing is written."""
    judge = Judge(inspector, folder, "red-rabbits", "none", labels=True, threshold_ng=inspector.threshold_ng)
    rows: list[Row] = [judge(image.path, f"red-rabbit-{number}") for number, image in enumerate(images, 1)]
    return Rabbits(folder.as_posix(), parts_of(rows, {image.path.as_posix(): image for image in images}))
