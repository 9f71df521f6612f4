"""The gate's measures: against a slow OpenCV oracle, monotone in their causes, and deaf to a defect."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.graph.onnx_export import export_module
from lineside.graph.run import Graph
from lineside.normalise.gate_measures import EPSILON, Measures, cell_side, ranked_means
from lineside.normalise.gate_rules import MEASURED, RULES
from lineside.synth import render

WH = (128, 96)


def scene(seed: int, channels: int = 3, size_wh: tuple[int, int] = WH) -> np.ndarray:
    """Return an image [C, h, w] of soft and sharp structure, 40 to 220."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    noise = rng.standard_normal((height, width)).astype(np.float32)
    layers = [cv2.GaussianBlur(noise, (0, 0), s) * s for s in (0.6, 1.5, 4.0, 10.0)]
    grey = 130 + 18 * sum(layers)
    tint = rng.uniform(0.8, 1.2, (channels, 1, 1))
    return np.clip(grey[None] * tint, 40, 220).astype(np.float32)


def measure(image: np.ndarray, valid: np.ndarray | None = None) -> dict[str, float]:
    """Return the measures of one image [C, h, w] by name."""
    module = Measures((image.shape[2], image.shape[1]), image.shape[0])
    inside = None if valid is None else torch.from_numpy(valid)[None, None]
    values = module(torch.from_numpy(image)[None], inside)[0]
    return dict(zip(MEASURED, values.tolist(), strict=True))


def middle_of(values: list[float], low: float, high: float) -> float:
    """Mean of the sorted values from one share to another."""
    first = int(np.floor(low * len(values)))
    return float(np.mean(sorted(values)[first : max(first + 1, int(np.ceil(high * len(values))))]))


