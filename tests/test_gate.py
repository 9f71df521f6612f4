"""The gate: bits, limits learned from good frames, and the NumPy twin."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lineside.graph.onnx_export import export_module
from lineside.graph.run import Graph
from lineside.normalise.gate import Gate
from lineside.normalise.gate_limits import (
    NO_LIMIT,
    fit_limits,
    gate_of,
    qn_spread,
    reasons,
    tolerance_factor,
)
from lineside.normalise.gate_rules import GATE_BITS, GATE_WORDS, MEASURED, RULES, GateSettings

LIGHT = ("mean_level", "exposure_gain", "gradient", "clipped_share")
POSE = ("confidence", "appearance")
PLAIN = GateSettings((64, 64), 3, LIGHT)
FULL = GateSettings((64, 64), 3, LIGHT, POSE, (30.0, 0.1, 0.05), (320, 240), stated=(("exposure_gain", 0.4, 2.5),))


def qualities(n: int, settings_: GateSettings, seed: int = 0) -> np.ndarray:
    """Return numbers as good frames give them: positive, a few percent of spread."""
    rng = np.random.default_rng(seed)
    values = 0.8 * np.exp(0.03 * rng.standard_normal((n, len(settings_.quality_names))))
    for name, usual in (("frame_width_px", 320), ("frame_height_px", 240), ("pose_angle_deg", 5.0)):
        if name in settings_.quality_names:
            values[:, settings_.quality_names.index(name)] = usual
    for name in ("pose_shift_share", "pose_scale_change"):
        if name in settings_.quality_names:
            values[:, settings_.quality_names.index(name)] = 0.01
    return values.astype(np.float32)


def inputs(n: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return what the full gate takes."""
    gen = torch.Generator().manual_seed(seed)
    pose = torch.tensor([[10.0, 4.0, -8.0, 1.02, 0.9]]).repeat(n, 1)
    return {
        "working": 255 * torch.rand(n, 3, 64, 64, generator=gen),
        "valid": torch.ones(n, 1, 64, 64),
        "part": torch.ones(1, 1, 64, 64),
        "light_numbers": torch.rand(n, len(LIGHT), generator=gen),
        "pose_numbers": torch.rand(n, len(POSE), generator=gen),
        "pose": pose,
        "frame_wh": torch.tensor([320.0, 240.0]),
    }


def open_limits(settings_: GateSettings) -> np.ndarray:
    """Return limits that everything passes."""
    return np.tile(np.array([[-NO_LIMIT, NO_LIMIT]], np.float32), (len(settings_.quality_names), 1))


