"""Sections on pictures that got no call, and on files that could not be read."""

from collections.abc import Sequence

from lineside.batch.no_call import NoCalls
from lineside.batch.row import Row
from lineside.batch.table import percent
from lineside.report.document import table
from lineside.report.gallery import Card, pages
from lineside.report.markup import Markup, element, section


def no_call_section(no_call: NoCalls, cards: Sequence[Card], threshold: float, count: int, all_in: str) -> Markup:
    """Say why no call was made, how often, and show pictures.

    Parameters
    ----------
    no_call : NoCalls
    cards : sequence of Card
    threshold : float
        Scores are shown beside it.
    count : int
        How many could be shown.
    all_in : str
        Where all of them are named.
    """
    rows = ((reason.words, reason.name, reason.count) for reason in no_call.reasons)
    allowed = "" if no_call.limit is None else f"; at most {percent(no_call.limit)} allowed"
    found = f"{percent(no_call.share)} of the readable images ({no_call.count} of {no_call.readable}{allowed})."
    words = "The picture is not fit for a verdict; the reasons stand below each, maybe several. Highest score first."
    return section(
        "No call",
        element("p", words, class_="note"),
        element("p", no_call.complaint, class_="warning") if no_call.too_many else element("p", found),
        table(("Reason", "Name", "Images"), rows, class_="text"),
        pages(cards, threshold, count, all_in),
    )


def unreadable_section(shown: Sequence[Row], n: int) -> Markup:
    """Name files that were not judged, of n altogether, each with what was wrong."""
    more = f"The first {len(shown)} of {n}; results.csv has all." if n > len(shown) else None
    return section(
        "Unreadable",
        element("p", "These files were not judged. ", more, class_="note"),
        table((), ((row.path, row.error) for row in shown), class_="text"),
    )
