"""`lineside bench --batch`: what is measured and said of many images; how fast they are is no test."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands import invoke
from flat_parts import paint_parts
from lineside.bench.cold_start import cold_starts
from lineside.bench.process import held_to
from lineside.bench.throughput import Throughput, _rates, _Run, measure_throughput
from lineside.bench.throughput_table import promises
from lineside.errors import ImageError, LinesideError, UsageError
from tiny import write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images."""
    return paint_parts(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def found(bundle: Path, folder: Path) -> Throughput:
    """One round with one and with two workers."""
    return measure_throughput(bundle, folder, workers=2, rounds=1)


def run(images_per_s: float, cpu_ms: float = 1.0) -> _Run:
    """One measured run."""
    return _Run(images_per_s, cpu_ms)


def test_rates_are_compared_within_their_round() -> None:
    """Decoding 100/s and inference 25/s allow 20/s: 15/s are 0.75 of them; the slower round is compared with itself."""
    first = {(1, "decode"): run(50), (1, "infer"): run(12.5), (1, "inspect"): run(9.0)}
    first |= {(2, "decode"): run(100, 3.0), (2, "infer"): run(25, 40.0), (2, "inspect"): run(15, 50.0)}
    second = {key: run(value.images_per_s / 10, value.cpu_ms) for key, value in first.items()}
    rates = _rates(2, [first, second])
    assert (rates.of_allowed.least, rates.of_allowed.most) == pytest.approx((0.75, 0.75))
    assert rates.of_one.median == pytest.approx(15 / 9)
    assert (rates.inspect.least, rates.inspect.median, rates.inspect.most) == pytest.approx((1.5, 8.25, 15.0))
    assert (rates.decode_and_infer_cpu_ms.median, rates.inspect_cpu_ms.median) == pytest.approx((43.0, 50.0))


def test_everything_is_measured(found: Throughput) -> None:
    """Every number of workers, each part alone and the whole; memory, size and cold start beside them."""
    assert [rates.workers for rates in found.rates] == [1, 2]
    assert found.images == 5
    assert all(rate.least > 0 for rates in found.rates for rate in (rates.decode, rates.infer, rates.inspect))
    assert found.cold_start_ms.least > 0
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["promised"] == {"of_one": 1.7, "of_allowed": 0.85}


def usable() -> set[int]:
    """Processors that this process may use; all where the system has no call for it."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def test_the_processors_are_given_back(bundle: Path, folder: Path) -> None:
    """Whoever measures in a larger program keeps all processors afterwards."""
    before = usable()
    measure_throughput(bundle, folder, workers=1, rounds=1)
    assert usable() == before


def test_opencv_is_held_too() -> None:
    """Its own threads, which would run on other processors, are as few, and as many as before afterwards."""
    before = cv2.getNumThreads()
    with held_to(1):
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == before


def test_nothing_is_left_in_the_folder(found: Throughput, folder: Path) -> None:
    """Results go to a folder of their own, which is removed."""
    assert len([path for path in folder.rglob("*") if path.is_file()]) == found.images


def test_a_promise_is_judged_for_two_workers_alone(bundle: Path, folder: Path, found: Throughput) -> None:
    """With one worker there is nothing to say."""
    assert len(promises(found)) == 2
    assert promises(measure_throughput(bundle, folder, workers=1, rounds=1)) == ()


def test_what_cannot_be_measured_is_refused(bundle: Path, tmp_path: Path) -> None:
    """No images, no folder, no worker."""
    with pytest.raises(ImageError, match="no image"):
        measure_throughput(bundle, tmp_path)
    with pytest.raises(UsageError, match="no such file or folder"):
        measure_throughput(bundle, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="at least one worker"):
        measure_throughput(bundle, tmp_path, workers=0)


def test_a_process_that_fails_is_told(tmp_path: Path) -> None:
    """A cold start that ends in an error is no time; its last line is shown."""
    with pytest.raises(LinesideError, match="no bundle there"):
        cold_starts(tmp_path / "nowhere", np.zeros((8, 8, 3), np.uint8), 1)


@pytest.mark.parametrize(
    "words",
    [
        *(f"--batch . --{option}" for option in ("stages", "frame 8x8", "image a.png", "threads 1", "repeat 100")),
        *(f"--batch . --{option}" for option in ("peer anomalib.Padim", "backbone lite0", "images a")),
        *("--workers 2", "--rounds 5"),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(bundle: Path, words: str) -> None:
    """Each is for one frame or for many; the error names it, also where the value is the default."""
    shown = invoke("bench", bundle, *words.split())
    assert shown.exit_code == 2
    name = words.removeprefix("--batch . ").split()[0]
    assert f"{name} says nothing with{'' if '--batch' in words else 'out'} --batch" in " ".join(shown.stderr.split())


def test_the_command_prints_and_writes(bundle: Path, folder: Path, tmp_path: Path) -> None:
    """The table on the console, the numbers in the file."""
    out = tmp_path / "numbers.json"
    shown = invoke("bench", bundle, "--batch", folder, "--workers", "2", "--rounds", "1", "--out", out)
    assert "images per second" in shown.stdout
    assert "two workers over what decoding and inference allow" in shown.stdout
    assert json.loads(out.read_text())["images"] == 5
