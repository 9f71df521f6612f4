"""The examples in Python: a web service, and thresholds read and overridden."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from browsing import missing
from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, paint
from lineside.errors import BundleError
from lineside.examples import thresholds
from lineside.export.signing import make_keys, sign_bundle
from lineside.runtime import Inspector

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


Ask = Callable[..., "TestClient"]


@pytest.fixture
def served(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Start the service on the tiny bundle, with these limits; it is asked without a network."""
    try:
        from fastapi.testclient import TestClient
    except ImportError as error:
        missing(f"{error} (pip install -e '.[dev]')")
    from lineside.examples.web import serve

    monkeypatch.setenv("MODEL", str(bundle))
    return lambda **limits: TestClient(serve(**limits))


@pytest.mark.parametrize(("rgb", "verdict"), [(GOOD_RGB, "OK"), (BAD_RGB, "NG"), (DARK_RGB, "NO_CALL")])
def test_a_picture_gets_its_verdict(served: Ask, tmp_path: Path, rgb: tuple[int, int, int], verdict: str) -> None:
    """Whatever the verdict, it is an answer, with the part's identity and the names of OPC 40100-1."""
    answer = served().post("/inspect?part_id=4711", content=paint(tmp_path / "a.png", rgb).read_bytes())
    assert answer.status_code == 200
    document = answer.json()
    assert (document["partId"], document["resultContent"]["verdict"]) == ("4711", verdict)
    assert document["internalRecipeId"].startswith("tiny@")


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "empty file"), (b"hello, line", "not a JPEG"), (b"\x89PNG\r\n\x1a\n", "truncated")]
)
def test_what_is_no_picture_is_a_bad_request(served: Ask, content: bytes, words: str) -> None:
    """400, and the reason in words."""
    answer = served().post("/inspect", content=content)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_a_large_body_is_refused_as_it_comes(served: Ask) -> None:
    """413, whether its length was told or not, and the rest of it is never taken."""
    client = served(max_bytes=5000)
    assert client.post("/inspect", content=bytes(5001)).status_code == 413
    taken = []

    def endless():  # type: ignore[no-untyped-def]
        for number in range(1000):
            taken.append(number)
            yield bytes(1000)

    assert client.post("/inspect", content=endless()).status_code == 413
    assert client.post("/inspect", content=bytes(5000)).status_code == 400


def test_a_bomb_is_refused_before_it_is_decoded(served: Ask, tmp_path: Path) -> None:
    """A small body that claims more pixels than are taken is a bad request."""
    content = paint(tmp_path / "a.png", GOOD_RGB, size=11).read_bytes()
    answer = served(max_pixels=120).post("/inspect", content=content)
    assert (answer.status_code, "11x11 pixels" in answer.json()["detail"]) == (400, True)
    assert served(max_pixels=121).post("/inspect", content=content).status_code == 200


def test_the_service_can_demand_a_signature(
    served: Ask, proven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With KEY it does not even start on a model that the key did not sign."""
    private, public = make_keys(tmp_path / "keys")
    monkeypatch.setenv("MODEL", str(proven))
    monkeypatch.setenv("KEY", str(public))
    with pytest.raises(BundleError, match=r"SIGNATURE\.json"):
        served()
    sign_bundle(proven, private)
    content = paint(tmp_path / "a.png", GOOD_RGB).read_bytes()
    assert served().post("/inspect", content=content).status_code == 200


def test_the_service_is_short() -> None:
    """It stays below the 40 lines that it is meant to show."""
    from lineside import examples

    text = (Path(examples.__file__).parent / "web.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40


def test_thresholds_are_told_and_overridden(bundle: Path, tmp_path: Path) -> None:
    """A score of 10 is OK by the model's own 20 and NG by 5; only the model's own come with what they are worth."""
    picture = paint(tmp_path / "a.png", GOOD_RGB)
    program = (sys.executable, "-m", "lineside.examples.thresholds", str(bundle), str(picture), "5")
    lines = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "NG above 20, REVIEW above 20"
    assert "promises nothing" in lines[1]
    assert lines[3].endswith("OK, score 10")
    assert lines[4] == "NG above 5, REVIEW above 5"
    assert "does not hold" in lines[5]
    assert lines[6].endswith("NG, score 10")


def test_a_band_for_review_is_told(inspector: Inspector) -> None:
    """Where both are overridden, both are said."""
    both = Inspector(inspector.path, threshold_ng=15.0, threshold_review=5.0)
    assert next(thresholds.describe(both)) == "NG above 15, REVIEW above 5"
