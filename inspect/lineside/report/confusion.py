"""Folders against what was in them was called, as a table."""

from collections.abc import Iterable, Sequence

from lineside.contract import UNKNOWN_CLASS
from lineside.report.document import table
from lineside.report.markup import Markup, element

NOTE = (
    "A row is a folder, a column what its parts (its images, where nothing tells parts) were called: a class, unknown, "
    "or the verdict where no class is told. What got no call is left out."
)


def confusion_table(counted: Iterable[tuple[str, str, int]], names: Sequence[str]) -> Markup:
    """Return the table.

    Parameters
    ----------
    counted : iterable of (folder, what it was called, how many)
    names : sequence of str
        The model's classes: their columns come first, that of unknown next, those of verdicts last.
    """
    counts = {(folder, told): number for folder, told, number in counted}
    seen = {told for _, told in counts}
    columns = [name for name in (*names, UNKNOWN_CLASS) if name in seen]
    columns += sorted(seen - set(columns))
    rows = (
        (folder, *(_cell(counts.get((folder, name), 0), right=folder == name) for name in columns))
        for folder in sorted({folder for folder, _ in counts})
    )
    return table(("Folder", *columns), rows)


def _cell(count: int, *, right: bool) -> Markup | str:
    if not count:
        return "·"
    return element("strong", count) if right else f"{count}"
