"""Scores as a drawing, and the same as a table for who cannot point at a bar."""

import numpy as np

from lineside.batch.table import number
from lineside.report.document import scrolling, table
from lineside.report.histogram import ScoreSets, histogram
from lineside.report.markup import Markup, element


def drawn_scores(sets: ScoreSets) -> list[Markup]:
    """Return histogram and table; without any score a sentence alone."""
    found = [scrolling("Histogram", histogram(sets))]
    if len(sets.scores):
        found.append(_table(sets))
    return found


def review_line(review: float, ng: float) -> tuple[tuple[str, float], ...]:
    """Return the threshold of REVIEW as a further line; none where there is no band."""
    return (("REVIEW above", review),) if review != ng else ()


def _table(sets: ScoreSets) -> Markup:
    bins, names = sets.bins, sets.names
    columns = [(names[0], bins.up), (sets.pale[0], bins.pale), (names[1], bins.down)]
    shown = [(name, counts) for name, counts in columns if name]
    limit = float(np.float32(sets.threshold))
    rows = []
    for i in np.flatnonzero(bins.up + bins.pale + bins.down):
        low, high = float(bins.edges[i]), float(bins.edges[i + 1])
        side = "above" if low >= limit - 1e-9 * abs(limit) else "at or below" if high <= limit * (1 + 1e-9) else "both"
        rows.append((f"{number(low)} to {number(high)}", side, *(int(counts[i]) or "·" for _, counts in shown)))
    heads = ("Score", "Threshold", *(name for name, _ in shown))
    return element("details", element("summary", "The same as a table"), table(heads, rows), class_="listed")
