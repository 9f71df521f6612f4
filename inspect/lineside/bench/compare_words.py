"""How a comparison's numbers are written: the same on the console, in the table and on the page."""

from lineside.bench.compare_summary import Difference, Mean

COLUMNS = (
    ("auroc", "image AUROC", 4),
    ("pixel_auroc", "pixel AUROC", 4),
    ("aupro", "AUPRO", 4),
    ("overkill", "overkill", 3),
    ("escapes", "escapes", 3),
    ("no_call", "no call", 3),
    ("class_accuracy", "class accuracy", 3),
    ("fit_s", "fit s", 1),
    ("ms_per_image", "ms", 1),
    ("megabytes", "MB", 1),
)
"""Measure, heading, digits behind the point."""


HEADINGS = {name: heading for name, heading, _ in COLUMNS}


MIXED = "These runs come from different versions of lineside's sources; --fresh runs them all with one."


def mean_words(mean: Mean | None, digits: int) -> str:
    """Return ``0.9123 ± 0.0045``, the second number half the interval."""
    if mean is None:
        return "–"
    if mean.interval is None or mean.interval[0] == mean.interval[1]:
        return f"{mean.value:.{digits}f}"
    return f"{mean.value:.{digits}f} ± {(mean.interval[1] - mean.interval[0]) / 2:.{digits}f}"


def difference_words(one: Difference) -> str:
    """Return ``-0.0123 (-0.0200 to -0.0040)``."""
    low, high = one.interval
    return f"{one.value:+.4f} ({low:+.4f} to {high:+.4f})"
