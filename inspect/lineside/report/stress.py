"""stress.html: how far light, optics and pose may go before the model calls good parts bad, or bad parts good.

Also the section of a bundle's report: the same table and drawings without the page. `lineside.bench` is imported for
types, and for words that are free of torch.
"""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lineside.batch.labels import Rate
from lineside.batch.table import interval_words, number, percent, plural
from lineside.report.curve import Line, curves, key
from lineside.report.document import document, table, tile
from lineside.report.markup import Markup, element, section

if TYPE_CHECKING:
    from lineside.bench.stress_result import Curve, LevelResult, StressResult

_STRIP = "display:flex;gap:6px;padding:0 12px 12px;"
_SHOWN = "flex:1 1 0;min-width:0;font-size:11px;line-height:1.25;text-align:center;color:var(--soft)"
_TITLE = "margin:0;padding:10px 14px 4px;font-weight:650"


def render_stress(result: "StressResult") -> str:
    """Return the page as HTML text: the same bytes for the same result."""
    from lineside.bench.stress_words import summary_words

    introduction = (
        element("p", summary_words(result), class_="lead"),
        element("p", _conditions(result), class_="note"),
        *_unreadable(result),
    )
    sections = {
        "Undisturbed": _undisturbed(result),
        "How far": section("How far", *_overview(result)),
        "Curves": section("Curves", *_drawings(result)),
        "All numbers": _numbers(result),
    }
    footer = f"lineside {result.lineside_version} · model {result.model_sha256[:12]}"
    return document(f"Stress test of {result.part}", introduction, sections, footer)


def stress_section(result: "StressResult") -> Markup:
    """Return one section, "Stress test", for another page."""
    from lineside.bench.stress_words import summary_words

    return section(
        "Stress test",
        element("p", summary_words(result)),
        element("p", _conditions(result), class_="note"),
        *_overview(result),
        *_drawings(result),
    )


def _conditions(result: "StressResult") -> str:
    images = f"{plural(result.n_good, 'good image')} and {result.n_defective} defective"
    left_out = f" (drawn by seed; {result.n_left_out} left out)" if result.n_left_out else ""
    return (
        f"{images}{left_out}, the same under every level; one disturbance at a time; seed {result.seed}; NG above "
        f"{number(result.threshold)}. Overkill and escapes are shares of what got a call, intervals are exact "
        "(Clopper-Pearson, 95 %)."
    )


def _unreadable(result: "StressResult") -> list[Markup]:
    if not result.unreadable:
        return []
    words = f"{plural(len(result.unreadable), 'image')} cannot be read and counted nowhere: "
    return [element("p", words, ", ".join(result.unreadable[:8]), class_="warning")]


def _undisturbed(result: "StressResult") -> Markup:
    level = result.undisturbed
    tiles = (
        tile(_of(level.overkill), "overkill", "NG" if level.overkill.k else "OK"),
        tile(_of(level.escapes), "escapes", "NG" if level.escapes.k else "OK"),
        tile(_of(level.good_no_call), "good, no call", "NO_CALL" if level.good_no_call.k else "none"),
        tile(_of(level.defective_no_call), "defective, no call", "NO_CALL" if level.defective_no_call.k else "none"),
    )
    return section("Undisturbed", element("div", tiles, class_="tiles"))


def _of(rate: Rate) -> str:
    return f"{rate.k} of {rate.n}" if rate.n else "–"


def _overview(result: "StressResult") -> list[Markup | None]:
    from lineside.bench.stress_words import curve_words, escapes_words, no_call_words

    rows = []
    for curve in result.curves:
        name = curve.name if curve.good_stays_good else f"{curve.name} *"
        escapes, no_call = escapes_words(curve, result.undisturbed), no_call_words(curve, result.undisturbed)
        rows.append((name, curve_words(curve), escapes, no_call))
    names = (
        "Disturbance",
        f"Overkill first exceeds {percent(result.limit)} at",
        "Most escapes at",
        "Most good without a call at",
    )
    starred = any(not curve.good_stays_good for curve in result.curves)
    note = "* A good part under it may rightly be called NG." if starred else None
    return [table(names, rows, class_="text"), element("p", note, class_="note") if note else None]


def _drawings(result: "StressResult") -> list[Markup]:
    legend = key(
        _lines((result.undisturbed,)), f"twice the overkill that the model was trained for ({percent(result.limit)})"
    )
    cards = (_card(curve, result.undisturbed) for curve in result.curves)
    note = (
        "Pale red: the interval of the overkill. The upright line is the undisturbed frame. Where a line ends, no "
        "image got a call. Point at a dot for its numbers."
    )
    return [legend, element("p", note, class_="note"), element("div", cards, class_="gallery")]


def _lines(levels: "Sequence[LevelResult]") -> list[Line]:
    return [
        Line("no call, of all images", "no-call", tuple(level.no_call for level in levels), "2 3"),
        Line("escapes", "review", tuple(level.escapes for level in levels), "7 3"),
        Line("overkill", "ng", tuple(level.overkill for level in levels), band=True),
    ]


def _card(curve: "Curve", undisturbed: "LevelResult") -> Markup:
    below = [level for level in curve.levels if level.level < curve.neutral]
    levels = [*below, undisturbed, *curve.levels[len(below) :]]
    ticks = [f"{curve.neutral:g}" if level is undisturbed else f"{level.level:g}" for level in levels]
    drawing = curves(ticks, [level.words for level in levels], _lines(levels), len(below), curve.limit)
    return element(
        "figure",
        element("p", curve.name, style=_TITLE),
        drawing,
        _strip(curve) if curve.examples else None,
        element("figcaption", curve.what),
    )


def _strip(curve: "Curve") -> Markup:
    shown = (
        element(
            "div",
            element("img", src=_embedded(jpeg), alt=words, style="width:100%;height:auto;display:block"),
            words,
            style=_SHOWN,
        )
        for words, jpeg in curve.examples
    )
    return element("div", shown, style=_STRIP)


def _embedded(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _numbers(result: "StressResult") -> Markup:
    tables = (element("details", element("summary", curve.name), _table(curve.levels)) for curve in result.curves)
    return section("All numbers", tables)


def _table(levels: "Sequence[LevelResult]") -> Markup:
    names = ("Level", "Overkill", "95 % interval", "Escapes", "95 % interval", "Good, no call", "Defective, no call")
    return table(names, ((level.words, *_cells(level)) for level in levels))


def _cells(level: "LevelResult") -> tuple[str, ...]:
    overkill, escapes = level.overkill, level.escapes
    return (
        _of(overkill),
        interval_words(overkill),
        _of(escapes),
        interval_words(escapes),
        _of(level.good_no_call),
        _of(level.defective_no_call),
    )
