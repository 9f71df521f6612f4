"""The house rules that a tool or a hurried hand would break."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "torchvision", "anomalib", "timm", "albumentations", "lightning", "sklearn", "scipy", "onnx")
TORCH_ROOMS = ("normalise", "graph", "transfer", "export", "train", "synth", "bench")


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_inspect_is_a_source_root_and_no_package() -> None:
    """inspect/ holds lineside/ and nothing else, above all no __init__.py."""
    names = {path.name for path in (ROOT / "inspect").iterdir()} - {"__pycache__"}
    assert names == {"lineside"}


def test_the_standard_inspect_module_still_imports_from_the_root() -> None:
    """From the repository's root `import inspect` gives Python's own module."""
    code = "import inspect; print(inspect.__file__); inspect.signature(print)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert Path(done.stdout.strip()).name == "inspect.py"
    assert ROOT not in Path(done.stdout.strip()).parents or ".venv" in done.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import lineside",
        "import lineside.runtime",
        "import lineside.recipe, lineside.dataset, lineside.contract",
        "import lineside.batch",
        "import lineside.bench.evaluation.run, lineside.bench.evaluation.table, lineside.report.evaluation",
        "from lineside.cli.main import app, register; register(app)",
    ],
)
def test_light_imports_stay_light(statement: str) -> None:
    """Nothing that a line PC imports drags training packages in."""
    assert not loaded_after(statement) & set(HEAVY)


def test_the_runtime_needs_numpy_and_onnxruntime_alone() -> None:
    """The runtime loads only lineside beyond what these two load, and they load nothing that is not listed."""
    allowed = {"numpy", "onnxruntime", "google", "flatbuffers", "coloredlogs", "humanfriendly", "packaging"}
    standard = set(sys.stdlib_module_names)
    theirs = loaded_after("import numpy, onnxruntime")
    foreign = theirs - loaded_after("pass") - standard - allowed
    assert not {name for name in foreign if not name.startswith("_")}
    assert loaded_after("import lineside.runtime") - theirs - standard == {"lineside"}


def test_the_runtime_stays_small() -> None:
    """Whoever embeds it can read it: at most 600 lines."""
    runtime = ROOT / "inspect" / "lineside" / "runtime"
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in runtime.rglob("*.py")) <= 600


def test_help_loads_no_training_package() -> None:
    """`lineside --help` answers without torch."""
    code = (
        "import sys, runpy\nsys.argv = ['lineside', '--help']\n"
        "from lineside.cli.main import run\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\n"
        "print(' '.join(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "train" in done.stdout
    assert not set(done.stderr.split()) & set(HEAVY)


def test_torch_is_imported_in_its_rooms_alone() -> None:
    """No module outside the rooms of training names torch, anomalib, timm or albumentations in an import."""
    offenders = []
    for path in (ROOT / "inspect" / "lineside").rglob("*.py"):
        room = path.relative_to(ROOT / "inspect" / "lineside").parts[0]
        for line in path.read_text().splitlines():
            words = line.split()
            heavy = len(words) > 1 and words[0] in ("import", "from") and words[1].split(".")[0] in HEAVY[:6]
            if heavy and room not in TORCH_ROOMS:
                offenders.append(f"{path.name}: {line.strip()}")
    assert not offenders


def test_nothing_is_unpickled() -> None:
    """torch.load appears only with weights_only=True, and pickle not at all."""
    for path in (ROOT / "inspect" / "lineside").rglob("*.py"):
        for line in path.read_text().splitlines():
            assert "pickle.load" not in line, path
            assert "torch.load(" not in line or "weights_only=True" in line, path
