"""What a rendered picture is made of: the pose, the light, and the seeded streams everything else is drawn from.

Every random number comes from a stream named by what it is for (``stream(seed, "caps", "sensor")``), never from one
long shared sequence: a part with a defect and the good part of the same seed then share pose, light, grain and sensor
noise, and differ by the defect alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

SUPERSAMPLE = 2
"""Linear factor at which parts are drawn before the area-averaged reduction."""


def stream(seed: int, *names: str) -> np.random.Generator:
    """Return the random stream of one purpose; the same seed and names give the same numbers."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


@dataclass(frozen=True)
class Pose:
    """Where the part lies in the frame.

    Parameters
    ----------
    angle_deg
        Rotation, counter-clockwise as seen in the picture. At 0 a cap's orientation mark points up.
    dx_px, dy_px
        Shift of the part's centre from the frame's, which is ``((size - 1) / 2, (size - 1) / 2)``; right and down
        positive.
    scale
        Size of the part, 1 being nominal.
    """

    angle_deg: float = 0.0
    dx_px: float = 0.0
    dy_px: float = 0.0
    scale: float = 1.0

    def matrix(self, size: int, zoom: int = 1, canvas: int | None = None) -> npt.NDArray[np.float64]:
        """Return the 2x3 matrix that takes part pixels (x, y) to frame pixels.

        Parameters
        ----------
        size
            Side of the square frame in pixels.
        zoom
            Supersampling factor of both pictures.
        canvas
            Side of the square in which the part is drawn, in frame pixels; the frame's where omitted.
        """
        a = np.deg2rad(self.angle_deg)
        linear = self.scale * np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        centre_part = ((canvas or size) * zoom - 1) / 2
        centre_frame = (size * zoom - 1) / 2
        shift = centre_frame + zoom * np.array([self.dx_px, self.dy_px]) - linear @ np.full(2, centre_part)
        return np.column_stack([linear, shift])


@dataclass(frozen=True)
class Light:
    """Lamp, lens and sensor of one picture.

    Parameters
    ----------
    gain
        Factor on every pixel value.
    gradient
        Relative change of brightness from one edge of the frame to the opposite one.
    gradient_deg
        Direction in which the gradient rises, counter-clockwise from the right.
    cast_rgb
        Factor on each colour channel.
    noise
        Standard deviation of the sensor noise at mid grey, in grey levels of 255.
    blur_px
        Standard deviation of the lens blur, in frame pixels.
    azimuth_deg, elevation_deg
        Direction of the main lamp, counter-clockwise from the right and above the plane of the part.
    """

    gain: float = 1.0
    gradient: float = 0.0
    gradient_deg: float = 0.0
    cast_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 1.5
    blur_px: float = 0.5
    azimuth_deg: float = 125.0
    elevation_deg: float = 52.0


@dataclass(frozen=True)
class RenderedPart:
    """One rendered picture with everything that is true of it.

    Parameters
    ----------
    image
        uint8 RGB, shape (size, size, 3).
    mask
        uint8, shape (size, size): 255 where the defect is, else 0; all 0 for a good part.
    part, defect, severity, seed
        What was asked for; ``defect`` is None for a good part, whose severity is 0.
    angle_deg, dx_px, dy_px, scale
        The true pose, as in :class:`Pose`.
    light
        The true light.
    """

    image: U8
    mask: U8
    part: str
    defect: str | None
    severity: float
    seed: int
    angle_deg: float
    dx_px: float
    dy_px: float
    scale: float
    light: Light

    @property
    def pose(self) -> Pose:
        """The true pose."""
        return Pose(self.angle_deg, self.dx_px, self.dy_px, self.scale)


def draw_pose(rng: np.random.Generator, size: int, max_angle_deg: float, shift: float, zoom: float) -> Pose:
    """Draw a pose: angle, shift (as a fraction of the frame) and scale within ± the given limits of the nominal."""
    angle, dx, dy, scale = rng.uniform(-1, 1, 4)
    return Pose(
        float(angle * max_angle_deg), float(dx * shift * size), float(dy * shift * size), float(1 + scale * zoom)
    )


def draw_light(rng: np.random.Generator) -> Light:
    """Draw the light of an ordinary day: lamps age, warm up and are cleaned; the lens is refocused now and then."""
    cast = np.clip(rng.normal(1, 0.010, 3), 0.975, 1.025)
    return Light(
        gain=float(np.clip(rng.normal(1, 0.06), 0.86, 1.13)),
        gradient=float(rng.uniform(0, 0.12)),
        gradient_deg=float(rng.uniform(0, 360)),
        cast_rgb=(float(cast[0]), float(cast[1]), float(cast[2])),
        noise=float(rng.uniform(1.1, 2.3)),
        blur_px=float(rng.uniform(0.35, 0.65)),
        azimuth_deg=float(125 + rng.uniform(-4, 4)),
        elevation_deg=float(52 + rng.uniform(-2, 2)),
    )
