"""The adaptation's own gate: an adapted trunk is kept only where it beats the frozen one by far, and nowhere loses.

Both trunks score the same held-out good frames and the same synthetic defects of kinds that the adaptation never saw,
by the same head. Good are also copies of those frames drifted within what the line shows (`lineside.synth.drift`): a
trunk must not gain by jumping at light or grain. The measure is the share of (good, defective) pairs that are ranked
rightly, averaged over the kinds. Three things are asked:

- A quarter of the pairs that the frozen trunk ranks wrongly are put right. Gains on synthetic defects are worth little
  in real ones, and an adapted trunk takes four of ten parts from the threshold. Measured without front, copies and
  mirror images, 3 seeds each: tiles of bare boards put right 0.36, 0.49 and 0.38 (mean AUROC on synthetic kinds +0.139,
  +0.174, +0.156) and gained on real defects 0.017, 0.033 and 0.011 of AUROC; drives put right 0.11, 0.05 and 0.11
  (+0.042, +0.017, +0.043), and the AUROC of real defects changed by -0.016, +0.002 and -0.022. With front and copies:
  drives 0.13, 0.05 and 0.11; boards, one seed, 0.36. The quarter lies between the two; it was chosen on these two sets
  and tried on no third.
- The gain exceeds twice its noise: that of the frames, by a paired bootstrap over physical frames (Efron and
  Tibshirani, 1993, chapter 8), since scores of one frame and its copies move together and so do the two trunks' scores
  of one frame; and that of the kinds, since real defects are of others.
- No kind is told worse by more than the noise of its own difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RIGHTED = 0.25
"""Share of the wrongly ranked pairs that must be put right; see the header."""
NOISES = 2.0
"""Standard deviations of the difference that the gain must exceed as well."""
DRAWS = 200
"""Of the bootstrap."""


@dataclass(frozen=True)
class Scored:
    """Scores of one trunk.

    Attributes
    ----------
    good : ndarray of float64 [n]
        Of held-out good frames, and of the same ones a little drifted.
    spoiled : ndarray of float64 [m]
        Of synthetic defects on those frames.
    """

    good: Doubles
    spoiled: Doubles


@dataclass(frozen=True)
class Trial:
    """What was scored, alike for both trunks.

    Attributes
    ----------
    frames : ndarray of int64 [n]
        Which frame each good score is of; a frame that is there several times counts as one when noise is measured.
    source : ndarray of int64 [m]
        Which good frame each defect was put on, by that number.
    kinds : sequence of str [m]
    folds : ndarray of int64 [n]
        Frames of a fold were scored by one head, so that their scores compare; a frame is in one fold.
    """

    frames: Ints
    source: Ints
    kinds: Sequence[str]
    folds: Ints


@dataclass(frozen=True)
class Outcome:
    """How the contest ended.

    Attributes
    ----------
    frozen, adapted : mapping of kind to AUROC
    gain : float
        Mean over the kinds, adapted less frozen.
    noise : float
        Standard deviation of `gain` between draws of the frames, and between kinds.
    noises : mapping of kind to float
        Of each kind's own gain between draws of the frames.
    """

    frozen: Mapping[str, float]
    adapted: Mapping[str, float]
    gain: float
    noise: float
    noises: Mapping[str, float]

    @property
    def needed(self) -> float:
        """The gain from which on the adapted trunk is kept."""
        wrong = 1.0 - float(np.mean(list(self.frozen.values())))
        return max(RIGHTED * wrong, NOISES * self.noise)

    @property
    def worse(self) -> tuple[str, ...]:
        """Kinds that the adapted trunk tells worse by more than their noise."""
        return tuple(kind for kind, was in self.frozen.items() if was - self.adapted[kind] > self.noises[kind])

    @property
    def kept(self) -> bool:
        """Whether the adapted trunk won."""
        return self.gain > self.needed and not self.worse


def contest(trial: Trial, frozen: Scored, adapted: Scored, seed: int) -> Outcome:
    """Compare two trunks on held-out good frames and held-out kinds of synthetic defect.

    Parameters
    ----------
    trial : Trial
    frozen, adapted : Scored
    seed : int
        Of the bootstrap.
    """
    names = tuple(dict.fromkeys(trial.kinds))
    once = np.ones(len(np.unique(trial.frames)))
    before, after = (_Pairs(trial, scored, names) for scored in (frozen, adapted))
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(DRAWS):
        counts = np.bincount(rng.integers(len(once), size=len(once)), minlength=len(once)).astype(np.float64)
        draws.append(after.auroc(counts) - before.auroc(counts))
    was, now = before.auroc(once), after.auroc(once)
    between = np.std(now - was, ddof=1) / len(names) ** 0.5 if len(names) > 1 else 0.0
    return Outcome(
        dict(zip(names, was.tolist(), strict=True)),
        dict(zip(names, now.tolist(), strict=True)),
        float(np.mean(now - was)),
        float(np.hypot(np.nanstd(np.mean(draws, axis=1), ddof=1), between)),
        dict(zip(names, np.nanstd(draws, axis=0, ddof=1).tolist(), strict=True)),
    )


class _Pairs:
    """Which pairs of a good and a spoiled frame are ranked rightly, for weighted counting."""

    def __init__(self, trial: Trial, scored: Scored, names: Sequence[str]) -> None:
        difference = scored.spoiled[None] - scored.good[:, None]  # [n, m]
        frames, first, self._own = np.unique(trial.frames, return_index=True, return_inverse=True)
        self._place = np.searchsorted(frames, trial.source)  # which frame each defect was put on
        comparable = trial.folds[:, None] == trial.folds[first][self._place][None]
        self._right = ((difference > 0) + 0.5 * (difference == 0)) * comparable
        self._comparable = comparable.astype(np.float64)
        self._of_kind = np.array([[kind == name for kind in trial.kinds] for name in names], np.float64)  # [k, m]

    def auroc(self, counts: Doubles) -> Doubles:
        """AUROC of each kind [k] where each frame counts so many times; nan where a draw has no pairs."""
        weights = self._of_kind * counts[self._place]  # [k, m]
        goods = counts[self._own]
        right, pairs = (((goods @ matrix) * weights).sum(axis=1) for matrix in (self._right, self._comparable))
        return np.asarray(np.divide(right, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0), np.float64)
