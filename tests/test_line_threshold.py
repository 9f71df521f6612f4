"""Scores moved to a changed line, and limits learned from frames that nobody labelled."""

import numpy as np

from lineside.calibrate.moved import score_move
from lineside.normalise.gate_limits import learned_limits

RNG = np.random.default_rng(2)


def test_scores_of_a_line_that_did_not_change_stay() -> None:
    """The same scores give the map that moves nothing."""
    scores = RNG.normal(1.0, 0.1, 50)
    np.testing.assert_allclose(score_move(scores, scores)(scores), scores)


def test_scores_follow_the_level_of_the_new_line() -> None:
    """Where all distances are twice as large, the moved scores are too."""
    scores = RNG.normal(1.0, 0.1, 200)
    np.testing.assert_allclose(score_move(scores, 2.0 * scores)(scores), 2.0 * scores, rtol=1e-6)


def test_a_fifth_of_defects_hardly_moves_scores() -> None:
    """Defective parts among the unlabelled ones do not lift the threshold to themselves."""
    scores, new = RNG.normal(1.0, 0.1, 200), RNG.normal(1.0, 0.1, 30)
    new[:6] = 3.0
    assert score_move(scores, new)(np.array([1.2]))[0] < 1.35


def test_a_narrow_sample_does_not_tighten_the_threshold() -> None:
    """Frames taken within a minute vary less than parts do: the spread never shrinks below the level's share."""
    scores, new = RNG.normal(1.0, 0.1, 200), np.full(20, 1.0) + 1e-3 * RNG.standard_normal(20)
    assert score_move(scores, new).stretch >= 0.99 * np.median(new) / np.median(scores)


def test_findings_stay_infinite() -> None:
    """A good part that a finding makes NG stays NG whatever the threshold."""
    scores = np.append(RNG.normal(1.0, 0.1, 20), np.inf)
    assert np.isinf(score_move(scores, scores[:10])(scores)[-1])


def test_untrusted_frames_do_not_widen_limits_by_their_extremes() -> None:
    """One blurred frame among unlabelled ones stays outside the limit; among good ones it would set it."""
    focus = np.exp(RNG.normal(0.0, 0.02, (20, 1))).astype(np.float32)
    focus[0] = 0.05
    untrusted = learned_limits(focus, ("detail_ratio",), {}, 6.0, trusted=False)
    trusted = learned_limits(focus, ("detail_ratio",), {}, 6.0)
    assert trusted[0, 0] < 0.05 < untrusted[0, 0] < focus[1:].min()


def test_stated_limits_are_taken_as_they_stand() -> None:
    """What the recipe states no frame moves."""
    values = np.full((20, 1), 0.9, np.float32)
    limits = learned_limits(values, ("gradient",), {"gradient": (0.0, 0.5)}, 6.0, trusted=False)
    np.testing.assert_allclose(limits, [[0.0, 0.5]])
