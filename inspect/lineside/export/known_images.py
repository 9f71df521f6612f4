"""Which images a bundle's model learned from: told by file, by part, and by what the model sees in them.

An image that the model learned from proves nothing of it, neither in a calibration nor in an evaluation. As far as a
bundle can know, it is found: by the SHA-256 of its file in the recipe's lock file; by the part's name where the
recipe has a pattern for it (`capture.group`); and by its embedding, beside those of the good frames that the bundle
keeps, those of `lineside extend` among them, which finds a picture that was saved anew in another lossless format.
An example of a defect class, of training or of `lineside extend`, is found by its pixels, whatever file holds them.
Copies of the recipe's training images that camera noise or compression explains are found by small versions of these
(`lineside.capture.known_looks`). Images that the thresholds were taken from by `lineside calibrate` are found by their
pixels and parts (`lineside.export.threshold_images`), and asked for by an evaluation alone. Another picture of a
training part without such a pattern is not recognised; whoever compares says so (`KnownImages.compared`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from lineside.capture.known_looks import LOOKS_FILE, KnownLooks, looks_from
from lineside.errors import BundleError, ImageError
from lineside.export.bundle_files import read_listed
from lineside.export.state import STATE_FILE, read_state
from lineside.export.threshold_images import ThresholdImages, read_threshold_images
from lineside.image_files import read_content
from lineside.part_pattern import grouping

LOCK_FILE = "recipe.lock.yaml"
SAME_REL = 1e-4
"""Distance of two embeddings, relative to their length, up to which they are of one picture. Measured on 14 rendered
caps, 128 px: the same picture again 0, the nearest other part 0.06, a JPEG of the same at quality 95 0.13 and more."""
PICTURES = "class_pictures"
"""Array of the state: `picture_of` each example of a defect class."""
TEST = "test"
MAX_LOCK_BYTES = 2**28
"""Of a lock file: some 300 for each image of the recipe."""
_TRAIN = "train"
_NAMED = 12


@dataclass(frozen=True, eq=False)
class KnownImages:
    """What a bundle keeps of the images that its model learned from."""

    sides: Mapping[str, str]
    """``train`` or ``test`` by the SHA-256 of each of the recipe's images; empty where the bundle names none. A test
    image that is a copy of a training image is on the side of training."""
    names: Mapping[str, str]
    """The training image that each of the SHA-256 on that side is of, by its name in the recipe's folder."""
    parts: frozenset[str]
    """Physical parts on the side of training."""
    group: str | None
    """The recipe's pattern of parts in file names."""
    embeddings: npt.NDArray[np.float64] | None
    """[n, d] of good frames that the model was fitted on; None where the bundle keeps none."""
    pictures: frozenset[str]
    """`picture_of` the examples that its class head was fitted on; empty where it has none."""
    looks: KnownLooks | None = None
    """Of the recipe's training images; None where the bundle keeps none."""
    calibrated: ThresholdImages | None = None
    """What the thresholds were taken from after the training; None where the bundle names none."""

    def part(self, path: Path, otherwise: str) -> str:
        """Return an image's physical part by the recipe's pattern, else `otherwise`."""
        return grouping(self.group)(path, otherwise)

    def learned(self, path: Path, sha256: str) -> bool:
        """Whether the model learned from an image, by its file or its part's name."""
        return self.sides.get(sha256) == _TRAIN or (self.part(path, "") or None) in self.parts

    def part_decided(self, path: Path) -> bool:
        """Whether the thresholds were taken from an image of this part, by its name."""
        return self.calibrated is not None and self.part(path, "") in self.calibrated.parts

    def picture_decided(self, picture: str) -> bool:
        """Whether the thresholds were taken from this picture, `picture_of` a frame, among others."""
        return self.calibrated is not None and picture in self.calibrated.pictures

    def looks_learned(self, embedding: npt.NDArray[np.float32], picture: str) -> bool:
        """Whether a frame is one that the model learned from.

        Parameters
        ----------
        embedding : ndarray of float32 [d]
            As the model gives it of the frame.
        picture : str
            `picture_of` the frame.
        """
        if picture in self.pictures:
            return True
        if self.embeddings is None or not len(self.embeddings):
            return False
        nearest = float(np.linalg.norm(self.embeddings - embedding, axis=1).min())
        return nearest <= SAME_REL * float(np.linalg.norm(embedding.astype(np.float64)))

    @property
    def compared(self) -> str | None:
        """How images are compared, and what goes unnoticed; None where there is nothing to compare with."""
        kept = {
            "files": bool(self.sides),
            "parts": bool(self.group),
            "embeddings": self.embeddings is not None,
            "pictures of classes": bool(self.pictures),
            self.looks.words if self.looks else "": self.looks is not None,
        }
        ways = [name for name, there in kept.items() if there]
        if not ways:
            return None
        named = " and ".join((", ".join(ways[:-1]), ways[-1])) if len(ways) > 1 else ways[0]
        if self.looks is not None:
            unseen = "copies" if self.group else "pictures of training parts"
            return f"compared by {named}; {unseen} that differ by more than camera noise would not be noticed"
        told = "ones of no class" if self.pictures else "defective ones"
        anew = f"{'images' if self.embeddings is None else told} saved anew"
        unseen = anew if self.group else f"other pictures of training parts, and {anew},"
        return f"compared by {named}; {unseen} would not be noticed"

    def left_out(
        self, names: Sequence[str], twins: Mapping[str, str] | None = None, *, evaluating: bool = False
    ) -> str:
        """Say that images were left out, because the model learned from them.

        Parameters
        ----------
        names : sequence of str
        twins : mapping of str to str, optional
            The training image that some of them are copies of, by their names.
        evaluating : bool
            Whether those that the thresholds were taken from are among them.
        """
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        pairs = twins or {}
        which = ", ".join(f"{one} = {pairs[one]}" if one in pairs else one for one in names[:_NAMED]) + more
        by_part = " (or from a part of that name, by capture.group)" if self.group else ""
        one = len(names) == 1
        them = "it" if one else "them"
        decided = f", or its thresholds were taken from {them}" if evaluating and self.calibrated else ""
        return (
            f"{len(names)} image{' was' if one else 's were'} left out, since the model learned from "
            f"{them}{decided}{by_part}: {which}."
        )


