"""report.html of a bundle: what the model is, how it did, what it saw, and what nobody tested.

The page belongs to the bundle, and a bundle is reproducible: nothing in it tells a time, a duration or a folder of the
machine. The pictures are taken with the very graph that goes into the bundle. `lineside.train` is imported for types
only, or where its torch is loaded already: this room is torch-free.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from lineside.batch.gallery import Look, Picture, pictures_of
from lineside.batch.judge import read_frame
from lineside.batch.summary import Limits
from lineside.contract import INPUT_FRAME, Contract
from lineside.errors import LinesideError
from lineside.report.copies import copies_section
from lineside.report.document import document
from lineside.report.gallery import HOW_TO_READ, Card, colour_scale, gallery
from lineside.report.histogram import histogram
from lineside.report.markup import Markup, element, section
from lineside.report.origin import threshold_section
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
SHOWN = 12
"""Images in each gallery."""


@dataclass(frozen=True)
class _Shown:
    """Which images the page shows, in their order."""

    escapes: "tuple[ScoredImage, ...]"
    overkill: "tuple[ScoredImage, ...]"
    no_call: "tuple[ScoredImage, ...]"
    calibration: "tuple[ScoredImage, ...]"

    def __iter__(self) -> "Iterator[ScoredImage]":
        """Every image once for each place where it stands."""
        yield from (*self.escapes, *self.overkill, *self.no_call, *self.calibration)


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
    paths = {image.name: image.path for image in shown}
    workers = processors()
    graph = _graph(record.model)
    pictures = pictures_of(paths, contract.frame, _eye(graph), contract.threshold_ng.value, workers)
    found = {image.name: _found(image.path, graph, contract) for image in shown.overkill}
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


def _eye(graph: "Graph") -> Look:
    def look(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        outputs = graph({INPUT_FRAME: frame[None]}, ["anomaly_map"])
        return cast("npt.NDArray[np.float32]", outputs["anomaly_map"][0])  # [h, w]

    return look


def _shown(record: "TrainingRecord") -> _Shown:
    tested, is_good = record.tested, record.contract.is_good
    return _Shown(
        escapes=_lowest(image for image in tested if not is_good(image.label) and image.verdict == "OK"),
        overkill=_highest(image for image in tested if is_good(image.label) and image.verdict == "NG"),
        no_call=_highest(image for image in tested if image.verdict == "NO_CALL"),
        calibration=_highest(record.calibration),
    )


def _lowest(images: "Iterable[ScoredImage]") -> "tuple[ScoredImage, ...]":
    return tuple(sorted(images, key=lambda image: (image.score, image.name))[:SHOWN])


def _highest(images: "Iterable[ScoredImage]") -> "tuple[ScoredImage, ...]":
    return tuple(sorted(images, key=lambda image: (-image.score, image.name))[:SHOWN])


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
    drawing = histogram(
        calibration,
        defective,
        record.contract.threshold_ng.value,
        names=("good for calibration", "defective"),
        unit="score, larger is worse",
        pale=("good in test", goods),
    )
    words = (
        f"Upward: good images; solid the {len(calibration)} of the calibration, each scored by a model that was "
        f"fitted without it, pale on top of them the {len(goods)} of the test. Downward: the {len(defective)} "
        f"defective images{_of_both(record)}. Red lies above the threshold. "
        "Images without a call are left out."
    )
    return section("Scores", element("div", drawing, class_="scroll"), element("p", words, class_="note"))


def _of_both(record: "TrainingRecord") -> str:
    """Say where the defective images come from."""
    sorts = record.contract.classes is not None and record.contract.classes.task == "classify"
    return " of the test" if sorts else ", of test and training alike, for no score was fitted on them"


def _floats(images: "Iterable[ScoredImage]") -> npt.NDArray[np.float32]:
    return np.array([image.score for image in images], np.float32)


def _galleries(
    record: "TrainingRecord", shown: _Shown, pictures: Mapping[str, Picture], found: Mapping[str, tuple[str, ...]]
) -> dict[str, Markup]:
    is_good = record.contract.is_good
    defective = sum(not is_good(image.label) for image in record.tested)
    goods = len(record.tested) - defective
    escaped = sum(not is_good(image.label) and image.verdict == "OK" for image in record.tested)
    called_ng = sum(is_good(image.label) and image.verdict == "NG" for image in record.tested)
    escapes = f"Defective images called OK, {escaped} of {defective}{_of_both(record)}"
    worst = (
        f"The highest of the {len(record.calibration)} scores that the threshold was taken from. The score is that of "
        "a model fitted without this part; the map is the bundle's own, which may have learned the part and then sees "
        "less in it."
    )
    named = {
        "Escapes": (shown.escapes, f"{escapes}; lowest score first."),
        "Overkill": (shown.overkill, f"Good test images called NG, {called_ng} of {goods}; highest score first."),
        "No call": (shown.no_call, "The picture is not fit for a verdict; the reasons stand below each."),
        "Worst good images": (shown.calibration, worst),
    }
    limit = record.contract.threshold_ng.value
    sections: dict[str, Markup] = {}
    for title, (images, words) in named.items():
        if title == "No call" and not images:
            continue
        legend = () if sections else (element("p", HOW_TO_READ, class_="note"), colour_scale(limit))
        cut = f" The first {SHOWN}." if len(images) == SHOWN else ""
        note = element("p", words + cut, class_="note")
        sections[title] = section(title, note, legend, gallery(_cards(record.contract, images, pictures, found), limit))
    return sections


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
