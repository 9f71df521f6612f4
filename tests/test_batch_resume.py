"""A run's folder: what goes on, what is refused, and what is never touched."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from flat_parts import BAD_RGB, GOOD_RGB, lines, paint
from lineside.batch import InspectOptions, inspect_images
from lineside.batch.files import write_atomic
from lineside.errors import ImageError, StorageError, UsageError
from lineside.runtime import Inspector
from tiny import write_tiny_bundle

# ---- resuming and the folder


def test_a_run_that_is_done_judges_nothing_again(images: Path, inspector: Inspector) -> None:
    """The second call leaves results.jsonl as it is, byte for byte."""
    inspect_images(inspector, [images], "out")
    before = (Path("out") / "results.jsonl").read_bytes()
    summary = inspect_images(inspector, [images], "out")
    assert (Path("out") / "results.jsonl").read_bytes() == before
    assert (summary.judged_now, summary.total, summary.images_per_s) == (0, 5, None)


def test_images_added_meanwhile_are_judged(images: Path, inspector: Inspector) -> None:
    """A run goes on with images that came since, wherever they sort; nothing is judged twice."""
    first = inspect_images(inspector, [images], "out")
    paint(images / "good/00.png", GOOD_RGB)
    second = inspect_images(inspector, [images], "out")
    paths = [row["path"] for row in lines("out")]
    assert second.judged_now == 1
    assert len(set(paths)) == len(paths) == 6
    assert len({row["resultId"] for row in lines("out")}) == 6
    assert second.job_id == first.job_id


@pytest.mark.parametrize("tail", [b'{"path": "imgs/good/0.p', b"\0" * 9000], ids=["torn", "zeros after a power cut"])
def test_a_torn_last_line_is_dropped(images: Path, inspector: Inspector, tail: bytes) -> None:
    """What a killed run left of its last line is removed and the image judged anew."""
    inspect_images(inspector, [images], "out")
    results = Path("out") / "results.jsonl"
    whole = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join(whole[:2]) + tail)
    summary = inspect_images(inspector, [images], "out")
    assert summary.judged_now == 3
    assert results.read_bytes().splitlines(keepends=True)[:2] == whole[:2]
    assert sorted(row["path"] for row in lines("out")) == sorted(json.loads(line)["path"] for line in whole)


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"path": "a"}\n', b"\xff\n"])
def test_an_altered_results_file_is_refused(images: Path, inspector: Inspector, line: bytes) -> None:
    """A line that is no result stops the run with its number, before anything is written."""
    inspect_images(inspector, [images], "out")
    results = Path("out") / "results.jsonl"
    altered = line + results.read_bytes()
    results.write_bytes(altered)
    with pytest.raises(StorageError, match=r"results\.jsonl:1: .*--fresh"):
        inspect_images(inspector, [images], "out")
    assert results.read_bytes() == altered


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (InspectOptions(labels=True), "labels: False, now True"),
        (InspectOptions(overlays="all"), "overlays: ng, now all"),
    ],
)
def test_other_options_do_not_mix(images: Path, inspector: Inspector, options: InspectOptions, words: str) -> None:
    """A folder with another run's results is refused with what differs and the way out."""
    inspect_images(inspector, [images], "out")
    with pytest.raises(UsageError, match=rf"{words}.*--fresh"):
        inspect_images(inspector, [images], "out", options)


def test_another_threshold_does_not_mix(images: Path, inspector: Inspector) -> None:
    """Verdicts under two thresholds do not stand in one file."""
    inspect_images(inspector, [images], "out")
    with pytest.raises(UsageError, match=r"threshold_ng: 20\.0, now 30\.0"):
        inspect_images(Inspector(inspector.path, threshold_ng=30.0), [images], "out")


def test_another_model_does_not_mix(images: Path, inspector: Inspector, tmp_path: Path) -> None:
    """Results of another model are refused, by its hash."""
    inspect_images(inspector, [images], "out")
    other = Inspector(write_tiny_bundle(tmp_path / "other", threshold=21.0))
    with pytest.raises(UsageError, match=f"model_sha256: {inspector.model_sha256[:16]}, now {other.model_sha256[:16]}"):
        inspect_images(other, [images], "out")


