"""A bundle's classes get further examples, or a class that it did not know, without being trained again.

The new images become embeddings by the deployed graph itself; the class head is fitted again on those that training
kept and these. Score, map, gate and thresholds stay: good parts alone decide what is anomalous. A new class comes
after the old ones, so that none of their numbers changes its meaning.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.calibrate.escape import no_escapes
from lineside.contract import INPUT_FRAME, UNKNOWN_CLASS, ClassStatement, Contract, Verdict
from lineside.contract_thresholds import EscapeStatement
from lineside.dataset import GOOD_NAMES
from lineside.errors import UsageError
from lineside.export.known_images import known_images, picture_of
from lineside.export.state import STATE_FILE
from lineside.graph.rewrite import with_outputs
from lineside.graph.run import Graph, parallel
from lineside.train.class_state import ClassState, class_state
from lineside.train.class_statement import statement_for
from lineside.train.classes import fit_again
from lineside.train.line_class_graph import TUNED
from lineside.train.line_parent import LineImage, Parent
from lineside.train.line_result import Changed, ClassChange
from lineside.train.progress import Journal
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import ClassFit
from lineside.transfer.classes.pooling import CLASS_EMBEDDING
from lineside.transfer.classes.turns import turned_copies

Floats = npt.NDArray[np.float32]

NEARLY = 0.8
"""Likeness (difflib's ratio) from which on the name of a new class may be a slip of the hand."""
_OLD_LINE = (
    "Examples from before the line changed are counted among these, with the features of that time: of the changed "
    "line alone nothing is stated."
)
_NO_CLASSES = frozenset(name.casefold() for name in (*GOOD_NAMES, UNKNOWN_CLASS))


@dataclass(frozen=True, eq=False)
class _Seen:
    """A new image as the deployed graph sees it."""

    image: LineImage
    embeddings: Floats
    """[1 + copies, D], its own first."""
    verdict: Verdict
    picture: str


def extended_classes(parent: Parent, images: Sequence[LineImage], journal: Journal) -> Changed:
    """Add labelled images of defects to a bundle's classes.

    Parameters
    ----------
    parent : Parent
    images : sequence of LineImage
        Their label is their class.
    journal : Journal

    Raises
    ------
    UsageError
        When the model tells no classes, a class cannot be called so, an image is known as another class, all are known
        already, or the gate lets none of them through.
    BundleError
        When the bundle kept no examples.
    """
    told = _told(parent)
    known = class_state(parent.arrays, str(parent.folder / STATE_FILE))
    _check_names({image.label for image in images})
    journal.stage("the old model on the new images", len(images))
    seen = _observed(parent, images, known.has_copies, journal)
    if all(one.verdict is Verdict.NO_CALL for one in seen):
        raise UsageError(
            f"The model gives none of the {len(seen)} images a verdict, so none can get a class: they do not show its "
            "part as its gate wants it. Look at one by `lineside inspect`, and check the folders."
        )
    new = _unknown_images(known, seen)
    if len(new) < len(seen):
        journal.note(f"{len(seen) - len(new)} of the images are known already and were left out.")
    journal.stage("class head")
    names = _parts(parent, known, new)
    grown = grown_state(known, [(one.image.label, one.embeddings) for one in new], [one.picture for one in new], names)
    fit = fit_again(grown)
    for words in fit.words:
        journal.note(words)
    counts = {name: sum(one.image.label == name for one in new) for name in grown.names}
    statement = _statement(parent.contract, told, grown, counts, fit)
    words = _words(known, counts, new)
    journal.note(words)
    journal.note(statement.statement)
    missed = sum(one.verdict is Verdict.OK for one in new)
    return Changed(
        how="extended",
        numbers={},
        threshold=parent.contract.threshold_ng,
        review=parent.contract.threshold_review,
        escapes=_escapes(parent.contract),
        quality_limits=parent.contract.quality_limits,
        findings=parent.contract.findings,
        state=parent.state,
        frames=len(new),
        counted={f"extend/{name}": count for name, count in counts.items() if count},
        statement=f"{words} {_kept(parent.contract)}",
        facts={
            "images": float(len(seen)),
            "images_used": float(len(new)),
            "images_ok": float(missed),
            "images_no_call": float(sum(one.verdict is Verdict.NO_CALL for one in new)),
            **({} if told.accuracy is None else {"class_accuracy_before": told.accuracy}),
            **({} if statement.accuracy is None else {"class_accuracy_after": statement.accuracy}),
        },
        classes=ClassChange(grown.names, statement, fit, grown.arrays()),
    )


def _escapes(old: Contract) -> EscapeStatement:
    """Return what is known of escapes: nothing, where another class may be what is tolerated."""
    return no_escapes() if old.class_factors else old.escapes


def _kept(old: Contract) -> str:
    if old.class_factors:
        return (
            "Thresholds and what is guaranteed of overkill are the parent's; parts that are called by a tolerated "
            "class may be others now, so of escapes nothing is known until `lineside calibrate` counts them."
        )
    return "Score, thresholds and what is guaranteed of them are the parent's."


def _parts(parent: Parent, known: ClassState, new: Sequence[_Seen]) -> list[str]:
    """Return the physical part of each new image by the recipe's pattern; without one it is a part of its own."""
    told, count = known_images(parent.folder), len(known.parts)
    return [told.part(one.image.path, f"extended {count + i}: {one.image.name}") for i, one in enumerate(new)]


def grown_state(
    known: ClassState, new: Sequence[tuple[str, Floats]], pictures: Sequence[str], parts: Sequence[str]
) -> ClassState:
    """Return what is known of the classes with further images: each its class and embeddings, its own before copies'.

    An image of a part that is known, or among the new ones, joins its group: it is on no other side of a fold. Old rows
    stay as they are, and new classes come after the old.
    """
    names = (*known.names, *sorted({label for label, _ in new} - set(known.names)))
    rows = known.examples
    sizes = [len(embeddings) for _, embeddings in new]
    first = np.concatenate([np.arange(size) == 0 for size in sizes])
    names_of_parts = (*known.parts, *dict.fromkeys(part for part in parts if part not in known.parts))
    numbers = {part: number for number, part in enumerate(names_of_parts)}
    old_turned = np.zeros(len(rows.labels), np.bool_) if rows.turned is None else rows.turned
    examples = Examples(
        embeddings=np.concatenate((rows.embeddings, *(embeddings for _, embeddings in new))),
        labels=np.concatenate((rows.labels, np.repeat([names.index(label) for label, _ in new], sizes))),
        groups=np.concatenate((rows.groups, np.repeat([numbers[part] for part in parts], sizes))),
        original=np.concatenate((rows.original, first)),
        turned=np.concatenate((old_turned, ~first)),
    )
    return replace(known, names=names, examples=examples, pictures=(*known.pictures, *pictures), parts=names_of_parts)


def _told(parent: Parent) -> ClassStatement:
    told = parent.contract.classes
    if told is None:
        raise UsageError(
            f"{parent.folder}: this model tells no classes, so no example can be added. Expected one that was trained "
            "with defective images of at least two classes: put them into train/<class> and train the recipe again."
        )
    if told.method == TUNED:
        raise UsageError(
            f"{parent.folder}: for its classes adapters behind the trunk were tuned, on features that no bundle keeps. "
            "Put the images into train/<class> and train the recipe again."
        )
    return told


def _check_names(labels: set[str]) -> None:
    for label in sorted(labels):
        if label.casefold() in _NO_CLASSES or not label.strip() or "/" in label:
            raise UsageError(
                f"{label!r} cannot be a class of defects. Good parts are added by --good; anything but good, ok, "
                "normal, unknown and names with a slash is a class."
            )


def _observed(parent: Parent, images: Sequence[LineImage], copies: bool, journal: Journal) -> list[_Seen]:
    graph = Graph(with_outputs(parent.model, (CLASS_EMBEDDING,)))

    def one(image: LineImage) -> _Seen:
        frame = image.load()
        own = graph({INPUT_FRAME: frame[None]}, (CLASS_EMBEDDING, "verdict"))
        turned = turned_copies(frame) if copies else []
        rows = [graph({INPUT_FRAME: copy[None]}, (CLASS_EMBEDDING,))[CLASS_EMBEDDING] for copy in turned]
        embeddings = np.concatenate((own[CLASS_EMBEDDING], *rows)).astype(np.float32)
        journal.step()
        return _Seen(image, embeddings, Verdict(int(own["verdict"][0])), picture_of(frame))

    return list(parallel(one, images))


def _unknown_images(known: ClassState, seen: Sequence[_Seen]) -> list[_Seen]:
    """Return the images that are no examples yet: one twice would stand on both sides of a fold."""
    labels = known.examples.labels[known.examples.original].tolist()
    told = {picture: known.names[label] for picture, label in zip(known.pictures, labels, strict=True)}
    new: list[_Seen] = []
    for one in seen:
        label = one.image.label
        if told.setdefault(one.picture, label) != label:
            raise UsageError(
                f"{one.image.path}: is given as {label}, but is already an example of {told[one.picture]}."
            )
        if one.picture not in known.pictures and all(one.picture != other.picture for other in new):
            new.append(one)
    if not new:
        raise UsageError(f"All {len(seen)} images are examples of these classes already; give others.")
    return new


def _statement(
    old: Contract, told: ClassStatement, grown: ClassState, counts: Mapping[str, int], fit: ClassFit
) -> ClassStatement:
    images = {name: told.images.get(name, 0) + counts[name] for name in grown.names}
    made = statement_for(fit, "both", images, fit.accuracy, grown.unknown)
    if all(ancestor.how != "adapted" for ancestor in old.lineage):
        return made
    return replace(made, statement=f"{made.statement} {_OLD_LINE}")


def _words(known: ClassState, counts: Mapping[str, int], new: Sequence[_Seen]) -> str:
    added = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    words = f"Classes extended by {added}; the old examples stay."
    fresh = [name for name in counts if name not in known.names]
    if fresh:
        words += f" New: {', '.join(fresh)}, behind the old classes, whose numbers stay."
        for name in fresh:
            near = difflib.get_close_matches(name, known.names, n=1, cutoff=NEARLY)
            words += f" If {name} was meant to be {near[0]}, extend the model of before again." if near else ""
    missed = sum(one.verdict is Verdict.OK for one in new)
    if missed:
        words += f" {missed} of the {len(new)} images are OK to the model; a class is told only of what is not."
    return words
