"""A report as it is printed: what stands on paper, and in which order."""

import base64
import hashlib
import io
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Any

from browsing import Shown

_HEADINGS = "() => [...document.querySelectorAll('h1, h2, h3, h4')].map(one => one.innerText)"
_BLOCKS = """() => [...document.querySelectorAll('h1, h2, h3, p, li, dt, dd, figcaption, summary, tbody tr')]
  .filter(one => one.checkVisibility({contentVisibilityAuto: false}) && !one.querySelector('p, li'))
  .map(one => one.innerText)"""


@dataclass(frozen=True)
class Heading:
    """One entry of the outline."""

    title: str
    page: int
    top_pt: float
    """Above the lower edge of its page."""


@dataclass(frozen=True)
class Printed:
    """A PDF."""

    pages: int
    text: str
    """Letters alone, as `letters` leaves them."""
    outline: tuple[Heading, ...]
    jpegs: Counter[str]
    """On how many pages each JPEG stands, by its SHA-256."""


def letters(text: str) -> str:
    """Return a text without spaces and bullets, ligatures taken apart."""
    return re.sub(r"[\s•]+", "", unicodedata.normalize("NFKC", text))


def printed(tab: Shown) -> Printed:
    """Print a page to A4 as a browser does that was asked for nothing: no backgrounds, folds as they are."""
    from pypdf import PdfReader

    tab.load()
    tab.page.emulate_media(media="print")
    reader = PdfReader(io.BytesIO(tab.page.pdf(format="A4", outline=True, tagged=True)))
    streams = [one.get_object() for page in reader.pages for one in page["/Resources"].get("/XObject", {}).values()]
    return Printed(
        pages=len(reader.pages),
        text=letters("".join(page.extract_text() for page in reader.pages)),
        outline=tuple(_flat(reader, reader.outline)),
        jpegs=Counter(
            hashlib.sha256(one.get_data()).hexdigest() for one in streams if one.get("/Filter") == "/DCTDecode"
        ),
    )


def _flat(reader: Any, entries: list[Any]) -> list[Heading]:
    found: list[Heading] = []
    for one in entries:
        if isinstance(one, list):
            found += _flat(reader, one)
        else:
            found.append(Heading(one.title, reader.get_destination_page_number(one), float(one.top)))
    return found


def prints_in_order(tab: Shown) -> None:
    """The outline has the page's headings, each below the one before; so have all words, those folded away too."""
    paper = printed(tab)
    told, wanted = [one.title for one in paper.outline], tab.page.evaluate(_HEADINGS)
    assert list(map(letters, told)) == list(map(letters, wanted)), f"{told} on paper, {wanted} on the page"
    places = [(one.page, -one.top_pt) for one in paper.outline]
    assert places == sorted(places), paper.outline
    tab.unfold()
    tab.page.emulate_media(media="print")
    at = 0
    for block in filter(None, map(letters, tab.page.evaluate(_BLOCKS))):
        found = paper.text.find(block, at)
        assert found >= 0, f"not on paper, or not in its place: {block[:200]}"
        at = found + len(block)


def prints_its_pictures(tab: Shown) -> None:
    """Every picture of the page is on paper, and none is cut by the end of a sheet."""
    paper = printed(tab)
    sources = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', tab.file.read_text(encoding="utf-8"))
    wanted = Counter(hashlib.sha256(base64.b64decode(one)).hexdigest() for one in sources)
    lost = wanted.keys() - paper.jpegs.keys()
    assert not lost, f"{len(lost)} of {len(wanted)} pictures are not on paper"
    assert not paper.jpegs - wanted, "a picture is cut by the end of a sheet"


CHECKS = (prints_in_order, prints_its_pictures)
