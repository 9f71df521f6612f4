"""A bundle gets other thresholds by new images, without being trained again: its own graph scores them.

Nothing of the model was fitted on the new images, so a promise that is taken from them is about the deployed model
itself. A picture or a part that the model learned from would spoil that. As far as a bundle can know, none takes part:
files and, where the recipe has a pattern for them, parts are compared with the recipe's lock file, and frames by their
embedding with those of the good frames that the bundle keeps, which finds a copy that was saved in another lossless
format or came by `lineside extend`. Another picture of a training part without such a pattern is not recognised, and
neither is a copy that was compressed; the statement says so. A second copy among the new images counts once.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import yaml

from lineside.calibrate.wishes import Thresholds, thresholds
from lineside.contract_thresholds import Wish
from lineside.dataset import GOOD, part_of
from lineside.errors import BundleError, UsageError
from lineside.image_files import read_content
from lineside.train.deployed_scores import Deployed, Shown, deployed_scores
from lineside.train.line_parent import LineImage, Opened, Parent
from lineside.train.line_result import Changed
from lineside.train.line_state import LineState
from lineside.train.progress import Journal

LOCK_FILE = "recipe.lock.yaml"
SAME_REL = 1e-4
"""Distance of two embeddings, relative to their length, up to which they are of one picture. Measured on 14 rendered
caps, 128 px: the same picture again 0, the nearest other part 0.06, a JPEG of the same at quality 95 0.13 and more."""
HOW = "new images that the model was not fitted on"


@dataclass(frozen=True)
class _Lock:
    """What the recipe's lock file says of images: side by SHA-256, parts, and their pattern in file names."""

    sides: Mapping[str, str]
    learned: frozenset[str]
    """Physical parts on the side of training."""
    group: str | None


def recalibrated(
    parent: Opened, images: Sequence[LineImage], wish: Wish | None, review: float | None, journal: Journal
) -> Changed:
    """Take a bundle's thresholds from new images.

    Parameters
    ----------
    parent : Opened
    images : sequence of LineImage
        Good ones and defective ones, by their label.
    wish : Wish or None
        None: the bundle's own.
    review : float or None
        Share of good parts for REVIEW, 0 for no band; None: as the bundle has it.
    journal : Journal

    Raises
    ------
    UsageError
        When no good image is left that got a call and is no copy, or the wish needs defective images.
    """
    lock = _lock(parent)
    shown = [Shown(image.name, image.label, _part(image, lock), image.load) for image in images]
    journal.stage("the model on the new images", len(shown))
    seen = deployed_scores(parent.model, parent.contract, shown, journal.step)
    fresh = _fresh(parent, lock, images, seen, journal)
    goods = seen.honest([i for i in fresh if shown[i].label == GOOD], HOW)
    defects = seen.honest([i for i in fresh if shown[i].label != GOOD], HOW)
    if not np.isfinite(goods.parts()).any():
        raise UsageError(
            f"None of the good images leaves a score to take a threshold from: of {len(fresh)} new ones "
            f"{goods.no_call} good ones get no call, the others are NG by a finding. Look at them with "
            "`lineside inspect`."
        )
    old = parent.contract
    own = old.threshold_review.wish
    band = review if review is not None else own.share if own.kind == "review" else None
    found = thresholds(wish or old.threshold_ng.wish, band or None, goods, defects)
    known = _known(parent, lock)
    ng = replace(found.ng, statement=f"{found.ng.statement} {known}")
    _note(found, journal)
    return Changed(
        how="calibrated",
        numbers={},
        threshold=ng,
        review=None if found.review is found.ng else found.review,
        escapes=found.escapes,
        quality_limits=old.quality_limits,
        findings=old.findings,
        state=_state(parent, goods.scores, goods.groups),
        frames=len(goods.scores) + len(defects.scores),
        counted=_counted(shown, fresh),
        statement=(
            f"Thresholds were taken from {len(goods.scores)} new good and {len(defects.scores)} new defective images, "
            f"for {ng.wish.in_words}. Scores, map, gate and classes are those of the parent. {known}"
        ),
        facts={
            "images": float(len(shown)),
            "good_images_used": float(len(goods.scores)),
            "defective_images_used": float(len(defects.scores)),
            "copies_left_out": float(len(shown) - len(fresh)),
            "no_call": float(goods.no_call + defects.no_call),
            "good_ng_before": float((goods.scores > old.threshold_ng.value).mean()),
            "good_ng_after": float((goods.scores > ng.value).mean()),
        },
    )


