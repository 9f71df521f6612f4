"""One picture from a source, with its identity: what every capture source yields."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.errors import FrameError


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame whose pixels nobody can change any more.

    Raises
    ------
    FrameError
        When `image` is not uint8 [H, W, 1] or [H, W, 3], or is empty.
    """

    image: npt.NDArray[np.uint8]
    """uint8 [H, W, C], C is 1 (grey) or 3 (red, green, blue); read-only."""
    name: str
    """Unique within its source: for a file, its POSIX path relative to the source's folder."""
    path: Path | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        image = self.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or image.size == 0:
            raise FrameError(
                f"A frame must be uint8 [H, W, 1 or 3], found {image.dtype} of shape {image.shape} ({self.name})."
            )
        view = image.view()
        view.flags.writeable = False
        object.__setattr__(self, "image", view)
