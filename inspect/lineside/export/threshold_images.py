"""Which images a bundle's thresholds were taken from by `lineside calibrate`: no evaluation may confirm them by these.

Kept are the hashes of their pixels, 32 bytes an image and no more than `MOST` of them, and the names of their parts
where the recipe has a pattern for these. The model learned nothing from them: a further calibration may use them again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lineside.errors import BundleError
from lineside.export.state import read_state

THRESHOLD_IMAGES_FILE = "threshold_images.npz"
MOST = 65_536
"""Images, and parts, that are kept: 2 MB of hashes."""
_HASH_BYTES = 32


@dataclass(frozen=True)
class ThresholdImages:
    """Images that the thresholds were taken from."""

    pictures: frozenset[str]
    """`lineside.export.known_images.picture_of` each."""
    parts: frozenset[str]
    """Physical parts by the recipe's pattern; empty where it has none."""
    total: int
    """Images that there were."""

    @property
    def words(self) -> str:
        """How many of them are kept."""
        of = f" of {self.total:,}" if self.total > len(self.pictures) else ""
        return f"{len(self.pictures):,}{of}"

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return what `THRESHOLD_IMAGES_FILE` holds."""
        content = b"".join(bytes.fromhex(picture) for picture in sorted(self.pictures))
        return {
            "pictures": np.frombuffer(content, np.uint8).reshape(-1, _HASH_BYTES),
            "parts": np.array(sorted(self.parts), np.str_),
            "total": np.array(self.total, np.int64),
        }


def threshold_images(pictures: Sequence[str], parts: Sequence[str]) -> ThresholdImages:
    """Keep the images of a calibration, `MOST` of them at most, evenly spread."""
    different = sorted(set(pictures))
    return ThresholdImages(frozenset(_spread(different)), frozenset(_spread(sorted(set(parts)))), len(different))


def read_threshold_images(bundle: Path) -> ThresholdImages | None:
    """Read which images a bundle's thresholds were taken from; None where it names none.

    Raises
    ------
    BundleError
        When the file was altered, or holds something else.
    StorageError
        When the disk refuses.
    """
    file = bundle / THRESHOLD_IMAGES_FILE
    if not file.is_file():
        return None
    try:
        return _from_arrays(read_state(bundle, THRESHOLD_IMAGES_FILE))
    except (KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{file}: it names no images ({error}). Copy the bundle again.") from None


def _from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> ThresholdImages:
    pictures, parts = arrays["pictures"], arrays["parts"]
    if pictures.dtype != np.uint8 or pictures.ndim != 2 or pictures.shape[1] != _HASH_BYTES:
        raise ValueError(f"pictures: expected uint8 [n, {_HASH_BYTES}], found {pictures.dtype} {pictures.shape}")
    return ThresholdImages(
        frozenset(row.tobytes().hex() for row in pictures),
        frozenset(map(str, parts.tolist())),
        int(arrays["total"]),
    )


def _spread(names: Sequence[str]) -> list[str]:
    return [names[i] for i in np.linspace(0, len(names) - 1, min(MOST, len(names))).astype(int)]
