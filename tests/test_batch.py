"""Batch inspection: from sources to rows, sheet and summary, on the tiny bundle."""

import csv
import dataclasses
import json
import math
import os
import shutil
import threading
import time
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flat_parts import BAD_RGB, DARK_RGB, GOOD_RGB, lines, paint
from lineside.batch import InspectOptions, inspect_images, judge
from lineside.batch.plan import plan_images
from lineside.batch.row import Row
from lineside.batch.run import _judged
from lineside.batch.store import RunStore
from lineside.contract import Verdict
from lineside.errors import ImageError, StorageError
from lineside.runtime import Inspector, Result
from tiny import write_tiny_bundle

# ---- planning


def test_a_folder_is_walked_in_order(images: Path) -> None:
    """Folders come recursively, sorted, as the paths that the user would type."""
    found = [path.as_posix() for path in plan_images([images], Path("out"))]
    assert found == [f"imgs/good/{i}.png" for i in range(3)] + [f"imgs/scratch/{i}.png" for i in range(2)]


def test_sources_that_overlap_give_each_image_once(images: Path) -> None:
    """A folder, a folder inside it and a file inside that name the same images once."""
    found = list(plan_images([images / "good/0.png", images, images / "good", images / "good/1.png"], Path("out")))
    assert len(found) == len(set(found)) == 5


def test_a_hidden_file_named_beside_its_folder_is_not_lost(images: Path) -> None:
    """A walk passes over hidden names, so naming one after its folder still brings it."""
    hidden = paint(images / ".late/1.png", GOOD_RGB)
    assert hidden in list(plan_images([images, hidden], Path("out")))


def test_the_results_inside_the_images_are_not_images(images: Path, inspector: Inspector) -> None:
    """With --out below the inspected folder, overlays of this run and of another one are never judged."""
    everything = InspectOptions(overlays="all")
    assert inspect_images(inspector, ["."], "inspections/a", everything).total == 5
    assert inspect_images(inspector, ["."], "inspections/b", everything).total == 5
    assert inspect_images(inspector, ["."], "inspections/a", everything).total == 5


def test_results_may_lie_among_the_images(images: Path, inspector: Inspector) -> None:
    """Where --out is the folder of the images itself, they are judged, and the overlays beside them are not."""
    assert inspect_images(inspector, [images], images, InspectOptions(overlays="all")).total == 5
    assert inspect_images(inspector, [images], images, InspectOptions(overlays="all")).total == 5
    with pytest.raises(ImageError, match="no image in it"):
        inspect_images(inspector, [images / "overlays"], images, InspectOptions(overlays="all"))


def test_ground_truth_masks_are_left_out_and_counted(images: Path, inspector: Inspector) -> None:
    """Masks of the MVTec AD layout are no parts; the summary says how many there were."""
    paint(images / "ground_truth/scratch/0_mask.png", (255, 255, 255))
    summary = inspect_images(inspector, [images], "out")
    assert (summary.total, summary.masks_left_out) == (5, 1)


def test_the_plan_is_lazy_and_the_window_bounded() -> None:
    """Of endless images only a window's worth is taken before the first result comes out."""
    taken: list[int] = []

    def endless():
        while True:
            taken.append(1)
            yield Path("a.png")

    class Instant:
        job_id = "job"

        def __call__(self, path: Path, result_id: str) -> Row:
            return Row(path.as_posix(), "OK", 1.0, (), None, 1.0, None)

    rows = _judged(Instant(), endless(), 0, workers=2)  # type: ignore[arg-type]
    for _ in range(10):
        next(rows)
    rows.close()
    assert len(taken) <= 10 + 2 * 4


