"""results.parquet: the rows for whoever analyses a million of them; typed columns, read column by column.

pyarrow is an extra: it is larger than all that an inspection needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from lineside.batch.files import write_atomic_with
from lineside.batch.row import Row, finite
from lineside.batch.store import PARQUET_FILE

_ROWS = 10_000  # of a row group: some megabytes in memory


def write_parquet(folder: Path, rows: Iterator[Row], *, labels: bool, quality_names: Sequence[str]) -> None:
    """Write results.parquet into `folder`, a line per row.

    Parameters
    ----------
    folder : Path
    rows : iterator of Row
    labels : bool
        Whether folder names are taken as truth: adds the column ``label``.
    quality_names : sequence of str
        Fields of the column ``quality``.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(labels, quality_names)

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema) as writer:
            while chunk := [_values(row, quality_names) for row in islice(rows, _ROWS)]:
                writer.write_table(pa.Table.from_pylist(chunk, schema))

    write_atomic_with(folder / PARQUET_FILE, write)


def _schema(labels: bool, quality_names: Sequence[str]) -> Any:
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    quality = pa.struct([(name, number) for name in quality_names])
    return pa.schema(
        [
            ("path", text),
            ("verdict", text),
            ("score", number),
            ("reasons", pa.list_(text)),
            ("defect_class", text),
            ("class_probability", number),
            ("class_p_value", number),
            ("duration_ms", number),
            ("error", text),
            *([("label", text)] if labels else []),
            ("overlay", text),
            ("created", pa.timestamp("ms", "UTC")),
            *([("quality", quality)] if quality_names else []),
        ]
    )


def _values(row: Row, quality_names: Sequence[str]) -> Mapping[str, object]:
    created = row.opc.get("creationTime")
    quality = finite(row.opc.get("resultContent", {}).get("quality", {}))
    return {
        "path": _utf8(row.path),
        "verdict": row.verdict,
        "score": row.score,
        "reasons": list(row.reasons),
        "defect_class": row.defect_class,
        "class_probability": row.class_probability,
        "class_p_value": row.class_p_value,
        "duration_ms": row.duration_ms,
        "error": None if row.error is None else _utf8(row.error),
        "label": None if row.label is None else _utf8(row.label),
        "overlay": None if row.overlay is None else _utf8(row.overlay),
        "created": None if created is None else datetime.fromisoformat(created),
        "quality": {name: quality.get(name) for name in quality_names},
    }


def _utf8(text: str) -> str:
    """A file name may hold what is no text: it is escaped, as in results.jsonl."""
    return text.encode("utf-8", "backslashreplace").decode()
