"""Exported graphs that are kept: found only where nothing differs, harmless where the folder is not as it was left."""

import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from lineside.graph import export_cache, onnx_export
from lineside.graph.export_cache import CACHE_VARIABLE, cache_folder, cached, export_sha256, forget
from lineside.graph.onnx_export import export_module

DYNAMIC = {"x": {0: "N"}}


class Scaled(nn.Module):
    """x -> x · weight + offset."""

    weight: Tensor
    offset: Tensor

    def __init__(self, weight: float = 2.0, offset: float = 1.0) -> None:
        super().__init__()
        self.register_parameter("weight", nn.Parameter(torch.tensor([weight])))
        self.register_buffer("offset", torch.tensor(offset), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        return x * self.weight + self.offset


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[nn.Module]]:
    """Modules that were exported rather than found; graphs are kept in a folder of the test's own."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    made: list[nn.Module] = []
    export = onnx_export._exported

    def counted(module: nn.Module, *rest: object) -> onnx.ModelProto:
        made.append(module)
        return export(module, *rest)

    monkeypatch.setattr(onnx_export, "_exported", counted)
    forget()
    yield made
    forget()


def export(module: nn.Module, key: str | None = "scaled", columns: int = 3) -> bytes:
    """Export a module, and forget it: only the folder knows it then."""
    model = export_module(module, {"x": torch.zeros(2, columns)}, ("y",), DYNAMIC, key=key)
    forget()
    return model.SerializeToString()


def test_a_kept_graph_is_the_exported_one_byte_for_byte(exports: list[nn.Module]) -> None:
    """Found again by a module made anew, it is what an export without any cache gives."""
    first, second, without = export(Scaled()), export(Scaled()), export(Scaled(), key=None)
    assert first == second == without
    assert len(exports) == 2


@pytest.mark.parametrize("what", ["weight", "buffer", "key", "shape", "type", "name", "axes"])
def test_whatever_differs_is_another_graph(what: str) -> None:
    """A weight, a buffer that no state_dict holds, a setting, a shape, a type, a name, a dynamic size."""
    other = {"weight": Scaled(weight=3.0), "buffer": Scaled(offset=0.0), "type": nn.Identity()}
    examples = {"x": torch.zeros(2, 4 if what == "shape" else 3)}
    output, axis = "z" if what == "name" else "y", "M" if what == "axes" else "N"
    module = other.get(what, Scaled())
    usual = export_sha256("scaled", Scaled(), {"x": torch.zeros(2, 3)}, ("y",), DYNAMIC)
    key = "another" if what == "key" else "scaled"
    assert export_sha256(key, module, examples, (output,), {"x": {0: axis}}) != usual


def test_other_sources_and_versions_are_another_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a different installation exported is not taken."""
    usual = export_sha256("scaled", Scaled(), {}, (), {})
    monkeypatch.setattr(export_cache, "_program", lambda: ("another",))
    assert export_sha256("scaled", Scaled(), {}, (), {}) != usual


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_exported_again(exports: list[nn.Module], damage: str) -> None:
    """No error, the same graph, and the file is whole again."""
    first = export(Scaled())
    folder = cache_folder()
    assert folder is not None
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    damaged = {"cut": whole[:-7], "changed": whole[:-1] + bytes([whole[-1] ^ 1]), "empty": b""}[damage]
    file.write_bytes(damaged)
    assert export(Scaled()) == first
    assert len(exports) == 2
    assert file.read_bytes() == whole


def test_off_writes_nothing(exports: list[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`LINESIDE_CACHE=off`: nothing is kept beyond the process, which still exports a module once."""
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    for _ in range(2):
        export_module(Scaled(), {"x": torch.zeros(2, 3)}, ("y",), DYNAMIC, key="scaled")
    assert len(exports) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_no_error(exports: list[nn.Module], tmp_path: Path) -> None:
    """A file stands where the folder would be: exported every time."""
    (tmp_path / "cache").write_text("in the way")
    assert export(Scaled()) == export(Scaled())
    assert len(exports) == 2


def test_the_folder_is_bounded_and_what_was_used_last_stays(
    exports: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph that was used longest ago goes first, parts of killed writers with it."""
    folder = cache_folder()
    assert folder is not None
    small = onnx.ModelProto(producer_name="p" * 100)
    cached("first", lambda: small)
    cached("second", lambda: small)
    (folder / ".killed.part").write_bytes(b"x" * 100)
    for age, name in enumerate(("second.graph", "first.graph", ".killed.part")):
        os.utime(folder / name, (1000 - age, 1000 - age))
    forget()
    cached("first", lambda: pytest.fail("it is there"))  # used now
    size = (folder / "first.graph").stat().st_size
    monkeypatch.setattr(export_cache, "MOST_BYTES", 2 * size + 20)
    cached("third", lambda: small)
    assert {path.name for path in folder.iterdir()} == {"first.graph", "third.graph"}


def test_a_graph_larger_than_the_folder_may_be_is_not_kept(
    exports: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would push out everything else."""
    monkeypatch.setattr(export_cache, "MOST_BYTES", 50)
    cached("large", lambda: onnx.ModelProto(producer_name="p" * 100))
    folder = cache_folder()
    assert folder is not None
    assert not folder.exists()


def test_the_users_own_folder_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`XDG_CACHE_HOME` where it is set, ~/.cache elsewhere (Linux)."""
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lineside" / "exports"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "lineside" / "exports"
