"""Regions with thresholds of their own: one score, one threshold, and a map that agrees with it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

import images
from conftest import write_part
from lineside.calibrate.threshold import overkill_threshold
from lineside.capture.decode import read_image
from lineside.errors import RecipeError, UsageError
from lineside.export.head_reference import reference_score
from lineside.graph.run import Graph
from lineside.recipe import LoadedRecipe, load_recipe
from lineside.report.training import pages
from lineside.runtime import Inspector, verify_bundle
from lineside.train import train
from lineside.train.pool_regions import pool_regions, refuse_unseen, region_limits
from lineside.transfer.head import HeadShape, export_head
from lineside.transfer.head_fit import Choice, fit_best
from lineside.transfer.pooling import Pooling, PoolRegion, fit_pooling, in_score, pooled
from test_head import part, rows, run, shape

GRID, PATCHES = (32, 32), 1024
LEFT = tuple(i for i in range(PATCHES) if i % 32 < 8)
REST = tuple(sorted(set(range(PATCHES)) - set(LEFT)))


def regions(factor: float) -> tuple[PoolRegion, ...]:
    """A quarter of the frame with a factor, and what is left."""
    return PoolRegion("left", factor, LEFT), PoolRegion("rest", 1.0, REST)


def goods(n: int, seed: int) -> np.ndarray:
    """Distances of good frames: the left quarter is twice as far off, and varies more from frame to frame."""
    rng = np.random.default_rng(seed)
    away = rng.lognormal(0.0, 0.03, (n, 1)) * rng.lognormal(0.0, 0.3, (n, PATCHES))
    away[:, LEFT] *= 2.0 * rng.lognormal(0.0, 0.08, (n, 1))
    return away.astype(np.float32)


def fitted(factor: float) -> Pooling:
    """Learn from 60 good frames."""
    return fit_pooling(goods(60, 0), np.ones((60, PATCHES), np.bool_), GRID, 1, regions(factor))


def scored(pooling: Pooling, away: np.ndarray, of: tuple[PoolRegion, ...]) -> np.ndarray:
    """Score distances [n, P]."""
    arrays = (torch.from_numpy(a) for a in (away * pooling.weight, pooling.factor, pooling.power))
    return pooled(*arrays, of).numpy()


def defect(away: np.ndarray, at: tuple[int, ...], times: float) -> np.ndarray:
    """Make a dozen patches so many times as far off."""
    spoiled = away.copy()
    spoiled[:, at[300:312] if len(at) > 312 else at[100:112]] *= times
    return spoiled


def test_both_regions_have_one_level_on_good_frames_whatever_their_distances() -> None:
    """Half of the good frames' scores come from each region, though one's distances are twice the other's."""
    pooling, away = fitted(1.0), goods(400, 1)
    own = [scored_by(pooling, away, number) for number in range(2)]
    assert np.median(own[0]) == pytest.approx(np.median(own[1]), rel=0.05)
    assert np.log(own[0]).std() == pytest.approx(np.log(own[1]).std(), rel=0.35)
    assert 0.3 < np.mean(own[0] > own[1]) < 0.7


def scored_by(pooling: Pooling, away: np.ndarray, number: int) -> np.ndarray:
    """Score by one of the two regions alone."""
    silent = away.copy()
    silent[:, (REST, LEFT)[number]] = 0.0
    return scored(pooling, silent, regions(1.0))


@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_a_region_is_ng_beyond_its_factor_times_the_threshold(factor: float) -> None:
    """With a factor the region's score is divided by it, to the last bit but rounding; the other's is not."""
    plain, own, away = fitted(1.0), fitted(factor), goods(50, 2)
    ours, theirs = defect(away, LEFT, 4.0), defect(away, REST, 4.0)
    assert scored(own, ours, regions(factor)) == pytest.approx(scored(plain, ours, regions(1.0)) / factor, rel=1e-5)
    assert scored(own, theirs, regions(factor)) == pytest.approx(scored(plain, theirs, regions(1.0)), rel=1e-5)


@pytest.mark.parametrize("shown", [0, 1, 40])
def test_a_rest_that_few_frames_show_costs_the_others_nothing(shown: int) -> None:
    """Two regions cover the whole part, and what is left of the frame is inspected in no frame, in one, or in most:
    both are brought to one level all the same, and the frames' scores come from each alike."""
    right = tuple(i for i in REST if i % 32 < 30)
    of = PoolRegion("left", 1.0, LEFT), PoolRegion("right", 1.0, right), PoolRegion("the rest", 1.0, tuple(
        sorted(set(REST) - set(right))
    ))  # fmt: skip
    away, counts = goods(60, 0), np.ones((60, PATCHES), np.bool_)
    counts[shown:, list(of[2].patches)] = False
    pooling = fit_pooling(away, counts, GRID, 1, of)
    fresh, own = goods(400, 1), []
    for region in of[:2]:
        silent = np.zeros_like(fresh)
        silent[:, region.patches] = fresh[:, region.patches]
        own.append(scored(pooling, silent, of))
    assert np.median(own[0]) == pytest.approx(np.median(own[1]), rel=0.05)
    assert 0.3 < np.mean(own[0] > own[1]) < 0.7