def run(given_: dict[str, torch.Tensor], limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run the full gate."""
    gate, quality = Gate(FULL)(**given_, limits=torch.from_numpy(limits))
    return gate.numpy(), quality.numpy()


def test_every_bit_has_its_words_and_every_rule_its_bit() -> None:
    """Names and sentences go together, and no rule speaks for a bit that there is not."""
    assert len(GATE_BITS) == len(GATE_WORDS) == len(set(GATE_BITS))
    assert {rule.bit for rule in RULES.values()} - {None} == set(GATE_BITS) - {"unfamiliar"}


@pytest.mark.parametrize("name", FULL.quality_names)
def test_a_number_outside_its_limits_sets_its_bit_alone(name: str) -> None:
    """Each quality number speaks for its own reason; those without one are told only."""
    column, bit = FULL.quality_names.index(name), RULES[name].bit
    limits = open_limits(FULL)
    assert run(inputs(2), limits)[0].tolist() == [0, 0]
    limits[column] = (-NO_LIMIT, -1.0)
    gate = run(inputs(2), limits)[0]
    assert [reasons(int(g)) for g in gate] == [(bit,) if bit else ()] * 2


def test_not_a_number_passes_nothing() -> None:
    """A number that is none refuses the frame instead of slipping through every comparison."""
    given_ = inputs(1)
    given_["light_numbers"][0, LIGHT.index("clipped_share")] = float("nan")
    assert reasons(int(run(given_, open_limits(FULL))[0][0])) == ("clipped",)


def test_view_and_pose_are_measured_as_named() -> None:
    """Half of the part outside reads 0.5 in view; the pose's size is read off its five numbers."""
    given_ = inputs(1)
    given_["valid"][:, :, :, :32] = 0
    quality = dict(zip(FULL.quality_names, run(given_, open_limits(FULL))[1][0].tolist(), strict=True))
    assert quality["view_share"] == pytest.approx(0.5)
    given_["part"][:, :, :, :32] = 0
    beside = dict(zip(FULL.quality_names, run(given_, open_limits(FULL))[1][0].tolist(), strict=True))
    assert beside["view_share"] == pytest.approx(1.0)
    assert quality["pose_angle_deg"] == pytest.approx(10.0)
    assert quality["pose_shift_share"] == pytest.approx(8 / 320)
    assert quality["pose_scale_change"] == pytest.approx(0.02, rel=1e-3)
    assert (quality["frame_width_px"], quality["frame_height_px"]) == (320, 240)


@pytest.fixture(scope="module")
def exported() -> Graph:
    """The full gate in ONNX Runtime."""
    examples = {**inputs(2), "limits": torch.from_numpy(open_limits(FULL))}
    dynamic = {name: {0: "N"} for name in ("working", "valid", "light_numbers", "pose_numbers", "pose")}
    return Graph(export_module(Gate(FULL), examples, ("gate", "quality"), dynamic))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_exported_gate_is_torch_s_and_its_twin_s(count: int, exported: Graph) -> None:
    """ONNX Runtime, torch and NumPy set the same bits for 1, 2 and 7 frames, under limits that many numbers break."""
    given_, many = inputs(count), inputs(40, seed=9)
    quality = run(many, open_limits(FULL))[1]
    limits = np.quantile(quality, (0.2, 0.8), axis=0).T.astype(np.float32)
    found = exported({name: value.numpy() for name, value in given_.items()} | {"limits": limits})
    gate, wanted = run(given_, limits)
    assert np.allclose(found["quality"], wanted, rtol=1e-4)
    assert found["gate"].tolist() == gate.tolist() == gate_of(wanted, limits, FULL).tolist()
    assert found["gate"].dtype == np.int64


def test_without_a_search_there_are_no_pose_numbers() -> None:
    """A gate without pose search and frame size tells light and measures alone."""
    assert PLAIN.quality_names == (*LIGHT, *MEASURED)
    given_ = inputs(2)
    gate, quality = Gate(PLAIN)(**given_, limits=torch.from_numpy(open_limits(PLAIN)))
    assert gate.tolist() == [0, 0]
    assert quality.shape == (2, len(PLAIN.quality_names))


def test_a_gate_that_is_off_measures_nothing_of_its_own() -> None:
    """What light and pose measured for themselves is passed on, and nothing is refused; neither gives no number."""
    given_ = inputs(2)
    for names, pose in (((), ()), (LIGHT, POSE)):
        off = GateSettings((64, 64), 3, names, pose, (30.0, 0.1, 0.05) if pose else None, (320, 240), on=False)
        assert off.quality_names == (*names, *pose)
        assert off.stated_names == ()
        own = {"light_numbers": given_["light_numbers"][:, : len(names)], "pose_numbers": given_["pose_numbers"]}
        own["pose_numbers"] = own["pose_numbers"][:, : len(pose)]
        limits = fit_limits(np.zeros((5, len(off.quality_names)), np.float32), off, 6.0)
        assert limits.shape == (len(off.quality_names), 2)
        gate, quality = Gate(off)(**{**given_, **own}, limits=torch.from_numpy(limits))
        assert gate.tolist() == [0, 0]
        assert quality.shape == (2, len(off.quality_names))


def test_a_number_without_a_rule_is_refused() -> None:
    """A column that nobody told the gate about is a mistake, not a number that is silently told only."""
    with pytest.raises(ValueError, match="no rule for glare"):
        GateSettings((64, 64), 3, ("glare",))
    with pytest.raises(ValueError, match="numbers and a range"):
        GateSettings((64, 64), 3, LIGHT, POSE)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10_000), st.floats(1.0, 20.0))
