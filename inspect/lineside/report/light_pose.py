"""What was decided of light and pose, the golden part, and the gate's limits: for training report and preview alike."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lineside.batch.overlay import encode_jpeg
from lineside.batch.table import number
from lineside.normalise.gate_rules import RULES
from lineside.report.document import scrolling
from lineside.report.drawn_regions import over, region_list
from lineside.report.markup import Markup, element

if TYPE_CHECKING:
    from lineside.train.recipe_regions import DrawnRegion

_LONGEST_SUBJECT = 24
"""Letters; a longer beginning is a sentence with a colon in it."""

NUMBERS_NOTE = (
    "Light: spread of the good images in what the step acts on, as a share of the level, and visibility of synthetic "
    "defects in such spreads; each without and with the step. Pose: share of held-out good images' contrast that the "
    "golden part leaves unexplained, in place (none) and under each model; elsewhere: how well the best other place "
    "fits, the one that was found being 1."
)
_WITHOUT, _WITH = " without", " with"

_NOTHING = 1e-4
"""Angles, shifts and shares below this are rounding."""

Limits = tuple[float | None, float | None]

GOLDEN_WORDS = (
    "The golden part: the middle of all good images, aligned where there is a pose, light as it was. Regions "
    "(normalise.roi, calibrate.regions) are drawn in these coordinates, as shares of its width and height."
)
GATE_NOTE = (
    "A frame beyond a limit gets no call; beyond all limits of a finding it is NG. Limits come from the recipe or from "
    "the good images, whose least and greatest value stand beside them. Numbers without a limit are for reading alone."
)


@dataclass(frozen=True)
class QualityRow:
    """One number of `quality`, and what it may be.

    Attributes
    ----------
    name : str
    speaks_for : str
        Bit of the gate or name of the finding; empty for a number without a limit.
    limits : (low, high)
        None where there is none.
    shown : sequence of float
        What stands in the table: of one frame, or least and greatest of the good ones.
    """

    name: str
    speaks_for: str
    limits: Limits
    shown: Sequence[float]


def speaks_for(name: str) -> str:
    """Return the bit of the gate that a number stands for, the empty text where it has none."""
    rule = RULES.get(name)
    if rule is None:
        return "unfamiliar"  # of the novelty, which is measured behind the network
    return rule.bit or ""


def steps_table(steps: Mapping[str, str]) -> Markup:
    """Return the steps before the network and what is on of them."""
    rows = (
        element(
            "tr", element("th", name, scope="row"), element("td", how, class_="off" if how in ("off", "none") else None)
        )
        for name, how in steps.items()
    )
    return element("table", element("tbody", rows), class_="text")


def decisions_list(words: Iterable[str]) -> Markup:
    """Return the decisions, each with its subject in bold."""
    return element("ul", (element("li", _said(sentence)) for sentence in words))


def numbers_tables(numbers: Mapping[str, Mapping[str, float]]) -> Markup | None:
    """Return the numbers behind the decisions, folded away; None where nothing was measured."""
    known = {step: {n: v for n, v in measured.items() if math.isfinite(v)} for step, measured in numbers.items()}
    tables = [
        element("div", element("h3", step.replace("_", " ")), _numbers_table(measured))
        for step, measured in known.items()
        if measured
    ]
    if not tables:
        return None
    summary = element("summary", "Numbers behind the decisions")
    return element(
        "details", summary, element("p", NUMBERS_NOTE, class_="note"), element("div", tables, class_="columns")
    )


def _numbers_table(measured: Mapping[str, float]) -> Markup:
    """Return name and value; what was measured without and with a step stands in one line."""
    paired = [name.removesuffix(_WITHOUT) for name in measured if name.endswith(_WITHOUT)]
    lines: list[tuple[str, tuple[float | None, ...]]] = [
        (name, (measured.get(name + _WITHOUT), measured.get(name + _WITH))) for name in paired
    ]
    lines += [(name, (value,)) for name, value in measured.items() if not name.endswith((_WITHOUT, _WITH))]
    head = element(
        "thead", element("tr", element("td"), (element("th", name, scope="col") for name in ("without", "with")))
    )
    rows = (
        element("tr", element("th", name.replace("_", " "), scope="row"), (element("td", number(v)) for v in values))
        for name, values in lines
    )
    return element("table", head if paired else None, element("tbody", rows))


def golden_figure(golden: npt.NDArray[np.uint8], regions: "Sequence[DrawnRegion]") -> Markup:
    """Return the golden part [h, w, 1 or 3] as a figure, with the recipe's regions on it."""
    height, width = golden.shape[:2]
    picture = over(embedded(golden, "golden part"), regions, (width, height))
    return element("figure", picture, element("figcaption", GOLDEN_WORDS, region_list(regions)), class_="golden")


def quality_table(rows: Iterable[QualityRow], shown: Sequence[str]) -> Markup:
    """Return numbers with their limits.

    Parameters
    ----------
    rows : iterable of QualityRow
    shown : sequence of str
        Headings of what the rows show.
    """
    names = ("Number", "Speaks for", *shown, "Lower limit", "Upper limit")
    head = element("tr", (element("th", name, scope="col") for name in names))
    table = element("table", element("thead", head), element("tbody", (_quality_row(row) for row in rows)))
    return scrolling("Table", table, "limits")


def outside(value: float, limits: Limits) -> bool:
    """Whether a value is beyond its limits."""
    low, high = limits
    return (low is not None and value < low) or (high is not None and value > high)


def embedded(picture: npt.NDArray[np.uint8], words: str) -> Markup:
    """Return a picture [h, w, 1 or 3] that lies in the page itself."""
    data = base64.b64encode(encode_jpeg(picture)).decode()
    return element("img", src=f"data:image/jpeg;base64,{data}", alt=words, title=words)


def _quality_row(row: QualityRow) -> Markup:
    cells = [element("th", row.name, scope="row"), element("td", row.speaks_for, class_="words")]
    for value in row.shown:
        mark = "outside" if outside(value, row.limits) else None
        cells.append(element("td", _read(value), class_=mark))
    cells += [element("td", "·" if limit is None else _read(limit)) for limit in row.limits]
    return element("tr", cells, class_=None if row.speaks_for else "told")


def _read(value: float) -> str:
    """Say a number as people read it: what is nearly nothing is 0."""
    return number(0.0 if abs(value) < _NOTHING else value)


def _said(sentence: str) -> Markup:
    subject, colon, rest = sentence.partition(": ")
    if not colon or len(subject) > _LONGEST_SUBJECT:
        return element("span", sentence)
    return element("span", element("b", subject), f": {rest}")
