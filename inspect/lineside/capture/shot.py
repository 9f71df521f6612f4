"""What a source gives before anything is made of it: samples as the camera or the file holds them.

`Frame` is uint8, because the graph takes nothing else; what is stored again must keep its 16 bits. So sources yield
shots, and `Shot.frame` makes the frame by the contract's rule with a declared bit depth.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lineside.bit_depth import to_uint8
from lineside.capture.frame import Frame
from lineside.errors import FrameError

Samples = npt.NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, eq=False)
class Shot:
    """One picture of a source.

    Raises
    ------
    FrameError
        When `samples` are not uint8 or uint16 of [H, W, 1] or [H, W, 3], or are empty.
    """

    samples: Samples
    """[H, W, C]; C is 1 (grey) or 3 (red, green, blue). Not to be written to."""
    name: str
    """Unique within its source: a file's POSIX path relative to the source's folder, ``#12`` in a video or stream."""
    index: int
    """Position in the source from 0, passed-over frames counted."""
    path: Path | None = None
    """The file that it was read from, a video included."""
    time: datetime | None = None
    """When it was taken, in UTC, as well as that is known: a file's last change, the moment that a camera gave it;
    None for a video's frames."""
    video_ms: float | None = None
    """Place in a video file, milliseconds from its start."""
    exposure_us: float | None = None
    """Exposure time from EXIF, microseconds."""
    driver_exposure: str | None = None
    """What a camera's driver calls its exposure, number and driver; its unit is the driver's own."""

    def __post_init__(self) -> None:
        samples = self.samples
        if (
            samples.dtype not in (np.uint8, np.uint16)
            or samples.ndim != 3
            or samples.shape[2] not in (1, 3)
            or not samples.size
        ):
            raise FrameError(
                f"A picture must be uint8 or uint16 [H, W, 1 or 3], found {samples.dtype} of shape {samples.shape} "
                f"({self.name})."
            )

    @property
    def bits(self) -> int:
        """Bits per sample as held: 8 or 16."""
        return 8 * int(self.samples.dtype.itemsize)

    def frame(self, bit_depth: int = 8) -> Frame:
        """Return what the graph is given.

        Parameters
        ----------
        bit_depth : int
            Bits per sample that the camera delivers.

        Raises
        ------
        FrameError
            When the samples are not of this bit depth.
        """
        return Frame(to_uint8(self.samples, bit_depth), self.name, self.path, self.time)
