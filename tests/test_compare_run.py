"""A run of a comparison, trained for real: it measures the very graph that a training would deploy."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import Trained, write_part
from lineside.bench.compare import compare
from lineside.bench.compare_plan import parse_variants
from lineside.bench.compare_run import planned, run_job


@pytest.mark.slow
def test_a_run_on_all_images_scores_as_the_trained_bundle_does(small: Trained) -> None:
    """With all good images and the recipe's own seed every test image gets the score that the bundle recorded."""
    ((job,), (key,)) = planned([small.recipe], parse_variants(["lineside"]), ("all",), 1)
    found = run_job(job, key)
    tested = sorted(small.record.tested, key=lambda image: image.name)
    assert found.error is None
    assert found.measures is not None
    assert found.scores.good == tuple(image.score for image in tested if image.label == "good")
    assert found.scores.defective == tuple(image.score for image in tested if image.label != "good")
    assert found.measures.auroc == small.record.evaluation.auroc
    assert found.measures.megabytes == pytest.approx(small.record.model_bytes / 1e6)


@pytest.mark.slow
def test_processes_share_the_work(tmp_path: Path) -> None:
    """Two processes give a row for every run, in the plan's order, also where each of them fails."""
    folder = write_part(tmp_path, goods=2, test_goods=1, test_defects=1, size=64)
    methods = parse_variants(["a=lineside,calibrate.escape=0.1 b=lineside,calibrate.escape=0.1"])
    jobs, keys = planned([folder], methods, (1, 2), 1)
    rows = compare(jobs, keys, tmp_path / "out", workers=2)
    assert [row.key for row in rows] == list(keys)
    assert all("escape" in (row.error or "") for row in rows)


@pytest.mark.slow
def test_one_shot_ranks_and_calls_nothing(tmp_path: Path) -> None:
    """With one good image there is an AUROC and an overlap with the mask, and neither overkill nor escapes."""
    folder = write_part(tmp_path, goods=2, test_goods=2, test_defects=1)
    for kind in ("missing_print", "stain"):
        mask = np.zeros((128, 128), np.uint8)
        cv2.circle(mask, (64, 64), 40, 255, -1)
        (folder / "images" / "ground_truth" / kind).mkdir(parents=True)
        assert cv2.imwrite(str(folder / "images" / "ground_truth" / kind / "000_mask.png"), mask)
    ((job,), (key,)) = planned([folder], parse_variants(["lineside"]), (1,), 1)
    measures = run_job(job, key).measures
    assert measures is not None
    assert measures.auroc is not None
    assert measures.aupro is not None
    assert (measures.overkill, measures.escapes) == (None, None)
