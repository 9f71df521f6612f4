"""Deciding and fitting the front: the recipe's keys are honoured, and no fold's front has seen the fold's frames."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from front_parts import DARK, decide, request, view
from lineside.graph.run import WORKERS_VARIABLE
from lineside.graph.trunk import Reduction, Trunk
from lineside.normalise.flat_field import flat_maps
from lineside.normalise.front import FRONT_OUTPUTS, GATE_LIMITS, PART, Front, FrontSettings
from lineside.normalise.front_fit import FrontRequest
from lineside.normalise.gate_limits import NO_LIMIT
from lineside.recipe_normalise import Normalise
from lineside.synth import Pose, render
from lineside.train.front_fit import FrontFitter, front_limits, open_limits
from lineside.train.images import FrameReader, References
from lineside.train.progress import Journal, SilentProgress
from lineside.transfer.augment import Augmenter
from pose_parts import plate

FRAME_WH = (128, 96)
FIXED = {**DARK, "exposure": "on"}
STILL = {"model": "none"}


def turned(count: int, seed: int = 0) -> list[np.ndarray]:
    """Return frames of a marked plate at any angle, in changing light."""
    rng = np.random.default_rng(seed)
    part = plate(3, mark=True)
    poses = [Pose(float(a), float(x), float(y)) for a, x, y in rng.uniform((-180, -6, -6), (180, 6, 6), (count, 3))]
    lit = [(view(part, pose, FRAME_WH)[0], rng.uniform(0.85, 1.15)) for pose in poses]
    return [np.clip(frame * lamp + rng.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8) for frame, lamp in lit]


def still(count: int) -> list[np.ndarray]:
    """Return caps that always lie alike, in the light of ordinary days."""
    return [render("caps", seed, size=96, pose=Pose(20.0)).image for seed in range(count)]


def asked(frame_wh: tuple[int, int] = (96, 96), **normalise: Any) -> FrontRequest:
    """Return a request at a working size of 96 px."""
    return request(frame_wh, size=96, **normalise)


@pytest.mark.parametrize("state", ["on", "off"])
def test_light_is_switched_as_the_recipe_says(state: str) -> None:
    """What is on is on and what is off is off, whatever the good frames show; the words say whose decision it was."""
    light = {"exposure": state, "gradient": state, "contrast": state, "white_balance": "golden"}
    if state == "off":
        light["white_balance"] = "off"
    decision = decide(still(4), asked(light=light, pose=STILL))
    found = decision.settings.light
    assert (found.exposure, found.gradient, found.contrast) == (state == "on",) * 3
    assert found.white_balance == light["white_balance"]
    assert decision.described["exposure"].startswith("gain" if state == "on" else "off")
    assert set(decision.described) == {"flat field", "exposure", "white balance", "gradient", "contrast", "pose"}


def test_the_recipes_bounds_reach_graph_and_gate() -> None:
    """Gain, gradient and contrast limits of the recipe bound the correction, and the gate states them."""
    light = {
        "exposure": "on", "gradient": "on", "contrast": "on", "white_balance": "off",
        "gain_limits": [0.5, 1.5], "gradient_limit": 0.3, "contrast_limits": [0.9, 1.2],
    }  # fmt: skip
    settings = decide(still(4), asked(light=light, pose=STILL)).settings
    assert settings.light.gain_limits == (0.5, 1.5)
    assert (settings.light.gradient_limit, settings.light.contrast_limits) == (0.3, (0.9, 1.2))
    assert set(settings.gate.stated) >= {("exposure_gain", 0.5, 1.5), ("gradient", 0.0, 0.3)}


def test_pose_is_off_on_or_decided() -> None:
    """none leaves turned parts alone, a named model is taken as named, auto finds that they turn."""
    frames = turned(12)
    off = decide(frames, asked(FRAME_WH, light=DARK, pose=STILL))
    named = decide(frames, asked(FRAME_WH, light=DARK, pose={"model": "rigid", "angle_deg": 180.0}))
    auto = decide(frames, asked(FRAME_WH, light=DARK, pose={"model": "auto"}))
    assert (off.settings.pose, off.settings.middle_wh) == (None, (96, 96))
    assert off.described["pose"] == "off"
    assert named.settings.pose is not None
    assert named.settings.pose.model == "rigid"
    assert named.settings.middle_wh == (128, 96)
    assert auto.settings.pose is not None
    assert auto.settings.pose.model in ("rigid", "similarity")
    assert "pose" in auto.numbers


def test_ranges_of_the_pose_reach_search_and_gate() -> None:
    """Angle, shift and scale of the recipe are looked for, and the gate refuses what lies beyond."""
    pose = {"model": "similarity", "angle_deg": 20.0, "shift": 0.1, "scale": 0.05}
    settings = decide(still(4), asked(light=DARK, pose=pose)).settings
    assert settings.pose is not None
    assert (settings.pose.angle_deg, settings.pose.shift, settings.pose.scale) == (20.0, 0.1, 0.05)
    assert settings.gate.pose_range == (20.0, 0.1, 0.05)


def test_the_background_is_left_out_where_it_is_known_and_asked_for() -> None:
    """With a pose the part is learned; foreground off, or no pose, inspects everything."""
    frames = turned(8)
    pose = {"model": "rigid"}
    learned = decide(frames, asked(FRAME_WH, light=DARK, pose=pose, foreground="auto"))
    everything = decide(frames, asked(FRAME_WH, light=DARK, pose=pose, foreground="off"))
    unknown = decide(frames, asked(FRAME_WH, light=DARK, pose=STILL, foreground="on"))
    assert 0.2 < learned.values["region_mask"].mean() < 0.9
    assert learned.values[PART].min() == 0
    assert everything.values["region_mask"].min() == everything.values[PART].min() == 1
    assert unknown.values["region_mask"].min() == 1
    assert any("without a pose" in words for words in unknown.words)


def test_a_region_of_interest_becomes_cells() -> None:
    """The left half of the picture is the left half of the cells."""
    decision = decide(still(4), asked(light=DARK, pose=STILL, roi=[0.0, 0.0, 0.5, 1.0]))
    cells = decision.values["region_mask"][0, 0]
    assert cells.shape == (12, 12)
    assert (cells[:, :6] == 1).all()
    assert (cells[:, 6:] == 0).all()
    assert any("50%" in words for words in decision.words)


def test_the_flat_field_is_the_recipes_picture_an_estimate_or_none() -> None:
    """null switches it off; a picture is taken; an estimate that the frames do not allow is not made."""
    frames = still(4)
    target = flat_maps([np.full((96, 96, 3), 200, np.uint8)])
    assert decide(frames, asked(light=DARK, pose=STILL)).settings.flat_field == "none"
    estimated = decide(frames, asked(light={**DARK, "flat_field": "estimate"}, pose=STILL))
    assert estimated.settings.flat_field == "none"
    assert any("too few for a flat field" in words for words in estimated.words)
    given = replace(asked(light={**DARK, "flat_field": "target.png"}, pose=STILL), flat=target)
    assert decide(frames, given).settings.flat_field == "gain"
    dark = flat_maps([np.full((96, 96, 3), 200, np.uint8)], [np.full((96, 96, 3), 9, np.uint8)])
    assert decide(frames, replace(given, flat=dark)).settings.flat_field == "gain and dark"


def test_a_fit_is_repeatable_and_keeps_its_input() -> None:
    """The same frames give the same values; the caller's frames are as they were."""
    frames = turned(8)
    before = [frame.copy() for frame in frames]
    wanted = asked(FRAME_WH, pose={"model": "similarity"})
    one, other = decide(frames, wanted), decide(frames, wanted)
    assert one.settings == other.settings
    assert all(np.array_equal(one.values[name], other.values[name]) for name in one.values)
    assert all(np.array_equal(a, b) for a, b in zip(before, frames, strict=True))