def test_the_same_names_from_another_place_do_not_mix(
    images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative names that now mean other images are not taken for the ones that were judged."""
    out = Path("out").resolve()
    inspect_images(inspector, [images], out)
    shutil.copytree(images, "elsewhere/imgs")
    monkeypatch.chdir("elsewhere")
    with pytest.raises(UsageError, match="images_resolved"):
        inspect_images(inspector, [images], out)


def test_fresh_starts_over(images: Path, inspector: Inspector) -> None:
    """--fresh removes rows, overlays and pages of the old run, and nothing else."""
    inspect_images(inspector, [images], "out", InspectOptions(overlays="all"))
    (Path("out") / "notes.txt").write_text("mine")
    old = lines("out")[0]["jobId"]
    shutil.rmtree(images / "scratch")
    summary = inspect_images(inspector, [images], "out", InspectOptions(overlays="none", fresh=True))
    assert summary.total == summary.judged_now == 3
    assert summary.job_id != old
    assert not (Path("out") / "overlays").exists()
    assert (Path("out") / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["results.jsonl", "results.parquet", "overlays", "report.html"])
def test_a_folder_that_is_not_ours_is_left_alone(images: Path, inspector: Inspector, name: str, fresh: bool) -> None:
    """Files under our names but without run.json belong to somebody else, --fresh or not."""
    mine = Path("out") / name / "mine.txt" if name == "overlays" else Path("out") / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match=f"holds {name} but no run.json"):
        inspect_images(inspector, [images], "out", InspectOptions(fresh=fresh))
    assert mine.read_text() == "mine"


def test_a_folder_below_a_file_is_a_storage_error(images: Path, inspector: Inspector) -> None:
    """A results folder that cannot be made is exit code 4, with its path."""
    with pytest.raises(StorageError, match=r"0\.png.out") as caught:
        inspect_images(inspector, [images], images / "good/0.png/out")
    assert caught.value.exit_code == 4
    assert "name another folder with --out" in caught.value.message
    assert "goes on" not in caught.value.message


@pytest.mark.parametrize("name", ["run.json", "results.jsonl"])
@pytest.mark.parametrize("begun", [False, True])
def test_only_a_run_that_has_begun_goes_on(
    images: Path, inspector: Inspector, monkeypatch: pytest.MonkeyPatch, name: str, begun: bool
) -> None:
    """Where no result is written yet the error promises none to go on with; where some are, it does."""
    if begun:
        inspect_images(inspector, [images / "good"], "out")
        paint(images / "good/new.png", BAD_RGB)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        "lineside.batch.files.os.replace" if name == "run.json" else "lineside.batch.store._write", full
    )
    with pytest.raises(StorageError, match="No space left on device") as caught:
        inspect_images(inspector, [images / "good"], "out")
    assert ("it goes on where it stopped" in caught.value.message) is begun


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the move fails, the final name holds what it held and the temporary file is gone."""
    target = tmp_path / "summary.json"
    target.write_bytes(b"old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match="No space left"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_no_source_no_image_and_no_worker_are_errors(images: Path, inspector: Inspector) -> None:
    """What cannot be inspected is said before a folder is made."""
    Path("empty").mkdir()
    with pytest.raises(UsageError, match="at least one image or folder"):
        inspect_images(inspector, [], "out")
    with pytest.raises(UsageError, match="absent: there is no such file or folder"):
        inspect_images(inspector, [images, "absent"], "out")
    with pytest.raises(ImageError, match=r"empty: no image in it.*\.png"):
        inspect_images(inspector, ["empty"], "out")
    with pytest.raises(UsageError, match="at least one worker, found 0"):
        inspect_images(inspector, [images], "out", InspectOptions(workers=0))
    assert not Path("out").exists()
