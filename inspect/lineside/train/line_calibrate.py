"""A bundle gets other thresholds by new images, without being trained again: its own graph scores them.

Nothing of the model was fitted on the new images, so a promise that is taken from them is about the deployed model
itself. A picture or a part that the model learned from would spoil that: `lineside.export.known_images` finds them as
far as a bundle can know, and none takes part. A second copy among the new images counts once, and so do several
pictures of one part, told by the recipe's pattern or found as copies (`lineside.capture.copies`): a promise counts
parts. Near copies of the recipe's training images are found by small versions of these, which the bundle keeps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.calibrate.wishes import no_defects, thresholds
from lineside.capture.copies import SIGMAS, Look, SameParts, look_at, unsure_words
from lineside.capture.known_looks import Beside, KnownLooks, beside
from lineside.contract_thresholds import Wish
from lineside.dataset import GOOD
from lineside.errors import UsageError
from lineside.export.known_images import TEST, KnownImages, file_sha256, known_images
from lineside.export.threshold_images import threshold_images
from lineside.train.calibration import note_thresholds
from lineside.train.deployed_scores import Deployed, Shown, deployed_scores
from lineside.train.line_parent import LineImage, Opened, Parent
from lineside.train.line_result import Changed
from lineside.train.line_state import LineState
from lineside.train.progress import Journal
from lineside.wish_images import needs_defects

Pixels = npt.NDArray[np.uint8]
HOW = "new images that the model was not fitted on"
_NAMED = 6


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
    old, known = parent.contract, known_images(parent.folder)
    wish = wish or old.threshold_ng.wish
    if needs_defects(wish) and all(image.label == GOOD for image in images):
        raise UsageError(no_defects(wish))
    candidates = _candidates(known, images)
    _refuse_without_good(parent, known, images, candidates.rows)
    chosen = [images[i] for i in candidates.rows]
    looked = _Looking(chosen)
    shown = [
        Shown(image.name, image.label, known.part(image.path, str(image.path)), looked.loader(i))
        for i, image in enumerate(chosen)
    ]
    journal.stage("the model on the new images", len(shown))
    seen = deployed_scores(parent.model, old, shown, journal.step)
    found = looked.found(known.looks)
    seen = _by_part(seen, found.same, journal)
    fresh = _fresh(parent, known, images, candidates, seen, found.copy_of, journal)
    goods = seen.honest([i for i in fresh if shown[i].label == GOOD], HOW)
    defects = seen.honest([i for i in fresh if shown[i].label != GOOD], HOW, tolerant=True)
    if not np.isfinite(goods.parts()).any():
        raise UsageError(
            f"None of the good images leaves a score to take a threshold from: of {len(fresh)} new ones "
            f"{goods.no_call} good ones get no call, the others are NG by a finding. Look at them with "
            "`lineside inspect`."
        )
    own = old.threshold_review.wish
    band = review if review is not None else own.share if own.kind == "review" else None
    made = thresholds(wish, band or None, goods, defects)
    compared = _compared(known) + parts_unknown(known, chosen)
    ng = replace(made.ng, statement=f"{made.ng.statement} {compared}")
    note_thresholds(made, journal)
    journal.note(made.escapes.statement)
    return Changed(
        how="calibrated",
        numbers={},
        threshold=ng,
        review=None if made.review is made.ng else made.review,
        escapes=made.escapes,
        quality_limits=old.quality_limits,
        findings=old.findings,
        state=_state(parent, goods.scores, goods.groups),
        frames=len(goods.scores) + len(defects.scores),
        counted=_counted(shown, fresh),
        statement=(
            f"Thresholds were taken from {len(goods.scores)} new good and {len(defects.scores)} new defective images, "
            f"for {ng.wish.in_words}. Scores, map, gate and classes are those of the parent. {compared}"
        ),
        facts={
            "images": float(len(images)),
            "good_images_used": float(len(goods.scores)),
            "defective_images_used": float(len(defects.scores)),
            "copies_left_out": float(len(images) - len(fresh)),
            "no_call": float(goods.no_call + defects.no_call),
            "good_ng_before": float((goods.parts() > old.threshold_ng.value).mean()),
            "good_ng_after": float((goods.parts() > ng.value).mean()),
        },
        taken_from=threshold_images([seen.pictures[i] for i in fresh], _named_parts(known, [chosen[i] for i in fresh])),
    )


def _named_parts(known: KnownImages, images: Sequence[LineImage]) -> list[str]:
    """Return the images' parts, as far as their names tell them."""
    return [part for part in (known.part(image.path, "") for image in images) if part]


class _Looking:
    """Keeps of images what copies are known by, while each is read."""

    def __init__(self, images: Sequence[LineImage]) -> None:
        self._images, goods = images, [i for i, image in enumerate(images) if image.label == GOOD]
        self._measured = {goods[i] for i in np.linspace(0, len(goods) - 1, min(SIGMAS, len(goods))).astype(int)}
        self._looks: dict[int, Look] = {}

    def loader(self, number: int) -> Callable[[], Pixels]:
        """Return the call that reads an image and looks at it."""

        def load() -> Pixels:
            frame = self._images[number].load()
            self._looks[number] = look_at(frame, noise=number in self._measured)
            return frame

        return load

    def found(self, known: KnownLooks | None) -> Beside:
        """Return which images show one part, and which are copies of images that the model learned from; each was read.

        Raises
        ------
        UsageError
            When one picture is given under two labels.
        """
        looks = [self._looks[i] for i in range(len(self._images))]
        first: dict[str, LineImage] = {}
        for image, look in zip(self._images, looks, strict=True):
            _refuse_two_labels(first.setdefault(look.pixel_sha256, image), image)
        return beside(known, looks, [image.label for image in self._images])