def picture_of(frame: npt.NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a picture's shape and pixels [H, W, C]: the same picture is known again by it."""
    return hashlib.sha256(repr(frame.shape).encode() + frame.tobytes()).hexdigest()


def known_images(bundle: Path) -> KnownImages:
    """Read what a bundle keeps of the images that its model learned from.

    Raises
    ------
    BundleError
        When the lock file, the state, the looks or the images of the thresholds were altered or cannot be read.
    """
    state = read_state(bundle) if (bundle / STATE_FILE).is_file() else {}
    embeddings, pictures = state.get("embeddings"), frozenset(map(str, state.get(PICTURES, ())))
    kept = None if embeddings is None else embeddings.astype(np.float64)
    lock, looks, taken = read_lock(bundle), _looks(bundle), read_threshold_images(bundle)
    if lock is None:
        return KnownImages({}, {}, frozenset(), None, kept, pictures, looks, taken)
    try:
        group = _group(lock)
        part_of = grouping(group)
        images = [(str(image["sha256"]), str(image["name"]), image) for image in lock["images"]]
        sides = {sha256: str(image["split"]) for sha256, _, image in images}
        copies = {sha256: str(image["copy_of"]) for sha256, _, image in images if image.get("copy_of")}
        trained = [(sha256, name) for sha256, name, image in images if image["split"] == _TRAIN]
        parts = frozenset(part_of(Path(name), name) for _, name in trained)
    except (KeyError, TypeError) as error:
        raise BundleError(
            f"{bundle / LOCK_FILE}: it does not list the recipe's images ({error}). Copy the bundle again."
        ) from None
    names = copies | dict(trained)
    sides |= dict.fromkeys(names, _TRAIN)
    return KnownImages(sides, names, parts, group, kept, pictures, looks, taken)


def _looks(bundle: Path) -> KnownLooks | None:
    file = bundle / LOOKS_FILE
    if not file.is_file():
        return None
    try:
        return looks_from(read_state(bundle, LOOKS_FILE))
    except (KeyError, ValueError) as error:
        raise BundleError(f"{file}: it holds no looks of images ({error}). Copy the bundle again.") from None


def recipe_group(bundle: Path) -> str | None:
    """Return the recipe's pattern of parts in file names (`capture.group`); None where it has none.

    Raises
    ------
    BundleError
        When the lock file cannot be read.
    """
    lock = read_lock(bundle)
    try:
        return None if lock is None else _group(lock)
    except (KeyError, TypeError) as error:
        raise BundleError(f"{bundle / LOCK_FILE}: it holds no recipe ({error}). Copy the bundle again.") from None


def _group(lock: Mapping[str, Any]) -> str | None:
    group = lock["recipe"]["capture"]["group"]
    return str(group) if group else None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of an image's file; empty where it cannot be read, which whoever reads it will say."""
    try:
        return hashlib.sha256(read_content(path)).hexdigest()
    except ImageError:
        return ""


def read_lock(bundle: Path) -> dict[str, Any] | None:
    """Return a bundle's recipe lock; None where it has none.

    Raises
    ------
    BundleError
        When it is no recipe lock, or was altered.
    """
    path = bundle / LOCK_FILE
    if not path.is_file():
        return None
    try:
        document = yaml.safe_load(read_listed(bundle, LOCK_FILE, MAX_LOCK_BYTES))
    except (yaml.YAMLError, UnicodeDecodeError):
        document = None
    if not isinstance(document, dict):
        raise BundleError(f"{path}: it is no recipe lock. Copy the bundle again from where it was made.")
    return document
