"""The README is run: its code against a trained bundle, its commands against the command line, its links on disk."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import pytest
import typer

from conftest import ROOT, Trained
from lineside.bench.evaluation.limits import Limits, load_limits
from lineside.cli.main import register
from lineside.recipe import Normalise, Recipe, load_recipe
from lineside.recipe_yaml import read_yaml
from lineside.runtime import Inspector

README = (ROOT / "README.md").read_text(encoding="utf-8")
NO_LINESIDE = "import sys; sys.modules['lineside'] = None\n"


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    """Return the arguments of every line in a shell block that starts with a program."""
    lines = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    return [words[1:] for words in lines if words and words[0] == program]


def block_with(text: str) -> str:
    """Return the one Python block that holds a text."""
    (found,) = [block for block in blocks("python") if text in block]
    return found


def printed(code: str, folder: Path) -> list[str]:
    """Run code in a fresh interpreter in a folder and return the words that it printed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def place(small: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model under the README's name for it."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(small.bundle, folder / "models" / "caps")
    return folder


@pytest.fixture(params=["good/000.png", "first defect"])
def part(request: pytest.FixtureRequest, small: Trained, place: Path) -> Path:
    """The place, with an image under the README's name for it: a good part, then a defective one."""
    test = small.images / "test"
    defects = sorted(path for path in test.glob("*/*.png") if path.parent.name != "good")
    source = defects[0] if request.param == "first defect" else test / request.param
    shutil.copyfile(source, place / "part.jpg")  # OpenCV goes by the content, not by the name
    return place


def judged(place: Path, **thresholds: float) -> tuple[str, float]:
    """Return verdict and score of the image in the place."""
    frame = cv2.cvtColor(cv2.imread(str(place / "part.jpg")), cv2.COLOR_BGR2RGB)
    result = Inspector(place / "models" / "caps", **thresholds).inspect(frame)
    return result.verdict.name, result.score


def test_plain_onnxruntime_gives_the_same_verdict_without_lineside(part: Path) -> None:
    """The README's onnxruntime lines, run where lineside cannot be imported, agree with Inspector."""
    verdict, score, _, limit = printed(NO_LINESIDE + block_with("onnxruntime"), part)
    expected_verdict, expected_score = judged(part)
    assert verdict == expected_verdict
    assert float(score) == pytest.approx(expected_score, rel=1e-5)
    assert float(limit) == Inspector(part / "models" / "caps").contract.threshold_ng.value


def test_the_blocker_blocks(tmp_path: Path) -> None:
    """Behind the prelude of the test above lineside cannot be imported."""
    assert printed(
        NO_LINESIDE + "try:\n    import lineside.runtime\nexcept ImportError:\n    print('no')", tmp_path
    ) == ["no"]


@pytest.mark.parametrize(("limit", "verdict"), [(0.0, "NG"), (1e6, "OK")])
def test_the_commented_override_of_thresholds_works(part: Path, limit: float, verdict: str) -> None:
    """Uncommented, the line on other thresholds decides the verdict, and Inspector agrees."""
    code, uncommented = re.subn(
        r"^# (feed .*)np\.array\(\[[^]]*\]", rf"\1np.array([{limit}]", block_with("onnxruntime"), flags=re.M
    )
    assert uncommented == 1
    assert printed(NO_LINESIDE + code, part)[0] == verdict
    assert judged(part, threshold_ng=limit, threshold_review=limit)[0] == verdict


def test_the_inspector_lines_give_the_same_verdict(part: Path) -> None:
    """The README's lines with Inspector print the verdict and the score."""
    verdict, score = printed(block_with("import Inspector"), part)
    expected_verdict, expected_score = judged(part)
    assert verdict == expected_verdict
    assert float(score) == expected_score


def test_the_lines_on_many_frames_judge_them(part: Path) -> None:
    """The README's lines on many frames and on a stream run as they stand, and agree with one frame alone."""
    verdict, score = judged(part)
    frames = "import cv2, json\nframes = [cv2.imread('part.jpg')] * 3\ncamera = iter(frames)\n"
    told = "\nprint(*(r.verdict.name for r in results))"
    lines = (
        block_with("inspect_stream")
        .replace("print(result", "print(json.dumps(result")
        .replace(")  # JSON", "))  # JSON")
    )
    words = printed(frames + block_with("import Inspector") + lines + told, part)
    assert words.count(verdict) == 1 + 3
    assert " ".join(words).count(f'"verdict": "{verdict}", "score": {score}') == 3


@pytest.mark.parametrize("arguments", commands("lineside"), ids=" ".join)
def test_every_command_line_is_taken(arguments: list[str]) -> None:
    """The command exists and takes these arguments and options."""
    app = typer.Typer()
    register(app)
    group = typer.main.get_command(app)
    name, *rest = arguments
    group.commands[name].make_context(name, rest)


def test_every_command_is_in_the_readme() -> None:
    """Nothing that `lineside --help` lists is left out."""
    app = typer.Typer()
    register(app)
    assert {arguments[0] for arguments in commands("lineside")} == set(typer.main.get_command(app).commands)


def test_every_make_target_exists() -> None:
    """`make <target>` lines name targets of the Makefile."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {arguments[0] for arguments in commands("make")}
    assert named
    assert named <= targets


def test_every_extra_exists() -> None:
    """What stands in brackets behind `pip install .` is an extra of the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = set(re.findall(r"pip install (?:-e )?'\.\[(\w+)\]'", README))
    assert named
    assert named <= set(project["optional-dependencies"])


def test_every_relative_link_and_picture_exists() -> None:
    """Links without a scheme lead to files of the repository."""
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_recipe_loads_and_shows_the_defaults(tmp_path: Path) -> None:
    """The README's recipe is one, and every value in it is the key's default."""
    (block,) = [block for block in blocks("yaml") if block.startswith("part:")]
    (tmp_path / "images").mkdir()
    (tmp_path / "recipe.yaml").write_text(block, encoding="utf-8")
    assert load_recipe(tmp_path).recipe == Recipe(part="mypart", images="images")


def test_the_limits_load(tmp_path: Path) -> None:
    """The README's file of limits is one, and every other key that it names is known."""
    (block,) = [block for block in blocks("yaml") if block.startswith("overkill:")]
    (tmp_path / "limits.yaml").write_text(block, encoding="utf-8")
    limits = load_limits(tmp_path / "limits.yaml")
    assert limits.escape_by_class == {"scratch": 0.05}
    also = re.findall(r"also ([a-z0-9_, ]+)", block)
    assert also
    assert {name for names in also for name in names.strip().split(", ")} <= set(Limits.model_fields)


def test_every_line_on_light_and_angle_is_a_recipe() -> None:
    """What the table says to write below `normalise:` is taken as it stands."""
    table = README.split("write below `normalise:` |")[1].split("\n\n")[0]
    written = re.findall(r"^\| [^|`]+ \| `([^`]+)`", table, re.MULTILINE)
    assert len(written) == table.count("\n") - 1
    for text in written:
        assert Normalise.model_validate(read_yaml(text, Path("README.md")).value) != Normalise()


def test_every_file_of_a_bundle_is_listed(small: Trained) -> None:
    """The table of a bundle's files leaves none out."""
    listed = set(re.findall(r"^\| `([^`]+?)/?` \|", README, re.MULTILINE))
    assert {path.name for path in small.bundle.iterdir()} <= listed
