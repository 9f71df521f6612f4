"""Which light corrections a part wants, decided on its good images alone, with the numbers behind the decision.

A step is on where it brings the aligned good images closer together and leaves synthetic defects as visible as they
were (`light_trial`). Shading of half a part is the case in point: a plane takes three quarters of it out of the
picture, and it is the shading number that keeps it. Accuracy of a whole training with and without each step was
rejected: sixteen trainings, and no defects to measure it on.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lineside.normalise.light import LightSettings
from lineside.normalise.light_trial import STEPS, Measured, StepName, Trial
from lineside.recipe_normalise import Light as LightRecipe
from lineside.synth.shading_defects import Kind

F32 = npt.NDArray[np.float32]
ACTS_ON: dict[StepName, str] = {
    "exposure": "level",
    "white_balance": "colour",
    "gradient": "level",
    "contrast": "detail",
}
LEAST_IMAGES = 4
"""Two halves of two."""
LEAST_GAIN: dict[StepName, float] = {"exposure": -0.01, "white_balance": 0.01, "gradient": 0.01, "contrast": 0.05}
"""Share by which a step must lower the spread that it acts on. Exposure stays on unless it raises it: gain is what
changes most on a line, in the good images or not. Contrast multiplies noise with everything else and has to earn it."""
MOST_HARM = 0.01
"""Share by which no step may raise the spread of the picture itself."""
LEAST_KEPT = 0.95
"""Share of a defect's visibility that a step must leave."""
LEAST_BACKGROUND = 0.1
"""Share of the picture that a background must have before a part is judged against it."""


@dataclass(frozen=True)
class StepDecision:
    """One row of the report's table.

    Attributes
    ----------
    step, requested : str
        What the recipe asks for.
    on : bool
    spread_without, spread_with : float
        Mean absolute deviation of the good images from their median in what the step acts on, as a share of the level;
        NaN where the step was not judged.
    visible_without, visible_with : dict of str to float
        By kind of synthetic defect: its visibility, in spreads of the good images.
    words : str
        Why.
    """

    step: StepName
    requested: str
    on: bool
    spread_without: float
    spread_with: float
    visible_without: dict[Kind, float]
    visible_with: dict[Kind, float]
    words: str


@dataclass(frozen=True)
class LightDecision:
    """The settings, the numbers behind them, and what they cannot do, in words."""

    settings: LightSettings
    steps: tuple[StepDecision, ...]
    words: tuple[str, ...]


def choose_light(
    images: F32,
    valid: F32,
    requested: LightRecipe,
    seed: int,
    foreground: F32 | None = None,
    shading_scored: bool = True,
) -> LightDecision:
    """Decide which corrections are on.

    Parameters
    ----------
    images : ndarray of float32 [n, C, h, w]
        Good images, aligned, light as it was, 0 to 255.
    valid : ndarray of float32 [n, 1, h, w]
    requested : LightRecipe
        The recipe's `normalise.light`.
    seed : int
        Of the synthetic defects.
    foreground : ndarray of float32 [h, w], optional
        1 on the part, 0 on its background.
    shading_scored : bool
        Whether the verdict takes the shading number into account; if not, defects must stay visible in the picture.
    """
    asked: dict[StepName, str] = {name: getattr(requested, name) for name in STEPS}
    settings = _fixed(requested)
    part = foreground if foreground is not None and float((foreground < 0.5).mean()) >= LEAST_BACKGROUND else None
    trial = None
    if len(images) >= LEAST_IMAGES and "auto" in asked.values():
        trial = Trial(images, valid, part, seed, shading_scored)
    rows = []
    for step in STEPS:
        if asked[step] != "auto":
            rows.append(_as_asked(step, asked[step], settings))
            continue
        row = _judged(step, settings, trial, images.shape[1])
        settings = _with(settings, step) if row.on else settings
        rows.append(row)
    return LightDecision(settings, tuple(rows), _words(settings, part))


def _fixed(requested: LightRecipe) -> LightSettings:
    """What the recipe fixes; whatever it leaves to us is off."""
    balance = requested.white_balance
    return LightSettings(
        exposure=requested.exposure == "on",
        white_balance="off" if balance == "auto" else balance,
        gradient=requested.gradient == "on",
        contrast=requested.contrast == "on",
        gain_limits=requested.gain_limits,
        gradient_limit=requested.gradient_limit,
        contrast_limits=requested.contrast_limits,
    )


def _with(settings: LightSettings, step: StepName) -> LightSettings:
    match step:
        case "exposure":
            return replace(settings, exposure=True)
        case "white_balance":
            return replace(settings, white_balance="golden")
        case "gradient":
            return replace(settings, gradient=True)
        case "contrast":
            return replace(settings, contrast=True)


def _as_asked(step: StepName, asked: str, settings: LightSettings) -> StepDecision:
    on = settings.white_balance != "off" if step == "white_balance" else bool(getattr(settings, step))
    return StepDecision(step, asked, on, np.nan, np.nan, {}, {}, "As the recipe asks.")


def _judged(step: StepName, settings: LightSettings, trial: Trial | None, channels: int) -> StepDecision:
    def row(on: bool, words: str) -> StepDecision:
        return StepDecision(step, "auto", on, np.nan, np.nan, {}, {}, words)

    if step == "white_balance" and channels == 1:
        return row(False, "A grey camera has no white balance.")
    if trial is None:
        return row(step == "exposure", f"Too few good images to judge by ({LEAST_IMAGES} at least): exposure alone.")
    return _compared(step, trial.measured(settings), trial.measured(_with(settings, step)))


def _compared(step: StepName, before: Measured, after: Measured) -> StepDecision:
    change = after.spread[step] / max(before.spread[step], 1e-9) - 1.0
    harm = after.spread["contrast"] / max(before.spread["contrast"], 1e-9) - 1.0
    lost = [kind for kind, seen in before.visible.items() if after.visible[kind] < LEAST_KEPT * seen]
    words = f"It changes the good images' spread in {ACTS_ON[step]} by {change:+.1%}"
    on = False
    if lost:
        words += f" but costs visibility of synthetic defects ({', '.join(lost)})."
    elif harm > MOST_HARM:
        words += f" but raises that of the picture as a whole by {harm:.1%}."
    elif change > -LEAST_GAIN[step]:
        words += f"; to be on, {-LEAST_GAIN[step]:+.0%} or less was wanted."
    else:
        on, words = True, words + " and leaves synthetic defects as visible as they were."
    return StepDecision(step, "auto", on, before.spread[step], after.spread[step], before.visible, after.visible, words)


def _words(settings: LightSettings, part: F32 | None) -> tuple[str, ...]:
    low, high = settings.gain_limits
    words = []
    if part is None and settings.exposure:
        words.append(
            f"No background is known: a change of the whole part's level by a factor of {1 / high:.2g} to "
            f"{1 / low:.2g} cannot be told from the lamp's and is corrected as such; beyond it the gate speaks."
        )
    if part is not None:
        words.append("The part's level is judged against its background: part_step and shading in the numbers.")
    if settings.gradient:
        words.append("A step across half of the part is partly taken for a gradient; half_step and shading hold it.")
    return tuple(words)
