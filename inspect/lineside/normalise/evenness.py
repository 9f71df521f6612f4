"""Is a picture of an empty target even enough to make a flat field from? Numbers and words, torch-free.

Lamp and lens change slowly across a frame; dust, edges and print do not. So the target's small field is compared with
a smooth surface fitted to it: what the surface leaves is structure, which a flat field would burn into every frame.
A blur instead of the surface was rejected: at the frame's border it mistakes a steep fall of the light for structure.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8] | F32

FIELD_SIDE = 64
"""Longer side of a small field in cells: a lens's fall of light has no finer detail."""
SATURATED, BLACK = 250.0, 4.0
"""Grey levels at and beyond which a sample says nothing about the light."""
DEGREE = 4
"""Of the smooth surface: the cos^4 law of a lens needs the fourth power of the distance from the axis."""

CLIPPED_LIMIT, LEVELS = 0.001, (50.0, 220.0)
FALLOFF_LIMIT, STRUCTURE_LIMIT, NOISE_LIMIT = 0.6, 0.03, 0.1


@dataclass(frozen=True)
class Evenness:
    """What the picture of an empty target is worth as a flat field.

    Attributes
    ----------
    level : float
        Mean grey level, 0 to 255.
    clipped_share, black_share : float
        Share of the pixels with a channel from 250 up; with every channel up to 4.
    falloff : float
        1 - darkest / brightest part of the smooth light, of the worst channel; 0 is perfectly even.
    structure : float
        What the smooth light leaves unexplained: 99.5th percentile of the relative deviation, of the worst channel.
    noise : float
        Standard deviation of the pixel noise relative to the level.
    even_enough : bool
    words : tuple of str
        A sentence per number that is out of its limit; one sentence of praise where none is.
    """

    level: float
    clipped_share: float
    black_share: float
    falloff: float
    structure: float
    noise: float
    even_enough: bool
    words: tuple[str, ...]


def evenness(frame: Pixels) -> Evenness:
    """Judge the picture of an empty, evenly lit target.

    Parameters
    ----------
    frame : ndarray of uint8 or float32 [H, W, C]
        0 to 255; best the mean of several pictures.

    Notes
    -----
    The limits are choices, not measurements: at most 0.1 % of clipped pixels, mean level 50 to 220, fall of light up
    to 60 % (the gain's bound), structure up to 3 % (half of a just visible stain), noise up to 10 % of the level.
    """
    samples = frame.astype(np.float32)
    field = small_field(samples)
    surface = smooth_surface(field)
    level = float(samples.mean())
    numbers = {
        "level": level,
        "clipped_share": float((samples.max(axis=2) >= SATURATED).mean()),
        "black_share": float((samples.max(axis=2) <= BLACK).mean()),
        "falloff": falloff(surface),
        "structure": structure(field, surface),
        "noise": _noise(samples) / max(level, 1.0),
    }
    complaints = _complaints(numbers)
    words = complaints or ("The target is even enough for a flat field.",)
    return Evenness(**numbers, even_enough=not complaints, words=words)


def _complaints(numbers: dict[str, float]) -> tuple[str, ...]:
    level, low_high = numbers["level"], f"{LEVELS[0]:.0f} to {LEVELS[1]:.0f}"
    found = (
        (
            not LEVELS[0] <= level <= LEVELS[1],
            f"Its mean level is {level:.0f}, expected {low_high}: change the exposure.",
        ),
        (
            numbers["clipped_share"] > CLIPPED_LIMIT,
            f"{numbers['clipped_share']:.1%} of its pixels are clipped: expose less.",
        ),
        (
            numbers["falloff"] > FALLOFF_LIMIT,
            f"Its light falls by {numbers['falloff']:.0%}, more than a gain may mend: light it more evenly.",
        ),
        (
            numbers["structure"] > STRUCTURE_LIMIT,
            f"It shows structure of {numbers['structure']:.1%} that is not the light's: a clean, matt, empty target "
            "out of focus is wanted.",
        ),
        (
            numbers["noise"] > NOISE_LIMIT,
            f"Its noise is {numbers['noise']:.0%} of its level: average more pictures or expose longer.",
        ),
    )
    return tuple(words for wrong, words in found if wrong)


def small_field(frame: F32) -> F32:
    """Return area means of a frame [H, W, C], [hf, wf, C], its longer side at most 64 cells."""
    height, width, channels = frame.shape
    scale = min(1.0, FIELD_SIDE / max(height, width))
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(size_wh[1], size_wh[0], channels)


def smooth_surface(field: F32, rounds: int = 3) -> F32:
    """Return the smooth surface of a field, [hf, wf, C]: a polynomial of degree 4, fitted robustly per channel."""
    height, width, channels = field.shape
    basis = _basis(height, width)
    fitted = [_robust_fit(basis, field[..., c].reshape(-1).astype(np.float64), rounds) for c in range(channels)]
    return np.stack(fitted, axis=1).reshape(height, width, channels).astype(np.float32)


def _basis(height: int, width: int) -> npt.NDArray[np.float64]:
    """Monomials of degree up to 4 at the cells' centres, [hf * wf, 15] (fewer where a side is short)."""
    y, x = np.meshgrid(_centres(height), _centres(width), indexing="ij")
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i) if i < width and j < height]
    return np.stack([(x**i * y**j).reshape(-1) for i, j in powers], axis=1)


def _centres(count: int) -> npt.NDArray[np.float64]:
    return (2.0 * np.arange(count) + 1.0) / count - 1.0


def _robust_fit(
    basis: npt.NDArray[np.float64], values: npt.NDArray[np.float64], rounds: int
) -> npt.NDArray[np.float64]:
    """Least squares, then reweighted with Tukey's biweight (c = 4.685) at the residuals' own spread."""
    weights = np.ones_like(values)
    for _ in range(rounds + 1):
        root = np.sqrt(weights)[:, None]
        fitted: npt.NDArray[np.float64] = basis @ np.linalg.lstsq(basis * root, values * root[:, 0], rcond=None)[0]
        residual = values - fitted
        spread = 1.4826 * np.median(np.abs(residual)) + 1e-3
        weights = np.clip(1.0 - (residual / (4.685 * spread)) ** 2, 0.0, None) ** 2
    return fitted


def falloff(surface: F32) -> float:
    """Return 1 - darkest / brightest of a surface [hf, wf, C], of the worst channel."""
    brightest = np.maximum(surface.max(axis=(0, 1)), 1.0)
    return float((1.0 - np.maximum(surface.min(axis=(0, 1)), 0.0) / brightest).max())


def structure(field: F32, surface: F32) -> float:
    """Return the 99.5th percentile of a field's relative deviation from its surface, of the worst channel."""
    relative = np.abs(field - surface) / np.maximum(surface, 1.0)
    return float(np.quantile(relative, 0.995, axis=(0, 1)).max())


def _noise(samples: F32) -> float:
    """Noise from differences of neighbours, in grey levels: robust, so that edges do not count."""
    if samples.shape[1] < 2:
        return 0.0
    difference = np.abs(np.diff(samples, axis=1))
    return float(1.4826 * np.median(difference) / np.sqrt(2.0))