def test_a_stricter_region_finds_its_weak_defects_and_keeps_the_promise() -> None:
    """One threshold from good frames: overkill as stated in 2,000 calibrations; the region gets more of it to spend."""
    strict, alike = fitted(0.7), fitted(1.0)
    found = {}
    for pooling, factor in ((strict, 0.7), (alike, 1.0)):
        truth = np.sort(scored(pooling, goods(4000, 3), regions(factor)))
        rng, names = np.random.default_rng(4), [f"{i:03d}" for i in range(59)]
        draws = rng.choice(truth, (2000, 59)).astype(np.float32)
        made = [overkill_threshold(row, names, 0.05, crossfit="x", held_out=True) for row in draws]
        beyond = 1.0 - np.searchsorted(truth, [limit.value for limit in made], side="right") / len(truth)
        assert beyond.mean() <= 0.05 + 3.0 * beyond.std() / np.sqrt(2000)
        limit = float(np.mean([limit.value for limit in made]))
        found[factor] = [
            np.mean(scored(pooling, defect(goods(300, 5), at, 2.0), regions(factor)) > limit) for at in (LEFT, REST)
        ]
    assert found[0.7][0] > found[1.0][0]
    assert found[0.7][1] < found[1.0][1] - 0.1


def test_the_map_is_in_the_unit_of_the_score() -> None:
    """Where all patches of a region are as strange, map and score of that region are one number."""
    pooling = fitted(0.7)
    arrays = [torch.from_numpy(a) for a in (pooling.factor, pooling.power)]
    for at, factor in ((LEFT, 0.7), (REST, 0.7)):
        away = torch.zeros(1, PATCHES)
        away[:, at] = 3.0
        heat = in_score(away, *arrays, regions(factor))
        assert torch.unique(heat[:, at]).numel() == 1
        unit = heat[0, at[0]]
        columns = pooled(away, *arrays, regions(factor))
        assert float(columns) >= float(unit) * 0.999
    assert torch.equal(in_score(away, *arrays, ()), away)


def test_without_regions_all_is_as_it_was() -> None:
    """A single region of everything with a factor of 1 learns the numbers that no region does."""
    away, counts = goods(30, 6), np.ones((30, PATCHES), np.bool_)
    one = (PoolRegion("all", 1.0, tuple(range(PATCHES))),)
    plain, whole = fit_pooling(away, counts, GRID), fit_pooling(away, counts, GRID, 1, one)
    assert plain.factor == pytest.approx(whole.factor, rel=1e-6)
    assert plain.power == pytest.approx(whole.power, rel=1e-6)


def with_regions(head: HeadShape) -> HeadShape:
    """Give the small head of 12 by 16 patches a stricter left quarter and a tolerant single patch."""
    left = tuple(i for i in range(192) if i % 16 < 4)
    spot = (100,)
    rest = tuple(i for i in range(192) if i not in left and i not in spot)
    return replace(
        head, regions=(PoolRegion("left", 0.6, left), PoolRegion("spot", 3.0, spot), PoolRegion("rest", 1.0, rest))
    )


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("learned", [False, True])
def test_the_graph_equals_the_reference(least: int, learned: bool) -> None:
    """With regions, in and out of what is inspected, ONNX Runtime's scores are the plain NumPy head's."""
    head = with_regions(replace(shape(), least_patches=least))
    taps, inside = part(7, 1), np.random.default_rng(3).random((7, 1, 12, 16)).astype(np.float32)
    fit = fit_best(head, rows(part(14, 0)), 0, Choice(fixed=False))
    values = fit.values if learned else replace(fit.values, pooling=None)
    out = run(Graph(export_head(fit.shape)), fit.shape, values, taps, inside)
    wanted = [
        reference_score(fit.shape, values, {s: a[i : i + 1] for s, a in taps.items()}, inside[i : i + 1])
        for i in range(7)
    ]
    assert out["score"].tolist() == pytest.approx(wanted, rel=1e-4)
    assert (out["anomaly_map"] >= 0).all()


def test_the_shape_survives_the_state() -> None:
    """A bundle keeps it as JSON."""
    head = with_regions(shape())
    assert TypeAdapter(HeadShape).validate_json(json.dumps(asdict(head))) == head


RECIPE = "part: p\nimages: images\ncalibrate:\n  regions:\n    print: {roi: [0.2, 0.2, 0.5, 0.6], factor: 0.7}\n"


