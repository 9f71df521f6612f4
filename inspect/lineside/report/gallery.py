"""Pictures of parts, worst first: one card per image, in pages, with the colour scale that belongs to all of them.

All three reports show theirs through this module, so that a heatmap, a contour and a box mean the same in each.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from lineside.batch.gallery import LEFT_OUT, Picture
from lineside.batch.no_call import reason_words
from lineside.batch.overlay import colour_table, scale_span
from lineside.batch.row import Row
from lineside.batch.table import number, percent, plural
from lineside.contract import Contract
from lineside.report.markup import Markup, element, section

FIRST, FURTHER = 12, 24
"""Cards that stand open, and on each further page, which is folded away."""
HOW_TO_READ = (
    "Left the image, right what the model saw in it: colour inside a contour where its map lies above the threshold; "
    "a ring around the highest place where next to none of it does. The verdict follows the score of the whole image, "
    "so that an OK image close to the threshold may show a small contour. Boxes stand around what lies above the map's "
    "own threshold, on images that are not OK; an image may be NG without any single place that does."
)
IN_THE_MIDDLE = (
    " In the middle the working image, read out of the model: what the network was given of the frame, after pose and "
    "light. The heatmap lies on the frame."
)
_T = TypeVar("_T")


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
    facts = tuple(fact for fact in (named, truth, *reasons) if fact)
    return Card(row.path, row.verdict, row.score, picture, facts, row.overlay)


def row_cards(rows: Iterable[Row], pictures: Mapping[str, Picture], contract: Contract) -> list[Card]:
    """Return the cards of inspected images, with the contract's sentences for reasons and findings."""
    findings = {finding.name: finding.words for finding in contract.findings}
    words = {**reason_words(contract), **findings}
    return [row_card(row, pictures.get(row.path), words) for row in rows]


@dataclass(frozen=True)
class Kind:
    """Parts that belong into one gallery."""

    title: str
    words: str
    """What they are, and their order."""
    cards: Sequence[Card]
    count: int
    """How many there are; `cards` may be the first of them."""
    all_in: str
    """Where all of them are named."""


def in_turn(*kinds: Sequence[_T]) -> list[_T]:
    """Return what several galleries show in the order in which pictures are to be taken.

    The first page of each comes before the second of any: where not all fit into a page, no gallery stays empty.
    """
    return [one for kind in kinds for one in kind[:FIRST]] + [one for kind in kinds for one in kind[FIRST:]]


def galleries(kinds: Iterable[Kind], threshold: float) -> dict[str, Markup]:
    """Return a section for each kind, by its title; the first that shows something says how to read the pictures.

    Parameters
    ----------
    kinds : iterable of Kind
    threshold : float
        Scores are shown beside it.
    """
    sections: dict[str, Markup] = {}
    explained = False
    for kind in kinds:
        legend = [] if explained or not kind.cards else how_to_read(kind.cards, threshold)
        explained = explained or bool(kind.cards)
        shown = pages(kind.cards, threshold, kind.count, kind.all_in)
        sections[kind.title] = section(kind.title, element("p", kind.words, class_="note"), legend, shown)
    return sections


def how_to_read(cards: Iterable[Card], threshold: float) -> list[Markup]:
    """Return the sentences and the colour scale that explain pictures."""
    middle = any(card.picture and card.picture.working for card in cards)
    words = HOW_TO_READ + (IN_THE_MIDDLE if middle else "")
    return [element("p", words, class_="note"), colour_scale(threshold)]


def pages(cards: Sequence[Card], threshold: float, count: int, all_in: str) -> list[Markup | None]:
    """Return the cards in their order, the first of them open, the others in pages that unfold.

    Parameters
    ----------
    cards : sequence of Card
        Those whose pictures were left out stand last.
    threshold : float
    count : int
        How many images there are of this kind.
    all_in : str
        Where all of them are named.
    """
    shown = [card for card in cards if card.picture != LEFT_OUT]
    further = range(FIRST, len(shown), FURTHER)
    return [
        gallery(shown[:FIRST], threshold) if shown or not count else None,
        *(_page(shown[start : start + FURTHER], start, threshold) for start in further),
        element("p", _left_out(len(shown), count, all_in), class_="note") if count > len(shown) else None,
    ]


def _page(cards: Sequence[Card], start: int, threshold: float) -> Markup:
    ends = number(cards[0].score), number(cards[-1].score)
    last = f"{start + 1} to {start + len(cards)}" if len(cards) > 1 else f"{start + 1}"
    scores = f"scores {ends[0]} to {ends[1]}" if len(cards) > 1 else f"score {ends[0]}"
    return element("details", element("summary", f"{last}, {scores}"), gallery(cards, threshold))


def _left_out(shown: int, count: int, all_in: str) -> str:
    how_many = f"The first {shown:,} of {count:,} are shown" if shown else f"None of {plural(count, 'image')} is shown"
    return f"{how_many}, to keep the page below 15 MB; {all_in} names all."


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
        element("img", src=embedded(picture.raw), alt=f"{card.path}: the image"),
        element("img", src=embedded(picture.working), alt=seen) if picture.working else None,
        element("img", src=embedded(picture.overlay), alt=f"{card.path}: overlay, {words}"),
        class_="pair triple" if picture.working else "pair",
    )


def _caption(card: Card, threshold: float) -> Markup:
    facts = [f"score {number(card.score)}"]
    if card.score is not None and threshold > 0:
        facts.append(f"{card.score / threshold:.2f} × threshold")
    if card.picture and card.picture.boxes:
        facts.append("1 box" if card.picture.boxes == 1 else f"{card.picture.boxes} boxes")
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
