"""A bundle learns further good parts without being trained again, and forgets none of the old ones.

New patches join the memory, whose entries stay; places are updated by their sufficient statistics; gate and familiarity
are learned from the numbers of old and new frames together. The old calibration scores stay: a memory that grows makes
no distance larger, so they are upper bounds; places move with what they learn, and the threshold's statement says that
the old scores are from before. The new frames are scored by heads that were extended without their parts, as
the recipe's pattern (`capture.group`) tells parts; a further frame of a part of the training counts with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.calibrate.crossfit import grouped_folds
from lineside.calibrate.escape import no_escapes
from lineside.calibrate.threshold import overkill_threshold
from lineside.contract import Finding
from lineside.contract_thresholds import Threshold
from lineside.errors import UsageError
from lineside.export.known_images import KnownImages, known_images
from lineside.train.line_band import kept_review, not_held
from lineside.train.line_gate import changed_gate
from lineside.train.line_head import Head, head_numbers, head_values
from lineside.train.line_parent import LineImage, Parent, Taken, observe
from lineside.train.line_result import Changed
from lineside.train.line_state import HeadKept
from lineside.train.progress import Journal
from lineside.transfer.align import TapStatistics, mean_statistics, resized_weights, tap_statistics
from lineside.transfer.extend import extended_place, grown_memory
from lineside.transfer.familiar import fit_familiarity
from lineside.transfer.head import REGION, HeadValues
from lineside.transfer.rows import Rows, patches_of
from lineside.transfer.sharp_fit import extended_sharp_place

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]

FOLDS = 5
NAMED = 5
"""Of the frames that the parent rejected."""
CLOSER = 0.5
"""New patches are covered down to this share of the distance within which the old ones are: their farthest patch sets
a good frame's score, so covered no better than the worst old patch they would still score as high as it."""


@dataclass(frozen=True)
class _Patches:
    """What the deployed projections make of the new frames."""

    averaged: Floats
    """[n, P, d]."""
    plain: Floats
    """The same patches as they are, [n, P, d]."""
    counts: npt.NDArray[np.bool_]
    """[n, P]."""
    taps: tuple[TapStatistics, ...]
    taken: Sequence[Taken]

    def take(self, rows: Sequence[int]) -> "_Patches":
        chosen = list(rows)
        taken = [self.taken[row] for row in chosen]
        return replace(
            self, averaged=self.averaged[chosen], plain=self.plain[chosen], counts=self.counts[chosen], taken=taken
        )


