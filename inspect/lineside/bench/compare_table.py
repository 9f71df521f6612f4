"""A comparison for the console."""

from typing import TYPE_CHECKING

from lineside.batch.table import plural
from lineside.bench.compare_summary import Summary
from lineside.bench.compare_words import COLUMNS, HEADINGS, MIXED, difference_words, mean_words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def compare_table(summary: Summary) -> "RenderableType":
    """Return a comparison as something that rich can print: a table for each part, then differences and failures."""
    from rich.console import Group
    from rich.text import Text

    blocks: list[RenderableType] = []
    for part in summary.parts:
        blocks.append(_table(summary, part))
        blocks += [Text(line) for line in _lines(summary, part)]
    if len(summary.programs) > 1:
        blocks.append(Text(MIXED, style="yellow"))
    return Group(*blocks)


def _table(summary: Summary, part: str) -> "Table":
    from rich import box
    from rich.table import Table

    cells = [cell for cell in summary.cells if cell.part == part]
    columns = [column for column in COLUMNS if any(column[0] in cell.means for cell in cells)]
    table = Table(title=part, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("shots", justify="right", no_wrap=True)
    table.add_column("method", overflow="fold", min_width=8)
    table.add_column("runs", justify="right", no_wrap=True)
    for _, heading, _ in columns:
        table.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True)
    for cell in cells:
        numbers = (mean_words(cell.means.get(name), digits) for name, _, digits in columns)
        stacked = (words.replace(" ±", "\n±") for words in numbers)  # narrow enough for a usual console
        table.add_row(str(cell.shots), cell.label, str(cell.runs), *stacked)
    return table


def _lines(summary: Summary, part: str) -> list[str]:
    differences = [
        f"{HEADINGS[d.measure]} of {d.label} less that of {d.against}, "
        f"{'mean over all shots' if d.shots is None else plural(d.shots, 'shot')}: {difference_words(d)}, "
        f"{plural(d.seeds, 'seed')}"
        for d in summary.differences
        if d.part == part
    ]
    failed = [f"{c.shots} shots, {c.label}: failed: {e}" for c in summary.cells if c.part == part for e in c.errors]
    return differences + failed
