"""report.html of an evaluation: whether the model may go to the line, why, and every part that it got wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineside.batch.gallery import Picture, take_pictures
from lineside.batch.row import UNREADABLE, Row
from lineside.batch.store import CSV_FILE
from lineside.batch.summary import Collector
from lineside.contract import Contract, Verdict
from lineside.report.capture_quality import quality_section
from lineside.report.course import course_section
from lineside.report.document import document
from lineside.report.evaluation_sections import (
    against_the_truth,
    classes,
    curves,
    plant,
    promise,
    red_rabbits,
    scores,
    tiles,
    timing,
    untested_section,
)
from lineside.report.gallery import Kind, galleries, in_turn, row_cards
from lineside.report.markup import Markup, element
from lineside.report.origin import model_section, threshold_section
from lineside.report.origins import TITLE, origins_section
from lineside.report.pareto import causes_section
from lineside.report.refused import no_call_section, unreadable_section
from lineside.report.roc import script

if TYPE_CHECKING:
    from lineside.bench.evaluation.parts import Part
    from lineside.bench.evaluation.run import Evaluation
    from lineside.runtime import Inspector


@dataclass(frozen=True)
class _Shown:
    """Worst frames of all parts of each kind, in the order of the page."""

    rabbits: tuple[Row, ...]
    escapes: tuple[Row, ...]
    overkill: tuple[Row, ...]
    review: tuple[Row, ...]
    no_call: tuple[Row, ...]
    unreadable: tuple[Row, ...]


def evaluation_page(made: "Evaluation", inspector: "Inspector", collector: Collector, workers: int) -> str:
    """Return the page as HTML text.

    Parameters
    ----------
    made : Evaluation
    inspector : Inspector
        The model: its pictures are taken by one more look at each image.
    collector : Collector
        Has taken the rows.
    workers : int
        Threads for the pictures.
    """
    from lineside.bench.evaluation.words import copies_words, left_out_words, verdict_words

    shown = _shown(made, inspector.contract)
    taken = in_turn(shown.rabbits, shown.escapes, shown.overkill, shown.review, shown.no_call)
    pictures = take_pictures(taken, inspector, workers)
    summary, n = made.summary, made.numbers
    images = "" if n.images == n.parts else f" in {n.images:,} images"
    told = left_out_words(made), copies_words(made)
    facts = [f"{n.parts:,} parts{images}", ", ".join(summary.images), f"begun {summary.created}", *told]
    introduction = (
        element("p", verdict_words(made), class_="lead"),
        element("p", " · ".join(fact for fact in facts if fact), class_="note"),
    )
    footer = f"lineside {summary.lineside_version} · {summary.job_id} · model {summary.model_sha256[:12]}"
    sections = _sections(made, inspector.contract, collector, shown, pictures)
    moving = script() if n.auroc else None
    return document(f"Evaluation of {summary.part}", introduction, sections, footer, moving)


def _shown(made: "Evaluation", contract: Contract) -> _Shown:
    parts = made.parts
    escapes = [part for part in parts if not contract.is_good(part.label) and part.verdict == Verdict.OK.name]
    overkill = [part for part in parts if contract.is_good(part.label) and part.verdict == Verdict.NG.name]

    def rows(chosen: Iterable["Part"], *, lowest: bool = False) -> tuple[Row, ...]:
        sign = 1.0 if lowest else -1.0
        ordered = sorted(chosen, key=lambda part: (sign * (part.worst.score or 0.0), part.name))
        return tuple(part.worst for part in ordered)

    def of(verdict: str) -> "list[Part]":
        return [part for part in parts if part.verdict == verdict]

    rabbits = [part for part in made.rabbits.passed if part.verdict != UNREADABLE] if made.rabbits else []
    return _Shown(
        rabbits=tuple(part.worst for part in rabbits),
        escapes=rows(escapes, lowest=True),
        overkill=rows(overkill),
        review=rows(of(Verdict.REVIEW.name)),
        no_call=rows(of(Verdict.NO_CALL.name)),
        unreadable=tuple(part.worst for part in of(UNREADABLE)),
    )


def _sections(
    made: "Evaluation", contract: Contract, collector: Collector, shown: _Shown, pictures: Mapping[str, Picture]
) -> dict[str, Markup]:
    """The sections by title: the decision first, the mistakes next, the machinery last."""
    n, summary = made.numbers, made.summary
    parts = {"Decision": tiles(made)}
    if made.rabbits:
        parts["Red rabbits"] = red_rabbits(made.rabbits)
    parts["Threshold"] = threshold_section(summary.threshold, contract, *promise(n))
    parts["Against the truth"] = against_the_truth(n)
    if n.plant:
        parts["In the plant"] = plant(n.plant)
    parts["Scores"] = scores(collector, summary.threshold)
    if n.auroc:
        parts["Curves"] = curves(n, made.parts, contract)
    parts |= _galleries(made, contract, shown, pictures)
    parts["Why parts did not pass"] = causes_section(collector.causes())
    origins = collector.origins()
    if origins:
        parts[TITLE] = origins_section(origins, of_good=True)
    if n.classes:
        parts["Classes"] = classes(n, contract.class_names)
    parts["Over time"] = course_section(collector.course())
    parts["Picture quality"] = quality_section(collector.quality())
    if n.timing:
        parts["Time"] = timing(n.timing)
    parts["Not tested"] = untested_section(made, contract)
    parts["Model"] = model_section(summary, contract)
    return parts


def _galleries(
    made: "Evaluation", contract: Contract, shown: _Shown, pictures: Mapping[str, Picture]
) -> dict[str, Markup]:
    limit = made.summary.threshold.ng
    named = {
        "Red rabbits that passed": (
            shown.rabbits,
            "Challenge parts that were not called NG, lowest first.",
            "the list",
        ),
        "Escapes": (shown.escapes, "Defective parts called OK, lowest score first.", CSV_FILE),
        "Overkill": (shown.overkill, "Good parts called NG, highest score first.", CSV_FILE),
        "Review": (shown.review, "Parts for a person to decide, highest score first.", CSV_FILE),
    }
    kinds = [
        Kind(title, words, row_cards(rows, pictures, contract), len(rows), all_in)
        for title, (rows, words, all_in) in named.items()
        if rows or title in ("Escapes", "Overkill")
    ]
    sections = galleries(kinds, limit)
    if shown.no_call:
        cards = row_cards(shown.no_call, pictures, contract)
        sections["No call"] = no_call_section(made.summary.no_call, cards, limit, len(cards), CSV_FILE)
    if shown.unreadable:
        sections["Unreadable"] = unreadable_section(shown.unreadable[:200], len(shown.unreadable))
    return sections
