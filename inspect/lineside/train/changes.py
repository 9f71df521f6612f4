"""Changed copies of good frames that heads learn from or choose by: mirror images, and synthetic defects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.dataset import Sample
from lineside.synth.spoil import KINDS, spoil

Pixels = npt.NDArray[np.uint8]

FEW = 20
"""Good frames up to which each is mirrored in all three ways, above in one. Measured (lite0, strides 8/16, 2 draws),
image AUROC without and with three mirror images: 8 good frames: ball-screw drives 0.913 and 0.918, weave 0.986 and
0.993, caps at any angle 0.787 and 0.892; 50: drives 0.927 and 0.934, weave 0.994 and 0.997, caps 0.964 and 0.933, where
the memory of 1,024 becomes too small for them."""
SPOILED = 2
"""Copies with a synthetic defect of each frame."""


@dataclass(frozen=True)
class Mirror:
    """Mirror images of a frame; called with it and its position."""

    frames: int
    """How many frames are mirrored."""

    def __call__(self, frame: Pixels, position: int) -> Sequence[Pixels]:
        """Return one mirror image, or all three where there are few frames."""
        across, down, both = frame[:, ::-1], frame[::-1], frame[::-1, ::-1]
        images = (across, down, both) if self.frames <= FEW else ((across, down, both)[position % 3],)
        return [np.ascontiguousarray(image) for image in images]


@dataclass(frozen=True)
class Spoil:
    """Copies of a frame with a synthetic defect each; called with it and its position."""

    samples: Sequence[Sample]
    seed: int

    def __call__(self, frame: Pixels, position: int) -> Sequence[Pixels]:
        """Return copies whose defects depend on the image's name and the seed alone."""
        name = int.from_bytes(self.samples[position].name.encode()[-8:], "big")
        rng = np.random.default_rng((self.seed, position, name))
        everywhere = np.ones(frame.shape[:2], np.bool_)
        kinds = rng.choice(sorted(KINDS), SPOILED, replace=False)
        return [spoil(frame, frame, everywhere, str(kind), rng).image for kind in kinds]
