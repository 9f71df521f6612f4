"""report.html of a bundle: what the model is, how it did, what it saw, and what nobody tested.

The page belongs to the bundle, and a bundle is reproducible: nothing in it tells a time, a duration or a folder of the
machine. The pictures are taken with the very graph that goes into the bundle. `lineside.train` is imported for types
only, or where its torch is loaded already: this room is torch-free.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.batch.eye import Eye
from lineside.batch.gallery import LEFT_OUT, Picture, pictures_of
from lineside.batch.judge import read_frame
from lineside.batch.summary import Limits
from lineside.contract import INPUT_FRAME, Contract
from lineside.errors import LinesideError
from lineside.report.copies import copies_section
from lineside.report.document import document
from lineside.report.gallery import Card, Kind, galleries, in_turn
from lineside.report.histogram import ScoreSets
from lineside.report.markup import Markup, element, section
from lineside.report.origin import threshold_section
from lineside.report.scores import drawn_scores, review_line
from lineside.report.training_classes import classes
from lineside.report.training_sections import (
    evaluation,
    in_words,
    light_and_pose,
    made_of,
    parity,
    preprocessing,
    training,
    untested,
)
from lineside.session import processors

if TYPE_CHECKING:
    from lineside.graph.run import Graph
    from lineside.train.record import ScoredImage, TrainingRecord

REPORT_FILE = "report.html"
CALIBRATION_SHOWN = 12
"""Of the images that the threshold was taken from; escapes, overkill, review and no call are shown all."""
PARITY_FILE = "parity.csv"


@dataclass(frozen=True)
class _Shown:
    """Which images the page shows, in their order."""

    escapes: "tuple[ScoredImage, ...]"
    overkill: "tuple[ScoredImage, ...]"
    review: "tuple[ScoredImage, ...]"
    no_call: "tuple[ScoredImage, ...]"
    calibration: "tuple[ScoredImage, ...]"

    @property
    def in_turn(self) -> "list[ScoredImage]":
        """Every image once for each place where it stands, those first whose pictures matter most."""
        return in_turn(self.escapes, self.overkill, self.review, self.no_call, self.calibration)


def pages(record: "TrainingRecord") -> dict[str, bytes]:
    """Make the pages of a bundle.

    Parameters
    ----------
    record : TrainingRecord
        Of the run; its images are read again for their pictures, and one that is gone by now is said to be.

    Returns
    -------
    dict of str to bytes
        ``report.html``, UTF-8: the same bytes for the same recipe and images.
    """
    contract = record.contract
    shown = _shown(record)
    images = [(image.name, image.path) for image in shown.in_turn]
    graph = _graph(record.model)
    limits = contract.threshold_ng.value, contract.threshold_review.value
    read, look = (
        partial(read_frame, spec=contract.frame),
        Eye(record.model, contract, limits, "the bundle's model.onnx"),
    )
    pictures = pictures_of(images, read, look, contract.threshold_ng.value, processors())
    pictured = [image for image in shown.overkill if pictures[image.name] != LEFT_OUT]
    found = {image.name: _found(image.path, graph, contract) for image in pictured}
    introduction = (element("p", in_words(record), class_="lead"),)
    footer = f"lineside {contract.software.get('lineside', '')} · model {record.model_sha256[:12]}"
    page = document(f"Model of {contract.part}", introduction, _sections(record, shown, pictures, found), footer)
    return {REPORT_FILE: page.encode("utf-8", "backslashreplace")}


def _graph(model: bytes) -> "Graph":
    from lineside.graph.run import Graph

    return Graph(model)


def _found(path: Path, graph: "Graph", contract: Contract) -> tuple[str, ...]:
    """Findings in an image, by name; none where it can no longer be read."""
    try:
        frame = read_frame(path, contract.frame)
    except LinesideError:
        return ()
    quality = graph({INPUT_FRAME: frame[None]}, ["quality"])["quality"][0]
    return contract.found(dict(zip(contract.quality_names, quality.astype(float).tolist(), strict=True)))


def _shown(record: "TrainingRecord") -> _Shown:
    tested, is_good = record.tested, record.contract.is_good
    return _Shown(
        escapes=_lowest(image for image in tested if not is_good(image.label) and image.verdict == "OK"),
        overkill=_highest(image for image in tested if is_good(image.label) and image.verdict == "NG"),
        review=_highest(image for image in tested if image.verdict == "REVIEW"),
        no_call=_highest(image for image in tested if image.verdict == "NO_CALL"),
        calibration=_highest(record.calibration)[:CALIBRATION_SHOWN],
    )


def _lowest(images: "Iterable[ScoredImage]") -> "tuple[ScoredImage, ...]":
    return tuple(sorted(images, key=lambda image: (image.score, image.name)))


def _highest(images: "Iterable[ScoredImage]") -> "tuple[ScoredImage, ...]":
    return tuple(sorted(images, key=lambda image: (-image.score, image.name)))


def _sections(
    record: "TrainingRecord", shown: _Shown, pictures: Mapping[str, Picture], found: Mapping[str, tuple[str, ...]]
) -> dict[str, Markup]:
    """The sections by title: how it did first, what it was made of last."""
    contract = record.contract
    own, review = contract.threshold_ng, contract.threshold_review.value
    return {
        "Evaluation": evaluation(record),
        **({"Classes": classes(record)} if contract.classes else {}),
        "Threshold": threshold_section(Limits(own.value, review, overridden=False, contract=own), contract),
        "Scores": _scores(record),
        **_galleries(record, shown, pictures, found),
        **copies_section(record.copies, contract.frame),
        "Light and pose": light_and_pose(record),
        "Not tested": untested(record),
        "Parity": parity(record),
        "Preprocessing": preprocessing(contract),
        "Training": training(record),
        "Model": made_of(record),
    }


def _scores(record: "TrainingRecord") -> Markup:
    called = [image for image in record.tested if image.verdict != "NO_CALL"]
    calibration, is_good = _floats(record.calibration), record.contract.is_good
    goods = _floats(image for image in called if is_good(image.label))
    defective = _floats(image for image in called if not is_good(image.label))
    sets = ScoreSets(
        calibration,
        defective,
        record.contract.threshold_ng.value,
        ("good for calibration", "defective"),
        ("good in test", goods),
        review_line(record.contract.threshold_review.value, record.contract.threshold_ng.value),
    )
    words = (
        f"Upward: good images; solid the {len(calibration)} of the calibration, each scored by a model that was "
        f"fitted without it, pale on top of them the {len(goods)} of the test. Downward: the {len(defective)} "
        f"defective images{_of_both(record)}. Red lies above the threshold. "
        "Images without a call are left out."
    )
    return section("Scores", drawn_scores(sets), element("p", words + _divided(record.contract), class_="note"))


def _divided(contract: Contract) -> str:
    """Say which scores are divided for tolerated classes and which are not, since they stand on one axis."""
    if not contract.class_factors:
        return ""
    named = ", ".join(f"{name} {factor:g}" for name, factor in sorted(contract.class_factors.items()))
    return (
        f" Scores of the test are divided where the model calls a tolerated class ({named}), as on the line; those of "
        "the calibration are not, for the threshold was taken from them undivided: so they stand rather too far right."
    )


def _of_both(record: "TrainingRecord") -> str:
    """Say where the defective images come from."""
    sorts = record.contract.classes is not None and record.contract.classes.task == "classify"
    return " of the test" if sorts else ", of test and training alike, for no score was fitted on them"


def _floats(images: "Iterable[ScoredImage]") -> npt.NDArray[np.float32]:
    return np.array([image.score for image in images], np.float32)


def _galleries(
    record: "TrainingRecord", shown: _Shown, pictures: Mapping[str, Picture], found: Mapping[str, tuple[str, ...]]
) -> dict[str, Markup]:
    defective = sum(not record.contract.is_good(image.label) for image in record.tested)
    goods = len(record.tested) - defective
    escapes = f"Defective images called OK, {len(shown.escapes)} of {defective}{_of_both(record)}; lowest score first."
    worst = (
        f"The highest of the {len(record.calibration)} scores that the threshold was taken from. The score is that of "
        "a model fitted without this part; the map is the bundle's own, which may have learned the part and then sees "
        "less in it."
    )
    named = {
        "Escapes": (shown.escapes, escapes),
        "Overkill": (
            shown.overkill,
            f"Good test images called NG, {len(shown.overkill)} of {goods}; highest score first.",
        ),
        "Review": (shown.review, "Images for a person to decide; highest score first."),
        "No call": (shown.no_call, "The picture is not fit for a verdict; the reasons stand below each."),
        "Worst good images": (shown.calibration, worst),
    }
    kinds = [
        Kind(title, words, _cards(record.contract, images, pictures, found), len(images), PARITY_FILE)
        for title, (images, words) in named.items()
        if images or title not in ("Review", "No call")
    ]
    return galleries(kinds, record.contract.threshold_ng.value)


def _cards(
    contract: Contract,
    images: "Sequence[ScoredImage]",
    pictures: Mapping[str, Picture],
    found: Mapping[str, tuple[str, ...]],
) -> list[Card]:
    cards = []
    for image in images:
        reasons = (contract.in_words(name) for name in (*image.reasons, *found.get(image.name, ())))
        named = (f"class {image.defect_class}",) if image.defect_class else ()
        facts = (*named, f"truth: {image.label}", *reasons)
        cards.append(Card(image.name, image.verdict, image.score, pictures.get(image.name), facts))
    return cards