def oracle(image: np.ndarray, valid: np.ndarray) -> list[float]:
    """The measures once more, cell by cell, with OpenCV's filters."""
    cell = cell_side((image.shape[2], image.shape[1]))
    smooth, second = np.array([1, 2, 1]) / 4, np.array([-1, 2, -1]) / 4
    planes = [image.mean(axis=0)]
    for _ in range(2):
        planes.append(cv2.sepFilter2D(planes[-1], -1, smooth, smooth, borderType=cv2.BORDER_CONSTANT)[::2, ::2])
    bands = {}
    for number, plane in enumerate(planes):
        across = np.abs(cv2.sepFilter2D(plane, -1, second, smooth, borderType=cv2.BORDER_CONSTANT))
        down = np.abs(cv2.sepFilter2D(plane, -1, smooth, second, borderType=cv2.BORDER_CONSTANT))
        step = 2 if number < 2 else 1
        bands[number] = (across[::step, ::step], down[::step, ::step])
    rows: list[list[float]] = []
    for y in range(cell, image.shape[1] - cell, cell):
        for x in range(cell, image.shape[2] - cell, cell):
            half = (slice(y // 2, (y + cell) // 2), slice(x // 2, (x + cell) // 2))
            quarter = (slice(y // 4, (y + cell) // 4), slice(x // 4, (x + cell) // 4))
            if valid[::2, ::2][half].min() > 0:
                fine = [float(b[half].mean()) + EPSILON for b in bands[0]]
                others = [float(np.mean([b[quarter].mean() for b in bands[n]])) + EPSILON for n in (1, 2)]
                rows.append([*fine, *others, float(planes[1][half].mean()), y, x])
    level = middle_of([r[4] for r in rows], 0.25, 0.75)
    deviation = [
        np.abs(planes[1][int(r[5]) // 2 :, int(r[6]) // 2 :][: cell // 2, : cell // 2] - level).mean() for r in rows
    ]
    least = middle_of([r[3] for r in rows], 0.5, 0.9)
    kept = [r for r in rows if r[3] >= least]
    ratios = [np.exp(middle_of([np.log(r[k] / r[3]) for r in kept], 0.25, 0.75)) for k in (0, 1, 2)]
    noise = np.sqrt(np.pi / 2) / 0.375 * middle_of([(r[0] + r[1]) / 2 for r in rows], 0.1, 0.3)
    return [*ratios, middle_of(deviation, 0.05, 0.9) / level, noise]


@pytest.mark.parametrize("size_wh", [(64, 64), (128, 96), (256, 128)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_measures_are_those_of_the_oracle(size_wh: tuple[int, int], channels: int) -> None:
    """Bands, cells and ranks by OpenCV and plain loops give the same five numbers within a thousandth."""
    image = scene(3, channels, size_wh)
    valid = np.ones(image.shape[1:], np.float32)
    valid[: image.shape[1] // 3, : image.shape[2] // 2] = 0
    found = list(measure(image, valid).values())
    assert found == pytest.approx(oracle(image, valid), rel=1e-3)
    assert list(measure(image).values()) == pytest.approx(oracle(image, np.ones_like(valid)), rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 1.2), st.floats(1.3, 2.0))
def test_blur_lowers_focus(seed: int, blur_px: float, more: float) -> None:
    """The more blur, the lower both directions of focus and the detail."""
    image = scene(seed, 1)[0]
    one, two = (measure(cv2.GaussianBlur(image, (0, 0), s)[None]) for s in (blur_px, blur_px * more))
    for name in ("focus_across_ratio", "focus_down_ratio", "detail_ratio"):
        assert two[name] < one[name]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(2.0, 10.0), st.floats(1.3, 2.0))
def test_noise_raises_the_noise_level(seed: int, sigma: float, more: float) -> None:
    """The more noise, the higher its level."""
    image = cv2.GaussianBlur(scene(seed, 1)[0], (0, 0), 2.0)
    grain = np.random.default_rng(seed).standard_normal(image.shape).astype(np.float32)
    one, two = (measure((image + s * grain)[None])["noise_level"] for s in (sigma, sigma * more))
    assert two > one


def test_the_noise_level_is_in_grey_levels() -> None:
    """White noise of 5 grey levels on an even plane reads as 5, a little less because the flattest cells are read."""
    grain = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    assert measure((120 + 5 * grain)[None])["noise_level"] == pytest.approx(5.0, rel=0.15)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 0.9))
def test_less_contrast_lowers_the_spread_and_leaves_focus(seed: int, factor: float) -> None:
    """Contrast about the level moves the spread in proportion; the ratios of bands hardly know it."""
    image = scene(seed, 1)
    full, less = measure(image), measure(130 + factor * (image - 130))
    assert less["spread_share"] / full["spread_share"] == pytest.approx(factor, rel=0.2)
    assert less["focus_across_ratio"] == pytest.approx(full["focus_across_ratio"], rel=0.2)


def test_motion_lowers_the_focus_of_its_direction() -> None:
    """Motion across loses detail across; down stays sharper."""
    kernel = np.full((1, 9), 1 / 9, np.float32)
    still, moved = measure(scene(1)), measure(np.stack([cv2.filter2D(p, -1, kernel) for p in scene(1)]))
    assert moved["focus_across_ratio"] < 0.5 * still["focus_across_ratio"]
    assert moved["focus_down_ratio"] > 0.7 * still["focus_down_ratio"]


@pytest.mark.parametrize(
    ("part", "defect"), [("caps", "stain"), ("caps", "scratch"), ("caps", "dent"), ("weave", "hole")]
)
def test_a_severe_defect_moves_no_measure_half_way_to_a_limit(part: str, defect: str) -> None:
    """A defect that nobody would miss, on the same part, takes no measure half of the least way that a limit is off."""
    good, bad = (render(part, 7, d, 1.0, 256).image.transpose(2, 0, 1).astype(np.float32) for d in (None, defect))
    before, after = measure(good), measure(bad)
    for name in MEASURED:
        assert abs(np.log(after[name] / before[name])) < 0.5 * RULES[name].floor


def test_a_blank_image_gives_finite_numbers() -> None:
    """An even image, a black one and one that lies wholly outside the frame divide nothing by nothing."""
    for image, valid in ((120.0, 1.0), (0.0, 1.0), (120.0, 0.0)):
        values = measure(np.full((3, 96, 128), image, np.float32), np.full((96, 128), valid, np.float32)).values()
        assert np.isfinite(list(values)).all()


def test_ranked_means_by_hand() -> None:
    """Of the counted 1 to 4 the middle half is 2 and 3; a row without any counted value gives 0."""
    values = torch.tensor([[[4.0, 1.0, 99.0, 3.0, 2.0]], [[1.0, 1.0, 1.0, 1.0, 1.0]]])
    counted = torch.tensor([[[1.0, 1.0, 0.0, 1.0, 1.0]], [[0.0, 0.0, 0.0, 0.0, 0.0]]])
    assert ranked_means(values, counted, ((0.25, 0.75),)).tolist() == [[2.5], [0.0]]


@pytest.fixture(scope="module")
def exported() -> Graph:
    """The measures in ONNX Runtime."""
    examples = {"working": torch.zeros(2, 3, 96, 128), "valid": torch.ones(2, 1, 96, 128)}
    return Graph(export_module(Measures(WH, 3), examples, ("measures",), {name: {0: "N"} for name in examples}))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_exported_measures_are_the_same(count: int, exported: Graph) -> None:
    """ONNX Runtime gives torch's numbers for 1, 2 and 7 images."""
    images = torch.from_numpy(np.stack([scene(s) for s in range(count)]))
    valid = torch.ones(count, 1, 96, 128)
    valid[:, :, :, 70:] = 0
    wanted = Measures(WH, 3)(images, valid).numpy()
    found = exported({"working": images.numpy(), "valid": valid.numpy()})["measures"]
    assert np.allclose(found, wanted, rtol=1e-4)
