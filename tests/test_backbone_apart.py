"""The embedded backbone's export in a process of its own: the same graph, and nothing lost where there is none."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineside.graph import onnx_export
from lineside.graph.export_cache import CACHE_VARIABLE, forget
from lineside.graph.run import WORKERS_VARIABLE
from lineside.graph.trunk import tap_grids
from lineside.transfer.backbone import Backbone, load_backbone
from lineside.transfer.backbone_apart import ApartExport

TAPS, SIZE_WH = ("tap0", "tap1"), (72, 40)


@pytest.fixture(autouse=True)
def kept_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Graphs are kept in a folder of the test's own, and there are two processors."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setenv(WORKERS_VARIABLE, "2")
    forget()
    yield
    forget()


def lite0() -> Backbone:
    """Return the embedded backbone, not yet built."""
    return load_backbone("lite0", (8, 16), ("apache-2.0", "mit"), Path())


def test_the_other_process_gives_the_graph_and_its_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte for byte that of an export here; grids are known before; once it was kept, no process is started."""
    begun = ApartExport(lite0(), TAPS, SIZE_WH)
    grids = begun.grids_hw
    with monkeypatch.context() as patched:
        patched.setattr(onnx_export, "_exported", lambda *_: pytest.fail("exported here"))
        model = begun.model
        forget()
        patched.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
        ApartExport(lite0(), TAPS, SIZE_WH)
    assert grids == tap_grids(model) == ((5, 9), (3, 5))
    forget()
    monkeypatch.setenv(CACHE_VARIABLE, "off")
    assert lite0().exported(TAPS, SIZE_WH).SerializeToString() == model.SerializeToString()


@pytest.mark.parametrize("program", ["false", "no such program"])
def test_a_process_that_fails_leaves_the_export_to_this_one(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it does not start or ends at once: what goes wrong there has its say here."""
    called: list[object] = []
    monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setattr(Backbone, "exported", lambda _, *wish: called.append(wish))
    begun = ApartExport(lite0(), TAPS, SIZE_WH)
    assert begun.model is None
    assert called == [(TAPS, SIZE_WH)]


@pytest.mark.parametrize(("variable", "value"), [(CACHE_VARIABLE, "off"), (WORKERS_VARIABLE, "1")])
def test_no_process_where_it_could_not_help(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be handed over, or there is one processor."""
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    ApartExport(lite0(), TAPS, SIZE_WH)


def test_a_training_that_is_given_up_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes with what began it."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: process)
    begun = ApartExport(lite0(), TAPS, SIZE_WH)
    assert process.poll() is None
    del begun
    assert process.poll() is not None
