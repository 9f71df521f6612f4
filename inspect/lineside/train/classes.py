"""Putting a class head behind a fitted anomaly head: examples in, one more part of the graph out.

It is fitted once, behind the deployed head: front and anomaly head were fitted on good images alone, so no defective
image has a say in what its own embedding is made of, and cross-validation over the defects is honest without fitting
them again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.dataset import Sample
from lineside.export.decision import CLASS_CALLED, CLASS_LIKENESS, CLASS_PROBABILITY
from lineside.export.known_images import picture_of
from lineside.export.parity import ClassAnswer
from lineside.graph.join import join, rename_output
from lineside.graph.run import parallel
from lineside.recipe import LoadedRecipe
from lineside.train.class_state import ClassState
from lineside.train.class_views import Eye, View, eye_of
from lineside.train.episodes import Pooler, start_of
from lineside.train.images import FrameReader
from lineside.train.method import FittedClasses, FittedHead, State
from lineside.train.progress import Journal
from lineside.transfer.classes.examples import Examples
from lineside.transfer.classes.fit import ClassFit, fit_classes
from lineside.transfer.classes.head import UNKNOWN, ClassValues, classify_reference, export_class_head
from lineside.transfer.classes.meta import Start
from lineside.transfer.classes.pooling import CLASS_EMBEDDING
from lineside.transfer.classes.tail import CLASS_TUNED, cells_of, export_tail, may_tune

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

MOST_GOODS = 200
"""Good frames that embeddings are normalised by: mean and deviation of more are nearly the same and cost time."""
MOST_COPIED = 200
"""Examples up to which turned copies are tried too."""
EDGE_REL = 1e-3
"""A strangeness this near to one of the calibration's is on an edge: rounding decides the p-value."""


@dataclass(frozen=True)
class ClassSettings:
    """What the recipe and the images say of classes."""

    names: tuple[str, ...]
    """Columns, in the contract's order."""
    loaded: LoadedRecipe

    @property
    def copies(self) -> bool:
        """Whether turned copies may be tried; where the part's pose is found they would be turned back."""
        return self.loaded.recipe.transfer.augment != "none"


def with_classes(
    head: FittedHead,
    settings: ClassSettings,
    examples: Sequence[Sample],
    goods: Sequence[Sample],
    reader: FrameReader,
    journal: Journal,
) -> FittedHead:
    """Fit a class head on examples of every class, and put it behind an anomaly head.

    Parameters
    ----------
    head : FittedHead
        The deployed one, of lineside's own method.
    settings : ClassSettings
    examples : sequence of Sample
        Defective training images.
    goods : sequence of Sample
        Good training images: what embeddings are normalised by.
    reader : FrameReader
    journal : Journal
    """
    goods = [goods[i] for i in np.unique(np.linspace(0, len(goods) - 1, MOST_GOODS).round().astype(int))]
    transfer = settings.loaded.recipe.transfer
    copies = settings.copies and head.front.decision.settings.pose is None and len(examples) <= MOST_COPIED
    journal.stage("class head")
    eye = eye_of(head)
    counts = [sum(sample.label == name for sample in examples) for name in settings.names]
    most = len(examples) * 2 * (8 if copies else 1)  # with masks, and with turned copies
    eye = replace(eye, keeps_taps=may_tune(transfer.classes.method, counts, most, eye.shape))
    of_goods = np.stack(list(parallel(lambda sample: eye.embedding(reader.read(sample)), goods)))
    seen = list(parallel(lambda sample: eye.views(sample, reader, copies=copies), examples))
    rows = _gathered(examples, seen, settings.names, eye)
    known = ClassState(
        settings.names,
        transfer.classes.method,
        transfer.classes.unknown,
        settings.loaded.recipe.seed,
        rows,
        of_goods,
        _start(head, eye, settings.loaded, journal),
        tuple(parallel(lambda sample: picture_of(reader.read(sample)), examples)),
        _parts(examples),
    )
    fit = fit_again(known)
    for words in fit.words:
        journal.note(words)
    classes = FittedClasses(settings.names, "both", fit, _answer(eye, fit), replace(rows, cells=None), of_goods)
    parts = (*head.parts, *eye.parts, ("classes", class_part(fit)))
    constants = {**head.constants, **class_constants(fit)}
    state = head.state and partial(_state, head.state, replace(known, examples=replace(rows, cells=None)))
    return replace(head, parts=parts, constants=constants, classes=classes, state=state)


