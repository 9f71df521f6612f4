"""What a frame may suffer on the line, in graded strength: light, optics, transfer, pose, and things in the way.

Albumentations does what it has in exact strength; gradient, colour cast and glare are drawn here (its `Illumination`
ends at 20 %, its colour shifts are additive, its `RandomSunFlare` draws rings at places of its own), and run inside its
`Lambda`. Whatever is drawn at random (a direction, a place) is drawn once per image and disturbance: from level to
level only the strength changes, so that a curve is no sum of lotteries.

What comes into view of a turned, shifted or shrunken frame is its mirror image; where the frame ends in plain
background, the mirror image of its outermost band alone, again and again. Rejected: black corners, which no camera
delivers; a mirrored part, which is a second one in view; border pixels carried on, whose streaks alone were called NG
(measured: caps, 2026-11-20, scale 0.9: 20 of 20 good parts, with the band 0 of 20).
"""

import math
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lineside.bench.light_change import brightened, cast_field, gradient_field
from lineside.errors import FrameError, MissingExtraError

Pixels = npt.NDArray[np.uint8]
Draw = Callable[[Pixels, float, np.random.Generator], Pixels]
"""Frame uint8 [H, W, C], level, generator -> frame of the same shape; the frame given is not changed."""
_MIRROR = 4  # OpenCV's BORDER_REFLECT_101
_BAND = 0.03  # of the shorter side: what is taken for background
_PLAIN = 0.3  # measured, 2026-11-20: 0.02 to 0.05 on test images of caps, 0.9 to 1.1 on those of weave and bsd
_REACH = 0.35  # of the longer side: no turn, shift or scale here looks farther beyond the frame
_GLARE_PEAK = 500.0  # added at the middle of a glare: twice full scale, so that it is blown out whatever lies under it


@dataclass(frozen=True)
class Disturbance:
    """One thing that gets worse, and how far."""

    name: str
    """As a word in a table and in a seed: ``gain``."""
    words: str
    """One level in plain units: ``gain {:g}``."""
    what: str
    """What is done, in a sentence."""
    neutral: float
    """The level that changes nothing."""
    levels: tuple[float, ...]
    """Rising; below `neutral`, above it, or both."""
    apply: Draw
    good_stays_good: bool = True
    """False where a good part under it may rightly be called NG."""

    def describe(self, level: float) -> str:
        """Say one level."""
        return self.words.format(level)


def disturbances(channels: int) -> tuple[Disturbance, ...]:
    """Return everything that frames of so many channels can suffer; a grey frame has no colour cast."""
    every = _light() + _optics() + _pose() + _obstacles()
    return tuple(item for item in every if channels > 1 or item.name != "cast")


def fewer_levels(items: Sequence[Disturbance], keep: int) -> tuple[Disturbance, ...]:
    """Return the disturbances with at most `keep` levels on each side of the neutral one, the strongest among them."""
    return tuple(replace(item, levels=_thinned(item, max(1, keep))) for item in items)


