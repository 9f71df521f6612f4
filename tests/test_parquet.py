"""results.parquet: the same rows as results.jsonl, with types."""

from pathlib import Path

import pytest

from flat_parts import DARK_RGB, lines, paint
from lineside import errors
from lineside.batch import InspectOptions, inspect_images
from lineside.batch import parquet as module
from lineside.errors import MissingExtraError, require
from lineside.runtime import Inspector


def test_every_row_is_there_with_its_types(images: Path, inspector: Inspector) -> None:
    """All that results.jsonl says, in its order; asked for again it is written again."""
    parquet = pytest.importorskip("pyarrow.parquet")
    paint(images / "good/dark.png", DARK_RGB)
    (images / "good/empty.png").touch()
    inspect_images(inspector, [images], "out", InspectOptions(labels=True, parquet=True))
    table = parquet.read_table("out/results.parquet")
    rows, written = lines("out"), table.to_pylist()
    for name in ("path", "verdict", "score", "reasons", "error", "label", "overlay", "duration_ms"):
        assert [row[name] for row in written] == [row[name] for row in rows]
    assert [row["quality"]["mean_level"] for row in written if row["verdict"] == "NO_CALL"] == [2.0]
    assert str(table.schema.field("created").type) == "timestamp[ms, tz=UTC]"
    Path("out/results.parquet").unlink()
    inspect_images(inspector, [images], "out", InspectOptions(labels=True, parquet=True))
    assert parquet.read_table("out/results.parquet").num_rows == len(rows)


def test_many_rows_come_in_groups(images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a group's rows are held at once, and none is lost between groups."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(module, "_ROWS", 2)
    inspect_images(inspector, [images], "out", InspectOptions(parquet=True))
    file = parquet.ParquetFile("out/results.parquet")
    assert (file.num_row_groups, file.metadata.num_rows) == (3, 5)
    assert "label" not in file.schema_arrow.names


def test_without_pyarrow_it_is_said_before_anything_is_judged(
    images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message holds the pip line; no folder was made."""
    monkeypatch.setattr(errors, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lineside\[parquet\]'"):
        inspect_images(inspector, [images], "out", InspectOptions(parquet=True))
    assert not Path("out").exists()
    with pytest.raises(MissingExtraError):
        require("pyarrow", "parquet")


@pytest.mark.parametrize("fresh", [True, False])
def test_an_old_table_never_lies_beside_newer_results(images: Path, inspector: Inspector, fresh: bool) -> None:
    """A later call that was not asked for it, started over or gone on, removes it."""
    pytest.importorskip("pyarrow")
    inspect_images(inspector, [images], "out", InspectOptions(parquet=True))
    inspect_images(inspector, [images], "out", InspectOptions(fresh=fresh))
    assert not Path("out/results.parquet").exists()