def fit_again(known: ClassState) -> ClassFit:
    """Fit a class head on what is known of its classes."""
    return fit_classes(known.examples, known.goods, known.method, known.unknown, known.seed, known.start)


def _state(head: Callable[[], State], known: ClassState) -> State:
    return {**head(), **known.arrays()}


def _start(head: FittedHead, eye: Eye, loaded: LoadedRecipe, journal: Journal) -> Start | None:
    backbone = head.front.trunk.backbone
    assert backbone is not None  # classes stand behind lineside's own method
    settings = head.front.decision.settings
    return start_of(loaded, Pooler(backbone, eye.parts[1][1], eye.shape.grid_hw, settings, masked=True), journal)


def class_constants(fit: ClassFit) -> dict[str, npt.NDArray[np.generic]]:
    """Return the fitted numbers of a class head, its tail's included, by input name."""
    return {**fit.values.feed(), **(fit.tail.feed() if fit.tail else {})}


def class_part(fit: ClassFit) -> "onnx.ModelProto":
    """Export a fitted class head, with its tail where it has one, under the names that the decision takes."""
    model = export_class_head(fit.values, CLASS_TUNED if fit.tail else CLASS_EMBEDDING)
    if fit.tail:
        model = join(export_tail(fit.tail), model, "head/")
    taken = {"class_prob": CLASS_PROBABILITY, "class_index": CLASS_CALLED, "class_p_value": CLASS_LIKENESS}
    for name, new in taken.items():
        model = rename_output(model, name, new)
    return model


def class_answer(values: ClassValues, embedding: npt.NDArray[np.generic]) -> ClassAnswer:
    """Classify one embedding [1, D] in plain NumPy, and say where the answer lies on an edge."""
    said = classify_reference(values, embedding)
    called, near = int(said.prob[0].argmax()), said.strangeness[0] * np.array([1.0 - EDGE_REL, 1.0 + EDGE_REL])
    beyond = (values.calibration >= near[:, None]).sum(axis=1)
    unknown = beyond + 1.0 < values.least
    p_values = (beyond + 1.0) / (len(values.calibration) + 1.0)
    calls = frozenset(UNKNOWN if strange else called for strange in unknown.tolist())
    return ClassAnswer(said.prob[0], calls, (float(p_values.min()), float(p_values.max())))


def _gathered(samples: Sequence[Sample], seen: Sequence[Sequence[View]], names: tuple[str, ...], eye: Eye) -> Examples:
    """Put the views of all images into rows; an image's views, and a part's images, are one group."""
    groups = {group: number for number, group in enumerate(_parts(samples))}
    rows = [(view, sample) for sample, views in zip(samples, seen, strict=True) for view in views]
    cells = None
    if eye.keeps_taps:
        taps = [np.stack([view.taps[number] for view, _ in rows]) for number in range(len(eye.taps))]
        cells = cells_of(eye.shape, taps, np.stack([view.weight for view, _ in rows]))
    return Examples(
        embeddings=np.stack([view.embedding for view, _ in rows]),
        labels=np.array([names.index(sample.label) for _, sample in rows], np.int64),
        groups=np.array([groups[sample.group] for _, sample in rows], np.int64),
        original=np.array([view.original for view, _ in rows], np.bool_),
        turned=np.array([view.turned for view, _ in rows], np.bool_),
        cells=cells,
    )


def _parts(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Return the parts' names, by their number."""
    return tuple(sorted({sample.group for sample in samples}))


def _answer(eye: Eye, fit: ClassFit) -> Callable[[Pixels], ClassAnswer]:
    return lambda frame: class_answer(fit.values, eye.reference(frame, fit.tail))
