"""report.html of an inspection: one page that answers what was found, how sure that is, and by what it was judged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.batch.causes import Cause
from lineside.batch.classes import ToldClasses, confusion_rows
from lineside.batch.course import Course
from lineside.batch.gallery import Picture
from lineside.batch.labels import LabelSummary
from lineside.batch.origins import Origin
from lineside.batch.quality import QualityFound
from lineside.batch.row import Row
from lineside.batch.store import CSV_FILE
from lineside.batch.summary import COUNTED, Shown, Summary
from lineside.batch.table import area, class_words, interval_words, percent, plural, rate_words
from lineside.contract import Contract
from lineside.report.capture_quality import quality_section
from lineside.report.confusion import NOTE as CONFUSION_NOTE
from lineside.report.confusion import confusion_table
from lineside.report.course import course_section
from lineside.report.document import document, table, tile
from lineside.report.gallery import Kind, galleries, row_cards
from lineside.report.histogram import ScoreSets
from lineside.report.markup import Markup, element, section
from lineside.report.not_tested import TITLE as NOT_TESTED
from lineside.report.not_tested import not_tested, of_an_inspection
from lineside.report.origin import definitions, model_section, threshold_section
from lineside.report.origins import TITLE, origins_section
from lineside.report.pareto import causes_section
from lineside.report.refused import no_call_section, unreadable_section
from lineside.report.scores import drawn_scores, review_line
from lineside.report.timing import times


@dataclass(frozen=True)
class ReportInput:
    """Everything that the page is made from."""

    summary: Summary
    contract: Contract
    shown: Shown
    pictures: Mapping[str, Picture]
    """By path, of every row in `shown` that can have one."""
    good_scores: npt.NDArray[np.float32]
    """Of the good parts that got a call; empty without labels."""
    other_scores: npt.NDArray[np.float32]
    """Of the defective ones; of all without labels."""
    course: Course
    quality: tuple[QualityFound, ...]
    causes: tuple[Cause, ...]
    origins: tuple[Origin, ...]


def render_page(given: ReportInput) -> str:
    """Return the page as HTML text."""
    summary = given.summary
    introduction = (
        element("p", _in_words(summary), class_="lead"),
        element("p", f"{', '.join(summary.images)} · begun {summary.created}", class_="note"),
    )
    footer = f"lineside {summary.lineside_version} · {summary.job_id}"
    return document(f"Inspection of {summary.part}", introduction, _sections(given), footer)


def _sections(given: ReportInput) -> dict[str, Markup]:
    """The sections by title, what was found first, how it was found last."""
    summary, shown = given.summary, given.shown
    parts = {"Verdicts": _verdicts(summary)}
    if summary.labels:
        parts["Against the truth"] = _truth(summary.labels)
    parts |= {
        "Scores": _scores(given),
        "Threshold": threshold_section(summary.threshold, given.contract),
        **galleries(_kinds(given), summary.threshold.ng),
    }
    if summary.classes:
        parts["Classes"] = _classes(summary.classes, given.contract.class_names)
    if shown.no_call or summary.no_call.too_many:
        cards = row_cards(shown.no_call, given.pictures, given.contract)
        count = summary.no_call.count
        parts["No call"] = no_call_section(summary.no_call, cards, summary.threshold.ng, count, CSV_FILE)
    if shown.unreadable:
        parts["Unreadable"] = unreadable_section(shown.unreadable, summary.counts["unreadable"])
    parts["Why parts did not pass"] = causes_section(given.causes)
    if given.origins:
        parts[TITLE] = origins_section(
            given.origins, of_good=summary.labels is not None, grouped=summary.parts is not None
        )
    return parts | {
        "Over time": course_section(given.course),
        "Picture quality": quality_section(given.quality),
        "Time": _timing(summary),
        NOT_TESTED: not_tested(of_an_inspection(summary, given.contract)),
        "Model": model_section(summary, given.contract),
    }


def _in_words(summary: Summary) -> str:
    parts = summary.parts
    images = _said(plural(summary.total, "image"), summary.counts, summary.first_pass_yield)
    if parts is None:
        return images
    said = _said(f"{plural(parts.total, 'part')}, each as its worst image", parts.counts, parts.first_pass_yield)
    return f"{said} {images}"


def _said(what: str, counts: Mapping[str, int], first_pass_yield: float | None) -> str:
    words = [f"{what}: {counts['OK']:,} OK, {counts['NG']:,} NG"]
    if counts["REVIEW"]:
        words.append(f"{counts['REVIEW']:,} to review")
    if counts["NO_CALL"]:
        words.append(f"{counts['NO_CALL']:,} without a call")
    if counts["unreadable"]:
        words.append(f"{counts['unreadable']:,} unreadable")
    found = ", ".join(words) + "."
    return found if first_pass_yield is None else f"{found} The yield is {percent(first_pass_yield)}."


def _verdicts(summary: Summary) -> Markup:
    parts = summary.parts
    note = "Yield: OK, of all {} that could be read; no call and review are no pass."
    if parts is None:
        shown = _shares("images", summary.counts, summary.first_pass_yield)
        return section("Verdicts", *shown, element("p", note.format("images"), class_="note"))
    worst = f"Of several images of a part the worst counts; the part is read from file names by {parts.pattern}."
    scattered = f" {parts.scattered_words}" if parts.scattered_words else ""
    return section(
        "Verdicts",
        element("h3", "Parts"),
        *_shares("parts", parts.counts, parts.first_pass_yield),
        element("p", f"{note.format('parts')} {worst} Each part stands in parts.csv.{scattered}", class_="note"),
        element("h3", "Images"),
        *_shares("images", summary.counts, summary.first_pass_yield),
    )


def _shares(what: str, counts: Mapping[str, int], first_pass_yield: float | None) -> tuple[Markup, Markup]:
    """A bar and tiles of verdicts."""
    shares = [(name, counts[name]) for name in COUNTED]
    bar = [
        element("span", class_=f"part {name}", style=f"flex-grow:{n}", title=f"{n} {name}") for name, n in shares if n
    ]
    tiles = [tile(f"{n:,}", name, name if n else f"{name} none") for name, n in shares]
    tiles.append(tile(percent(first_pass_yield), "yield"))
    label = _said(plural(sum(counts.values()), what.removesuffix("s")), counts, first_pass_yield)
    return (
        element("div", bar, class_="shares", role="img", aria_label=label),
        element("div", tiles, class_="tiles"),
    )


def _truth(labels: LabelSummary) -> Markup:
    note = "The truth is what the folders are called. Intervals are exact (Clopper-Pearson)."
    if labels.unit == "part":
        note += " Of several images of a part the worst counts."
    else:
        note += (
            " Each image was taken for a part of its own: where several show one, intervals are too narrow (--group)."
        )
    facts = [
        ("Overkill", rate_words(labels.overkill, f"good {labels.unit}s called NG")),
        ("Escapes", rate_words(labels.escapes, f"defective {labels.unit}s called OK")),
        ("AUROC", area(labels.auroc)),
        ("Good parts without a call", f"{labels.good_no_call} (neither a pass nor overkill)"),
        ("Defective parts without a call", f"{labels.defect_no_call}"),
    ]
    return section(
        "Against the truth",
        element("p", note, class_="note"),
        definitions(facts),
        _class_table(labels),
    )


def _class_table(labels: LabelSummary) -> Markup:
    seen = [name for name in COUNTED if any(item.counts.get(name) for item in labels.classes)]
    names = ("Folder", f"{labels.unit.capitalize()}s", *seen, "Wrong", "95 % interval", "AUROC")
    rows = (
        (
            item.name,
            sum(item.counts.values()),
            *(item.counts.get(name, 0) or "·" for name in seen),
            f"{'overkill' if item.is_good else 'escapes'} {percent(item.wrong.share)}",
            interval_words(item.wrong),
            "" if item.is_good else area(item.auroc),
        )
        for item in labels.classes
    )
    return table(names, rows)


def _classes(classes: ToldClasses, names: Sequence[str]) -> Markup:
    facts = [("Told", class_words(classes))]
    if classes.right:
        facts.append(("Right", rate_words(classes.right, f"named {classes.unit}s of known classes")))
    if not classes.confusion:
        return section("Classes", definitions(facts))
    note = element("p", CONFUSION_NOTE, class_="note")
    return section("Classes", definitions(facts), note, confusion_table(confusion_rows(classes.confusion), names))


def _scores(given: ReportInput) -> Markup:
    labelled = given.summary.labels is not None
    up, down = (given.good_scores, given.other_scores) if labelled else (given.other_scores, given.good_scores)
    names = ("good", "defective") if labelled else ("images", "")
    words = "Upward: good parts. Downward: defective parts. " if labelled else ""
    limits = given.summary.threshold
    more = review_line(limits.review, limits.ng)
    drawn = drawn_scores(ScoreSets(up, down, limits.ng, names, more=more))
    said = f"{words}Red lies above the threshold. Images without a call are left out."
    return section("Scores", drawn, element("p", said, class_="note"))


def _kinds(given: ReportInput) -> Iterator[Kind]:
    """Return the galleries in their order; of the worst no more than fit, since the others show what was wrong."""
    shown, counts, labels = given.shown, given.summary.counts, given.summary.labels

    def kind(title: str, words: str, rows: Sequence[Row], count: int) -> Kind:
        return Kind(title, words, row_cards(rows, given.pictures, given.contract), count, CSV_FILE)

    called = counts["OK"] + counts["NG"] + counts["REVIEW"]
    first = f", up to {len(shown.worst)} of {called:,}" if called > len(shown.worst) else ""
    yield kind("Worst first", f"Highest score first{first}.", shown.worst, len(shown.worst))
    if labels:
        worst = " A part with several images counts by its worst." if labels.unit == "part" else ""
        escapes = f"Defective parts called OK, lowest score first.{worst}"
        yield kind("Escapes", escapes, shown.escapes, shown.n_escapes)
        overkill = f"Good parts called NG, highest score first.{worst}"
        yield kind("Overkill", overkill, shown.overkill, shown.n_overkill)
    if counts["REVIEW"]:
        yield kind("Review", "For a person to decide, highest score first.", shown.review, counts["REVIEW"])


def _timing(summary: Summary) -> Markup:
    facts = []
    if summary.images_per_s is not None:
        facts.append(("Images per second", f"{summary.images_per_s:.1f}; reading, judging and overlays together"))
    facts.append(("Judged by the last call", f"{summary.judged_now} of {summary.total}, in {summary.elapsed_s:.1f} s"))
    image, part, timed = summary.duration_ms, summary.part_duration_ms, summary.total - summary.counts["unreadable"]
    told = times(image, part, timed, summary.takt_ms, summary.workers) if image and part else ()
    return section("Time", *told, definitions(facts))