def test_without_a_gate_no_limit_is_set() -> None:
    """mode off opens every limit; on, good frames that differ a little set limits that let them pass."""
    settings = decide(still(4), asked(light=FIXED, pose=STILL)).settings.gate
    rng = np.random.default_rng(0)
    quality = (0.5 + 0.01 * rng.standard_normal((20, len(settings.quality_names)))).astype(np.float32)
    off = front_limits(quality, settings, Normalise.model_validate({"gate": {"mode": "off"}}).gate)
    on = front_limits(quality, settings, Normalise().gate)
    assert np.array_equal(off, open_limits(settings))
    assert np.abs(off).min() >= NO_LIMIT
    assert (np.abs(on) < NO_LIMIT).any()


class Shelf:
    """Frames that can be exchanged, in place of files."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        self.frames = frames

    def references(self) -> References:
        """Return them as a recipe's good training frames, without copies."""
        shelf = self

        class Reader(FrameReader):
            def read(self, sample: Any) -> np.ndarray:
                return shelf.frames[sample]

        return References(tuple(range(len(self.frames))), Reader(3, 8), Augmenter("none", 0), 0)  # type: ignore[arg-type]


class Twice:
    """Copies each frame as it is."""

    active = True

    def copies(self, frame: np.ndarray, index: int, count: int) -> list[np.ndarray]:
        """Return the frame so many times."""
        return [frame] * count


