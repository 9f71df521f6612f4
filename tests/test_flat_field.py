"""The flat field and how even its target is, with OpenCV as the oracle."""

import cv2
import numpy as np
import pytest
import torch

from lineside.errors import UsageError
from lineside.graph.onnx_export import export_module
from lineside.normalise.evenness import evenness
from lineside.normalise.flat_field import FlatField, FlatMaps, estimated_flat, flat_maps, neutral_maps
from lineside.session import open_session

HEIGHT, WIDTH = 120, 160
Y, X = np.mgrid[:HEIGHT, :WIDTH]
U, V = (2.0 * X + 1.0) / WIDTH - 1.0, (2.0 * Y + 1.0) / HEIGHT - 1.0


def vignette(loss: float = 0.4) -> np.ndarray:
    """Return the light of a lens that loses `loss` in the corners, [H, W, 1]."""
    return (1.0 - loss * (U**2 + V**2) / 2.0)[..., None]


def shot(level: float | np.ndarray, noise: float = 1.0, seed: int = 0, dark: float = 0.0) -> np.ndarray:
    """Return a picture of that level, uint8 [H, W, 3]."""
    grain = np.random.default_rng(seed).normal(0.0, noise, (HEIGHT, WIDTH, 3))
    return np.clip(np.rint(level + dark + grain), 0, 255).astype(np.uint8)


def applied(maps: FlatMaps, frame: np.ndarray, with_dark: bool = False) -> np.ndarray:
    """Return the frame evened out at its own size."""
    field = FlatField((WIDTH, HEIGHT), with_dark)
    middle = torch.from_numpy(frame[None].astype(np.float32))
    return field(middle, torch.from_numpy(maps.gain), torch.from_numpy(maps.dark))[0].numpy()


def test_a_flat_field_evens_out_lamp_and_lens() -> None:
    """An even scene behind a lens that loses 40 % comes out even within 1 %."""
    targets = [shot(180 * vignette(), seed=i) for i in range(4)]
    even = applied(flat_maps(targets), shot(100 * vignette(), noise=0.0))
    assert even.std() / even.mean() < 0.01


def test_a_dark_frame_is_taken_off_first() -> None:
    """(I - D) / (F - D): with a dark level of 20 the scene keeps its contrast; a plain quotient would not."""
    targets, darks = [shot(150 * vignette(), dark=20)], [shot(0, dark=20)]
    bright, dim = (shot(level * vignette(), noise=0.0, dark=20) for level in (120, 30))
    maps = flat_maps(targets, darks)
    ratio = applied(maps, bright, with_dark=True) / applied(maps, dim, with_dark=True)
    assert ratio == pytest.approx(4.0, rel=0.06)


def test_the_gain_has_median_one_and_is_bounded() -> None:
    """Also where the target has a black corner."""
    target = shot(180.0 * np.ones((HEIGHT, WIDTH, 1)))
    target[:40, :40] = 0
    gain = flat_maps([target]).gain
    assert gain.max() <= 3.0
    assert gain.min() >= 1 / 3
    assert np.median(flat_maps([shot(180 * vignette())]).gain, axis=(0, 1, 2)) == pytest.approx(1.0, abs=5e-3)
    assert max(gain.shape) == 64