def disturb(frame: Pixels, item: Disturbance, level: float, seed: int, name: str) -> Pixels:
    """Return a disturbed copy of a frame.

    Parameters
    ----------
    frame : ndarray of uint8 [H, W, C]
        C is 1 or 3.
    item : Disturbance
    level : float
        Any, not only one of the item's own.
    seed : int
    name : str
        Of the image. With `seed` and the disturbance's name it decides what is drawn at random.

    Returns
    -------
    ndarray of uint8 [H, W, C]

    Raises
    ------
    FrameError
        When the frame is no such array.
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3):
        found = f"{frame.dtype} of shape {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise FrameError(f"A frame must be uint8 [H, W, 1 or 3], found {found}.")
    rng = np.random.default_rng([seed, zlib.crc32(item.name.encode()), zlib.crc32(name.encode(errors="replace"))])
    if level == item.neutral:
        return frame.copy()
    changed = item.apply(frame, level, rng)
    return np.ascontiguousarray(changed.reshape(frame.shape))


def _thinned(item: Disturbance, keep: int) -> tuple[float, ...]:
    below = [level for level in item.levels if level < item.neutral]
    above = [level for level in item.levels if level > item.neutral]
    return (*_spread(below[::-1], keep)[::-1], *_spread(above, keep))


def _spread(levels: Sequence[float], keep: int) -> list[float]:
    """Return `keep` of the levels, evenly among them, the last one included."""
    if len(levels) <= keep:
        return list(levels)
    return [levels[round((i + 1) * len(levels) / keep) - 1] for i in range(keep)]


def _light() -> tuple[Disturbance, ...]:
    gains = (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5, 1.75, 2.0)
    gammas = (0.5, 0.65, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)
    return (
        Disturbance("gain", "gain {:g}", "Every sample times the gain.", 1.0, gains, _gain),
        Disturbance("gamma", "gamma {:g}", "255 · (sample / 255) to the power of gamma.", 1.0, gammas, _gamma),
        Disturbance(
            "gradient",
            "gradient ±{:g} %",
            "Light that rises across the frame, in a random direction, by so much at either end.",
            0.0,
            (10.0, 20.0, 30.0, 40.0, 60.0, 80.0),
            _gradient,
        ),
        Disturbance(
            "cast",
            "cast ±{:g} %",
            "Two channels, drawn at random, brighter by so much and darker by so much.",
            0.0,
            (5.0, 10.0, 15.0, 20.0, 30.0),
            _cast,
        ),
    )


def _optics() -> tuple[Disturbance, ...]:
    return (
        Disturbance(
            "blur",
            "blur {:g} %",
            "Gaussian blur; its standard deviation in percent of the longer side.",
            0.0,
            (0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 1.6),
            _blur,
        ),
        Disturbance(
            "noise",
            "noise {:g} levels",
            "Gaussian noise in every sample of the frame; its standard deviation in grey levels of 255.",
            0.0,
            (2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0),
            _noise,
        ),
        Disturbance(
            "jpeg",
            "JPEG quality {:g}",
            "Saved as a JPEG file of this quality and read again.",
            100.0,
            (5.0, 10.0, 20.0, 30.0, 50.0, 70.0, 90.0),
            _jpeg,
        ),
    )


def _pose() -> tuple[Disturbance, ...]:
    angles = (2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 150.0, 180.0, 225.0, 270.0, 315.0, 345.0)
    return (
        Disturbance(
            "rotation",
            "rotation {:g}°",
            "Turned counter-clockwise about the frame's centre.",
            0.0,
            angles,
            _rotation,
        ),
        Disturbance(
            "shift",
            "shift {:g} %",
            "Moved in a random direction, by so much of the shorter side; far enough, the part leaves the view.",
            0.0,
            (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0),
            _shift,
        ),
        Disturbance(
            "scale",
            "scale {:g}",
            "Smaller or larger about the frame's centre.",
            1.0,
            (0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.3),
            _scale,
        ),
    )


def _obstacles() -> tuple[Disturbance, ...]:
    return (
        Disturbance(
            "occlusion",
            "covered {:g} %",
            "A mid-grey rectangle over so much of the frame's area. A good part under it may rightly be called NG.",
            0.0,
            (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0),
            _occlusion,
            good_stays_good=False,
        ),
        Disturbance(
            "glare",
            "glare {:g} %",
            "A soft spot of light somewhere in the frame; blown out over so much of the shorter side. A good part "
            "under it may rightly be called NG.",
            0.0,
            (2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0),
            _glare,
            good_stays_good=False,
        ),
    )


def _gain(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    return _transformed("MultiplicativeNoise", frame, rng, multiplier=(level, level))


def _gamma(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    return _transformed("RandomGamma", frame, rng, gamma_limit=(100.0 * level, 100.0 * level))


def _gradient(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    field = gradient_field(frame.shape[:2], level / 100.0, rng.uniform(0.0, 2.0 * np.pi))
    return _drawn(frame, rng, lambda image: brightened(image, field))


def _cast(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    shares = np.zeros(frame.shape[2])
    shares[rng.permutation(frame.shape[2])[:2]] = (level / 100.0, -level / 100.0)
    return _drawn(frame, rng, lambda image: brightened(image, cast_field(shares)))


def _blur(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    sigma_px = level / 100.0 * max(frame.shape[:2])
    return _transformed("GaussianBlur", frame, rng, blur_limit=0, sigma_limit=(sigma_px, sigma_px))


def _noise(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    return _transformed("GaussNoise", frame, rng, std_range=(level / 255.0, level / 255.0))


def _jpeg(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    swapped = np.ascontiguousarray(frame[:, :, ::-1])  # it hands the channels to OpenCV, which takes blue first
    changed = _transformed("ImageCompression", swapped, rng, quality_range=(round(level), round(level)))
    return changed.reshape(frame.shape)[:, :, ::-1]


def _rotation(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    return _moved(frame, rng, rotate=(level, level))


def _shift(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    direction, length_px = rng.uniform(0.0, 2.0 * np.pi), level / 100.0 * min(frame.shape[:2])
    dx, dy = round(length_px * np.cos(direction)), round(length_px * np.sin(direction))
    return _moved(frame, rng, translate_px={"x": (dx, dx), "y": (dy, dy)})


def _scale(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    return _moved(frame, rng, scale=(level, level))


def _occlusion(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    side = min(1.0, float(np.sqrt(level / 100.0)))
    holes = {"hole_height_range": (side, side), "hole_width_range": (side, side)}
    return _transformed("CoarseDropout", frame, rng, num_holes_range=(1, 1), fill=128, **holes)


def _glare(frame: Pixels, level: float, rng: np.random.Generator) -> Pixels:
    height, width = frame.shape[:2]
    x, y = rng.uniform(0.0, width), rng.uniform(0.0, height)
    radius = max(0.5, level / 200.0 * min(height, width))
    sigma = radius / np.sqrt(2.0 * np.log(_GLARE_PEAK / 255.0))  # the light added falls to full scale at the radius
    rows = np.exp(-0.5 * ((np.arange(height) - y) / sigma) ** 2)
    columns = np.exp(-0.5 * ((np.arange(width) - x) / sigma) ** 2)
    light = (_GLARE_PEAK * rows[:, None] * columns[None, :]).astype(np.float32)[:, :, None]  # [H, W, 1]
    return _drawn(frame, rng, lambda image: np.clip(np.rint(image + light), 0, 255).astype(np.uint8))


def _moved(frame: Pixels, rng: np.random.Generator, **arguments: Any) -> Pixels:
    """Apply albumentations' `Affine` about the frame's centre, the frame first carried on where it has to be."""
    height, width = frame.shape[:2]
    band = max(1, round(_BAND * min(height, width)))
    wide = _carried_on(frame, band) if _is_plain(frame, band) else frame
    moved = _transformed("Affine", wide, rng, border_mode=_MIRROR, **arguments).reshape(wide.shape)
    top, left = (wide.shape[0] - height) // 2, (wide.shape[1] - width) // 2
    return moved[top : top + height, left : left + width]


def _is_plain(frame: Pixels, band: int) -> bool:
    """Whether a frame ends in plain background: by its outermost band's standard deviation over the whole frame's."""
    edges = (frame[:band], frame[-band:], frame[:, :band], frame[:, -band:])
    border = np.concatenate([edge.reshape(-1, frame.shape[2]) for edge in edges])
    return bool(border.std(axis=0).mean() < _PLAIN * frame.std(axis=(0, 1)).mean())


def _carried_on(frame: Pixels, band: int) -> Pixels:
    """Mirror the outermost band outward, again and again: the background goes on with its noise, and nothing else."""
    import cv2

    wide = frame
    for _ in range(math.ceil(_REACH * max(frame.shape[:2]) / band)):
        wide = cv2.copyMakeBorder(wide, band, band, band, band, cv2.BORDER_REFLECT)
    return wide


def _drawn(frame: Pixels, rng: np.random.Generator, function: Callable[[Pixels], Pixels]) -> Pixels:
    def apply(image: Pixels, **_: object) -> Pixels:  # it warns of a lambda, and hands over more than the image
        return function(image)

    return _transformed("Lambda", frame, rng, image=apply)


def _transformed(kind: str, frame: Pixels, rng: np.random.Generator, **arguments: Any) -> Pixels:
    """Apply one transform of albumentations; it is made anew each time, because it holds its own generator."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network for a newer version when imported
    try:
        import albumentations
    except ModuleNotFoundError:
        raise MissingExtraError("albumentations", "train") from None
    transform = getattr(albumentations, kind)(p=1.0, **arguments)
    transform.set_random_seed(int(rng.integers(2**31)))
    return cast(Pixels, np.asarray(transform(image=frame)["image"]))
