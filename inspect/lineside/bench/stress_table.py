"""A stress test for the console."""

from typing import TYPE_CHECKING

from lineside.batch.table import percent, plain_table, plural, rate_words
from lineside.bench.stress_result import StressResult
from lineside.bench.stress_words import curve_words, escapes_words, no_call_words, summary_words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def stress_table(result: StressResult) -> "RenderableType":
    """Return a stress test as something that rich can print: a line per disturbance, then what it says."""
    from rich.console import Group
    from rich.text import Text

    start = result.undisturbed
    lines = [
        f"undisturbed: overkill {rate_words(start.overkill, 'good images called NG')}",
        f"             escapes {rate_words(start.escapes, 'defective images called OK')}",
        summary_words(result),
    ]
    if result.unreadable:
        more = " …" if len(result.unreadable) > 1 else ""
        lines.append(f"{plural(len(result.unreadable), 'image')} cannot be read: {result.unreadable[0]}{more}")
    return Group(_table(result), *(Text(line) for line in lines))


def _table(result: StressResult) -> "Table":
    title = f"{result.part}: {plural(result.n_good, 'good image')} and {result.n_defective} defective, disturbed"
    table = plain_table(title)
    table.add_column("", no_wrap=True)
    table.add_column(f"overkill first exceeds {percent(result.limit)} at", overflow="fold")
    table.add_column("most escapes at", overflow="fold")
    table.add_column("most good without a call at", overflow="fold")
    for curve in result.curves:
        table.add_row(
            curve.name if curve.good_stays_good else f"{curve.name} *",
            curve_words(curve),
            escapes_words(curve, result.undisturbed),
            no_call_words(curve, result.undisturbed),
        )
    if any(not curve.good_stays_good for curve in result.curves):
        table.caption = "* a good part under it may rightly be called NG"
        table.caption_justify = "left"
    return table
