"""Whether a part has a pose, and of which kind: decided on the good frames alone.

The golden part is fitted on one half of the good frames; the other half is aligned to it. A pose is taken when
alignment makes those frames clearly more alike than they are in place, and when no other shift fits about as well: a
cloth's pattern fits everywhere, and to align it would be to choose at random.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from lineside.normalise.geometry import F32, F64
from lineside.normalise.pose_fit import Group, PoseFit, find, fit_pose, group_of, moments
from lineside.normalise.pose_settings import PoseModel, PoseSettings
from lineside.normalise.pose_values import see_all

GAIN = 0.6
"""A pose must lower the share of the held-out frames' contrast that the golden part leaves unexplained to this much of
what it is without. Measured: rendered caps 0.14, ball-screw drives in a fixed place 0.9."""

UNEXPLAINED = 0.5
"""And below this. Measured: caps 0.07 to 0.09, printed circuits of various places 0.67 to 0.93."""

ELSEWHERE = 0.7
"""Another place may fit at most this well, the best being 1. Measured: caps 0.27, drives 0.38 to 0.42,
weave 0.95 to 1.04."""

SIMPLER = 1.03
"""A simpler model is taken when it leaves at most this much more unexplained."""

FEWEST = 4
"""Good frames that a decision needs."""

MOST = 24
"""Good frames that it looks at: what is chosen is then fitted on all of them."""

APART_PX = 3
REACH_PX = 10
"""Shifts that are another place, in pixels of the coarsest canvas (32 px)."""

_WORDS = {"shift": "shift", "rigid": "shift and rotation", "similarity": "shift, rotation and scale"}


@dataclass(frozen=True)
class PoseDecision:
    """Which pose search a part gets.

    Attributes
    ----------
    settings, fit : PoseSettings and PoseFit, or None
        None where frames are left as they are.
    words : str
        Why, in one or two sentences.
    numbers : dict of float
        What was measured: the share of the contrast unexplained in place and under each model that was tried, and how
        well the best other place fits.
    """

    settings: PoseSettings | None
    fit: PoseFit | None
    words: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class _Trial:
    unexplained: float
    elsewhere: float


def choose_pose(smalls: F32, anchor: F32, settings: PoseSettings, seed: int) -> PoseDecision:
    """Decide on a pose and fit it.

    Parameters
    ----------
    smalls, anchor, seed
        As for `fit_pose`.
    settings : PoseSettings
        As asked for: `model` may be auto or none too.
    """
    if settings.model == "none":
        return PoseDecision(None, None, "Pose is off, as the recipe asks.", {})
    if settings.model != "auto":
        fit = fit_pose(smalls, anchor, settings, seed)
        return PoseDecision(settings, fit, f"Pose is {settings.model}, as the recipe asks.", _spreads(fit))
    if len(smalls) < FEWEST:
        return PoseDecision(None, None, f"No pose: {len(smalls)} good images are too few to find one.", {})
    return _decide(smalls, anchor, settings, seed)


def _spreads(fit: PoseFit) -> dict[str, float]:
    return {"spread": fit.spread, "spread_unaligned": fit.spread_unaligned}


def _decide(smalls: F32, anchor: F32, settings: PoseSettings, seed: int) -> PoseDecision:
    shuffled = smalls[np.random.default_rng([seed, 2]).permutation(len(smalls))[:MOST]]
    halves = shuffled[::2], shuffled[1::2]
    in_place = _trial(*halves, replace(settings, model="shift"), seed, moved=False).unexplained
    numbers = {"unexplained_none": in_place}
    trials: dict[PoseModel, _Trial] = {}
    for model in _ladder(settings):
        trials[model] = _trial(*halves, replace(settings, model=model), seed)
        numbers[f"unexplained_{model}"] = trials[model].unexplained
        numbers[f"elsewhere_{model}"] = trials[model].elsewhere
        if not any(_helps(trial, in_place) for trial in trials.values()):
            break
    helping = {model: trial for model, trial in trials.items() if _helps(trial, in_place)}
    if not helping:
        return PoseDecision(None, None, _why_not(trials, in_place), numbers)
    least = min(trial.unexplained for trial in helping.values())
    model = [model for model, trial in helping.items() if trial.unexplained <= SIMPLER * least][-1]
    chosen = replace(settings, model=model)
    words = (
        f"Pose is {model} ({_WORDS[model]}): aligned, good images that had no say in the golden part differ from it in "
        f"{helping[model].unexplained:.0%} of their contrast; in place, in {in_place:.0%}."
    )
    return PoseDecision(chosen, fit_pose(smalls, anchor, chosen, seed), words, numbers)


def _ladder(settings: PoseSettings) -> tuple[PoseModel, ...]:
    """Return the models to try, the richest first; what the ranges rule out is left out."""
    models: list[PoseModel] = ["shift"]
    if len(replace(settings, model="rigid").rotations_deg) > 1:
        models.insert(0, "rigid")
        if len(replace(settings, model="similarity").scales) > 1:
            models.insert(0, "similarity")
    return tuple(models)


def _helps(trial: _Trial, in_place: float) -> bool:
    return trial.unexplained <= min(GAIN * in_place, UNEXPLAINED) and trial.elsewhere <= ELSEWHERE


def _why_not(trials: dict[PoseModel, _Trial], in_place: float) -> str:
    best = min(trials.values(), key=lambda trial: trial.unexplained)
    if best.unexplained > GAIN * in_place:
        return (
            f"No pose: alignment hardly makes the good images more alike ({best.unexplained:.0%} of their contrast "
            f"differs from the golden part, {in_place:.0%} without it)."
        )
    if best.elsewhere > ELSEWHERE:
        return (
            f"No pose: the good images fit each other {best.elsewhere:.0%} as well at another place, as a texture "
            "does; none of them is the right one."
        )
    return f"No pose: even aligned, the good images differ from their mean in {best.unexplained:.0%} of their contrast."


def _trial(one: F32, other: F32, settings: PoseSettings, seed: int, moved: bool = True) -> _Trial:
    """Return how well one half explains the other, with the pose of a model or in place."""
    fitted, held = group_of(one, settings, seed), group_of(other, settings, seed)
    here = np.repeat(np.eye(3)[None], len(one), axis=0)
    there = np.repeat(np.eye(3)[None], len(other), axis=0)
    if moved:
        values = fit_pose(one, one[0], settings, seed).values
        here, there = find(fitted, fitted.small, values).matrix, find(held, held.small, values).matrix
    return _measure(fitted, held, here, there)


def _measure(fitted: Group, held: Group, here: F64, there: F64) -> _Trial:
    mean, _, share = moments(fitted, here)
    side, moves = fitted.settings.canvas, torch.from_numpy(there.astype(np.float32))
    seen = see_all(held.contrast, moves, side)  # [n, 1, L, L]
    shown = (see_all(held.mask.expand(len(moves), -1, -1, -1), moves, side) * share > 0.5).float()
    product = (seen * mean * shown).flatten(1).sum(dim=1)
    energy = (seen**2 * shown).flatten(1).sum(dim=1) * (mean**2 * shown).flatten(1).sum(dim=1)
    fit = product / energy.clamp(min=1e-9).sqrt()  # [n]
    return _Trial(float(1 - (fit.clamp(min=0) ** 2).mean()), _elsewhere(mean, seen, shown))


def _elsewhere(mean: torch.Tensor, seen: torch.Tensor, shown: torch.Tensor) -> float:
    """Return how well the best other place fits, the middle of the frames, against the place that was found."""
    pad = (REACH_PX,) * 4
    factor = max(1, mean.shape[3] // 32)
    template, image, area = (functional.avg_pool2d(layer, factor) for layer in (mean, seen, shown))
    product = functional.conv2d(functional.pad(image, pad), template)  # [n, 1, 2r+1, 2r+1]
    energy = functional.conv2d(functional.pad(image, pad) ** 2, torch.ones_like(template))
    covered = functional.conv2d(functional.pad(area, pad), template**2)
    fit = product * torch.rsqrt((energy * covered).clamp(min=1e-9))
    y, x = np.mgrid[-REACH_PX : REACH_PX + 1, -REACH_PX : REACH_PX + 1]
    far = torch.from_numpy(np.hypot(x, y) >= APART_PX)
    peak = (fit >= functional.max_pool2d(fit, 3, stride=1, padding=1)) & far
    best = torch.where(peak, fit, torch.zeros_like(fit)).flatten(1).amax(dim=1)
    return float((best / fit[:, 0, REACH_PX, REACH_PX].clamp(min=1e-3)).median())
