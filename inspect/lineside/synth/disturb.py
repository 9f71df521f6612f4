"""Real frames made worse: a little other light, and a synthetic defect. Seeded; the original is never changed.

Parity between graphs must hold where verdicts flip, so it is proven on frames of this kind too: some of them land
near the threshold, which good frames alone never do.
"""

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def disturbed(frame: Pixels, seed: int) -> Pixels:
    """Return a copy with other light and one synthetic defect.

    Parameters
    ----------
    frame : ndarray of uint8 [H, W, C]
        C is 1 or 3.
    seed : int
        Decides everything that is drawn: gain 0.8 to 1.25, a gradient of up to ±15 %, and a scratch, a blob or a
        patch copied from elsewhere, its size between 2 % and 15 % of the shorter side.

    Returns
    -------
    ndarray of uint8 [H, W, C]
    """
    rng = np.random.default_rng([seed, 0x5EED])
    height, width = frame.shape[:2]
    image = frame.astype(np.float32) * _light(rng, height, width)
    kind = int(rng.integers(3))
    if kind == 0:
        image = _blend(image, _scratch(rng, height, width), rng)
    elif kind == 1:
        image = _blend(image, _blob(rng, height, width), rng)
    else:
        image = _pasted(rng, image)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _light(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    gain = rng.uniform(0.8, 1.25)
    slope_x, slope_y = rng.uniform(-0.15, 0.15, 2)
    x = np.linspace(-1.0, 1.0, width)[None, :, None]
    y = np.linspace(-1.0, 1.0, height)[:, None, None]
    field: npt.NDArray[np.float32] = (gain * (1.0 + 0.5 * (slope_x * x + slope_y * y))).astype(np.float32)
    return field


def _scratch(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    mask = np.zeros((height, width), np.float32)
    length = rng.uniform(0.1, 0.4) * min(height, width)
    x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
    angle = rng.uniform(0.0, np.pi)
    end = (round(x + length * np.cos(angle)), round(y + length * np.sin(angle)))
    thickness = max(1, round(0.006 * min(height, width)))
    cv2.line(mask, (round(x), round(y)), end, 1.0, thickness, cv2.LINE_AA)
    return mask


def _blob(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    mask = np.zeros((height, width), np.float32)
    radius = rng.uniform(0.02, 0.08) * min(height, width)
    axes = (max(1, round(radius)), max(1, round(radius * rng.uniform(0.4, 1.0))))
    centre = (round(rng.uniform(0.2, 0.8) * width), round(rng.uniform(0.2, 0.8) * height))
    cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
    blurred: npt.NDArray[np.float32] = cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.2 * radius))
    return blurred


def _blend(
    image: npt.NDArray[np.float32], mask: npt.NDArray[np.float32], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    shift = rng.uniform(15.0, 60.0) * rng.choice([-1.0, 1.0])
    return image + np.float32(shift) * mask[:, :, None]


def _pasted(rng: np.random.Generator, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    height, width = image.shape[:2]
    h, w = (max(2, round(rng.uniform(0.05, 0.15) * side)) for side in (height, width))
    y0, y1 = rng.integers(0, height - h + 1, 2)
    x0, x1 = rng.integers(0, width - w + 1, 2)
    result = image.copy()
    result[y1 : y1 + h, x1 : x1 + w] = image[y0 : y0 + h, x0 : x0 + w]
    return result
