"""The example of a line: what is not OK leaves it, whatever the reason."""

import subprocess
import sys
from pathlib import Path

import pytest

from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, paint
from lineside.errors import ImageError
from lineside.examples.line_loop import run_line
from lineside.export.signing import make_keys, sign_bundle
from lineside.runtime import Inspector


@pytest.fixture
def belt(tmp_path: Path) -> Path:
    """Pictures as they come: good, defective, too dark, good."""
    for number, colour in enumerate((GOOD_RGB, BAD_RGB, DARK_RGB, GOOD_RGB)):
        paint(tmp_path / "belt" / f"{number}.png", colour)
    return tmp_path / "belt"


def test_what_is_not_ok_leaves_the_line(inspector: Inspector, belt: Path) -> None:
    """NG and NO_CALL are rejected by name, in the order in which they came; the rest is counted."""
    rejected: list[tuple[str, str]] = []
    passed = run_line(inspector, str(belt), lambda name, result: rejected.append((name, result.verdict.name)))
    assert (passed, rejected) == (2, [("1.png", "NG"), ("2.png", "NO_CALL")])


def test_a_picture_that_cannot_be_read_stops_the_line(inspector: Inspector, belt: Path) -> None:
    """No part passes unseen."""
    (belt / "1.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"1\.png"):
        run_line(inspector, str(belt), lambda *_: None)


def test_it_runs_as_a_program(bundle: Path, belt: Path) -> None:
    """As its first lines say."""
    program = (sys.executable, "-m", "lineside.examples.line_loop", str(bundle), str(belt))
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "2 parts passed"
    assert done.stdout.startswith("1.png: NG")


def test_the_line_can_demand_a_signature(proven: Path, belt: Path, tmp_path: Path) -> None:
    """With a key as third word a model that it did not sign judges nothing."""
    private, public = make_keys(tmp_path / "keys")
    program = (sys.executable, "-m", "lineside.examples.line_loop", str(proven), str(belt), str(public))
    unsigned = subprocess.run(program, capture_output=True, text=True, check=False)
    sign_bundle(proven, private)
    signed = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (unsigned.returncode, unsigned.stdout, "SIGNATURE.json" in unsigned.stderr) == (1, "", True)
    assert (signed.returncode, signed.stdout.splitlines()[-1]) == (0, "2 parts passed")
