"""Scores as a drawing, and the same as a table for who cannot point at a bar."""

from collections.abc import Sequence

import numpy as np

from lineside.batch.table import number
from lineside.report.document import table
from lineside.report.histogram import Scores, bin_scores, histogram
from lineside.report.markup import Markup, element


def drawn_scores(
    up: Scores,
    down: Scores,
    threshold: float,
    *,
    names: tuple[str, str],
    unit: str,
    pale: tuple[str, Scores] | None = None,
    more: Sequence[tuple[str, float]] = (),
) -> list[Markup]:
    """Return histogram and table; see `lineside.report.histogram.histogram` for what is given."""
    drawing = histogram(up, down, threshold, names=names, unit=unit, pale=pale, more=more)
    found = [element("div", drawing, class_="scroll")]
    if len(up) or len(down) or (pale and len(pale[1])):
        found.append(_table(up, down, threshold, names, pale))
    return found


def _table(
    up: Scores, down: Scores, threshold: float, names: tuple[str, str], pale: tuple[str, Scores] | None
) -> Markup:
    bins = bin_scores(up, down, threshold, pale[1] if pale else None)
    columns = [(names[0], bins.up), *([(pale[0], bins.pale)] if pale else []), (names[1], bins.down)]
    shown = [(name, counts) for name, counts in columns if name]
    limit = float(np.float32(threshold))
    rows = []
    for i in np.flatnonzero(bins.up + bins.pale + bins.down):
        low, high = float(bins.edges[i]), float(bins.edges[i + 1])
        side = "above" if low >= limit - 1e-9 * abs(limit) else "at or below" if high <= limit * (1 + 1e-9) else "both"
        rows.append((f"{number(low)} to {number(high)}", side, *(int(counts[i]) or "·" for _, counts in shown)))
    heads = ("Score", "Threshold", *(name for name, _ in shown))
    return element("details", element("summary", "The same as a table"), table(heads, rows))
