"""What a comparison leaves behind: the runs as JSON lines, the table as CSV, and one page to read."""

import csv
import io
from pathlib import Path

from lineside.batch.files import write_text
from lineside.bench.compare_summary import MEASURES, Summary
from lineside.report.compare import render_comparison

CSV_FILE, HTML_FILE = "compare.csv", "compare.html"


def write_comparison(summary: Summary, out: Path) -> tuple[Path, ...]:
    """Write compare.csv and compare.html; what stood there is replaced.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    contents = {CSV_FILE: comparison_csv(summary), HTML_FILE: render_comparison(summary)}
    for name, text in contents.items():
        write_text(out / name, text)
    return tuple(out / name for name in contents)


def comparison_csv(summary: Summary) -> str:
    """Return a line for each part, number of shots and method: of every measure the mean and its 95 % interval."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high")]
    writer.writerow(("part", "shots", "method", "runs", *names, "error"))
    for cell in summary.cells:
        numbers: list[str] = []
        for name in MEASURES:
            mean = cell.means.get(name)
            ends = (mean.interval or ("", "")) if mean else ("", "")
            numbers += [_number(mean.value) if mean else "", *map(_number, ends)]
        writer.writerow((cell.part, cell.shots, cell.label, cell.runs, *numbers, "; ".join(cell.errors)))
    return text.getvalue()


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