def _by_part(seen: Deployed, found: SameParts, journal: Journal) -> Deployed:
    """Join the images that show one part although no name said so, and say which."""
    if found.sets:
        sets = "; ".join(", ".join(seen.shown[i].name for i in rows[:_NAMED]) for rows in found.sets[:_NAMED])
        more = f" and {len(found.sets) - _NAMED} more" if len(found.sets) > _NAMED else ""
        journal.note(f"Images that are copies of one another, by pixels or within noise, count once: {sets}{more}.")
    if found.unsure:
        names = [seen.shown[i].name for i in found.unsure]
        journal.note(unsure_words(names, found.limit, "say so by capture.group, and train again"))
    groups = found.names([one.group for one in seen.shown])
    return replace(seen, shown=tuple(replace(o, group=group) for o, group in zip(seen.shown, groups, strict=True)))


def _refuse_two_labels(one: LineImage, other: LineImage) -> None:
    if one.label != other.label:
        raise UsageError(
            f"{other.path} is given as {other.label}, and the same picture, {one.path}, as {one.label}: one of them is "
            "wrong."
        )


def _state(parent: Opened, scores: npt.NDArray[np.float32], groups: tuple[str, ...]) -> LineState | None:
    """Return the bundle's state with the scores that the threshold is now taken from."""
    return replace(parent.state, scores=scores, groups=groups) if isinstance(parent, Parent) else None


def _counted(shown: Sequence[Shown], rows: Sequence[int]) -> dict[str, int]:
    labels = [shown[i].label for i in rows]
    return {f"calibrate/{label}": labels.count(label) for label in sorted(set(labels))}


@dataclass(frozen=True)
class _Candidates:
    """Images that their files and names let pass, each picture once."""

    rows: tuple[int, ...]
    """Of all images that were given."""
    learned: frozenset[int]
    """Those that the model learned from, by file or part."""
    copies: int
    """Images that repeat another."""
    tested: frozenset[int]
    """Test images of the recipe."""


def _candidates(known: KnownImages, images: Sequence[LineImage]) -> _Candidates:
    """Look at files and names alone; nothing is scored yet.

    Raises
    ------
    UsageError
        When one picture is given under two labels.
    """
    hashes = [file_sha256(image.path) for image in images]
    first: dict[str, int] = {}
    for i, digest in enumerate(hashes):
        _refuse_two_labels(images[first.setdefault(digest, i)], images[i])
    learned = frozenset(i for i, image in enumerate(images) if known.learned(image.path, hashes[i]))
    rows = tuple(i for i, digest in enumerate(hashes) if i not in learned and first[digest] == i)
    tested = frozenset(i for i in rows if known.sides.get(hashes[i]) == TEST)
    return _Candidates(rows, learned, len(images) - len(first), tested)


def _fresh(
    parent: Opened,
    known: KnownImages,
    images: Sequence[LineImage],
    candidates: _Candidates,
    seen: Deployed,
    copy_of: Mapping[int, str],
    journal: Journal,
) -> tuple[int, ...]:
    """Return which of the candidates, in their order, the model did not learn from by what is seen in them either.

    Raises
    ------
    UsageError
        When no good one is left.
    """
    pictures = enumerate(zip(seen.embeddings, seen.pictures, strict=True))
    alike = [k in copy_of or known.looks_learned(*one) for k, one in pictures]
    learned = candidates.learned | {i for i, same in zip(candidates.rows, alike, strict=True) if same}
    fresh = tuple(k for k, same in enumerate(alike) if not same)
    rows = [candidates.rows[k] for k in fresh]
    if learned:
        twins = {images[candidates.rows[k]].name: name for k, name in copy_of.items()}
        journal.note(known.left_out([images[i].name for i in sorted(learned)], twins))
    if candidates.copies:
        journal.note(f"{candidates.copies} images are copies of others given here, and count once.")
    tested = len(candidates.tested.intersection(rows))
    if tested:
        journal.note(f"{tested} are test images of the recipe: its evaluation no longer judges these thresholds.")
    _refuse_without_good(parent, known, images, rows)
    return fresh


def _refuse_without_good(parent: Opened, known: KnownImages, images: Sequence[LineImage], rows: Sequence[int]) -> None:
    if not any(images[i].label == GOOD for i in rows):
        raise UsageError(
            f"{parent.folder}: the model was trained on all {sum(image.label == GOOD for image in images)} good images "
            f"given here{' or on parts of their names' if known.group else ''}, so they can promise nothing. Give good "
            "images that it has not seen."
        )


def parts_unknown(known: KnownImages, images: Sequence[LineImage]) -> str:
    """Say of how many images the recipe's pattern does not tell the part; empty where it tells all or there is none."""
    untold = sum(not known.part(image.path, "") for image in images) if known.group else 0
    if not untold:
        return ""
    return (
        f" The recipe's capture.group does not fit the names of {untold} of {len(images)} images: each of them counts "
        "as a part, so that nothing here holds if several show one."
    )


def _compared(known: KnownImages) -> str:
    """Say how it was made sure that the model had not seen the images."""
    if known.compared is None:
        return "Whether the model was trained on any of them cannot be told: the bundle keeps nothing to compare with."
    return f"None of them is a copy of a training image ({known.compared})."
