"""Gauge R&R of a score: how much of its spread is the inspection's own, by analysis of variance.

Crossed study, every operator (or station) inspects every part equally often: AIAG, Measurement Systems Analysis, 4th
edition (2010), chapter III, section B, ANOVA method. Where the interaction of part and operator is far from
significant it is pooled with the repeatability, as there. Variances that come out negative are 0.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lineside.errors import UsageError

Doubles = npt.NDArray[np.float64]

POOLED_FROM = 0.25
"""Significance of the interaction above which it is pooled: a usual level, which keeps what might be one."""
GOOD_GRR, MOST_GRR = 0.10, 0.30
"""Share of the total variation: up to the first a measurement system is acceptable, beyond the second it is not."""
USUAL_PARTS = 10
"""Of a study, by the manual's examples and usual practice: fewer tell little of how far parts differ."""
LEAST_NDC = 5
"""Distinct categories that a measurement system should tell."""


@dataclass(frozen=True)
class GaugeRR:
    """What a score's spread is made of, as standard deviations in the score's unit.

    Attributes
    ----------
    repeatability, reproducibility : float
        Of the same operator again (EV), and between operators (AV, interaction included).
    interaction : float
        Of operators that differ from part to part; 0 where it was pooled.
    grr, part, total : float
        Measurement system, parts, and both together.
    interaction_p : float or None
        Significance of the interaction; None where there is one operator, or no repeat.
    parts, operators, repeats : int
    """

    repeatability: float
    reproducibility: float
    interaction: float
    grr: float
    part: float
    total: float
    interaction_p: float | None
    parts: int
    operators: int
    repeats: int

    @property
    def share(self) -> float:
        """%GRR: of the total variation, as a share of standard deviations, 0 to 1."""
        return self.grr / self.total if self.total > 0 else 0.0

    @property
    def categories(self) -> int | None:
        """Number of distinct categories (ndc), cut to a whole number; None where the system never differs at all."""
        return math.floor(math.sqrt(2.0) * self.part / self.grr) if self.grr > 0 else None

    @property
    def verdict(self) -> str:
        """Acceptable, marginal or not acceptable, by AIAG's limits of 10 and 30 %."""
        return "acceptable" if self.share <= GOOD_GRR else "marginal" if self.share <= MOST_GRR else "not acceptable"


def gauge_rr(scores: Doubles) -> GaugeRR:
    """Analyse a crossed study.

    Parameters
    ----------
    scores : ndarray of float64 [parts, operators, repeats]
        At least 2 parts, 1 operator and 2 repeats, all finite.

    Raises
    ------
    UsageError
        When there are fewer.
    """
    from scipy.special import fdtrc

    parts, operators, repeats = scores.shape
    if parts < 2 or repeats < 2:
        raise UsageError(f"A gauge study needs at least 2 parts and 2 repeats, found {parts} and {repeats}.")
    if not np.isfinite(scores).all():
        raise UsageError("A gauge study needs finite scores, and one is not.")
    if float(np.ptp(scores)) <= 1e-9 * float(np.abs(scores).max()):
        raise UsageError("All scores of the study are equal: nothing can be told from them.")
    of_cell, of_part, of_operator = scores.mean(axis=2), scores.mean(axis=(1, 2)), scores.mean(axis=(0, 2))
    mean = float(scores.mean())
    within = float(np.square(scores - of_cell[:, :, None]).sum())
    within = within if within > 1e-24 * float(np.square(scores).sum()) else 0.0  # rounding is no spread
    by_part = operators * repeats * float(np.square(of_part - mean).sum())
    by_operator = parts * repeats * float(np.square(of_operator - mean).sum())
    both = repeats * float(np.square(of_cell - of_part[:, None] - of_operator + mean).sum())
    free_within, free_both = parts * operators * (repeats - 1), (parts - 1) * (operators - 1)
    noise, p = within / free_within, None
    mixed = noise
    if free_both:
        mixed = both / free_both
        p = float(fdtrc(free_both, free_within, mixed / noise)) if noise > 0 else 0.0
        if p > POOLED_FROM:
            noise = mixed = (within + both) / (free_within + free_both)
    interaction = max(0.0, (mixed - noise) / repeats)
    spread = by_operator / (operators - 1) if operators > 1 else mixed
    reproducibility = max(0.0, (spread - mixed) / (parts * repeats)) + interaction
    part = max(0.0, (by_part / (parts - 1) - mixed) / (operators * repeats))
    grr = noise + reproducibility
    return GaugeRR(
        repeatability=math.sqrt(noise),
        reproducibility=math.sqrt(reproducibility),
        interaction=math.sqrt(interaction),
        grr=math.sqrt(grr),
        part=math.sqrt(part),
        total=math.sqrt(grr + part),
        interaction_p=p,
        parts=parts,
        operators=operators,
        repeats=repeats,
    )
