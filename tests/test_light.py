"""Light: what it mends, what it must not mend, and a least-squares oracle in NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lineside.graph.onnx_export import export_module
from lineside.normalise.light import LIGHT_NUMBERS, Light, LightSettings
from lineside.normalise.light_cells import CellSampler
from lineside.normalise.light_estimate import CAUCHY, Golden, LightEstimator
from lineside.normalise.light_fit import as_tensors, fit_light
from lineside.session import open_session

SIDE = 128
ALL = LightSettings(white_balance="golden", gradient=True)
PLACES = (2.0 * np.arange(SIDE) + 1.0) / SIDE - 1.0


class Variadic(nn.Module):
    """The exporter wants one variadic argument."""

    def __init__(self, light: Light) -> None:
        super().__init__()
        self.light = light

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Pass them on."""
        corrected, numbers = self.light(*tensors)
        return corrected, numbers


def part(seed: int = 0, channels: int = 3) -> np.ndarray:
    """Return a bright disc with grain on a darker background, [C, h, w]: the same part, other grain for each seed."""
    disc = np.hypot(PLACES[None, :], PLACES[:, None]) < 0.6
    colour = np.array([130.0, 110.0, 90.0][:channels])[:, None, None]
    grain = np.random.default_rng(seed).normal(0.0, 4.0, (channels, SIDE, SIDE))
    return (np.where(disc, colour, 50.0) + grain).astype(np.float32)


def lamp(gain: float = 1.0, right: float = 0.0, down: float = 0.0, cast: tuple[float, ...] = (1, 1, 1)) -> np.ndarray:
    """Return the factor of a lamp on every sample, [C, h, w]."""
    plane = gain * (1.0 + right * PLACES[None, :] + down * PLACES[:, None])
    return (plane * np.array(cast)[:, None, None]).astype(np.float32)


def inside(count: int) -> np.ndarray:
    """Return the mask of images that lie in the frame as a whole."""
    return np.ones((count, 1, SIDE, SIDE), np.float32)


def numbers_of(numbers: Tensor, row: int = 0) -> dict[str, float]:
    """Return one image's numbers by name."""
    return dict(zip(LIGHT_NUMBERS, numbers[row].tolist(), strict=True))


@pytest.fixture(scope="module")
def goods() -> np.ndarray:
    """Twelve good parts in a lamp that changes a little."""
    rng = np.random.default_rng(7)
    return np.stack([part(i) * lamp(rng.normal(1.0, 0.03), *rng.normal(0.0, 0.01, 2)) for i in range(12)])


@pytest.fixture(scope="module")
def values(goods: np.ndarray) -> dict[str, np.ndarray]:
    """What they teach, the part told from its background."""
    disc = (np.hypot(PLACES[None, :], PLACES[:, None]) < 0.6).astype(np.float32)
    return fit_light(goods, inside(12), foreground=disc)


def corrected(
    image: np.ndarray, values: dict[str, np.ndarray], settings: LightSettings = ALL, valid: np.ndarray | None = None
) -> tuple[np.ndarray, dict[str, float]]:
    """Correct one image; return it and its numbers."""
    light = Light(settings, image.shape[0], (SIDE, SIDE))
    mask = inside(1) if valid is None else valid
    out, numbers = light(torch.from_numpy(image[None]), torch.from_numpy(mask), *as_tensors(values))
    return out[0].numpy(), numbers_of(numbers)


@pytest.mark.parametrize(
    "light",
    [
        lamp(0.6),
        lamp(1.5),
        lamp(right=0.4),
        lamp(0.8, 0.25, -0.3),
        lamp(cast=(1.15, 0.85, 1.0)),
        lamp(1.2, -0.2, 0.2, (0.9, 1.1, 1.0)),
    ],
)
def test_gain_gradient_and_cast_leave_no_trace(light: np.ndarray, values: dict[str, np.ndarray]) -> None:
    """The corrected image is that of the undisturbed one within a hundredth of its level."""
    plain, _ = corrected(part(99), values)
    mended, _ = corrected(np.clip(part(99) * light, 0, 255), values)
    assert np.abs(mended - plain).mean() < 0.01 * plain.mean()


