"""A Pareto of reasons: which few of them make up most of what did not pass."""

from collections.abc import Sequence

from lineside.batch.causes import Cause
from lineside.batch.table import percent
from lineside.report.document import table
from lineside.report.markup import Markup, element, section

NOTE = (
    "An image counts to one reason: the class that the model told, a finding, or the reason why there was no call. The "
    "last column adds up from the top."
)


def causes_section(causes: Sequence[Cause]) -> Markup:
    """Return the section "Why parts did not pass"."""
    drawing = pareto(causes) if causes else element("p", "Everything passed.")
    return section("Why parts did not pass", drawing, element("p", NOTE, class_="note") if causes else None)


def pareto(causes: Sequence[Cause]) -> Markup:
    """Return a table with a bar in each line, so that it can be read as numbers too.

    Parameters
    ----------
    causes : sequence of Cause
        The most frequent first; at least one. The verdict gives its bar the colour.
    """
    total, highest, so_far, rows = sum(cause.count for cause in causes), causes[0].count, 0, []
    for cause in causes:
        so_far += cause.count
        width = f"width:{100 * cause.count / highest:.1f}%"
        rows.append(
            (
                cause.name,
                element("td", cause.verdict, class_=f"badge {cause.verdict}"),
                element("td", element("span", class_=f"beam {cause.verdict}", style=width), class_="beams"),
                cause.count,
                percent(cause.count / total),
                percent(so_far / total),
            )
        )
    return table(("Reason", "Verdict", "", "Images", "Share", "Adds up to"), rows, class_="pareto")
