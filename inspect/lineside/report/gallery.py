"""Image beside overlay, one card per image, and the colour scale that belongs to all of them."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from lineside.batch.gallery import Picture
from lineside.batch.no_call import reason_words
from lineside.batch.overlay import colour_table, scale_span
from lineside.batch.row import Row
from lineside.batch.table import number, percent
from lineside.contract import Contract
from lineside.report.markup import Markup, element, section

HOW_TO_READ = (
    "Left the image, right what the model saw in it: colour inside a contour where its map lies above the threshold; "
    "a ring around the highest place where next to none of it does. The verdict follows the score of the whole image, "
    "so that an OK image close to the threshold may show a small contour. Boxes, where they were asked for, stand "
    "around what lies above the map's own threshold."
)

IN_THE_MIDDLE = (
    " In the middle the working image, read out of the model: what the network was given of the frame, after pose and "
    "light. The heatmap lies on the frame."
)


@dataclass(frozen=True)
class Card:
    """One image with what is known of it."""

    path: str
    verdict: str | None
    score: float | None
    picture: Picture | None
    facts: tuple[str, ...] = ()
    """What stands beside the score."""
    overlay: str | None = None
    """The overlay's file, relative to the page, where there is one."""


def row_card(row: Row, picture: Picture | None, words: Mapping[str, str]) -> Card:
    """Return the card of an inspected image; `words` are the sentences for its reasons and findings, by name."""
    sure = f" ({percent(row.class_probability)})" if row.class_probability is not None else ""
    named = f"class {row.defect_class}{sure}" if row.defect_class else None
    truth = f"truth: {row.label}" if row.label is not None else None
    reasons = (words.get(reason, reason) for reason in row.reasons)
    places = _counted(len(row.regions)) if row.regions is not None else None
    facts = tuple(fact for fact in (named, truth, places, *reasons) if fact)
    return Card(row.path, row.verdict, row.score, picture, facts, row.overlay)


def row_cards(rows: Iterable[Row], pictures: Mapping[str, Picture], contract: Contract) -> list[Card]:
    """Return the cards of inspected images, with the contract's sentences for reasons and findings."""
    findings = {finding.name: finding.words for finding in contract.findings}
    words = {**reason_words(contract), **findings}
    return [row_card(row, pictures.get(row.path), words) for row in rows]


def pictured_section(title: str, cards: Sequence[Card], threshold: float, words: str, *more: Markup) -> Markup:
    """Return a section of pictures, with a sentence on their order and whatever stands between."""
    return section(title, element("p", words, class_="note"), more, gallery(cards, threshold))


def gallery(cards: Sequence[Card], threshold: float) -> Markup:
    """Return the cards in their order, or a sentence where there is nothing to show.

    Parameters
    ----------
    cards : sequence of Card
    threshold : float
        Scores are shown beside it.
    """
    if not cards:
        return element("p", "None.")
    return element("div", (_figure(card, threshold) for card in cards), class_="gallery")


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


def _figure(card: Card, threshold: float) -> Markup:
    return element("figure", _images(card), _caption(card, threshold))


def _images(card: Card) -> Markup:
    picture = card.picture
    if picture is None or picture.missing:
        return element("div", picture.missing if picture else "No picture was taken.", class_="missing")
    words = f"verdict {card.verdict}, score {number(card.score)}"
    seen = f"{card.path}: what the network saw, after light and pose"
    return element(
        "div",
        element("img", src=embedded(picture.raw), alt=f"{card.path}: the image", loading="lazy"),
        element("img", src=embedded(picture.working), alt=seen, loading="lazy") if picture.working else None,
        element("img", src=embedded(picture.overlay), alt=f"{card.path}: overlay, {words}", loading="lazy"),
        class_="pair triple" if picture.working else "pair",
    )


def _caption(card: Card, threshold: float) -> Markup:
    facts = [f"score {number(card.score)}"]
    if card.score is not None and threshold > 0:
        facts.append(f"{card.score / threshold:.2f} × threshold")
    return element(
        "figcaption",
        element("span", card.verdict, class_=f"badge {card.verdict}"),
        element("span", " · ".join([*facts, *card.facts])),
        element("span", card.path, class_="path"),
        element("a", "overlay at full size", href=quote(card.overlay, errors="surrogatepass"))
        if card.overlay
        else None,
    )


def embedded(jpeg: bytes) -> str:
    """Return a JPEG as the address of an image in the page."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _counted(boxes: int) -> str:
    return "1 box" if boxes == 1 else f"{boxes} boxes"