def test_the_numbers_hold_the_light_that_fell_on_the_image(values: dict[str, np.ndarray]) -> None:
    """Wanted gain, cast and gradient are those of the lamp."""
    _, plain = corrected(part(99), values)
    _, found = corrected(part(99) * lamp(0.7, 0.3, 0.0, (1.1, 1.0, 0.9)), values)
    assert found["exposure_gain"] / plain["exposure_gain"] == pytest.approx(1 / 0.7, rel=0.02)
    assert found["gradient"] == pytest.approx(0.3, abs=0.01)
    assert found["cast"] == pytest.approx(0.1, abs=0.015)
    assert found["contrast"] == pytest.approx(plain["contrast"], rel=0.02)


def test_what_is_applied_is_bounded_and_what_is_wanted_is_told(values: dict[str, np.ndarray]) -> None:
    """A lamp at a quarter with a gain limit of 2 is brightened by 2; the number asks for 4."""
    settings = LightSettings(gain_limits=(0.5, 2.0))
    dark = 0.25 * part(99)
    mended, found = corrected(dark, values, settings)
    assert mended == pytest.approx(2.0 * dark, rel=1e-5)
    assert found["exposure_gain"] == pytest.approx(4.0, rel=0.05)


def test_a_gradient_beyond_its_limit_is_divided_out_as_far_as_the_limit(values: dict[str, np.ndarray]) -> None:
    """Of a gradient of 0.4, a limit of 0.1 takes out 0.1 along the same direction."""
    image = part(99) * lamp(right=0.4)
    settings = LightSettings(exposure=False, gradient=True, gradient_limit=0.1)
    mended, found = corrected(image, values, settings)
    factor = (image / mended)[0, SIDE // 2]
    assert found["gradient"] == pytest.approx(0.4, abs=0.02)
    assert factor == pytest.approx(1.0 + 0.1 * PLACES, abs=0.01)


def test_everything_off_changes_nothing(values: dict[str, np.ndarray]) -> None:
    """The image passes as it is, and the numbers are there all the same."""
    image = part(3) * lamp(0.5)
    mended, found = corrected(image, values, LightSettings(exposure=False))
    assert np.array_equal(mended, image)
    assert found["exposure_gain"] == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(("level", "share"), [(0.0, "black_share"), (255.0, "clipped_share")])
def test_a_frame_without_a_trusted_sample_still_asks_for_its_gain(
    level: float, share: str, values: dict[str, np.ndarray]
) -> None:
    """An all black or all white frame is far from gain 1, with finite numbers."""
    _, found = corrected(np.full((3, SIDE, SIDE), level, np.float32), values)
    assert found[share] == 1.0
    assert np.isfinite(list(found.values())).all()
    assert found["exposure_gain"] > 10 or found["exposure_gain"] < 0.5


def test_saturated_and_black_samples_have_no_say(values: dict[str, np.ndarray]) -> None:
    """A glare and a hole over a twentieth of the image each move gain and gradient by less than a hundredth."""
    image = part(99)
    image[:, 30:60, 30:60] = 255.0
    image[:, 70:100, 70:100] = 0.0
    plain, found = corrected(part(99), values)[1], corrected(image, values)[1]
    assert found["exposure_gain"] == pytest.approx(plain["exposure_gain"], rel=0.01)
    assert found["gradient"] == pytest.approx(plain["gradient"], abs=0.01)


def test_a_defect_does_not_pull_the_light(values: dict[str, np.ndarray]) -> None:
    """A stain over a tenth of the image, half as bright, moves the rest by less than a hundredth."""
    image = part(99)
    image[:, 20:60, 20:60] *= 0.5
    plain, mended = corrected(part(99), values)[0], corrected(image, values)[0]
    assert (mended / plain)[:, 70:, 70:] == pytest.approx(1.0, abs=0.01)


def test_what_lies_outside_the_frame_has_no_say(values: dict[str, np.ndarray]) -> None:
    """A third of the image that no camera saw changes the wanted gain by less than a hundredth."""
    image, valid = part(99), inside(1)
    image[:, :, 85:], valid[:, :, :, 85:] = 200.0, 0.0
    found = corrected(image, values, valid=valid)[1]
    assert found["exposure_gain"] == pytest.approx(corrected(part(99), values)[1]["exposure_gain"], rel=0.01)


def test_a_darker_part_on_its_own_background_is_told_apart_from_the_lamp(values: dict[str, np.ndarray]) -> None:
    """A part 15 % darker is far outside the good images' shading, under any gain; a weaker lamp is not."""
    disc = np.hypot(PLACES[None, :], PLACES[:, None]) < 0.6
    shaded = (part(99) * np.where(disc, 0.85, 1.0)).astype(np.float32)
    found, under_lamp = corrected(shaded, values)[1], corrected(shaded * lamp(0.7, 0.2), values)[1]
    assert found["part_step"] == pytest.approx(-0.15, abs=0.03)
    assert min(found["shading"], under_lamp["shading"]) > 6
    assert corrected(part(99) * lamp(0.7, 0.2), values)[1]["shading"] < 4


def test_a_step_across_half_of_the_part_is_not_lost_in_the_gradient(values: dict[str, np.ndarray]) -> None:
    """Half of the part 15 % darker shows in half_step though the plane took some of it out of the picture."""
    disc = np.hypot(PLACES[None, :], PLACES[:, None]) < 0.6
    half = disc & (PLACES[None, :] > 0)
    found = corrected((part(99) * np.where(half, 0.85, 1.0)).astype(np.float32), values)[1]
    assert found["half_step"] == pytest.approx(0.15, abs=0.04)
    assert found["shading"] > 6


def test_without_a_background_no_step_of_the_part_is_claimed(goods: np.ndarray) -> None:
    """Where nothing is known of the part's outline, part_step is 0."""
    assert corrected(0.8 * part(99), fit_light(goods, inside(12)))[1]["part_step"] == 0.0


def test_grey_world_makes_the_channels_equal(values: dict[str, np.ndarray]) -> None:
    """Whatever the colour of lamp and part, the means of the channels agree."""
    settings = LightSettings(white_balance="grey_world")
    means = corrected(part(99) * lamp(cast=(1.2, 1.0, 0.9)), values, settings)[0].mean(axis=(1, 2))
    assert means == pytest.approx(means.mean(), rel=0.01)


def test_contrast_is_brought_back_about_the_golden_level(values: dict[str, np.ndarray]) -> None:
    """An image flattened to 80 % asks for a factor of about 1.25 and has its detail back."""
    image = part(99)
    flat = (100.0 + 0.8 * (image - 100.0)).astype(np.float32)
    settings = LightSettings(exposure=False, contrast=True)
    mended, found = corrected(flat, values, settings)
    assert found["contrast"] == pytest.approx(1.25, rel=0.1)
    grain, wanted = (picture[:, :16, :16].std(axis=(1, 2)) for picture in (mended, image))
    assert grain == pytest.approx(wanted, rel=0.1)


def test_one_channel_is_corrected_as_three() -> None:
    """A grey camera's images need no colour."""
    goods = np.stack([part(i, 1) for i in range(6)])
    light = Light(ALL, 1, (SIDE, SIDE))
    image = torch.from_numpy(goods[:1] * 0.7)
    mended, numbers = light(image, torch.from_numpy(inside(1)), *as_tensors(fit_light(goods, inside(6))))
    assert mended.mean().item() == pytest.approx(goods[0].mean(), rel=0.01)
    assert numbers_of(numbers)["cast"] == pytest.approx(0.0, abs=1e-5)


def test_the_plane_is_that_of_weighted_least_squares(values: dict[str, np.ndarray]) -> None:
    """Cramer's rule against numpy.linalg.lstsq on random ratios and weights."""
    rng = np.random.default_rng(3)
    ratio = rng.uniform(0.5, 1.5, (4, 3, 256)).astype(np.float32)
    weight = rng.uniform(0.0, 1.0, (4, 3, 256)).astype(np.float32) / 768
    estimator = LightEstimator()
    plane, _ = estimator._plane(torch.from_numpy(ratio), torch.from_numpy(weight))
    basis = np.tile(estimator.basis.numpy().T, (3, 1))
    for row in range(4):
        root = np.sqrt(weight[row].reshape(-1))
        fit = np.linalg.lstsq(basis * root[:, None], ratio[row].reshape(-1) * root, rcond=None)[0]
        assert plane[row].tolist() == pytest.approx((fit[1:] / fit[0]).tolist(), abs=2e-3)


def test_the_estimate_is_that_of_a_slow_search(values: dict[str, np.ndarray]) -> None:
    """Gains and plane agree with scipy's Cauchy least squares on the same cells."""
    from scipy.optimize import least_squares

    image = part(99) * lamp(1.2, 0.2, -0.1, (1.05, 1.0, 0.95))
    image[:, 20:50, 20:50] *= 0.6
    golden = Golden(*as_tensors(values)[:7])
    cells = CellSampler((SIDE, SIDE))(torch.from_numpy(image[None]), torch.from_numpy(inside(1)))
    found = LightEstimator()(cells, golden)
    ratio, spread = (cells.mean / golden.mean)[0].numpy(), golden.spread.numpy()
    counted = golden.weight.numpy() > 0
    basis = LightEstimator().basis.numpy()

    def residual(x: np.ndarray) -> np.ndarray:
        lit = x[:3, None] * (1.0 + x[3] * basis[1] + x[4] * basis[2])
        return ((ratio / lit - 1.0) / (CAUCHY * spread))[counted]

    slow = least_squares(residual, [1, 1, 1, 0, 0], loss="cauchy").x
    assert found.ratio[0].tolist() == pytest.approx(slow[:3].tolist(), rel=0.005)
    assert found.plane[0].tolist() == pytest.approx(slow[3:].tolist(), abs=0.005)


def test_cells_are_plain_means_of_the_trusted_samples() -> None:
    """Against a loop over cells; 160×96 px, sides that the sampling does not divide evenly."""
    image = np.random.default_rng(1).uniform(0, 255, (1, 3, 96, 160)).astype(np.float32)
    cells = CellSampler((160, 96))(torch.from_numpy(image), torch.ones(1, 1, 96, 160))
    for cell in (0, 17, 255):
        row, column = divmod(cell, 16)
        block = image[0, 1, row * 6 : row * 6 + 6, column * 10 : column * 10 + 10]
        kept = block[(block > 4) & (block < 250)]
        assert cells.mean[0, 1, cell].item() == pytest.approx(kept.mean(), rel=1e-4)
        assert cells.deviation[0, 1, cell].item() == pytest.approx(kept.std(), rel=1e-3)
        assert cells.share[0, 1, cell].item() == pytest.approx(kept.size / block.size, rel=1e-4)


def test_the_golden_light_is_the_median_light_of_the_goods(goods: np.ndarray, values: dict[str, np.ndarray]) -> None:
    """Over the good images the wanted gain is 1 and no direction of gradient is preferred."""
    light = Light(ALL, 3, (SIDE, SIDE))
    _, numbers = light(torch.from_numpy(goods), torch.from_numpy(inside(12)), *as_tensors(values))
    assert numbers[:, 1].median().item() == pytest.approx(1.0, abs=0.01)
    assert numbers[:, 3].median().item() < 0.03


def test_a_spoiled_good_image_does_not_shift_the_golden_part(goods: np.ndarray) -> None:
    """One image in twelve that shows something else changes the golden cells by less than 2 %."""
    spoiled = goods.copy()
    spoiled[5] = spoiled[5, :, ::-1, ::-1] * 0.5
    spoiled[5, :, 40:90, 40:90] = 240.0
    one, other = (fit_light(images, inside(12))["light_mean"] for images in (goods, spoiled))
    assert np.abs(other / one - 1.0).max() < 0.02


def test_the_exported_light_is_torchs(goods: np.ndarray, values: dict[str, np.ndarray]) -> None:
    """ONNX Runtime gives the same images and numbers, one frame at a time or three."""
    settings = LightSettings(white_balance="golden", gradient=True, contrast=True)
    light = Light(settings, 3, (SIDE, SIDE))
    tensors = {"image": torch.from_numpy(goods[:2]), "valid": torch.from_numpy(inside(2))}
    tensors |= dict(zip(light.value_names, as_tensors(values), strict=True))
    dynamic = {"image": {0: "N"}, "valid": {0: "N"}}
    model = export_module(Variadic(light), tensors, ("corrected", "numbers"), dynamic)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    session = open_session(model.SerializeToString(), "light")
    for count in (1, 3):
        tensors |= {"image": torch.from_numpy(goods[:count]), "valid": torch.from_numpy(inside(count))}
        out = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})
        wanted = light(*tensors.values())
        assert np.abs(out[0] - wanted[0].numpy()).max() < 1e-2
        assert out[1] == pytest.approx(wanted[1].numpy(), rel=1e-3, abs=1e-4)
