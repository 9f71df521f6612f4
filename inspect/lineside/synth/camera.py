"""The camera: lens blur, reduction to pixels, uneven light, colour cast, sensor noise, eight bits."""

from __future__ import annotations

import cv2
import numpy as np

from lineside.synth.scene import F32, SUPERSAMPLE, U8, Light

_VIGNETTE = 0.05
"""Loss of light in the corners of the frame, a usual value for a 16 mm lens at f/4."""


def illumination(size: int, light: Light) -> F32:
    """Return the factor of gain, gradient and vignette at each pixel, shape (size, size)."""
    t = np.linspace(-1, 1, size, dtype=np.float32)
    a = np.deg2rad(light.gradient_deg)
    ramp = t[None, :] * np.cos(a) - t[:, None] * np.sin(a)
    radius2 = (t[None, :] ** 2 + t[:, None] ** 2) / 2
    field = light.gain * (1 + light.gradient / 2 * ramp) * (1 - _VIGNETTE * radius2)
    return np.asarray(field, dtype=np.float32)


def expose(radiance: F32, light: Light, rng: np.random.Generator) -> U8:
    """Return the picture that the camera takes of a supersampled scene.

    Parameters
    ----------
    radiance
        RGB in 0 to 1, shape (SUPERSAMPLE * size, SUPERSAMPLE * size, 3).
    rng
        Stream of the sensor noise; how much is drawn from it does not depend on the scene.

    Returns
    -------
    uint8 RGB, shape (size, size, 3).
    """
    size = radiance.shape[0] // SUPERSAMPLE
    sharp = cv2.GaussianBlur(radiance, (0, 0), max(light.blur_px * SUPERSAMPLE, 0.05))
    pixels = np.asarray(cv2.resize(sharp, (size, size), interpolation=cv2.INTER_AREA), np.float32)
    pixels = pixels * illumination(size, light)[..., None] * np.array(light.cast_rgb, np.float32)
    # Photon noise grows with the square root of the signal, read-out noise does not; the channels share a part of it.
    sigma = light.noise / 255 * np.sqrt(0.3 + 0.7 * np.clip(pixels, 0, 1) / 0.5)
    grain = 0.8 * rng.standard_normal((size, size, 3), np.float32) + 0.6 * rng.standard_normal(
        (size, size, 1), np.float32
    )
    return np.asarray(np.clip(np.rint((pixels + sigma * grain) * 255), 0, 255), dtype=np.uint8)
