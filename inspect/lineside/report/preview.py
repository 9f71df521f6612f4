"""The contact sheet of `lineside preview`: what light, pose and gate make of every good image."""

from collections.abc import Mapping

from lineside.normalise.gate_rules import GATE_BITS, GATE_WORDS
from lineside.report.document import document, tile
from lineside.report.drawn_regions import over
from lineside.report.light_pose import (
    QualityRow,
    decisions_list,
    embedded,
    golden_figure,
    numbers_tables,
    quality_table,
    speaks_for,
    steps_table,
)
from lineside.report.markup import Markup, element, section
from lineside.train.preview import Preview, PreviewRow

HOW_TO_READ = (
    "Each row from left to right: the frame as it came; after the pose; after the light as well, which is what the "
    "network sees; and the same with what is not inspected darkened. Refused images stand first. Limits and golden "
    "part are learned here from all good images; training learns them again with some of them held out."
)
LIMITS_NOTE = (
    "Beyond a limit a frame gets no call. Least and greatest are those of the images on this page. Whether the frame "
    "shows this part at all is told by the network, which a preview does without."
)
PICTURES = ("frame", "after pose", "after light", "inspected")


def preview_page(preview: Preview) -> bytes:
    """Return the sheet as one HTML file."""
    refused = [row for row in preview.rows if row.reasons]
    tiles = (
        tile(len(preview.rows), "images"),
        tile(len(refused), "outside the gate's limits", "NO_CALL" if refused else "none"),
    )
    sections = {
        "Decisions": section("Decisions", _decisions(preview)),
        "Images": section("Images", element("p", HOW_TO_READ, class_="note"), _sheet(preview)),
        "Limits": section("Limits", element("p", LIMITS_NOTE, class_="note"), _limits(preview)),
    }
    title = f"{preview.part}: preview"
    page = document(title, [element("div", *tiles, class_="tiles")], sections, "Made by lineside preview.")
    return page.encode("utf-8", "backslashreplace")


def _decisions(preview: Preview) -> Markup:
    decision = preview.decision
    told = element("div", steps_table(decision.described), decisions_list(decision.words))
    both = element("div", told, golden_figure(preview.golden, preview.regions), class_="beside")
    return element("div", both, numbers_tables(decision.numbers))


def _sheet(preview: Preview) -> list[Markup]:
    """Return a row for each image, refused ones first, then in the order of their names."""
    words = dict(zip(GATE_BITS, GATE_WORDS, strict=True))
    ordered = sorted(preview.rows, key=lambda row: (not row.reasons, row.name))
    heads = element("div", (element("span", name) for name in PICTURES), class_="strip heads")
    return [heads, *(_row(row, preview, words) for row in ordered)]


def _row(row: PreviewRow, preview: Preview, words: Mapping[str, str]) -> Markup:
    pictures = zip(PICTURES, (row.raw, row.aligned, row.working, row.region), strict=True)
    height, width = row.region.shape[:2]
    strip = [embedded(picture, f"{row.name}: {name}") for name, picture in pictures]
    strip[-1] = over(strip[-1], preview.regions, (width, height), named=False)
    badge = element("span", "refused", class_="badge NO_CALL") if row.reasons else None
    told = [*(words[reason] for reason in row.reasons), *_pose_words(row, preview)]
    return element(
        "figure",
        element("div", strip, class_="strip"),
        element("figcaption", badge, element("span", " · ".join(told)), element("span", row.name, class_="path")),
        element("details", element("summary", "numbers"), _numbers(row, preview)),
        class_="sheet",
    )


def _pose_words(row: PreviewRow, preview: Preview) -> tuple[str, ...]:
    if preview.decision.settings.pose is None:
        return ()
    angle, dx, dy, scale, confidence = row.pose
    found = f"turned {_signed(angle)}°, shifted {_signed(dx)}, {_signed(dy)} px, × {scale:.3f}"
    return (f"{found}, confidence {confidence:.2f}",)


def _signed(value: float) -> str:
    """Return a number with its sign and one decimal; nothing is +0.0, on whichever side it lies."""
    return f"{round(value, 1) + 0.0:+.1f}"


def _numbers(row: PreviewRow, preview: Preview) -> Markup:
    rows = [_quality_row(preview, name, (value,)) for name, value in row.quality.items()]
    return quality_table(rows, ("Value",))


def _limits(preview: Preview) -> Markup:
    columns = {name: [row.quality[name] for row in preview.rows] for name in preview.limits}
    rows = [_quality_row(preview, name, (min(values), max(values))) for name, values in columns.items() if values]
    return quality_table(sorted(rows, key=lambda row: not row.speaks_for), ("Least", "Greatest"))


def _quality_row(preview: Preview, name: str, shown: tuple[float, ...]) -> QualityRow:
    limits = preview.limits[name]
    return QualityRow(name, speaks_for(name) if limits != (None, None) else "", limits, shown)