def _note(found: Thresholds, journal: Journal) -> None:
    journal.note(f"Threshold {found.ng.value:.4g}: {found.ng.rule}. {found.ng.statement}")
    if found.review is not found.ng:
        journal.note(f"REVIEW above {found.review.value:.4g}: {found.review.rule}. {found.review.statement}")
    journal.note(found.escapes.statement)


def _state(parent: Opened, scores: npt.NDArray[np.float32], groups: tuple[str, ...]) -> LineState | None:
    """Return the bundle's state with the scores that the threshold is now taken from."""
    return replace(parent.state, scores=scores, groups=groups) if isinstance(parent, Parent) else None


def _counted(shown: Sequence[Shown], rows: Sequence[int]) -> dict[str, int]:
    labels = [shown[i].label for i in rows]
    return {f"calibrate/{label}": labels.count(label) for label in sorted(set(labels))}


def _lock(parent: Opened) -> _Lock:
    file = parent.folder / LOCK_FILE
    if not file.is_file():
        return _Lock({}, frozenset(), None)
    try:
        document = yaml.safe_load(file.read_bytes())
        sides = {str(image["sha256"]): str(image["split"]) for image in document["images"]}
        learned = frozenset(str(image["group"]) for image in document["images"] if image["split"] == "train")
        return _Lock(sides, learned, document["recipe"]["capture"]["group"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{file}: cannot be read ({error}). Copy the bundle again.") from None


def _part(image: LineImage, lock: _Lock) -> str:
    """Return the image's physical part by the recipe's pattern, else its own place: a part of its own."""
    pattern = re.compile(lock.group) if lock.group else None
    return part_of(pattern, image.path.name, str(image.path))


def _fresh(
    parent: Opened, lock: _Lock, images: Sequence[LineImage], seen: Deployed, journal: Journal
) -> tuple[int, ...]:
    """Return the rows of images that the model did not learn from, each picture once.

    Raises
    ------
    UsageError
        When one picture is given under two labels, or no good one is left.
    """
    hashes = [hashlib.sha256(read_content(image.path)).hexdigest() for image in images]
    known = lock.learned if lock.group else frozenset[str]()
    groups = [one.group for one in seen.shown]
    learned = [lock.sides.get(h) == "train" or group in known for h, group in zip(hashes, groups, strict=True)]
    if isinstance(parent, Parent):
        learned = [own or near for own, near in zip(learned, _near(seen.embeddings, parent.state), strict=True)]
    first: dict[str, int] = {}
    for i, digest in enumerate(hashes):
        other = first.setdefault(digest, i)
        if images[other].label != images[i].label:
            raise UsageError(
                f"{images[i].path} is given as {images[i].label}, and the same picture, {images[other].path}, as "
                f"{images[other].label}: one of them is wrong."
            )
    rows = tuple(i for i, digest in enumerate(hashes) if not learned[i] and first[digest] == i)
    if any(learned):
        names = ", ".join(image.name for image, own in zip(images, learned, strict=True) if own)
        by_part = " (or from a part of that name, by capture.group)" if lock.group else ""
        journal.note(f"{sum(learned)} images were left out, since the model learned from them{by_part}: {names}.")
    if len(first) < len(images):
        journal.note(f"{len(images) - len(first)} images are copies of others given here, and count once.")
    tested = sum(lock.sides.get(hashes[i]) == "test" for i in rows)
    if tested:
        journal.note(f"{tested} are test images of the recipe: its evaluation no longer judges these thresholds.")
    if not any(images[i].label == GOOD for i in rows):
        raise UsageError(
            f"{parent.folder}: the model was trained on all {sum(image.label == GOOD for image in images)} good images "
            f"given here{' or on parts of their names' if lock.group else ''}, so they can promise nothing. Give good "
            "images that it has not seen."
        )
    return rows


def _near(embeddings: npt.NDArray[np.float32], state: LineState) -> list[bool]:
    """Whether each frame [n, d] is one of those that the model was fitted on, by their embeddings [m, d]."""
    known = state.embeddings.astype(np.float64)
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1)  # [n]
    distances = [float(np.linalg.norm(known - row, axis=1).min()) for row in embeddings.astype(np.float64)]
    return [distance <= SAME_REL * length for distance, length in zip(distances, lengths, strict=True)]


def _known(parent: Opened, lock: _Lock) -> str:
    """Say how it was made sure that the model had not seen the images."""
    ways = [*(["files"] if lock.sides else []), *(["embeddings"] if isinstance(parent, Parent) else [])]
    if not ways:
        return "Whether the model was trained on any of them cannot be told: the bundle keeps nothing to compare with."
    part = "" if lock.group else "; other pictures of training parts would not be noticed"
    return f"None of them is a copy of a training image (compared by {' and '.join(ways)}{part})."
