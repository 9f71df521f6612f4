"""Results that a run keeps for its report: which, how many, and that they spare the second look."""

import threading
from pathlib import Path

import numpy as np
import pytest

from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, paint
from lineside.batch import InspectOptions, inspect_images, kept
from lineside.batch.eye import Eye, Seen
from lineside.batch.kept import KeptResults
from lineside.contract import Verdict
from lineside.runtime import Inspector, Result
from tiny import write_tiny_bundle


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Inspector:
    """The tiny bundle, opened."""
    return Inspector(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny"))


def frame_of(red: int) -> np.ndarray:
    """A flat frame with the score red - 90, NG above 110."""
    return np.full((12, 20, 3), (red, 50, 90), np.uint8)


def found(results: KeptResults, paths: range) -> list[int]:
    """Numbers of the images that were kept."""
    return [i for i in paths if results.get(str(i))]


def test_the_highest_of_each_verdict_are_kept(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of each, whatever comes in whatever order; OK images do not push out NG ones."""
    monkeypatch.setattr(kept, "OTHERS_SHOWN", 2)
    results = KeptResults()
    for red in (100, 150, 90, 140, 95, 120, 160, 99):
        results.add(str(red), inspector.inspect(frame_of(red)))
    assert found(results, range(256)) == [99, 100, 150, 160]
    assert results.get("160").verdict is Verdict.NG  # type: ignore[union-attr]


def test_large_maps_are_fewer(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of the maps are bounded, and one is always kept."""
    result = inspector.inspect(frame_of(120))
    for room, count in ((3 * result.anomaly_map.nbytes, 3), (1, 1)):
        monkeypatch.setattr(kept, "MOST_BYTES", room)
        results = KeptResults()
        for number in range(9):
            results.add(str(number), result)
        assert len(found(results, range(9))) == count


def test_threads_share_what_is_kept(inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four threads that add at once leave as many as are wanted."""
    monkeypatch.setattr(kept, "OTHERS_SHOWN", 10)
    results, result = KeptResults(), inspector.inspect(frame_of(120))

    def add(first: int) -> None:
        for number in range(first, 400, 4):
            results.add(str(number), result)

    threads = [threading.Thread(target=add, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found(results, range(400))) == 10


def test_the_report_does_not_judge_again(tmp_path: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is judged once, its pictures included; where nothing was kept, each that is shown is judged twice,
    and the page is the same."""
    monkeypatch.chdir(tmp_path)
    for number, colour in enumerate((GOOD_RGB, BAD_RGB, DARK_RGB, BAD_RGB)):
        paint(Path(f"imgs/{number}.png"), colour)
    judged: list[int] = []
    inspect, look = Inspector.inspect, Eye._judged

    def counted(self: Inspector, frame: np.ndarray, **options: bool) -> Result:
        judged.append(1)
        return inspect(self, frame, **options)

    def looked(self: Eye, frame: np.ndarray) -> Seen:
        judged.append(1)
        return look(self, frame)

    monkeypatch.setattr(Inspector, "inspect", counted)
    monkeypatch.setattr(Eye, "_judged", looked)
    inspect_images(inspector, ["imgs"], "out", InspectOptions(workers=2))
    assert len(judged) == 4
    page = (tmp_path / "out/report.html").read_text().count("data:image/jpeg")
    judged.clear()
    monkeypatch.setattr(KeptResults, "get", lambda *_: None)
    inspect_images(inspector, ["imgs"], "out", InspectOptions(workers=2, fresh=True))
    assert len(judged) > 4
    assert (tmp_path / "out/report.html").read_text().count("data:image/jpeg") == page > 0