def test_learned_limits_hold_every_good_frame(n: int, seed: int, margin: float) -> None:
    """No good frame that limits were learned from is refused, however wild it is."""
    quality = qualities(n, PLAIN, seed)
    quality[0] *= 3.0
    assert not gate_of(quality, fit_limits(quality, PLAIN, margin), PLAIN).any()


def test_blank_good_frames_are_let_pass() -> None:
    """A number of 0 has no logarithm; where good frames show it, as blank tiles do, it is no reason to refuse."""
    quality = qualities(20, PLAIN)
    column = PLAIN.quality_names.index("spread_share")
    quality[:5, column] = 0.0
    assert not gate_of(quality, fit_limits(quality, PLAIN, 6.0), PLAIN).any()


@pytest.mark.parametrize("n", [8, 10, 50])
def test_the_next_good_frame_passes(n: int) -> None:
    """Of 4000 next good frames after n, with tails heavier than normal and no floor to help, below 1 % are refused."""
    rng = np.random.default_rng(n)
    column, refused = PLAIN.quality_names.index("noise_level"), 0
    for _ in range(400):
        spread = 0.5 * rng.standard_t(6, n + 10)
        quality = np.full((n + 10, len(PLAIN.quality_names)), 0.5, np.float32)
        quality[:, column] = 5.0 * np.exp(spread)
        limits = fit_limits(quality[:n], PLAIN, 1.0)
        refused += int((gate_of(quality[n:], limits, PLAIN) != 0).sum())
    assert refused < 40


def test_one_spoiled_good_frame_does_not_move_the_other_side() -> None:
    """A blurred picture among the good ones opens the limit as far as itself, not by a multiple of it."""
    quality = qualities(20, PLAIN)
    column = PLAIN.quality_names.index("focus_down_ratio")
    clean = fit_limits(quality, PLAIN, 6.0)[column, 0]
    quality[0, column] = 0.3 * clean
    assert fit_limits(quality, PLAIN, 6.0)[column, 0] == pytest.approx(0.3 * clean, rel=0.01)


def test_what_the_recipe_states_stands() -> None:
    """Gain limits, pose range and frame size are the recipe's, whatever the good frames show."""
    quality = qualities(10, FULL)
    quality[:, FULL.quality_names.index("exposure_gain")] = 9.0
    limits = dict(zip(FULL.quality_names, fit_limits(quality, FULL, 6.0).tolist(), strict=True))
    assert limits["exposure_gain"] == pytest.approx([0.4, 2.5])
    assert limits["pose_angle_deg"][1] == pytest.approx(30.0, abs=0.05)
    assert limits["frame_width_px"] == [319.5, 320.5]
    assert limits["confidence"] == pytest.approx([-NO_LIMIT, NO_LIMIT])


def test_two_good_frames_teach_no_limit() -> None:
    """From two frames nothing is said of a spread; what is stated still holds."""
    limits = dict(zip(FULL.quality_names, fit_limits(qualities(2, FULL), FULL, 6.0).tolist(), strict=True))
    assert limits["noise_level"][1] == pytest.approx(NO_LIMIT)
    assert limits["exposure_gain"] == pytest.approx([0.4, 2.5])


def test_more_good_frames_bring_the_limits_nearer() -> None:
    """The factor falls with n towards the quantile of the normal distribution."""
    factors = [tolerance_factor(n) for n in (4, 8, 10, 50, 5000)]
    assert factors == sorted(factors, reverse=True)
    assert factors[1:4] == pytest.approx([6.8, 6.1, 4.1], abs=0.1)
    assert factors[-1] == pytest.approx(3.29, abs=0.1)


@pytest.mark.parametrize("n", [3, 8, 9, 10, 31, 100])
def test_qn_is_the_standard_deviation_of_normal_values(n: int) -> None:
    """Over many samples its mean is the true deviation within 5 %."""
    rng = np.random.default_rng(n)
    found = np.array([qn_spread(rng.standard_normal(n)) for _ in range(3000)])
    assert found.mean() == pytest.approx(1.0, abs=0.05)


def test_qn_withstands_two_of_five() -> None:
    """Four wild values of ten leave the spread within a factor of what the other six show."""
    values = np.concatenate((np.random.default_rng(1).standard_normal(6), [1e6, -1e6, 1e7, -1e7]))
    assert qn_spread(values) < 10