def recipe(folder: Path, text: str) -> LoadedRecipe:
    """Write a recipe and read it."""
    (folder / "images").mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(text)
    return load_recipe(folder)


def test_a_drawing_becomes_patches(tmp_path: Path) -> None:
    """Box, polygon and mask image; of two that overlap the first keeps the patches, and the rest is the rest."""
    images.write(tmp_path / "spot.png", np.pad(np.full((24, 32), 255, np.uint8), ((0, 72), (0, 96))))
    left = "    left: {roi: [[0, 0], [0.25, 0], [0.25, 1], [0, 1]], factor: 2.0}\n"
    text = f"{RECIPE}{left}    spot: {{roi: spot.png, factor: 1.5}}\n"
    with pytest.raises(UsageError, match=r"calibrate\.regions\.spot\.roi: all of its patches lie in the regions"):
        pool_regions(recipe(tmp_path, text), (128, 96), (128, 96), (12, 16))
    text = text.replace("[[0, 0], [0.25, 0], [0.25, 1], [0, 1]]", "[[0, 1], [0.25, 0.5], [0.25, 1]]")
    one, two, spot, rest = pool_regions(recipe(tmp_path, text), (128, 96), (128, 96), (12, 16))
    assert (one.name, one.factor, len(one.patches)) == ("print", 0.7, 24)  # 5 by 5 without a corner
    assert len(spot.patches) == 3 * 4  # a quarter of both sides
    assert two.factor == 2.0
    assert (rest.name, rest.factor) == ("the rest", 1.0)
    together = [patch for region in (one, two, spot, rest) for patch in region.patches]
    assert sorted(together) == list(range(192))
    assert [limit.name for limit in region_limits((one, two, spot, rest))] == ["print", "left", "spot"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("factor: 0.7", "factor: 0"), "calibrate.regions.print.factor: expected a number above 0, such as 0.7"),
        ((", factor: 0.7", ""), "calibrate.regions.print.factor: the key is missing, and required: expected a number"),
        (("[0.2, 0.2, 0.5, 0.6]", "[0.5, 0.2, 0.2, 0.6]"), "calibrate.regions.print.roi: expected a box"),
        (("[0.2, 0.2, 0.5, 0.6]", "null"), "calibrate.regions.print.roi: expected a box"),
        (("[0.2, 0.2, 0.5, 0.6]", "no.png"), "calibrate.regions.print.roi: expected an image, found nothing"),
        (("print:", "a b:"), "calibrate.regions: expected blocks of keys (roi, factor), each under a name of letters"),
        (("{roi: [0.2, 0.2, 0.5, 0.6], factor: 0.7}", "3"), "calibrate.regions: expected blocks of keys (roi, factor)"),
        ((", factor: 0.7", ", factor: 0.7, factr: 0.7"), "unknown key 'factr'; did you mean 'factor'?"),
        (("calibrate", "transfer: {task: classify}\ncalibrate"), "only allowed with method: lineside"),
    ],
)
def test_a_wrong_region_is_one_sentence(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """Key and remedy."""
    with pytest.raises(RecipeError) as caught:
        recipe(tmp_path, RECIPE.replace(*change))
    assert message in str(caught.value)


def test_a_region_beside_the_part_is_refused() -> None:
    """None of its patches is looked at in any good image."""
    counts = np.ones((5, PATCHES), np.bool_)
    counts[:, LEFT] = False
    with pytest.raises(UsageError, match=r"calibrate\.regions\.left: none of its 256 patches is inspected"):
        refuse_unseen(regions(0.7), counts)


def test_training_writes_the_region_into_graph_contract_and_report(tmp_path: Path) -> None:
    """The bundle proves itself, and its score is the parent's divided by the factor where that region decides."""
    block = "calibrate: {folds: 2, regions: {print: {roi: [0.25, 0.25, 0.75, 0.75], factor: 0.5}}}\n"
    folder = write_part(tmp_path, goods=10, test_goods=2, test_defects=2)
    text = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(text.replace("calibrate: {folds: 2}\n", block))
    record = train(load_recipe(folder), tmp_path / "out", pages=pages)
    (limit,) = record.contract.regions
    assert (limit.name, limit.factor, round(limit.share, 2)) == ("print", 0.5, 0.25)
    assert record.parity_worst_rel < 1e-3
    assert verify_bundle(tmp_path / "out").vectors >= 1
    assert "print (25% of the patches) is pooled by itself" in (tmp_path / "out" / "report.html").read_text()
    frame = read_image(folder / "images" / "test" / "missing_print" / "000.png")
    result = Inspector(tmp_path / "out").inspect(frame)
    assert result.score > record.contract.threshold_ng.value
    height, width = result.anomaly_map.shape
    top, left = np.unravel_index(result.anomaly_map.argmax(), result.anomaly_map.shape)
    assert height // 4 <= top < 3 * height // 4
    assert width // 4 <= left < 3 * width // 4
