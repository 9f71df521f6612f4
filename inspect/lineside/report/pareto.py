"""A Pareto of reasons: which few of them make up most of what did not pass."""

from collections.abc import Sequence
from dataclasses import dataclass

from lineside.batch.causes import Cause
from lineside.batch.table import percent
from lineside.report.markup import Markup, element, section

NOTE = (
    "An image counts to one reason: the class that the model told, a finding, or the reason why there was no call. The "
    "last column adds up from the top."
)


@dataclass(frozen=True)
class Bar:
    """One reason."""

    name: str
    count: int
    kind: str
    """A verdict, which gives the bar its colour and stands beside the name."""


def causes_section(causes: Sequence[Cause]) -> Markup:
    """Return the section "Why parts did not pass"."""
    bars = [Bar(cause.name, cause.count, cause.verdict) for cause in causes]
    drawing = pareto(bars) if bars else element("p", "Everything passed.")
    return section("Why parts did not pass", drawing, element("p", NOTE, class_="note") if bars else None)


def pareto(bars: Sequence[Bar]) -> Markup:
    """Return a table with a bar in each line, so that it can be read as numbers too.

    Parameters
    ----------
    bars : sequence of Bar
        The longest first; at least one.
    """
    total, highest, so_far, rows = sum(bar.count for bar in bars), bars[0].count, 0, []
    for bar in bars:
        so_far += bar.count
        width = f"width:{100 * bar.count / highest:.1f}%"
        rows.append(
            element(
                "tr",
                element("th", bar.name, scope="row"),
                element("td", bar.kind, class_=f"badge {bar.kind}"),
                element("td", element("span", class_=f"beam {bar.kind}", style=width), class_="beams"),
                element("td", bar.count),
                element("td", percent(bar.count / total)),
                element("td", percent(so_far / total)),
            )
        )
    names = ("Reason", "Verdict", "", "Images", "Share", "Adds up to")
    head = element("tr", (element("th", name, scope="col") if name else element("td") for name in names))
    table = element("table", element("thead", head), element("tbody", rows), class_="pareto")
    return element("div", table, class_="scroll")
