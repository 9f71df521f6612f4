"""The contact sheet of `lineside preview`: what light, pose and gate make of every good image."""

import base64

from lineside.batch.overlay import encode_jpeg
from lineside.batch.table import number
from lineside.normalise.gate_rules import GATE_BITS, GATE_WORDS
from lineside.report.document import document, tile
from lineside.report.markup import Markup, element, section
from lineside.train.preview import Pixels, Preview, PreviewRow

HOW_TO_READ = (
    "Each row from left to right: the frame as it came; after the pose; after the light as well, which is what the "
    "network sees; and the same with what is not inspected darkened. Numbers outside the gate's limits are marked. "
    "Limits and golden part are learned from these very images here; training learns them with images held out."
)


def preview_page(preview: Preview) -> bytes:
    """Return the sheet as one HTML file."""
    refused = [row for row in preview.rows if row.reasons]
    tiles = (
        tile(len(preview.rows), "images"),
        tile(len(refused), "outside the gate's limits", "NO_CALL" if refused else ""),
    )
    sections = {
        "Decisions": section("Decisions", _decisions(preview)),
        "Golden part": section("Golden part", _golden(preview)),
        "Images": section("Images", element("p", HOW_TO_READ), [_row(row, preview) for row in _ordered(preview)]),
    }
    title = f"{preview.part}: preview"
    page = document(title, [element("div", *tiles, class_="tiles")], sections, "Made by lineside preview.")
    return page.encode("utf-8", "backslashreplace")


def _ordered(preview: Preview) -> list[PreviewRow]:
    """Refused images first, then in the order of their names."""
    return sorted(preview.rows, key=lambda row: (not row.reasons, row.name))


def _decisions(preview: Preview) -> Markup:
    told = [element("li", words) for words in preview.decision.words]
    steps = [element("tr", element("th", n), element("td", v)) for n, v in preview.decision.described.items()]
    return element("div", element("ul", told), element("table", steps))


def _golden(preview: Preview) -> Markup:
    words = (
        "The middle of all aligned good images, light as it was. A region of interest (normalise.roi) is drawn in "
        "these coordinates, as shares of its width and height."
    )
    return element("figure", _image(preview.golden, "golden part"), element("figcaption", words))


def _row(row: PreviewRow, preview: Preview) -> Markup:
    words = dict(zip(GATE_BITS, GATE_WORDS, strict=True))
    pictures = (("frame", row.raw), ("after pose", row.aligned), ("after light", row.working), ("region", row.region))
    angle, dx, dy, scale, confidence = row.pose
    pose = f"{angle:+.1f}°, {dx:+.1f} px, {dy:+.1f} px, × {scale:.3f}, confidence {confidence:.2f}"
    facts = [element("span", "refused", class_="badge NO_CALL")] if row.reasons else []
    told = " · ".join([*(words[reason] for reason in row.reasons), *([pose] if preview.decision.settings.pose else [])])
    return element(
        "figure",
        element("div", [_image(picture, f"{row.name}: {name}") for name, picture in pictures], class_="strip"),
        element("figcaption", facts, element("span", told), element("span", row.name, class_="path")),
        element("details", element("summary", "numbers"), _numbers(row, preview)),
    )


def _numbers(row: PreviewRow, preview: Preview) -> Markup:
    rows = []
    for name, value in row.quality.items():
        low, high = preview.limits[name]
        outside = (low is not None and value < low) or (high is not None and value > high)
        cells = [element("td", name), element("td", number(value), class_="outside" if outside else None)]
        cells += [element("td", "–" if limit is None else number(limit)) for limit in (low, high)]
        rows.append(element("tr", cells))
    head = element("tr", [element("th", name) for name in ("number", "value", "lower limit", "upper limit")])
    return element("table", head, rows)


def _image(picture: Pixels, words: str) -> Markup:
    data = base64.b64encode(encode_jpeg(picture)).decode()
    return element("img", src=f"data:image/jpeg;base64,{data}", alt=words, title=words, loading="lazy")