def test_no_worker_outlives_the_hold_on_the_folder(
    images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a row cannot be written, all threads have ended before the next inspection may take the folder."""

    def full(store: RunStore, row: Row) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(RunStore, "append", full)
    with pytest.raises(StorageError, match="no space left"):  # the error holds on to the frames that it came through
        inspect_images(inspector, [images], "out", InspectOptions(overlays="all", workers=1))
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("lineside")]


# ---- results


def test_a_row_has_the_flat_names_and_those_of_opc(images: Path, inspector: Inspector) -> None:
    """Every line holds what people grep for and what OPC 40100-1 names."""
    inspect_images(inspector, [images], "out")
    row = lines("out")[3]
    assert {"path": "imgs/scratch/0.png", "verdict": "NG", "score": 110.0, "error": None}.items() <= row.items()
    assert row["reasons"] == []
    assert row["defect_class"] is None
    assert row["duration_ms"] > 0
    assert row["partId"] == "0"
    assert row["measId"] == "imgs/scratch/0.png"
    assert row["resultState"] == 1
    assert row["isPartial"] is False
    assert row["internalRecipeId"] == "tiny@000000000000"
    assert row["resultContent"]["verdict"] == "NG"
    assert row["processingTimes"]["processingDuration"] > 0
    assert "label" not in row


def test_identities_are_unique_within_one_job(images: Path, inspector: Inspector) -> None:
    """resultId tells lines apart, jobId holds them together."""
    summary = inspect_images(inspector, [images], "out")
    rows = lines("out")
    assert len({row["resultId"] for row in rows}) == 5
    assert {row["jobId"] for row in rows} == {summary.job_id}


def test_no_call_keeps_its_reason(images: Path, inspector: Inspector) -> None:
    """A frame that the gate refuses is no pass and says why."""
    paint(images / "good/dark.png", DARK_RGB)
    summary = inspect_images(inspector, [images], "out")
    row = next(row for row in lines("out") if row["partId"] == "dark")
    assert (row["verdict"], row["reasons"]) == ("NO_CALL", ["exposure"])
    assert summary.counts == {"OK": 3, "NG": 2, "REVIEW": 0, "NO_CALL": 1, "unreadable": 0}
    assert summary.first_pass_yield == 0.5


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n"], ids=["empty", "text", "cut off"])
def test_a_broken_file_is_a_row_and_the_others_go_on(images: Path, inspector: Inspector, content: bytes) -> None:
    """A file that cannot be read has its error, a failed state, no verdict; nothing else changes."""
    (images / "good/1b.png").write_bytes(content)
    summary = inspect_images(inspector, [images], "out")
    row = lines("out")[2]
    assert row["path"] == "imgs/good/1b.png"
    assert row["verdict"] is None
    assert row["score"] is None
    assert row["error"]
    assert "1b.png" not in row["error"]
    assert row["resultState"] == 4
    assert summary.counts["unreadable"] == 1
    assert summary.counts["OK"] == 3
    assert summary.total == 6


def test_a_score_that_is_no_number_is_no_pass(
    images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a number is above no threshold, so a broken model would pass everything; it is an error of that image."""
    result = dataclasses.replace(inspector.inspect(np.zeros((8, 8, 3), np.uint8)), score=math.nan, verdict=Verdict.OK)
    monkeypatch.setattr(Inspector, "inspect", lambda *_, **__: result)
    summary = inspect_images(inspector, [images / "good/0.png"], "out")
    assert summary.counts["unreadable"] == 1
    assert "nan, which is no finite number" in lines("out")[0]["error"]


def test_a_model_that_fails_on_an_image_is_its_error(
    images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ONNX Runtime raises on one image is written down for it, and the others go on."""

    def fail_on_red(self: Inspector, frame: np.ndarray, *, reduced: bool) -> Result:
        if frame[0, 0, 0] == BAD_RGB[0]:
            raise RuntimeError("Non-zero status code\nmore")
        return judge(self, frame, reduced=reduced)

    judge = Inspector.inspect
    monkeypatch.setattr(Inspector, "inspect", fail_on_red)
    summary = inspect_images(inspector, [images], "out")
    assert (summary.counts["OK"], summary.counts["unreadable"]) == (3, 2)
    assert lines("out")[3]["error"] == "the model failed on this image (Non-zero status code)."


def test_same_names_stay_apart(images: Path, inspector: Inspector) -> None:
    """Files of one name in two folders, and of one stem with two suffixes, have their own rows and overlays."""
    paint(images / "scratch/0.jpg", BAD_RGB)
    inspect_images(inspector, [images], "out", InspectOptions(overlays="all"))
    overlays = [row["overlay"] for row in lines("out")]
    assert len(set(overlays)) == 6
    assert all((Path("out") / name).is_file() for name in overlays)


def test_overlays_are_for_what_is_not_ok_by_default(images: Path, inspector: Inspector) -> None:
    """`ng` draws NG and NO_CALL, `none` draws nothing."""
    paint(images / "good/dark.png", DARK_RGB)
    inspect_images(inspector, [images], "out")
    assert {row["verdict"] for row in lines("out") if row["overlay"]} == {"NG", "NO_CALL"}
    inspect_images(inspector, [images], "out2", InspectOptions(overlays="none"))
    assert not (Path("out2") / "overlays").exists()
    assert not any(row["overlay"] for row in lines("out2"))


def test_a_number_that_is_not_finite_never_reaches_the_file() -> None:
    """Not a number and infinity become null, for JSON has neither."""
    row = Row("a.png", "OK", 1.0, (), None, 1.0, None, opc={"quality": {"a": math.nan, "b": [math.inf, 2.0]}})
    assert json.loads(row.to_line())["quality"] == {"a": None, "b": [None, 2.0]}


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0"), min_size=1))
def test_a_row_survives_its_file_whatever_the_path(name: str) -> None:
    """Quotes, newlines, umlauts and undecodable bytes in a name come back as they were, on one line."""
    line = Row(name, "OK", 1.5, ("dark",), None, 2.0, None).to_line()
    assert line.count(b"\n") == 1
    assert Row.from_line(line, "here").path == name


def test_a_file_name_that_is_no_text_is_inspected(images: Path, inspector: Inspector) -> None:
    """A name in another encoding than the system's is judged, overlaid and reported."""
    odd = os.fsencode(images / "scratch") + b"/\xff.png"
    try:
        shutil.copy(images / "scratch/0.png", odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    summary = inspect_images(inspector, [images], "out")
    assert summary.counts["NG"] == 3
    assert sum(bool(row["overlay"]) for row in lines("out")) == 3


def test_the_sheet_has_a_line_per_row(images: Path, inspector: Inspector) -> None:
    """results.csv says the same as results.jsonl."""
    inspect_images(inspector, [images], "out")
    with (Path("out") / "results.csv").open(newline="") as file:
        sheet = list(csv.DictReader(file))
    assert [(row["path"], row["verdict"], float(row["score"])) for row in sheet] == [
        (row["path"], row["verdict"], row["score"]) for row in lines("out")
    ]


def test_the_sheet_holds_no_formula(images: Path, inspector: Inspector) -> None:
    """A file name that a spreadsheet would run is written as the same path in another form."""
    paint(Path("=1+1.png"), GOOD_RGB)
    inspect_images(inspector, ["=1+1.png"], "out")
    assert "\n./=1+1.png," in (Path("out") / "results.csv").read_text()


def test_the_summary_counts_what_the_rows_say(images: Path, inspector: Inspector) -> None:
    """summary.json is finite JSON with the counts, the yield, the threshold and the hashes."""
    summary = inspect_images(inspector, [images], "out")
    found = json.loads((Path("out") / "summary.json").read_text(), parse_constant=pytest.fail)
    assert found == json.loads(json.dumps(summary.to_dict()))
    assert found["counts"]["NG"] == 2
    assert found["first_pass_yield"] == 0.6
    assert found["threshold"]["ng"] == 20.0
    assert found["model_sha256"] == inspector.model_sha256
    assert found["duration_ms"]["p50"] <= found["duration_ms"]["p95"] <= found["duration_ms"]["p99"]


@pytest.mark.parametrize("workers", [1, 7])
def test_the_order_of_results_is_that_of_the_images(images: Path, inspector: Inspector, workers: int) -> None:
    """However many workers, the lines come in the order of the walk."""
    inspect_images(inspector, [images], "out", InspectOptions(workers=workers))
    assert [row["path"] for row in lines("out")] == [p.as_posix() for p in plan_images([images], Path("out"))]


def test_while_a_picture_is_written_the_next_image_is_judged(
    images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker's processor does not wait for the disk: the first overlay is done once a later image is judged."""
    judged, write = threading.Event(), judge.write_atomic
    started = count()

    def inspected(inspector: Inspector, frame: np.ndarray) -> Result:
        if next(started):
            judged.set()
        return inspector.inspect(frame)

    def slow(path: Path, content: bytes) -> None:
        assert judged.wait(20.0)
        write(path, content)

    monkeypatch.setattr(judge, "inspected", inspected)
    monkeypatch.setattr(judge, "write_atomic", slow)
    summary = inspect_images(inspector, [images], "out", InspectOptions(overlays="all", workers=1))
    assert summary.total == len(list(Path("out/overlays").rglob("*.jpg"))) == 5


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_images_are_judged_at_once_than_workers(
    images: Path, inspector: Inspector, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads that wait for the disk do not compute."""
    lock, now, most = threading.Lock(), [0], [0]

    def inspected(inspector: Inspector, frame: np.ndarray) -> Result:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return inspector.inspect(frame)

    monkeypatch.setattr(judge, "inspected", inspected)
    inspect_images(inspector, [images], "out", InspectOptions(workers=workers))
    assert most == [workers]


def test_files_named_one_by_one_are_taken_once(images: Path) -> None:
    """A file named twice, or beside the folder that holds it, is one image."""
    named = sorted(images.rglob("*.png"))
    assert list(plan_images([*named, *named, images], Path("out"))) == named
    assert list(plan_images([images, *named], Path("out"))) == list(plan_images([images], Path("out")))


def test_a_deep_camera_is_judged_by_the_contract(tmp_path: Path) -> None:
    """12-bit files reach the graph by the contract's rule: red 200 of 255, blue 90, a score of 110."""
    inspector = Inspector(write_tiny_bundle(tmp_path / "deep", bit_depth=12))
    samples = np.full((8, 8, 3), (90, 60, 200), np.uint32) * 4095 // 255
    cv2.imwrite(str(tmp_path / "a.png"), samples.astype(np.uint16))
    inspect_images(inspector, [tmp_path / "a.png"], tmp_path / "out")
    assert lines(tmp_path / "out")[0]["score"] == 110.0