def extended(parent: Parent, images: Sequence[LineImage], journal: Journal) -> Changed:
    """Extend a bundle by further good frames.

    Raises
    ------
    UsageError
        When the frames show another part, or the gate can let none of them through.
    """
    state = parent.state
    _refuse_way(parent)
    journal.stage("the old model on the new frames", len(images))
    before = observe(parent, images, journal.step)
    _refuse_other_part(parent, float(np.median(before.novelty)))
    both = np.concatenate((state.quality, before.quality[:, :-1]))
    gate = changed_gate(parent, both, trusted=True)
    passed = gate.passed[len(state.quality) :]
    if not passed.any():
        raise UsageError(f"None of the {len(images)} good frames can get a verdict, most because {gate.commonest}.")
    seen = [image for image, ok in zip(images, passed, strict=True) if ok]
    journal.stage("the head grows")
    patches = _embedded(parent, [frame for frame, ok in zip(before.taken, passed, strict=True) if ok])
    parts = parts_of(known_images(parent.folder), seen, len(state.groups))
    honest = _honest_scores(parent, parts, patches, before.scores[passed])
    found = [_found(gate.findings, parent, row) for row in before.quality[passed]]
    scores = np.concatenate((state.scores, np.where(found, np.inf, honest))).astype(np.float32)
    groups = (*state.groups, *parts)
    values, kept_head = _grown(parent, patches)
    limit = parent.contract.threshold_ng.value
    ng = [image.name for image, score in zip(seen, before.final[passed], strict=True) if score > limit]
    words = _words(parent, values, len(seen)) + _rejected(ng, len(seen))
    journal.note(words)
    threshold = _threshold(parent, scores, groups, len(seen))
    journal.note(f"Threshold {threshold.value:.4g}: {threshold.rule}. {threshold.statement}")
    embeddings = np.concatenate((state.embeddings, before.embeddings[passed]))
    kept = replace(
        state,
        head=replace(
            kept_head, taps=tuple(mean_statistics(pair) for pair in zip(state.head.taps, patches.taps, strict=True))
        ),
        embeddings=embeddings,
        quality=gate.quality,
        scores=scores,
        groups=groups,
    )
    numbers = {**head_numbers(values, state.shape), **gate.numbers, **fit_familiarity(embeddings, state.seed)}
    return Changed(
        how="extended",
        numbers=numbers,
        threshold=threshold,
        review=kept_review(parent, threshold, scores, groups, how=_how(len(seen))),
        escapes=no_escapes(),
        quality_limits=gate.limits,
        findings=gate.findings,
        state=kept,
        frames=len(seen),
        counted={"extend/good": len(seen)},
        statement=f"{words} Gate, familiarity and threshold were learned again from old and new numbers together."
        + _of_classes(parent),
        facts={
            "frames": float(len(images)),
            "frames_used": float(len(seen)),
            "refused_before": float((before.gate != 0).mean()),
            "ng_before": float((before.final > limit).mean()),
            "ng_after_held_out": float((honest > threshold.value).mean()),
            "memory_before": 0.0 if values.memory is None else float(len(parent.constants["memory"])),
            "memory_after": 0.0 if values.memory is None else float(len(values.memory)),
        },
    )


def parts_of(known: KnownImages, images: Sequence[LineImage], before: int) -> tuple[str, ...]:
    """Return the physical part of each new frame by the recipe's pattern; without one, a name that is nowhere else.

    Parameters
    ----------
    known : KnownImages
    images : sequence of LineImage
    before : int
        Frames that the bundle has scores of.
    """
    return tuple(known.part(image.path, f"extended {before + i}: {image.name}") for i, image in enumerate(images))


def _of_classes(parent: Parent) -> str:
    told = parent.contract.classes
    if told is None:
        return ""
    if told.accuracy is None:
        return " The classes are those of before; how often they are named rightly is not known."
    return (
        " The classes are those of before; how often they are named rightly was counted with the old head, which may "
        "have looked at other places."
    )


def _embedded(parent: Parent, taken: Sequence[Taken]) -> _Patches:
    shape, values = parent.state.shape, head_values(parent.constants, parent.state.shape)
    features = {i: np.concatenate([frame[name] for frame in taken]) for i, name in enumerate(parent.taps)}
    rows = Rows(features, np.concatenate([frame[REGION] for frame in taken]), range(len(taken)))
    averaged, counts = patches_of(shape, rows, values.projections, values.offsets)
    plain, _ = patches_of(shape, rows, values.projections, values.offsets, averaged=False)
    assert rows.regions is not None
    taps = tuple(tap_statistics(t, resized_weights(rows.regions, (t.shape[2], t.shape[3]))) for t in features.values())
    return _Patches(averaged, plain, counts, taps, taken)


def _grown(parent: Parent, new: _Patches) -> tuple[HeadValues, HeadKept]:
    """Return the head extended by some frames' patches."""
    state, kept = parent.state, parent.state.head
    values = head_values(parent.constants, state.shape)
    share = min(1.0, len(new.averaged) / max(1, len(state.embeddings)))  # as many entries a frame as the old ones have
    limit = max(1, round(share * state.shape.memory))
    if values.place is not None:
        assert kept.place is not None
        place, known = extended_place(values.place, kept.place, new.averaged, new.counts, range(len(new.averaged)))
        values, kept = replace(values, place=place), replace(kept, place=known)
    if values.memory is not None:
        memory = grown_memory(values.memory, new.averaged[new.counts], CLOSER * kept.radius, limit)
        values = replace(values, memory=memory)
    if values.sharp_memory is not None:
        memory = grown_memory(values.sharp_memory, new.plain[new.counts], CLOSER * kept.sharp_radius, limit)
        values = replace(values, sharp_memory=memory)
    if values.sharp_place is not None:
        assert kept.sharp is not None
        sharp, learned = extended_sharp_place(values.sharp_place, kept.sharp, new.plain, new.counts)
        values, kept = replace(values, sharp_place=sharp), replace(kept, sharp=learned)
    return values, kept


