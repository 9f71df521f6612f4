"""The wheel, in an environment of its own with the base dependencies alone: what a line PC gets."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT, Trained
from flat_parts import BAD_RGB, GOOD_RGB, paint
from tiny import write_tiny_bundle

pytestmark = pytest.mark.slow
ABSENT = ("torch", "torchvision", "anomalib", "timm", "albumentations", "onnx", "onnxscript", "scipy", "sklearn")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of this environment's import path."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, encoding="utf-8", check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir")
    done = run(*pip, folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment that holds the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    done = run(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    return programs


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with the tiny bundle, a good and a bad part."""
    write_tiny_bundle(tmp_path / "tiny")
    paint(tmp_path / "images" / "good.png", GOOD_RGB)
    paint(tmp_path / "images" / "bad.png", BAD_RGB)
    return tmp_path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Everything lies in lineside/ or in the metadata; the data files are there."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"lineside"}
    data = ("py.typed", "recipe.schema.json", "contract.schema.json", "report/page.css", "transfer/backbones.json")
    data += ("examples/js/index.html", "examples/js/lineside.mjs", "examples/cpp/judge.cpp", "examples/csharp/Judge.cs")
    assert {f"lineside/{name}" for name in data} <= names
    modules = {path.relative_to(ROOT / "inspect").as_posix() for path in (ROOT / "inspect").rglob("*.py")}
    assert modules <= names
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("package", ABSENT)
def test_no_training_package_comes_along(clean: Path, package: str) -> None:
    """The base dependencies bring none of the packages that only training needs."""
    code = f"from importlib.util import find_spec; print(find_spec('lineside') is not None, find_spec('{package}'))"
    assert run(clean / "python", "-c", code, cwd=clean).stdout.split() == ["True", "None"]


def test_the_installed_command_inspects(clean: Path, work: Path) -> None:
    """`lineside inspect` judges two images, and writes the report."""
    done = run(clean / "lineside", "inspect", "tiny", "images", "--overlays", "all", cwd=work)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (work / "inspections/tiny/results.jsonl").read_text().splitlines()]
    assert {row["path"]: row["verdict"] for row in rows} == {"images/bad.png": "NG", "images/good.png": "OK"}
    assert (work / "inspections/tiny/report.html").is_file()


def test_the_installed_inspector_judges(clean: Path, work: Path) -> None:
    """The runtime judges an array: mean red - mean blue is 30, above the threshold of 20."""
    code = (
        "import numpy as np\nfrom lineside.runtime import Inspector\n"
        "frame = np.full((4, 6, 3), (130, 110, 100), np.uint8)\n"
        "result = Inspector('tiny').inspect(frame)\nprint(result.verdict.name, result.score)"
    )
    assert run(clean / "python", "-c", code, cwd=work).stdout.split() == ["NG", "30.0"]


def test_a_trained_bundle_is_verified_and_inspected(clean: Path, small: Trained, tmp_path: Path) -> None:
    """A model from training is proven and used, against the folder names too, without a training package."""
    verified = run(clean / "lineside", "verify", small.bundle, cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    inspected = run(
        clean / "lineside", "inspect", small.bundle, small.images / "test", "--labels", "--json", cwd=tmp_path
    )
    assert inspected.returncode == 0, inspected.stderr
    assert json.loads(inspected.stdout)["counts"]["unreadable"] == 0


def test_help_names_every_command(clean: Path, tmp_path: Path) -> None:
    """`lineside --help` answers."""
    done = run(clean / "lineside", "--help", cwd=tmp_path)
    assert done.returncode == 0
    commands = {
        "new",
        "capture",
        "flatfield",
        "check",
        "preview",
        "train",
        "inspect",
        "verify",
        "bench",
        "stress",
        "demo",
    }
    assert commands <= set(re.findall(r"\w+", done.stdout))


def test_a_recipe_is_written_and_checked(clean: Path, tmp_path: Path) -> None:
    """`lineside new` and `lineside check` need no training package."""
    new = run(clean / "lineside", "new", "mine", "--from", ROOT / "sample_data" / "weave", cwd=tmp_path)
    assert new.returncode == 0, new.stderr
    check = run(clean / "lineside", "check", "mine", cwd=tmp_path)
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("command", ["preview", "train", "demo"])
def test_training_names_what_to_install(clean: Path, tmp_path: Path, command: str) -> None:
    """Without the extra, training ends with one line that holds the pip line, exit code 2, and writes nothing."""
    done = run(clean / "lineside", command, ROOT / "recipes" / "weave", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: torch is needed here and is not installed. Install it with: pip install 'lineside[train]'\n"
    )
    assert not done.stdout
    assert not list(tmp_path.iterdir())
