"""Image beside overlay, one card per row, and the colour scale that belongs to all of them."""

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from lineside.batch.gallery import Picture
from lineside.batch.overlay import colour_table, scale_span
from lineside.batch.row import Row
from lineside.batch.table import number
from lineside.report.markup import Markup, element


def gallery(rows: Sequence[Row], pictures: Mapping[str, Picture], threshold: float) -> Markup:
    """Return the cards, or a sentence where there is nothing to show.

    Parameters
    ----------
    rows : sequence of Row
        In the order to show them.
    pictures : mapping
        By path.
    threshold : float
        Scores are shown beside it.
    """
    if not rows:
        return element("p", "None.")
    return element("div", (_card(row, pictures.get(row.path), threshold) for row in rows), class_="gallery")


def colour_scale(threshold: float) -> Markup:
    """Return the legend: which colour means which score."""
    table = colour_table()
    stops = ", ".join("rgb({},{},{})".format(*table[i]) for i in range(0, len(table), len(table) // 8))
    full = number(threshold + scale_span(threshold))
    return element(
        "p",
        element("span", "below: clear"),
        element("span", f"{number(threshold)} (threshold, contour)"),
        element("span", class_="ramp", style=f"background:linear-gradient(90deg, {stops})"),
        element("span", f"{full} and above"),
        class_="scale",
    )


def _card(row: Row, picture: Picture | None, threshold: float) -> Markup:
    return element("figure", _images(row, picture), _caption(row, threshold))


def _images(row: Row, picture: Picture | None) -> Markup:
    if picture is None or picture.missing:
        return element("div", picture.missing if picture else "No picture was taken.", class_="missing")
    words = f"verdict {row.verdict}, score {number(row.score)}"
    return element(
        "div",
        element("img", src=_embedded(picture.raw), alt=f"{row.path}: the image", loading="lazy"),
        element("img", src=_embedded(picture.overlay), alt=f"{row.path}: overlay, {words}", loading="lazy"),
        class_="pair",
    )


def _caption(row: Row, threshold: float) -> Markup:
    facts = [f"score {number(row.score)}"]
    if row.score is not None and threshold > 0:
        facts.append(f"{row.score / threshold:.2f} × threshold")
    if row.defect_class:
        facts.append(f"class {row.defect_class}")
    if row.label is not None:
        facts.append(f"truth: {row.label}")
    facts += row.reasons
    return element(
        "figcaption",
        element("span", row.verdict, class_=f"badge {row.verdict}"),
        element("span", " · ".join(facts)),
        element("span", row.path, class_="path"),
        element("a", "overlay at full size", href=quote(row.overlay, errors="surrogatepass")) if row.overlay else None,
    )


def _embedded(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