def in_torch(settings: FrontSettings, values: Any, reduction: Reduction) -> Trunk:
    """Return what a fitter takes for an exported front: the same computed by torch, which needs no export."""
    front = Front(settings)

    def run(feed: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
        given = [torch.from_numpy(feed[name]) for name in ("middle", "frame_wh", *front.value_names)]
        with torch.inference_mode():
            outputs = dict(zip(FRONT_OUTPUTS, front(*given), strict=True))
        return {name: outputs[name].numpy() for name in names}

    trunk: Any = SimpleNamespace(graph=run)
    return trunk  # type: ignore[no-any-return]


def fitter(frames: list[np.ndarray]) -> FrontFitter:
    """Return a fitter over frames, light and pose automatic; the first is the anchor."""
    references, journal = Shelf(frames).references(), Journal(SilentProgress())
    return FrontFitter(asked(FRAME_WH), references, frames[0], in_torch, ("working",), journal)


def test_a_front_has_never_seen_the_frames_of_its_fold() -> None:
    """Held-out frames may be garbage: values, limits and decisions stay, to the bit; their own gate bits do not."""
    frames = turned(12)
    fold = (1, 2, 4, 5, 7, 8, 9, 10, 11)
    clean = fitter(frames).fit(fold)
    rng = np.random.default_rng(0)
    spoilt = [rng.integers(0, 256, f.shape, dtype=np.uint8) if i in (3, 6) else f for i, f in enumerate(frames)]
    other = fitter(spoilt).fit(fold)
    assert clean.decision.settings.pose is not None
    assert clean.decision.settings == other.decision.settings
    assert clean.decision.words == other.decision.words
    assert clean.decision.values.keys() == other.decision.values.keys()
    assert {GATE_LIMITS, PART, "pose_points_fine", "light_mean"} <= clean.decision.values.keys()
    for name, value in clean.decision.values.items():
        assert np.array_equal(value, other.decision.values[name]), name
    assert clean.gate[[3, 6]].tolist() == [0, 0]
    assert (other.gate[[3, 6]] != 0).all()


def test_fronts_are_the_same_whether_decided_alone_or_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three folds at a time or one after the other: the same decisions and the same numbers, to the bit."""
    frames, folds = still(9), [tuple(i for i in range(9) if i % 3 != fold) for fold in range(3)]
    fronts = []
    for workers in ("1", "3"):
        monkeypatch.setenv(WORKERS_VARIABLE, workers)
        made = fitter(frames)
        made.decide(folds)
        fronts.append([made.fit(fold).decision for fold in folds])
    for alone, beside in zip(*fronts, strict=True):
        assert alone.words == beside.words
        assert all(np.array_equal(value, beside.values[name]) for name, value in alone.values.items())
    assert not np.array_equal(fronts[0][0].values["light_mean"], fronts[0][1].values["light_mean"])


def test_copies_of_frames_that_are_held_out_are_not_even_seen() -> None:
    """A front runs on every frame, and on copies of its own ones alone; of the others nothing is known."""
    references = replace(Shelf(still(4)).references(), augmenter=Twice(), copies=1)
    made = FrontFitter(asked(), references, still(1)[0], in_torch, ("working",), Journal(SilentProgress()))
    front = made.fit((0, 1, 2))
    seen = np.isfinite(front.outputs["working"].astype(np.float32)).all(axis=(1, 2, 3))
    assert seen.tolist() == [True] * 7 + [False]
    assert front.gate[7] != 0


def test_a_front_that_has_seen_them_is_another() -> None:
    """Two more frames change what is fitted: the test above would notice."""
    frames, wanted = turned(12), asked(FRAME_WH, light=FIXED, pose={"model": "rigid"})
    some, every = decide([f for i, f in enumerate(frames) if i not in (3, 6)], wanted), decide(frames, wanted)
    for name in ("pose_basis", "light_mean"):
        assert not np.array_equal(some.values[name], every.values[name])
