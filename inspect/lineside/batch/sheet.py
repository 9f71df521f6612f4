"""results.csv: the rows as a spreadsheet shows them."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from lineside.batch.files import write_atomic_with
from lineside.batch.row import Row
from lineside.batch.store import CSV_FILE

_COLUMNS = (
    "path", "verdict", "score", "reasons", "defect_class", "class_probability", "duration_ms", "error", "label",
    "overlay", "words",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@")


def write_sheet(folder: Path, rows: Iterator[Row], *, labels: bool, words: Mapping[str, str]) -> None:
    """Write results.csv into `folder`: UTF-8, a header, one line per row; ``label`` only where labels were asked for.

    `words` are the sentences for the reasons, by name; they stand in the last column.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    columns = [name for name in _COLUMNS if labels or name != "label"]

    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
        sheet = csv.writer(text)
        sheet.writerow(columns)
        for row in rows:
            sheet.writerow(_cell(name, row, words) for name in columns)
        text.flush()
        text.detach()

    write_atomic_with(folder / CSV_FILE, write)


def _cell(name: str, row: Row, words: Mapping[str, str]) -> object:
    if name == "words":
        return "; ".join(words.get(reason, reason) for reason in row.reasons)
    value = getattr(row, name)
    if name == "reasons":
        return "; ".join(value)
    if name == "path" and value.startswith(_FORMULA):
        return f"./{value}"  # the same file, and no formula to a spreadsheet
    return value