def test_enlarging_is_opencvs() -> None:
    """The small map is enlarged as cv2.resize does, and multiplied."""
    maps = flat_maps([shot(180 * vignette())])
    frame = shot(100.0, noise=10.0)
    wanted = frame * cv2.resize(maps.gain[0], (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    assert applied(maps, frame) == pytest.approx(wanted, abs=0.05)


def test_a_saturated_sample_stays_saturated() -> None:
    """In the middle, where the gain is below 1, glare is still known as glare."""
    frame = shot(100 * vignette())
    frame[60, 80] = 255
    assert applied(flat_maps([shot(180 * vignette())]), frame)[60, 80].min() >= 255.0


def test_neutral_maps_change_nothing() -> None:
    """Gain 1, dark 0."""
    frame = shot(100.0, noise=20.0)
    assert applied(neutral_maps(frame.shape), frame, with_dark=True) == pytest.approx(frame.astype(float), abs=1e-3)


@pytest.mark.parametrize(
    ("targets", "darks", "words"),
    [
        ([], [], "at least one"),
        ([shot(180), shot(180)[:50]], [], "alike"),
        ([shot(180)], [shot(0)[..., :1]], "alike"),
        ([shot(20)], [shot(20)], "too dark"),
    ],
)
def test_pictures_that_make_no_flat_field_are_refused(targets: list, darks: list, words: str) -> None:
    """None, of different sizes, or as dark as the dark frame."""
    with pytest.raises(UsageError, match=words):
        flat_maps(targets, darks)


def moving_parts(count: int, spread: float) -> list[np.ndarray]:
    """Return frames of a bright disc whose place varies by `spread` of the frame, behind a vignetting lens."""
    rng = np.random.default_rng(5)
    frames = []
    for i in range(count):
        x, y = rng.uniform(-spread, spread, 2)
        disc = np.hypot(U - x, (V - y) * HEIGHT / WIDTH) < 0.15
        frames.append(shot(np.where(disc[..., None], 190, 110) * vignette(0.3), seed=i))
    return frames


def test_a_flat_field_is_estimated_from_frames_whose_content_moves() -> None:
    """The lens's fall of light is found within 2 % from thirty frames of a part that is never in one place."""
    estimate = estimated_flat(moving_parts(30, 0.9))
    assert estimate.usable
    even = applied(estimate.maps, np.clip(200 * vignette(0.3), 0, 255).repeat(3, axis=2))
    assert even.std() / even.mean() < 0.02


def test_content_that_stands_still_is_not_taken_for_the_lamp() -> None:
    """The part is always in the middle: no estimate, neutral maps, and the reason in words."""
    estimate = estimated_flat(moving_parts(30, 0.02))
    assert not estimate.usable
    assert "stands still" in estimate.words
    assert (estimate.maps.gain == 1).all()


def test_an_even_lamp_and_too_few_frames_give_no_estimate() -> None:
    """Nothing to divide out, or nothing to tell it by."""
    assert "nothing to divide" in estimated_flat([shot(100.0, seed=i) for i in range(10)]).words
    assert "too few" in estimated_flat(moving_parts(3, 0.9)).words


def test_an_even_target_is_even_enough() -> None:
    """A lens's fall of 30 % is what a flat field is for."""
    found = evenness(shot(150 * vignette(0.3), noise=2.0))
    assert found.even_enough
    assert found.falloff == pytest.approx(0.3, abs=0.03)
    assert found.structure < 0.03
    assert found.noise == pytest.approx(2.0 / found.level, rel=0.1)


@pytest.mark.parametrize(
    ("level", "noise", "words"),
    [
        (20 * vignette(0.2), 1.0, "mean level"),
        (254 * vignette(0.1), 1.0, "clipped"),
        (150 * vignette(0.9), 1.0, "falls"),
        (np.where(np.hypot(U, V)[..., None] < 0.2, 120, 150), 1.0, "structure"),
        (100 * vignette(0.1), 20.0, "noise"),
    ],
)
def test_a_poor_target_is_told_why(level: np.ndarray, noise: float, words: str) -> None:
    """Too dark, clipped, too uneven, not empty, too noisy: each in words."""
    found = evenness(shot(level, noise))
    assert not found.even_enough
    assert any(words in sentence for sentence in found.words)


def test_the_exported_flat_field_is_torchs() -> None:
    """ONNX Runtime gives the same samples, for one frame and for three, also with a grey gain map."""
    maps = flat_maps([shot(180 * vignette())], [shot(3)])
    gain, dark = torch.from_numpy(maps.gain[..., :1].copy()), torch.from_numpy(maps.dark[..., :1].copy())
    frames = torch.from_numpy(np.stack([shot(100 * vignette(), seed=i) for i in range(3)]).astype(np.float32))
    field = FlatField((WIDTH, HEIGHT), True)
    inputs = {"middle": frames, "gain_map": gain, "dark_map": dark}
    session = open_session(export_module(field, inputs, ("even",), {"middle": {0: "N"}}).SerializeToString(), "flat")
    for count in (1, 3):
        feed = {"middle": frames[:count].numpy(), "gain_map": gain.numpy(), "dark_map": dark.numpy()}
        assert session.run(None, feed)[0] == pytest.approx(field(frames[:count], gain, dark).numpy(), abs=0.01)
