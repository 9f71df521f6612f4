"""Which light corrections are chosen, and why."""

import numpy as np
import pytest

from lineside.normalise.light_auto import LightDecision, choose_light
from lineside.recipe_normalise import Light as LightRecipe
from lineside.synth.shading_defects import KINDS, draw_shading, shaded

SIDE, COUNT = 96, 16
PLACES = (2.0 * np.arange(SIDE) + 1.0) / SIDE - 1.0
DISC = (np.hypot(PLACES[None, :], PLACES[:, None]) < 0.6).astype(np.float32)


def goods(gain: float = 0.0, gradient: float = 0.0, cast: float = 0.0) -> np.ndarray:
    """Return good parts on a background whose lamp changes by these standard deviations."""
    rng = np.random.default_rng(11)
    images = []
    for _ in range(COUNT):
        scene = np.where(DISC, 130.0, 60.0) + rng.normal(0.0, 3.0, (3, SIDE, SIDE))
        right, down = rng.normal(0.0, gradient, 2)
        plane = 1.0 + right * PLACES[None, :] + down * PLACES[:, None]
        scene *= rng.normal(1.0, gain) * plane * (1.0 + rng.normal(0.0, cast, 3))[:, None, None]
        images.append(scene)
    return np.clip(np.stack(images), 0, 255).astype(np.float32)


def chosen(images: np.ndarray, recipe: LightRecipe | None = None, part: np.ndarray | None = DISC) -> LightDecision:
    """Decide on those images."""
    valid = np.ones((len(images), 1, SIDE, SIDE), np.float32)
    return choose_light(images, valid, recipe or LightRecipe(), seed=0, foreground=part)


@pytest.mark.parametrize(
    ("images", "step", "on"),
    [
        (goods(gain=0.08), "exposure", True),
        (goods(cast=0.04), "white_balance", True),
        (goods(gradient=0.06), "gradient", True),
    ],
)
def test_a_step_is_on_where_the_lamp_changes_that_way(images: np.ndarray, step: str, on: bool) -> None:
    """Its row says by how much it brings the good images together, and no synthetic defect is lost."""
    row = next(row for row in chosen(images).steps if row.step == step)
    assert row.on == on
    assert row.spread_with < 0.7 * row.spread_without
    assert all(row.visible_with[kind] > 0.95 * seen for kind, seen in row.visible_without.items())


def test_contrast_has_to_earn_its_place() -> None:
    """It stays off where the good images' contrast does not change."""
    decision = chosen(goods(gain=0.05))
    assert decision.settings.contrast is False
    assert "detail" in decision.steps[3].words


def test_exposure_stays_on_in_a_steady_lamp() -> None:
    """Unless it hurts."""
    assert chosen(goods()).settings.exposure is True


def test_a_gradient_that_would_hide_a_half_is_off_unless_the_verdict_hears_of_shading() -> None:
    """Where the part fills the frame, half of it darker is taken out by the plane; the shading number keeps it."""
    texture = goods(gradient=0.03)[:, :, 40:56, 40:56].repeat(6, axis=2).repeat(6, axis=3)
    valid = np.ones((COUNT, 1, SIDE, SIDE), np.float32)
    deaf = choose_light(texture, valid, LightRecipe(), 0, shading_scored=False)
    heard = choose_light(texture, valid, LightRecipe(), 0, shading_scored=True)
    row = deaf.steps[2]
    assert (deaf.settings.gradient, heard.settings.gradient) == (False, True)
    assert row.visible_with["half"] < 0.6 * row.visible_without["half"]
    assert "half" in row.words


def test_what_the_recipe_fixes_is_not_decided() -> None:
    """Fixed steps are as asked, without numbers; limits are the recipe's."""
    recipe = LightRecipe(exposure="off", white_balance="grey_world", gradient="on", contrast="off", gradient_limit=0.3)
    decision = chosen(goods(gain=0.1), recipe)
    settings = decision.settings
    assert (settings.exposure, settings.white_balance, settings.gradient) == (False, "grey_world", True)
    assert settings.gradient_limit == 0.3
    assert all(np.isnan(row.spread_without) for row in decision.steps)


def test_too_few_images_leave_exposure_alone_on() -> None:
    """Three images are judged by nothing."""
    decision = chosen(goods(gain=0.1)[:3])
    assert [row.on for row in decision.steps] == [True, False, False, False]
    assert "Too few" in decision.steps[0].words


def test_a_grey_camera_has_no_white_balance() -> None:
    """One channel: off, and it says so."""
    row = chosen(goods(cast=0.05)[:, :1]).steps[1]
    assert not row.on
    assert "grey" in row.words


def test_a_part_that_fills_the_frame_is_said_to_be_one_with_the_lamp() -> None:
    """Without a background, words say that the bounds decide; with one, that the background does."""
    assert any("cannot be told" in words for words in chosen(goods(0.05), part=None).words)
    assert any("background" in words for words in chosen(goods(0.05)).words)


def test_the_same_seed_decides_the_same() -> None:
    """Numbers and words, twice."""
    assert chosen(goods(0.05)) == chosen(goods(0.05))


@pytest.mark.parametrize("kind", KINDS)
def test_a_shading_defect_changes_what_lies_under_its_mask(kind: str) -> None:
    """By its depth, at most 255, nothing outside, and the image itself is left alone."""
    image = np.full((3, SIDE, SIDE), 100.0, np.float32)
    mask, depth = draw_shading(np.random.default_rng(2), kind, DISC)
    changed = shaded(image, mask, depth)
    assert 0.15 <= abs(depth) <= 0.25
    assert changed - image == pytest.approx(np.broadcast_to(100.0 * depth * mask, image.shape), abs=1e-3)
    assert (image == 100.0).all()
    assert mask.max() == pytest.approx(1.0, abs=0.05)
    if kind != "spot":
        assert (mask <= DISC).all()
