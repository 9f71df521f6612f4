"""The C++ example, built and run: with the library of ONNX Runtime's Python wheel and headers from the npm registry.

Where compiler or headers are missing it skips with the reason; where `CI` is set it fails.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import onnxruntime
import pytest

from browsing import missing
from conftest import ROOT
from lineside.contract import Verdict
from lineside.runtime import verify_bundle

SAMPLES = ROOT / "inspect" / "lineside" / "examples"
HEADERS = Path("node_modules", "@qvac", "onnx", "prebuilds", "include", "onnxruntime")


def headers() -> Path:
    """Return the folder of ONNX Runtime's headers: in LINESIDE_CPP, or tests/cpp."""
    folder = Path(os.environ.get("LINESIDE_CPP") or ROOT / "tests" / "cpp")
    if not (folder / HEADERS / "onnxruntime_cxx_api.h").is_file():
        missing(f"no headers of ONNX Runtime in {folder} (npm ci --ignore-scripts there; LINESIDE_CPP names another)")
    return folder / HEADERS


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample as a program, built without a warning."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        missing("neither g++ nor clang++ is installed")
    wheel = Path(onnxruntime.__file__).parent / "capi"
    library = next(iter(sorted(wheel.glob("libonnxruntime.so*"))), None)
    if library is None:
        missing(f"{wheel} holds no library to link against (onnxruntime on Linux, from 1.32 on)")
    program = tmp_path_factory.mktemp("cpp") / "judge"
    linked = program.parent / "libonnxruntime.so.1"  # the name that it calls itself
    linked.symlink_to(library)
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Werror", f"-isystem{headers()}", f"-Wl,-rpath,{linked.parent}")
    built = subprocess.run(
        [compiler, *flags, str(SAMPLES / "cpp" / "judge.cpp"), str(linked), "-o", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return program


def run(judge: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run([str(judge), *map(str, arguments)], capture_output=True, text=True, check=False)


def test_cpp_gives_every_vectors_verdict(judge: Path, proven: Path) -> None:
    """Verdict, score and gate of each vector, read from its raw frame, are the recorded ones."""
    verify_bundle(proven)
    entries = json.loads((proven / "vectors" / "vectors.json").read_text())["vectors"]
    for entry in entries:
        done = run(judge, proven / "model.onnx", proven / "vectors" / entry["frame"], *entry["frame_shape_hwc"])
        assert done.returncode == 0, done.stderr
        verdict, score, _, gate = done.stdout.split()
        wanted = entry["outputs"]
        assert (verdict, int(gate)) == (Verdict(wanted["verdict"]).name, wanted["gate"])
        assert float(score) == pytest.approx(wanted["score"], rel=1e-5)
    assert {Verdict(entry["outputs"]["verdict"]) for entry in entries} >= {Verdict.OK, Verdict.NG}


def test_cpp_refuses_what_does_not_fit(judge: Path, proven: Path) -> None:
    """A frame of another size than was said, and too few words, end with a reason."""
    frame = proven / "vectors" / "ok.u8"
    wrong = run(judge, proven / "model.onnx", frame, 6, 8, 3)
    assert (wrong.returncode, "do not fit the shape" in wrong.stderr) == (1, True)
    assert run(judge, proven / "model.onnx").returncode == 2


@pytest.mark.parametrize("name", ["cpp/judge.cpp", "csharp/Judge.cs", "js/verify.mjs"])
def test_samples_without_lineside_say_how_telemetry_is_switched_off(name: str) -> None:
    """lineside does it by itself; who takes ONNX Runtime alone must."""
    assert "ORT_DISABLE_TELEMETRY" in (SAMPLES / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "word"), [("cpp/judge.cpp", "TESTED"), ("csharp/Judge.cs", "UNTESTED")])
def test_the_first_line_says_whether_it_is_tested(name: str, word: str) -> None:
    """What is only shown and not run says so before anything else."""
    assert (SAMPLES / name).read_text(encoding="utf-8").startswith(f"// {word}: ")