def _honest_scores(
    parent: Parent, parts: Sequence[str], patches: _Patches, own: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Score every new frame by a head that was extended without its part; one part alone by the parent."""
    if len(set(parts)) < 2:
        return own
    scores, head = np.empty(len(parts)), Head(parent)
    for fold in grouped_folds(parts, FOLDS):
        values, _ = _grown(parent, patches.take(fold.fit))
        numbers = head_numbers(values, parent.state.shape)
        scores[list(fold.score)] = head([patches.taken[i] for i in fold.score], numbers)[0]
    return scores


def _found(findings: Sequence[Finding], parent: Parent, quality: Floats) -> bool:
    named = dict(zip(parent.contract.quality_names, quality.astype(float).tolist(), strict=True))
    return any(finding.holds(named) for finding in findings)


def _words(parent: Parent, values: HeadValues, count: int) -> str:
    if values.memory is None:
        return f"Extended by {count} good frames: mean, scatter and spread of every place were updated by them."
    before = len(parent.constants["memory"])
    words = (
        f"Extended by {count} good frames: {len(values.memory) - before} of their patches joined the memory of "
        f"{before}, whose entries stay."
    )
    if values.sharp_memory is not None:
        own = len(parent.constants["sharp_memory"])
        return f"{words} As they are, {len(values.sharp_memory) - own} joined the {own} of the other memory."
    if values.sharp_place is not None:
        return f"{words} As they are, mean and spread of every place were updated by them."
    return words


def _rejected(names: Sequence[str], count: int) -> str:
    """Say which frames the parent rejected: a defect among them would be good from now on."""
    if not names:
        return ""
    shown = ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")
    return (
        f" {len(names)} of the {count} frames were NG to the model before ({shown}): look at them, since what they "
        "show passes from now on."
    )


def _threshold(parent: Parent, scores: Floats, groups: Sequence[str], count: int) -> Threshold:
    limit, how = parent.contract.threshold_ng, _how(count)
    sure = limit.wish.confidence
    made = overkill_threshold(scores, groups, limit.wish_overkill, crossfit=how, held_out=False, confidence=sure)
    old = "Old scores are upper bounds, since a memory that grows makes no distance larger."
    if parent.state.shape.placed or parent.state.shape.sharp == "place":
        old = "Old scores were taken with the places as they were before."
    return replace(made, statement=f"{made.statement} {old}{not_held(limit)}")


def _how(count: int) -> str:
    return f"old scores as they were, those of {count} new frames cross-fitted"


def _refuse_way(parent: Parent) -> None:
    """Refuse heads whose other numbers were fitted together with the memory: it cannot grow by itself."""
    way = parent.state.shape.way
    if way not in ("nearest", "place"):
        raise UsageError(
            f"{parent.folder}: patches are compared by {way}, which cannot be extended without training again. "
            "Expected transfer.distance: nearest, or a part whose places are known; else train with all good images."
        )


def _refuse_other_part(parent: Parent, novelty: float) -> None:
    limit = parent.contract.quality_limits[-1][1]
    if limit is not None and novelty > limit:
        raise UsageError(
            f"The new frames do not show the part that the model knows: their median novelty is {novelty:.1f}, the "
            f"gate's limit {limit:g}. Check the folder. Frames of the same part by another camera or lamp: use "
            "`lineside adapt` first."
        )
