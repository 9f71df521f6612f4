"""results.csv: the rows as a spreadsheet shows them."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from lineside.batch.files import storage_errors, write_atomic_with
from lineside.batch.parts import PartTaker
from lineside.batch.row import Row
from lineside.batch.store import CSV_FILE, PARTS_FILE

_COLUMNS = (
    "path", "part", "verdict", "score", "reasons", "defect_class", "class_probability", "class_p_value", "duration_ms",
    "error", "label", "overlay", "words",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@")


def write_sheet(folder: Path, rows: Iterator[Row], *, labels: bool, grouped: bool, words: Mapping[str, str]) -> None:
    """Write results.csv into `folder`: UTF-8, a header, one line per row.

    ``label`` only where labels were asked for, ``part`` only where a pattern tells parts apart (`grouped`). `words` are
    the sentences for the reasons, by name; they stand in the last column.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    left_out = {name for name, there in (("label", labels), ("part", grouped)) if not there}
    columns = [name for name in _COLUMNS if name not in left_out]
    _write(folder / CSV_FILE, columns, ([_cell(name, row, words) for name in columns] for row in rows))


def write_parts(folder: Path, parts: PartTaker | None) -> None:
    """Write parts.csv into `folder`, a line per part; without parts, an older one is removed.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    path = folder / PARTS_FILE
    if parts is None:
        with storage_errors(path):
            path.unlink(missing_ok=True)
        return
    lines = ((_name(p.name), p.verdict, p.score, p.frames, _name(p.path)) for p in parts.parts())
    _write(path, ("part", "verdict", "score", "images", "worst_image"), lines)


def _write(path: Path, columns: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    def write(file: BinaryIO) -> None:
        text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="")
        sheet = csv.writer(text)
        sheet.writerow(columns)
        sheet.writerows(lines)
        text.flush()
        text.detach()

    write_atomic_with(path, write)


def _name(value: str) -> str:
    """Return a name that is no formula to a spreadsheet."""
    return f"./{value}" if value.startswith(_FORMULA) else value


def _cell(name: str, row: Row, words: Mapping[str, str]) -> object:
    if name == "words":
        return "; ".join(words.get(reason, reason) for reason in row.reasons)
    value = getattr(row, name)
    if name == "reasons":
        return "; ".join(value)
    return _name(value) if name in ("path", "part") else value
